/**
 * Where husk keeps its files. The paths are computed here, never created: the code that writes to a folder makes it
 * (mode 0700, or 0711 where a user namespace must pass through). The data root itself is closed to other users
 * (data-root.ts), and so is the runtime folder (runtime-folder.ts).
 *
 *   <data root>/                $XDG_DATA_HOME/husk, or /var/lib/husk for root; absolute and without symbolic
 *                               links, as in Docker
 *     husk.db                   all records (src/state); husk.db-reserve: room for a full disk
 *     blobs/sha256/<hex>        content store: manifests, configs, compressed layers while they are being pulled
 *     layers/<hex of diffID>/   layer.tar (verified, uncompressed), tree-v1/ and parents-v1-<hex>/ (unpacked for
 *                               user namespaces)
 *     l/<12 hex>                short links to the trees: an overlay mount's options must fit in one page
 *     containers/<id>/          config, upper/, work/, merged/, etc/ (hosts, hostname, resolv.conf), logs
 *     volumes/<name>/_data
 *     names/<hex of image>      the image's names; with containers/<id>/record.json and volumes/<name>/record.json
 *                               these are the files from which a damaged database is rebuilt
 *     manifests/<hex>.json      manifest lists that are not pushed yet; <hex> is the sha256 of the list's name
 *     cache/seccomp/            compiled filters by content
 *     cache/kvm.json            how fast this boot's KVM is
 *     templates/                machines that wait for their container (src/vmm/templates/folder.ts)
 *     saved/                    machines of running containers that are being copied (src/engine/fork/saved.ts)
 *     users-namespace           which processes hold the user's namespace (src/rootless/holders.ts)
 *     tmp/                      everything half-made; renamed out when complete
 *   <runtime dir>/              $XDG_RUNTIME_DIR/husk; or /run/husk for root, /run/user/UID/husk, <data root>/run:
 *                               the first that exists and belongs to this user. It is never a name in a folder to
 *                               which others may write: they could have made it first
 *     <first 16 hex of id>.sock the supervisor of a running container
 *     networks.lock             held while a network's namespace is looked up (src/network/namespace.ts)
 *
 * A relative path in an XDG variable counts as none (XDG Base Directory Specification § Environment variables).
 */
import { realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';

export interface Paths {
  dataRoot: string;
  runtimeDir: string;
  configFile: string;
  database: string;
  blobs: string;
  layers: string;
  layerLinks: string;
  containers: string;
  volumes: string;
  tmp: string;
  templates: string;
  saved: string;
  container(id: string): string;
  socket(id: string): string;
}

/**
 * @param options.dataRoot the data root of `--data-root` or of the config file's `data-root`
 * @param options.runtimeDir the runtime folder that another process has computed
 */
export function paths(
  options: { dataRoot?: string; runtimeDir?: string; env?: NodeJS.ProcessEnv; uid?: number } = {},
): Paths {
  const env = options.env ?? process.env;
  const uid = options.uid ?? process.getuid!();
  const xdg = (name: string) => (env[name] !== undefined && isAbsolute(env[name]) ? env[name] : undefined);
  const given = options.dataRoot ?? env['HUSK_DATA_ROOT'];
  const dataHome = xdg('XDG_DATA_HOME');
  // A supervisor has another working folder than the command that names the data root, so the path must be absolute.
  const dataRoot = withoutLinks(
    given || (dataHome ? join(dataHome, 'husk') : uid === 0 ? '/var/lib/husk' : join(homedir(), '.local/share/husk')),
  );
  const configHome = xdg('XDG_CONFIG_HOME') ?? (uid === 0 ? '/etc' : join(homedir(), '.config'));
  const configFile = env['HUSK_CONFIG'] ?? join(configHome, 'husk/config.json');
  const runtimeDir = options.runtimeDir ?? runtimeFolder(xdg('XDG_RUNTIME_DIR'), uid, dataRoot);
  return {
    dataRoot,
    runtimeDir,
    configFile,
    database: join(dataRoot, 'husk.db'),
    blobs: join(dataRoot, 'blobs/sha256'),
    layers: join(dataRoot, 'layers'),
    layerLinks: join(dataRoot, 'l'),
    containers: join(dataRoot, 'containers'),
    volumes: join(dataRoot, 'volumes'),
    tmp: join(dataRoot, 'tmp'),
    templates: join(dataRoot, 'templates'),
    saved: join(dataRoot, 'saved'),
    container: (id) => join(dataRoot, 'containers', id),
    socket: (id) => join(runtimeDir, `${id.slice(0, 16)}.sock`),
  };
}

/**
 * Chooses the runtime folder. `sudo -E` passes another user's XDG_RUNTIME_DIR on; by the specification it must belong
 * to this user.
 */
function runtimeFolder(given: string | undefined, uid: number, dataRoot: string): string {
  if (given !== undefined && (owner(given) ?? uid) === uid) return join(given, 'husk');
  if (uid === 0) return '/run/husk';
  // systemd-logind makes this folder; the variable is missing in cron jobs and after su.
  const usual = `/run/user/${uid}`;
  return owner(usual) === uid ? join(usual, 'husk') : join(dataRoot, 'run');
}

/** @returns undefined when there is no such folder */
function owner(folder: string): number | undefined {
  try {
    return statSync(folder).uid;
  } catch {
    return undefined;
  }
}

/**
 * Resolves the links of a path; its missing part has none. A supervisor has another working folder than the command,
 * and a plan may mount over the folder in which a link lies.
 */
function withoutLinks(path: string): string {
  const missing: string[] = [];
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      return join(realpathSync(at), ...missing);
    } catch {
      if (at === dirname(at)) return resolve(path);
      missing.unshift(basename(at));
    }
  }
}

/**
 * Where husk keeps things. Computed, never created here: whoever writes a folder makes it (mode 0700, or 0711 where a user
 * namespace must pass through).
 *
 *   <data root>/                $XDG_DATA_HOME/husk, or /var/lib/husk for root (a user namespace cannot pass through /root)
 *     husk.db                   all records (src/state); husk.db-reserve: room for a full disk
 *     blobs/sha256/<hex>        content store: manifests, configs, compressed layers while they are being pulled
 * layers/<hex of diffID>/   layer.tar (verified, uncompressed), tree-v1/ and parents-v1-<hex>/ (unpacked for user
 * namespaces)
 *     l/<12 hex>                short links to the trees: an overlay mount's options must fit in one page
 *     containers/<id>/          config, upper/, work/, merged/, etc/ (hosts, hostname, resolv.conf), logs
 *     volumes/<name>/_data
 *     names/<hex of image>      its names; with containers/<id>/record.json and volumes/<name>/record.json what a damaged database is rebuilt from
 *     cache/seccomp/            compiled filters by content
 *     cache/kvm.json            how fast this boot's KVM is
 *     tmp/                      everything half-made; renamed out when complete
 *   <runtime dir>/              $XDG_RUNTIME_DIR/husk, or /run/husk for root
 *     <first 16 hex of id>.sock the supervisor of a running container
 */
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

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
  container(id: string): string;
  socket(id: string): string;
}

/** @param options.dataRoot from `--data-root` or the config file's `data-root` */
export function paths(options: { dataRoot?: string; env?: NodeJS.ProcessEnv; uid?: number } = {}): Paths {
  const env = options.env ?? process.env;
  const uid = options.uid ?? process.getuid!();
  const dataRoot =
    options.dataRoot ??
    env['HUSK_DATA_ROOT'] ??
    (env['XDG_DATA_HOME'] ? join(env['XDG_DATA_HOME'], 'husk') : uid === 0 ? '/var/lib/husk' : join(homedir(), '.local/share/husk'));
  const runtimeDir = env['XDG_RUNTIME_DIR'] ? join(env['XDG_RUNTIME_DIR'], 'husk') : uid === 0 ? '/run/husk' : join(tmpdir(), `husk-${uid}`);
  const configFile = env['HUSK_CONFIG'] ?? join(env['XDG_CONFIG_HOME'] ?? (uid === 0 ? '/etc' : join(homedir(), '.config')), 'husk/config.json');
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
    container: (id) => join(dataRoot, 'containers', id),
    socket: (id) => join(runtimeDir, `${id.slice(0, 16)}.sock`),
  };
}

/**
 * The user-namespace isolation: the contract of src/sandbox.ts on the host's own kernel. It adds to
 * src/container/local-sandbox.ts what an unprivileged caller needs: id maps, ownership, staged bind mounts, a way out
 * of the network namespace. Knows nothing of records, images or logs.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { CGROUP_ROOT, isUnified } from '../container/cgroup/delegation.ts';
import { containerCgroup } from '../container/cgroup/cgroup.ts';
import type { LaunchPlan } from '../launch/plan.ts';
import { LocalSandbox } from '../container/local-sandbox.ts';
import { CLONE_NEWNET, namespaces } from '../container/namespaces.ts';
import { planContainer } from '../container/plan.ts';
import type { Spec } from '../spec.ts';
import { HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { makeFolder } from '../host/files/make-folder.ts';
import type { FilesRequest, Sandbox, SandboxConfig } from '../sandbox.ts';
import { answerFiles } from './files.ts';
import { idMaps, writeIdMaps, type IdMaps } from './idmap.ts';
import { keptMaps } from './keep-id.ts';
import {
  joinFuseOverlay,
  mountFuseOverlay,
  overlayKind,
  type FuseOverlay,
  type OverlayRootfs,
} from './fuse-overlay.ts';
import { fuseImageRoots, imageFolders, imageRoots } from './images.ts';
import { reachSteps } from './reach.ts';
import { isBind, stageBinds, type Staged } from './stage.ts';

/** The container's way out, once its network namespace exists. */
interface Connection {
  close(): Promise<void>;
}

export interface UsernsOptions {
  /**
   * called with a process of the new network namespace, and with that namespace; absent: the namespace stays empty but
   * for loopback (`--network none`)
   */
  connect?: (pid: number, namespace?: Fd) => Promise<Connection>;
  /** @default the spec's, else the caller's */
  maps?: IdMaps;
}

export class UsernsSandbox extends LocalSandbox implements Sandbox {
  readonly #config: SandboxConfig;
  readonly #maps: IdMaps;
  /** of requests under way */
  readonly #answers = new Set<Promise<void>>();
  #opened = false;

  constructor(config: SandboxConfig, options: UsernsOptions = {}) {
    const maps = options.maps ?? keptMaps(config.spec.linux)?.maps ?? idMaps();
    const { connect } = options;
    const ownNetwork = (namespaces(config.spec).made & CLONE_NEWNET) !== 0;
    let connecting: Promise<Connection> | undefined;
    /** the root's own first */
    const fuses: FuseOverlay[] = [];
    super(config.spec, {
      id: config.id,
      rootless: true,
      cgroup: () =>
        containerCgroup(config.id, config.spec.linux.resources ?? {}, {
          supervisor: process.pid,
          directory: config.directory,
          cgroupsPath: config.spec.linux.cgroupsPath,
        }),
      plan: (spec, { cgroup }) =>
        plan(spec, {
          config,
          maps,
          waitFor: { cgroup, network: ownNetwork && connect !== undefined },
          onFuse: (made) => void fuses.push(made),
        }),
      onAwait: async (tag, pid, namespace) => {
        if (tag === 'idmap') await writeIdMaps(pid, maps);
        else if (tag === 'network') await (connecting = connect!(pid, namespace));
      },
      release: async () => {
        // a connection that failed has told so already
        await (await connecting?.catch(() => undefined))?.close();
        for (const fuse of fuses.toReversed()) await fuse.close();
        rmSync(join(config.directory, 'binds'), { recursive: true, force: true });
      },
    });
    this.#config = config;
    this.#maps = maps;
  }

  /** Each request mounts what it needs for itself; the end waits for all of them. */
  async open(): Promise<void> {
    this.#opened = true;
  }

  override async destroy(): Promise<number | undefined> {
    if (this.#opened) await Promise.all(this.#answers);
    return super.destroy();
  }

  files(request: FilesRequest, input?: Readable): Readable {
    const { spec, directory } = this.#config;
    const rootfs = makeRootfs(this.#config, this.#maps);
    const dataRoot = dirname(dirname(directory));
    const { output, over } = answerFiles(request, {
      rootfs,
      images: () => imageRoots(this.#config),
      directory,
      dataRoot,
      maps: this.#maps,
      process: this.living(),
      stage: () => stageFiles(spec, this.#config, this.#maps),
      input,
    });
    this.#answers.add(over);
    void over.then(() => this.#answers.delete(over));
    return output;
  }
}

/** What is mounted into a container that does not run, as a plan has it: binds and images. */
function stageFiles(spec: Spec, config: SandboxConfig, maps: IdMaps): Staged {
  const seen = { ...spec, mounts: spec.mounts.filter((mount) => isBind(mount) || mount.type === 'image') };
  return maps.direct ? stage(seen, config) : { spec: seen };
}

interface Making {
  config: SandboxConfig;
  maps: IdMaps;
  waitFor: { cgroup: boolean; network: boolean };
  /** told at once, so that it is closed whatever happens next */
  onFuse: (fuse: FuseOverlay) => void;
}

async function plan(spec: Spec, { config, maps, waitFor, onFuse }: Making): Promise<LaunchPlan> {
  const dataRoot = dirname(dirname(config.directory));
  const rootfs = makeRootfs(config, maps);
  const staged: Staged = maps.direct ? stage(spec, config) : { spec };
  const lateRoot = !maps.direct && maps.uid[0]!.hostID !== process.getuid!();
  const context = {
    rootless: true,
    lateRoot,
    init: config.init,
    cgroup2: isUnified(CGROUP_ROOT),
    waitFor: { ...waitFor, exec: true },
    filterCache: join(dataRoot, 'cache/seccomp'),
  };
  const images = imageRoots(config);
  if (overlayKind(dataRoot) === 'kernel')
    return [...reachSteps(staged.reach ?? { kept: [] }), ...planContainer(staged.spec, rootfs, { ...context, images })];
  const fuse = await mountFuseOverlay(rootfs, {
    maps,
    reach: staged.reach,
    userNamespace: spec.linux.namespaces.find(({ type }) => type === 'user')?.path,
  });
  onFuse(fuse);
  const mounted = await fuseImageRoots(images, { maps, beside: fuse }, onFuse);
  const joined = joinFuseOverlay(fuse, staged.spec, { lateRoot });
  const root = { kind: 'directory' as const, path: rootfs.merged };
  return [...joined.steps, ...planContainer(joined.spec, root, { ...context, images: mounted })];
}

function stage(spec: Spec, { rootfs, images, directory }: SandboxConfig): Staged {
  const folder = join(directory, 'binds');
  makeFolder(folder, 0o711);
  const lower = rootfs.kind === 'overlay' ? rootfs.lower : [];
  return stageBinds(spec, { folder, directory, lower, images: imageFolders({ images, directory }) });
}

/** The container's folders; as root they are given to the container's root, who is somebody else. */
function makeRootfs({ rootfs, directory }: SandboxConfig, maps: IdMaps): OverlayRootfs {
  if (rootfs.kind !== 'overlay')
    throw new HuskError('user-namespace isolation runs on unpacked layers, not on a disk', { kind: 'internal' });
  for (const folder of [rootfs.upper, rootfs.work, rootfs.merged]) {
    if (mkdirSync(folder, { recursive: true, mode: 0o755 }) === undefined) continue;
    chmodSync(folder, 0o755); // an image's root is 0755, whatever the umask here
    if (maps.direct) chownSync(folder, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
  }
  if (maps.direct) {
    chmodSync(directory, 0o711);
    giveFiles(join(directory, 'etc'), maps);
    giveFiles(join(directory, 'shm'), maps);
  }
  // overlay makes work/work at its first mount
  const isNew = maps.uid[0]!.hostID !== process.getuid!() && !maps.direct && !existsSync(join(rootfs.work, 'work'));
  return isNew ? { ...rootfs, giveToRoot: true } : rootfs;
}

/** As root: what the container's root is to own of its folder. */
function giveFiles(folder: string, maps: IdMaps): void {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return;
  }
  for (const path of [folder, ...names.map((name) => join(folder, name))])
    chownSync(path, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
}

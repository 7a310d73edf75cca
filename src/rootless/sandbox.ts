/**
 * The user-namespace isolation: the contract of src/sandbox.ts on the host's own kernel. It adds to
 * src/container/local-sandbox.ts what an unprivileged caller needs: id maps, ownership, staged bind mounts, a way out
 * of the network namespace. It knows nothing of records, images or logs.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { CGROUP_ROOT, isUnified } from '../container/cgroup/delegation.ts';
import { containerCgroup } from '../container/cgroup/cgroup.ts';
import type { Sockets } from '../launch/executor.ts';
import type { LaunchPlan, Step } from '../launch/plan.ts';
import { LocalSandbox } from '../container/local-sandbox.ts';
import { CLONE_NEWNET, CLONE_NEWUSER, namespaces } from '../container/namespaces.ts';
import { planContainer } from '../container/plan.ts';
import type { Spec } from '../spec.ts';
import { HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { makeFolder } from '../host/files/make-folder.ts';
import type { FilesRequest, Sandbox, SandboxConfig, StdioRequest } from '../sandbox.ts';
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
import {
  claimUsersNamespace,
  holdUsersNamespace,
  newUserNamespace,
  useUsersNamespace,
  type Claim,
  type UsersNamespace,
} from './users-namespace.ts';

/** The container's connection to networks, once its network namespace exists. */
interface Connection {
  close(): Promise<void>;
}

export interface UsernsOptions {
  /**
   * called with a process of the new network namespace, and with that namespace; absent: the namespace has only
   * loopback (`--network none`)
   * @param sockets of that namespace, made by the step `sockets`; the callee closes them
   */
  connect?: (pid: number, namespace?: Fd, sockets?: Sockets) => Promise<Connection | void>;
  /** the step that makes the sockets for `connect` */
  sockets?: Extract<Step, { op: 'sockets' }>;
  /** @default the spec's maps, else the caller's */
  maps?: IdMaps;
  /**
   * the user's namespace (users-namespace.ts), or the data root in which it is found; absent: the container has a user
   * namespace of its own
   */
  users?: string | UsersNamespace;
}

export class UsernsSandbox extends LocalSandbox implements Sandbox {
  readonly #config: SandboxConfig;
  readonly #maps: IdMaps;
  /** the data root in which the user's namespace is found */
  readonly #dataRoot: string | undefined;
  /** the right to make the user's namespace, while the plan makes it */
  readonly #claimed: { claim?: Claim | undefined };
  /** answers to requests that are not finished */
  readonly #answers = new Set<Promise<void>>();
  #opened = false;

  constructor(config: SandboxConfig, options: UsernsOptions = {}) {
    const maps = options.maps ?? keptMaps(config.spec.linux)?.maps ?? idMaps();
    const { connect, sockets, users } = options;
    const dataRoot = typeof users === 'string' ? users : undefined;
    if (typeof users === 'object') useUsersNamespace(users);
    const { made: spaces, joined } = namespaces(config.spec);
    const ownNetwork = (spaces & CLONE_NEWNET) !== 0;
    // A process that has joined others may be hidden, and fuse-overlayfs needs the namespace before the container
    // starts.
    const makesUsers = () =>
      (spaces & CLONE_NEWUSER) !== 0 && joined.length === 0 && overlayKind(dataRootOf(config)) === 'kernel';
    const claimed: { claim?: Claim | undefined } = {};
    let connecting: Promise<Connection | void> | undefined;
    let made: Sockets = {};
    /** the mounts of fuse-overlayfs, the root's own first */
    const fuses: FuseOverlay[] = [];
    super(config.spec, {
      id: config.id,
      rootless: true,
      cgroup: () =>
        containerCgroup(config.id, config.spec.linux.resources ?? {}, {
          supervisor: process.pid,
          directory: config.directory,
          cgroupsPath: config.spec.linux.cgroupsPath,
          whileAsking: () => {
            // The plan waits for the same namespace, and reports its failure.
            if (dataRoot !== undefined) void holdUsersNamespace(dataRoot).catch(() => {});
          },
        }),
      plan: async (spec, { cgroup }) => {
        if (dataRoot !== undefined && makesUsers()) claimed.claim = await claimUsersNamespace(dataRoot, maps);
        else if (dataRoot !== undefined) await holdUsersNamespace(dataRoot);
        return plan(spec, {
          config,
          maps,
          userNamespace: newUserNamespace(maps, claimed.claim),
          sockets,
          waitFor: { cgroup, network: ownNetwork && connect !== undefined },
          onFuse: (made) => void fuses.push(made),
        });
      },
      onSockets: (sockets) => {
        if (!claimed.claim?.take(sockets)) made = sockets;
      },
      onAwait: async (tag, pid, namespace) => {
        if (tag === 'idmap') await (claimed.claim?.fulfil(pid) ?? writeIdMaps(pid, maps));
        else if (tag === 'network') await (connecting = connect!(pid, namespace, made));
      },
      release: async () => {
        // A connection that failed has reported its error already.
        await (await connecting?.catch(() => undefined))?.close();
        for (const fuse of fuses.toReversed()) await fuse.close();
        rmSync(join(config.directory, 'binds'), { recursive: true, force: true });
      },
    });
    this.#config = config;
    this.#maps = maps;
    this.#dataRoot = dataRoot;
    this.#claimed = claimed;
  }

  override async prepare(stdio: StdioRequest): Promise<{ pid: number }> {
    try {
      return await super.prepare(stdio);
    } finally {
      // If the plan failed before it made the namespace, another process may make it now.
      this.#claimed.claim?.[Symbol.dispose]();
    }
  }

  /** Opens the sandbox for requests. Each request mounts what it needs for itself; `destroy` waits for all of them. */
  async open(): Promise<void> {
    this.#opened = true;
    if (this.#dataRoot !== undefined) await holdUsersNamespace(this.#dataRoot, { make: false });
  }

  override async destroy(): Promise<number | undefined> {
    if (this.#opened) await Promise.all(this.#answers);
    return super.destroy();
  }

  files(request: FilesRequest, input?: Readable): Readable {
    const { spec, directory } = this.#config;
    const rootfs = makeRootfs(this.#config, this.#maps);
    const dataRoot = dataRootOf(this.#config);
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

const dataRootOf = ({ directory }: SandboxConfig): string => dirname(dirname(directory));

/** @returns what is mounted into a container that does not run, in a plan's form: binds and images */
function stageFiles(spec: Spec, config: SandboxConfig, maps: IdMaps): Staged {
  const seen = { ...spec, mounts: spec.mounts.filter((mount) => isBind(mount) || mount.type === 'image') };
  return maps.direct ? stage(seen, config) : { spec: seen };
}

interface Making {
  config: SandboxConfig;
  maps: IdMaps;
  userNamespace: Step[];
  sockets: UsernsOptions['sockets'];
  waitFor: { cgroup: boolean; network: boolean };
  /** called at once, so that the mount is closed whatever happens next */
  onFuse: (fuse: FuseOverlay) => void;
}

async function plan(
  spec: Spec,
  { config, maps, userNamespace, sockets, waitFor, onFuse }: Making,
): Promise<LaunchPlan> {
  const dataRoot = dataRootOf(config);
  const rootfs = makeRootfs(config, maps);
  const staged: Staged = maps.direct ? stage(spec, config) : { spec };
  const lateRoot = !maps.direct && maps.uid[0]!.hostID !== process.getuid!();
  const context = {
    rootless: true,
    lateRoot,
    userNamespace,
    sockets,
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

/** Makes the container's folders. When root runs husk they are given to the container's root, who is another user. */
function makeRootfs({ rootfs, directory }: SandboxConfig, maps: IdMaps): OverlayRootfs {
  if (rootfs.kind !== 'overlay')
    throw new HuskError('user-namespace isolation runs on unpacked layers, not on a disk', { kind: 'internal' });
  for (const folder of [rootfs.upper, rootfs.work, rootfs.merged]) {
    if (mkdirSync(folder, { recursive: true, mode: 0o755 }) === undefined) continue;
    chmodSync(folder, 0o755); // An image's root is 0755, whatever the umask of this process is.
    if (maps.direct) chownSync(folder, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
  }
  if (maps.direct) {
    chmodSync(directory, 0o711);
    giveFiles(join(directory, 'etc'), maps);
    giveFiles(join(directory, 'shm'), maps);
  }
  // overlay makes work/work at its first mount, so a missing one means that the folders are new.
  const isNew = maps.uid[0]!.hostID !== process.getuid!() && !maps.direct && !existsSync(join(rootfs.work, 'work'));
  return isNew ? { ...rootfs, giveToRoot: true } : rootfs;
}

/** Gives the container's root what it must own of the container's folder, when root runs husk. */
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

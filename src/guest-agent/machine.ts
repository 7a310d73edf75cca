/**
 * What the agent can do, one method a request: the guest's side of the Sandbox contract. Holds the one container of its
 * VM.
 */
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import {
  FILES_FOLDER,
  MOST_SLEW,
  SHARES_FOLDER,
  type Notice,
  type ProcessStreams,
  type Request,
} from '../agent-protocol.ts';
import { CGROUP_ROOT } from '../container/cgroup/delegation.ts';
import { ContainerCgroup } from '../container/cgroup/cgroup.ts';
import { launch } from '../launch/executor.ts';
import type { ImageRoots } from '../container/image-mounts.ts';
import { LocalSandbox } from '../container/local-sandbox.ts';
import { MNT_DETACH, MS_NODEV, MS_NOSUID, MS_RDONLY } from '../launch/mount-options.ts';
import { mountSteps } from '../container/mounts.ts';
import { CLONE_NEWNS } from '../container/namespaces.ts';
import { planContainer, type PlanRootfs } from '../container/plan.ts';
import { rootfsSteps } from '../container/rootfs.ts';
import { SIGKILL } from '../notation/signals.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { setRealTime, slewRealTime } from '../host/kernel/clock.ts';
import { reseedKernel } from '../host/kernel/entropy.ts';
import { closeFd, openFolder, syncfs } from '../host/files/lookup.ts';
import { SyscallError } from '../host/libc.ts';
import { mount, umount } from '../host/kernel/mount.ts';
import { INIT_PROGRAM } from '../program.ts';
import type { SandboxProcess, StdioRequest } from '../sandbox.ts';
import type { BuildMachine } from './build-machine.ts';
import { holdDevices, KILLABLE, withDevices } from './devices.ts';
import { awaitDisks, awaitUnused } from './disks.ts';
import { serveFiles } from './files.ts';
import { heldBack, holdBack } from './held-back.ts';
import { giveInterfaces } from './network-interface.ts';
import { openStream, receiveInput, sendOutput } from './streams.ts';
import type { ServedSockets } from './sockets.ts';

const ROOT_FOLDER = '/run/husk/root';
const WRITABLE_FOLDER = '/run/husk/writable';
const MERGED_FOLDER = '/run/husk/merged';
/** a folder for each image that is mounted into the container */
const IMAGES_FOLDER = '/run/husk/images';
/** below the root, where the kernel's own threads are */
const CGROUP_PARENT = `${CGROUP_ROOT}/husk`;
/** one container a VM: the name need not tell it from others */
const CGROUP_ID = 'container';
const FIRST_PROCESS = 0;

type Create = Extract<Request, { type: 'create' }>;

export class Machine {
  readonly #notify: (notice: Notice) => void;
  readonly #processes = new Map<number, SandboxProcess>();
  #sandbox: LocalSandbox | undefined;
  #create: Create | undefined;
  /** of `open`: a process whose mount namespace has the root */
  #view: { pid: number; end(): Promise<unknown> } | undefined;
  /** of a machine that runs the steps of a build, and no container */
  #build: BuildMachine | undefined;
  #sockets: ServedSockets | undefined;
  /** where the shares are mounted; undefined when there are none */
  #shares: string | undefined;

  constructor(notify: (notice: Notice) => void) {
    this.#notify = notify;
  }

  handle(request: Request): unknown {
    if (this.#build && request.type !== 'clock' && request.type !== 'forget-names') return this.#build.handle(request);
    switch (request.type) {
      case 'configure':
        return this.#configure(request);
      case 'create':
        return this.#prepare(request);
      case 'adopt':
        return this.#adopt(request);
      case 'start':
        return this.#start();
      case 'exec':
        return this.#exec(request);
      case 'signal':
        if (request.process === FIRST_PROCESS) return this.#container().signal(request.signal, { all: request.all });
        return this.#processes.get(request.process)?.signal(request.signal, { group: request.group });
      case 'resize':
        return this.#processes.get(request.process)?.resize(request.columns, request.rows);
      case 'pause':
        return this.#container().pause();
      case 'unpause':
        return this.#container().unpause();
      case 'processes':
        return this.#container().processes();
      case 'ps':
        return this.#container().ps(request.arguments);
      case 'stats':
        return this.#container().stats();
      case 'update':
        return this.#container().update(request.resources);
      case 'open':
        return this.#open(request);
      case 'build':
        return this.#openBuild(request);
      case 'files':
        return serveFiles(request, {
          lower: ROOT_FOLDER,
          upper: `${WRITABLE_FOLDER}/upper`,
          root: this.#root(),
          size: writtenBytes,
        });
      case 'clock':
        return moveClock(request.shift);
      case 'close-sockets':
        return this.#sockets?.close();
      case 'forget-names':
        // Documentation/admin-guide/sysctl/vm.rst: 2 frees dentries and inodes
        return writeFileSync('/proc/sys/vm/drop_caches', '2');
      case 'changes':
        return this.#tellChanges(request);
      case 'shutdown':
        return this.#shutdown();
      case 'forget':
        return this.#forget(request.devices);
      default:
        throw new HuskError(`the agent does not know the request "${(request as Request).type}"`, {
          kind: 'unsupported',
        });
    }
  }

  #container(): LocalSandbox {
    if (!this.#sandbox) throw new HuskError('no container has been created in this machine', { kind: 'conflict' });
    return this.#sandbox;
  }

  /** Before there is a container nobody watches. Loaded with the first change: most containers share nothing. */
  async #tellChanges({ changes }: Extract<Request, { type: 'changes' }>): Promise<{ watched: boolean }> {
    if (!this.#sandbox || this.#shares === undefined) return { watched: false };
    const { tellChanges } = await import('./changes.ts');
    return { watched: tellChanges(this.#shares, changes) };
  }

  async #configure(request: Extract<Request, { type: 'configure' }>): Promise<void> {
    setRealTime(request.realtime);
    // a restored template would otherwise read the same random bytes as its siblings
    reseedKernel(Buffer.from(request.entropy, 'base64'));
    for (const tag of request.shares) {
      const folder = `${SHARES_FOLDER}/${tag}`;
      mkdirSync(folder, { recursive: true });
      mount(tag, folder, 'virtiofs', MS_NOSUID | MS_NODEV);
      this.#shares = folder;
    }
    mkdirSync(FILES_FOLDER, { recursive: true });
    for (const { name, content } of request.files)
      writeFileSync(`${FILES_FOLDER}/${name}`, Buffer.from(content, 'base64'), { mode: 0o644 });
    await awaitDisks(request.disks);
    if (request.sockets.length > 0) this.#sockets = (await import('./sockets.ts')).serveSockets(request.sockets);
  }

  async #prepare(request: Create): Promise<{ pid: number }> {
    if (this.#sandbox) throw new HuskError('this machine has its container already', { kind: 'conflict' });
    const rootfs = mountRoot(request);
    const images = mountImages(request.images);
    const { size } = request.spec.root;
    if (size !== undefined) holdBack(WRITABLE_FOLDER, size);
    const { interfaces, names } = request;
    this.#create = request;
    giveControllers();
    const spec = withDevices(request.spec);
    this.#sandbox = new LocalSandbox(spec, {
      id: CGROUP_ID,
      rootless: false,
      before: [KILLABLE],
      cgroup: async () => {
        const cgroup = ContainerCgroup.create(CGROUP_ID, request.spec.linux.resources ?? {}, {
          parent: CGROUP_PARENT,
          supervisor: process.pid,
        });
        if (!spec.linux.allDevices) holdDevices(cgroup.path, spec.linux);
        return cgroup;
      },
      plan: (spec) =>
        planContainer(spec, rootfs, {
          rootless: false,
          init: request.init,
          cgroup2: true,
          images,
          waitFor: { cgroup: true, network: interfaces.length > 0 || names !== undefined, exec: true },
        }),
      onAwait: async (tag, pid) => {
        if (tag !== 'network') return;
        giveInterfaces(pid, interfaces);
        if (names !== undefined) (await import('./names.ts')).serveNames(pid, openStream(names));
      },
    });
    return this.#sandbox.prepare(stdioOf(request));
  }

  /** The container stood still when its machine was saved, and goes on when it is another one. */
  async #adopt(request: Extract<Request, { type: 'adopt' }>): Promise<void> {
    setRealTime(request.realtime);
    reseedKernel(Buffer.from(request.entropy, 'base64'));
    const container = this.#container();
    const living = container.living();
    if (!living) throw new HuskError('the container that was copied has no process', { kind: 'conflict' });
    (await import('./adopt.ts')).giveIdentity(living.pid, request);
    if (request.names !== undefined) (await import('./names.ts')).serveNames(living.pid, openStream(request.names));
    await container.unpause();
  }

  /**
   * The root as a container would see it, in a mount namespace of its own that lasts as long as the process that waits
   * in it.
   */
  async #open({ mounts, images: devices, ...disks }: Extract<Request, { type: 'open' }>): Promise<void> {
    if (this.#sandbox || this.#view)
      throw new HuskError('this machine has its container already', { kind: 'conflict' });
    const rootfs = mountRoot(disks);
    const images = mountImages(devices);
    const ready = Promise.withResolvers<void>();
    const launched = launch(
      [
        { op: 'unshare', flags: CLONE_NEWNS },
        ...rootfsSteps(rootfs, { linux: {} }, { userXattr: false }),
        ...mountSteps(mounts, { ownPid: false, ownNetwork: false, cgroup2: false, images }),
        { op: 'await', tag: 'exec' },
        { op: 'exec', args: ['/'] },
      ],
      {
        init: INIT_PROGRAM,
        stdin: 'null',
        stdout: 'null',
        stderr: 'null',
        onAwait: () => (ready.resolve(), new Promise(() => {})),
      },
    );
    launched.started.catch(() => {});
    await Promise.race([ready.promise, launched.started]);
    this.#view = { pid: await launched.pid, end: () => (launched.signal(SIGKILL), launched.exited) };
  }

  /** Loaded only for a build. */
  async #openBuild(disks: Extract<Request, { type: 'build' }>): Promise<void> {
    if (this.#sandbox || this.#view)
      throw new HuskError('this machine has its container already', { kind: 'conflict' });
    mountDisks(disks);
    giveControllers();
    const { BuildMachine } = await import('./build-machine.ts');
    this.#build = new BuildMachine({
      root: ROOT_FOLDER,
      folder: `${WRITABLE_FOLDER}/build`,
      cgroups: CGROUP_PARENT,
      notify: this.#notify,
    });
  }

  /** the container's /, by a magic link into its mount namespace */
  #root(): string | undefined {
    const living = this.#sandbox?.living();
    if (living) return `/proc/${living.pid}/root`;
    return this.#view && `/proc/${this.#view.pid}/root${MERGED_FOLDER}`;
  }

  async #start(): Promise<void> {
    const started = await this.#container().start();
    this.#serve(FIRST_PROCESS, started, this.#create!.streams);
  }

  async #exec(request: Extract<Request, { type: 'exec' }>): Promise<{ pid: number }> {
    const started = await this.#container().exec(
      request.spec,
      stdioOf({ ...request, spec: { process: request.spec } }),
    );
    this.#serve(request.process, started, request.streams);
    return { pid: started.pid };
  }

  #serve(number: number, started: SandboxProcess, streams: ProcessStreams): void {
    this.#processes.set(number, started);
    receiveInput(started.stdin, streams.stdin);
    const outputs = [
      sendOutput(started.stdout, streams.stdout),
      ...(started.stderr ? [sendOutput(started.stderr, streams.stderr)] : []),
    ];
    void started.exited.then(async ({ code, signal, oomKilled }) => {
      this.#processes.delete(number);
      // the host takes what comes after the exit for somebody else's
      await Promise.all(outputs.map((output) => output.flushed()));
      this.#notify({ type: 'exited', process: number, code, signal, oomKilled });
    });
  }

  async #shutdown(): Promise<{ written?: number }> {
    if (!this.#sandbox && !this.#view) return {};
    await this.#sandbox?.destroy();
    await this.#view?.end();
    const written = writtenBytes();
    // before all else: what still looks at its files, as a copy under way does, keeps the disk from being unmounted, or
    // the unmounted one from being synced
    syncDisk(WRITABLE_FOLDER);
    // clean disks: the next start of this container finds nothing to replay
    for (const folder of [WRITABLE_FOLDER, ROOT_FOLDER]) unmount(folder);
    return { written };
  }

  async #forget(devices: readonly string[]): Promise<void> {
    await this.#shutdown();
    this.#sandbox = this.#view = this.#create = undefined;
    await awaitUnused(devices);
  }
}

/** @returns ms since the epoch */
function moveClock(shift?: number): number {
  if (shift !== undefined && Math.abs(shift) < MOST_SLEW) slewRealTime(shift);
  else if (shift !== undefined) setRealTime(Date.now() + shift);
  return Date.now();
}

function stdioOf(request: {
  streams: ProcessStreams;
  columns?: number;
  rows?: number;
  spec: { process: { terminal?: boolean } };
}): StdioRequest {
  return {
    stdin: request.streams.stdin !== undefined,
    terminal: request.spec.process.terminal === true,
    columns: request.columns,
    rows: request.rows,
  };
}

function syncDisk(path: string): void {
  const folder = openFolder(path);
  try {
    syncfs(folder);
  } finally {
    closeFd(folder);
  }
}

function unmount(path: string): void {
  try {
    umount(path);
  } catch (error) {
    if (!(error instanceof SyscallError) || error.code !== 'EBUSY') throw error;
    umount(path, MNT_DETACH);
  }
}

/** All controllers of this kernel to the container's cgroup; the root cgroup may have processes and children both. */
function giveControllers(): void {
  const controllers = readFileSync(`${CGROUP_ROOT}/cgroup.controllers`, 'utf8').trim().split(/\s+/);
  writeFileSync(`${CGROUP_ROOT}/cgroup.subtree_control`, controllers.map((name) => `+${name}`).join(' '));
}

type MachineDisks = Pick<Create, 'rootDevice' | 'writableDevice'>;

function mountDisks({ rootDevice, writableDevice }: MachineDisks): void {
  for (const folder of [ROOT_FOLDER, WRITABLE_FOLDER]) mkdirSync(folder, { recursive: true });
  mount(rootDevice, ROOT_FOLDER, 'erofs', MS_RDONLY | MS_NODEV);
  mountOwnDisk(writableDevice);
}

/** The image below, the container's own disk above; the overlay itself is mounted by the container's plan. */
function mountRoot(disks: MachineDisks): PlanRootfs {
  mountDisks(disks);
  mkdirSync(MERGED_FOLDER, { recursive: true });
  for (const folder of ['upper', 'work']) mkdirSync(`${WRITABLE_FOLDER}/${folder}`, { recursive: true });
  return {
    kind: 'overlay',
    lower: [ROOT_FOLDER],
    upper: `${WRITABLE_FOLDER}/upper`,
    work: `${WRITABLE_FOLDER}/work`,
    merged: MERGED_FOLDER,
  };
}

/** Each image's own disk; what the container sees of it is bound from there. */
function mountImages(images: Create['images']): ImageRoots {
  return new Map(
    images.map(({ id, device }, index) => {
      const path = `${IMAGES_FOLDER}/${index}`;
      mkdirSync(path, { recursive: true });
      mount(device, path, 'erofs', MS_RDONLY | MS_NODEV);
      return [id, { kind: 'directory', path }];
    }),
  );
}

/** What the container's own layer takes: all that is used on its disk, but for what is held back of it. */
function writtenBytes(): number {
  const { blocks, bfree, bsize } = statfsSync(WRITABLE_FOLDER);
  return (blocks - bfree) * bsize - heldBack(WRITABLE_FOLDER);
}

/** The guest had it before and could write anything to it: one line, whatever it did. */
function mountOwnDisk(device: string): void {
  try {
    mount(device, WRITABLE_FOLDER, 'ext4', MS_NODEV);
  } catch (error) {
    throw new HuskError(
      `cannot mount the container's own disk: its file system is damaged (${(error as { code?: string }).code ?? String(error)}); what it held is lost, remove the container`,
      { kind: 'corrupt', exitCode: EXIT_HUSK_FAILED, cause: error },
    );
  }
}

/**
 * Runs the steps of a build in user namespaces: each is a container with namespaces of its own, whose first process is
 * the command, over an overlay whose upper folder becomes the layer. When the command has ended the kernel has
 * ended all that it left, for its pid namespace is gone. Knows nothing of Dockerfiles, images or records.
 *
 * Everything hangs on this process: when it is killed, containers and the program that makes layers end with it, and
 * what lies in tmp/ is swept by the next command.
 */
import { chmodSync, chownSync, lstatSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { CGROUP_ROOT, isUnified } from '../../container/cgroup/delegation.ts';
import { containerCgroup, type ContainerCgroup } from '../../container/cgroup/cgroup.ts';
import { explainStepError } from '../../container/build/failure.ts';
import {
  emptyUpper,
  prepareMounts,
  reachOf,
  type PreparedMounts,
  type StepMount,
} from '../../container/build/mounts.ts';
import { planContainer } from '../../container/plan.ts';
import { containerProcesses } from '../../container/processes/tree.ts';
import { HuskError } from '../../errors.ts';
import { pidfdOpen, pidfdSignal } from '../../host/kernel/process.ts';
import { launch, type Launched, type Sockets } from '../../launch/executor.ts';
import type { LaunchPlan, Step } from '../../launch/plan.ts';
import { after } from '../../long-timer.ts';
import { SIGKILL } from '../../notation/signals.ts';
import type { Paths } from '../../paths.ts';
import { INIT_PROGRAM } from '../../program.ts';
import type { ExitStatus } from '../../sandbox.ts';
import type { Spec } from '../../spec.ts';
import { overlayKind } from '../fuse-overlay.ts';
import { idMaps, type IdMaps } from '../idmap.ts';
import { reachSteps } from '../reach.ts';
import { holdUsersNamespace, newUserNamespace, type UsersNamespace } from '../users-namespace.ts';
import { Sealer } from './sealer.ts';
import { StepFolder } from './step-folder.ts';

/** signal(7) */
const SIGTERM = 15;
/** ms from SIGTERM to SIGKILL */
const PATIENCE = 2000;

/** of a socket, until it has the mode that is asked for */
const SOCKET_MODE = 0o600;

/** How a step gets its network; made by whoever knows networks. */
export interface StepNetwork {
  /** the user namespace in which the step's own has to be */
  users: UsersNamespace | undefined;
  /** makes what `connect` is given, in the step's network namespace */
  sockets: Extract<Step, { op: 'sockets' }>;
  connect(pid: number, sockets: Sockets): Promise<void>;
  /** The step has ended. */
  close(): void | Promise<void>;
}

export interface BuildStep {
  /** 64 hex digits, of this step alone */
  id: string;
  /** with the mounts that every container has; namespaces as they are to be */
  spec: Spec;
  /** trees of the stack, topmost first, as ensureUnpacked returns them */
  lower: readonly string[];
  mounts: readonly StepMount[];
  /** contents of files of the step's own, by their paths in the container; what is written to them is thrown away */
  files: readonly { path: string; content: string; mode: number; readOnly: boolean }[];
  network?: StepNetwork;
  /** seconds since 1970 */
  epoch?: number;
  output: (chunk: Buffer, stream: 'stdout' | 'stderr') => void;
  signal?: AbortSignal;
  kill?: AbortSignal;
}

/** A layer that has no place yet: a folder with `layer.tar` and `tree`. */
export interface MadeLayer {
  folder: string;
  diffId: string;
  size: number;
}

export interface StepResult {
  exit: ExitStatus;
  leftOut: string[];
}

export interface BuildOptions {
  paths: Pick<Paths, 'dataRoot' | 'layers' | 'layerLinks'>;
  /** @returns a path in tmp/ where nothing is, which is swept when this process is gone */
  newFolder: () => string;
  /** the name of the tree in a layer's folder */
  treeName: string;
  /** puts a layer to its place */
  keep: (layer: MadeLayer) => Promise<void>;
}

export class BuildSteps {
  readonly #options: BuildOptions;
  readonly #maps: IdMaps;
  readonly #users: Promise<UsersNamespace | undefined>;
  readonly #running = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #sealer: Promise<Sealer> | undefined;
  /** that of systemd's in which the cgroups of all steps are */
  #scope: Promise<string> | undefined;

  /** @throws HuskError `unsupported` where this host or user cannot have it */
  constructor(options: BuildOptions) {
    if (overlayKind(options.paths.dataRoot) !== 'kernel')
      throw new HuskError('cannot run the steps of a build: they need the overlay file system of the kernel', {
        kind: 'unsupported',
        fix: 'Linux 5.11 and a data root on ext4, xfs, btrfs or tmpfs (husk doctor tries it)',
      });
    this.#options = options;
    this.#maps = idMaps();
    this.#users = holdUsersNamespace(options.paths.dataRoot);
    this.#users.catch(() => {});
    // Its start takes as long as a short step does.
    this.#sealer = this.#startSealer();
    this.#sealer.catch(() => {});
  }

  async #startSealer(): Promise<Sealer> {
    await this.#users;
    const { layers, layerLinks, dataRoot } = this.#options.paths;
    return new Sealer({ maps: this.#maps, kept: [layers, layerLinks, join(dataRoot, 'tmp')] });
  }

  /** @throws HuskError `start-failed` when the command cannot be started; the signal's reason when it was ended */
  run(step: BuildStep): Promise<StepResult & { layer?: Omit<MadeLayer, 'folder'> }> {
    const running = this.#run(step);
    this.#running.add(running);
    const forget = () => void this.#running.delete(running);
    running.then(forget, forget);
    return running;
  }

  async #run(step: BuildStep): Promise<StepResult & { layer?: Omit<MadeLayer, 'folder'> }> {
    await using ending = new AsyncDisposableStack();
    ending.defer(async () => step.network?.close());
    const users = await this.#users;
    for (const signal of [step.kill, step.signal, this.#closing.signal]) signal?.throwIfAborted();
    const folder = new StepFolder(this.#options.newFolder(), this.#maps);
    try {
      const root = { kind: 'overlay' as const, lower: [...step.lower], ...emptyUpper(folder) };
      await using agents = new AsyncDisposableStack();
      const mounts = await withAgents(step.mounts, folder, agents);
      const exit = await this.#container({ ...step, mounts }, { users, folder, root });
      for (const signal of [step.kill, step.signal, this.#closing.signal]) signal?.throwIfAborted();
      if (exit.code !== 0) return { exit, leftOut: [] };
      return { exit, ...(await this.#seal(step, folder, root.upper)) };
    } finally {
      const removed = folder.remove();
      this.#running.add(removed);
      const forget = () => void this.#running.delete(removed);
      removed.then(forget, forget);
    }
  }

  async #container(
    step: BuildStep,
    { users, folder, root }: { users: UsersNamespace | undefined; folder: StepFolder; root: OverlayRoot },
  ): Promise<ExitStatus> {
    const prepared = prepareMounts(step.mounts, folder);
    const own = ownFiles(step.files, folder);
    const spec = { ...step.spec, mounts: [...step.spec.mounts, ...own, ...prepared.mounts] };
    const { network } = step;
    const resources = spec.linux.resources ?? {};
    const cgroup =
      spec.linux.cgroupsPath === undefined && Object.keys(resources).length === 0
        ? undefined
        : await containerCgroup(step.id, resources, {
            supervisor: process.pid,
            directory: folder.path,
            cgroupsPath: spec.linux.cgroupsPath,
            scope: (make) => (this.#scope ??= make()),
          });
    const plan = this.#plan(spec, { folder, root, prepared, step, users, cgroup });
    let sockets: Sockets = {};
    const launched = launch(plan, {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 'pipe',
      stderr: 'pipe',
      onSockets: (made) => void (sockets = made),
      onAwait: async (tag, pid) => {
        if (tag === 'cgroup') cgroup?.enter(pid);
        else if (tag === 'network') await network?.connect(pid, sockets);
      },
    });
    try {
      return await this.#watch(launched, step, cgroup);
    } finally {
      await cgroup?.remove();
    }
  }

  async #watch(launched: Launched, step: BuildStep, cgroup: ContainerCgroup | undefined): Promise<ExitStatus> {
    using _interrupts = interrupts(launched, step, this.#closing.signal);
    const ends = (['stdout', 'stderr'] as const).map((name) => {
      const stream = launched[name]!;
      stream.on('data', (chunk: Buffer) => step.output(chunk, name));
      return new Promise((closed) => stream.once('close', closed));
    });
    let failure: unknown;
    await launched.started.catch((error: unknown) => (failure = error));
    const exit = await launched.exited;
    // All who could write are gone.
    await Promise.all(ends);
    if (failure !== undefined) throw explainStepError(failure);
    return cgroup?.oomKilled() ? { ...exit, oomKilled: true } : exit;
  }

  #plan(
    spec: Spec,
    {
      folder,
      root,
      prepared,
      step,
      users,
      cgroup,
    }: {
      folder: StepFolder;
      root: OverlayRoot;
      prepared: PreparedMounts;
      step: BuildStep;
      users: UsersNamespace | undefined;
      cgroup: ContainerCgroup | undefined;
    },
  ): LaunchPlan {
    const { paths } = this.#options;
    const stubs = {
      upper: folder.make('stubs'),
      work: folder.makeWork('stubs-work'),
      empty: folder.make('empty'),
    };
    const kept = [paths.layers, paths.layerLinks, folder.path, ...reachOf(step.lower), ...prepared.reach];
    return [
      ...(this.#maps.direct ? reachSteps({ kept }) : []),
      ...planContainer(
        spec,
        { ...root, stubs },
        {
          rootless: true,
          userNamespace: newUserNamespace(this.#maps, step.network?.users ?? users),
          ...(step.network && { sockets: step.network.sockets }),
          cgroup2: isUnified(CGROUP_ROOT),
          waitFor: { cgroup: cgroup !== undefined, network: step.network !== undefined },
          filterCache: join(paths.dataRoot, 'cache/seccomp'),
          prepare: prepared.steps,
        },
      ),
    ];
  }

  async #seal(
    step: BuildStep,
    folder: StepFolder,
    upper: string,
  ): Promise<{ layer: Omit<MadeLayer, 'folder'>; leftOut: string[] }> {
    const made = folder.make('layer');
    const sealer = await (this.#sealer ??= this.#startSealer());
    const tar = join(made, 'layer.tar');
    const { epoch, lower } = step;
    const { diffId, size, leftOut } = await sealer.seal({ upper, tar, lower, ...(epoch !== undefined && { epoch }) });
    renameSync(upper, join(made, this.#options.treeName));
    if (this.#maps.direct) {
      // A layer's folder is husk's, and nobody else's, as where a layer has been pulled.
      if (!lstatSync(tar).isFile()) throw new HuskError(`${tar} is no file`, { kind: 'internal' });
      for (const path of [tar, made]) chownSync(path, 0, 0);
    }
    chmodSync(made, 0o711);
    await this.#options.keep({ folder: made, diffId, size });
    return { layer: { diffId, size }, leftOut };
  }

  /** Ends all that runs. */
  async close(): Promise<void> {
    this.#closing.abort(new HuskError('the build was ended', { kind: 'conflict' }));
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    const sealer = this.#sealer;
    this.#sealer = undefined;
    await (await sealer?.catch(() => undefined))?.close();
  }
}

type OverlayRoot = { kind: 'overlay'; lower: string[]; upper: string; work: string; merged: string };

/** An ssh-agent's socket becomes one of the step's own. */
async function withAgents(
  mounts: readonly StepMount[],
  folder: StepFolder,
  agents: AsyncDisposableStack,
): Promise<StepMount[]> {
  const served: StepMount[] = [];
  for (const [index, mount] of mounts.entries()) {
    if (mount.type !== 'ssh') served.push(mount);
    else {
      const { serveAgent } = await import('./ssh-agent.ts');
      const name = `ssh-agent-${index}`;
      const { path } = agents.use(await serveAgent(mount.agent, folder.path, name));
      folder.give(name, SOCKET_MODE);
      served.push({ ...mount, agent: path });
    }
  }
  return served;
}

/** A step's files, bound over the image's. */
const ownFiles = (files: BuildStep['files'], folder: StepFolder): Spec['mounts'] =>
  files.map(({ path, content, mode, readOnly }, index) => ({
    destination: path,
    type: 'bind',
    source: folder.write(`file-${index}`, content, mode),
    options: ['bind', 'nosuid', 'nodev', ...(readOnly ? ['ro'] : []), 'rprivate'],
  }));

/** SIGTERM, and later SIGKILL, when the step is to end; SIGKILL at once when it is to end now. */
function interrupts(launched: Launched, { signal, kill }: BuildStep, closing: AbortSignal): Disposable {
  const over = new AbortController();
  const now = () => void launched.pid.then(() => launched.signal(SIGKILL)).catch(() => {});
  const soon = () => {
    void launched.pid.then((pid) => terminate(pid)).catch(() => {});
    void after(PATIENCE, { signal: over.signal }).then(now, () => {});
  };
  if (signal?.aborted) soon();
  if (kill?.aborted || closing.aborted) now();
  signal?.addEventListener('abort', soon, { signal: over.signal });
  kill?.addEventListener('abort', now, { signal: over.signal });
  closing.addEventListener('abort', now, { signal: over.signal });
  return { [Symbol.dispose]: () => over.abort() };
}

/** To every process: the first of a pid namespace does not hear of a signal that it has no handler for. */
function terminate(pid: number): void {
  for (const each of containerProcesses(pid, { ownPid: true })) {
    try {
      using process = pidfdOpen(each);
      pidfdSignal(process.number, SIGTERM);
    } catch {
      // It has ended meanwhile.
    }
  }
}

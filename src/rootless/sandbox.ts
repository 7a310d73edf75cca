/**
 * The user-namespace isolation: one container as a launch plan in namespaces of the caller's. Fulfils the contract of
 * src/sandbox.ts for the supervisor; knows nothing of records, images or logs. Everything it starts dies with this process.
 */
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { CGROUP_ROOT, isUnified } from '../container/cgroup-delegation.ts';
import { containerCgroup, type ContainerCgroup } from '../container/cgroup.ts';
import { launch, type Launched } from '../container/executor.ts';
import type { LaunchPlan } from '../container/launch-plan.ts';
import { CLONE_NEWNET, CLONE_NEWPID, isolates, namespaces } from '../container/namespaces.ts';
import { planContainer, planExec, type PlanRootfs } from '../container/plan.ts';
import { SIGKILL } from '../container/signals.ts';
import type { ProcessSpec, Resources, Spec } from '../container/spec.ts';
import { HuskError } from '../errors.ts';
import { pidfdOpen, pidfdSignal } from '../host/process.ts';
import { INIT_PROGRAM } from '../program.ts';
import type { ExitStatus, Sandbox, SandboxConfig, SandboxProcess, SandboxStats, StdioRequest } from '../sandbox.ts';
import { idMaps, writeIdMaps, type IdMaps } from './idmap.ts';
import { explainLaunchError, type Stage } from './launch-failure.ts';
import { containerProcesses, sumStats } from './processes.ts';
import { stageBinds } from './stage.ts';
import { Terminal } from './terminal.ts';

/** The container's way out, once its network namespace exists. */
export interface Connection {
  close(): Promise<void>;
}

export interface UsernsOptions {
  /** called with a process of the new network namespace; absent: the namespace stays empty but for loopback (`--network none`) */
  connect?: (pid: number) => Promise<Connection>;
  /** @default the caller's */
  maps?: IdMaps;
}

/** how often a container without a pid namespace of its own is searched for survivors; ms */
const KILL_ROUND_MS = 10;
/** rounds: a second of forking faster than it is killed, and it is reported */
const KILL_ROUNDS = 100;

export class UsernsSandbox implements Sandbox {
  readonly #config: SandboxConfig;
  readonly #options: UsernsOptions;
  readonly #maps: IdMaps;
  readonly #ownPid: boolean;
  readonly #ownNetwork: boolean;
  readonly #execs = new Set<SandboxProcess>();
  #launched: Launched | undefined;
  #stdio: StdioRequest | undefined;
  #pid = 0;
  #go = Promise.withResolvers<void>();
  /** where the host delegates cgroup v2 */
  #cgroup: ContainerCgroup | undefined;
  #connection: Connection | undefined;
  #connecting: Promise<unknown> | undefined;
  #terminals: Terminal[] = [];
  #destroyed: Promise<void> | undefined;

  constructor(config: SandboxConfig, options: UsernsOptions = {}) {
    this.#config = config;
    this.#options = options;
    this.#maps = options.maps ?? idMaps();
    const spaces = namespaces(config.spec);
    this.#ownPid = (spaces.made & CLONE_NEWPID) !== 0;
    this.#ownNetwork = (spaces.made & CLONE_NEWNET) !== 0;
  }

  async prepare(stdio: StdioRequest): Promise<{ pid: number }> {
    if (this.#launched) throw new TypeError('already prepared');
    this.#stdio = stdio;
    const { id, spec } = this.#config;
    this.#cgroup = await containerCgroup(id, spec.linux.resources ?? {}, process.pid);
    const plan = this.#plan(stdio);
    const ready = Promise.withResolvers<void>();
    this.#launched = launch(plan, {
      init: INIT_PROGRAM,
      stdin: stdio.stdin && !stdio.terminal ? 'pipe' : 'null',
      stdout: stdio.terminal ? 'null' : 'pipe',
      stderr: stdio.terminal ? 'null' : 'pipe',
      onAwait: async (tag, pid) => {
        if (tag === 'idmap') await writeIdMaps(pid, this.#maps);
        else if (tag === 'cgroup') await this.#cgroup?.enter(pid);
        else if (tag === 'network') await this.#connect(pid);
        else {
          ready.resolve();
          await this.#go.promise;
        }
      },
    });
    try {
      await Promise.race([ready.promise, this.#launched.started]);
      this.#pid = await this.#launched.pid;
    } catch (error) {
      throw explainLaunchError(error, 'create');
    }
    return { pid: this.#pid };
  }

  #plan(stdio: StdioRequest): LaunchPlan {
    const { directory, init } = this.#config;
    const spec = withTerminal(this.#config.spec, stdio);
    const rootfs = this.#rootfs();
    const context = {
      rootless: true,
      init,
      cgroup2: isUnified(CGROUP_ROOT),
      waitFor: { cgroup: this.#cgroup !== undefined, network: this.#ownNetwork && this.#options.connect !== undefined, exec: true },
    };
    if (!this.#maps.direct) return planContainer(spec, rootfs, context);
    const folder = join(directory, 'binds');
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    const staged = stageBinds(spec, folder);
    return [...staged.steps, ...planContainer(staged.spec, rootfs, { ...context, isDirectory: staged.isDirectory })];
  }

  /** The container's folders; as root they are given to the container's root, who is somebody else. */
  #rootfs(): PlanRootfs {
    const { rootfs, directory } = this.#config;
    if (rootfs.kind !== 'overlay') throw new HuskError('user-namespace isolation runs on unpacked layers, not on a disk', { kind: 'internal' });
    for (const folder of [rootfs.upper, rootfs.work, rootfs.merged]) {
      if (mkdirSync(folder, { recursive: true, mode: 0o755 }) === undefined) continue;
      chmodSync(folder, 0o755); // an image's root is 0755, whatever the umask here
      if (this.#maps.direct) chownSync(folder, this.#maps.uid[0]!.hostID, this.#maps.gid[0]!.hostID);
    }
    if (this.#maps.direct) {
      chmodSync(directory, 0o711);
      giveFiles(join(directory, 'etc'), this.#maps);
      giveFiles(join(directory, 'shm'), this.#maps);
    }
    return rootfs;
  }

  #connect(pid: number): Promise<void> {
    const connecting = this.#options.connect!(pid).then((connection) => {
      this.#connection = connection;
    });
    this.#connecting = connecting.catch(() => {});
    return connecting;
  }

  async start(): Promise<SandboxProcess> {
    const launched = this.#launched;
    if (!launched) throw new TypeError('not prepared');
    this.#go.resolve();
    return this.#process(launched, this.#stdio!, 'create');
  }

  async exec(process: ProcessSpec, stdio: StdioRequest): Promise<SandboxProcess> {
    if (this.#pid === 0) throw new TypeError('not prepared');
    const spec = this.#config.spec;
    const size = stdio.columns && stdio.rows ? { consoleSize: { width: stdio.columns, height: stdio.rows } } : {};
    const plan = planExec(spec, { ...process, terminal: stdio.terminal, ...size }, { pid: this.#pid, rootless: true, waitFor: { cgroup: this.#cgroup !== undefined } });
    const launched = launch(plan, {
      init: INIT_PROGRAM,
      stdin: stdio.stdin && !stdio.terminal ? 'pipe' : 'null',
      stdout: stdio.terminal ? 'null' : 'pipe',
      stderr: stdio.terminal ? 'null' : 'pipe',
      onAwait: async (tag, pid) => {
        if (tag === 'cgroup') await this.#cgroup?.enter(pid);
      },
    });
    const running = await this.#process(launched, stdio, 'exec');
    this.#execs.add(running);
    void running.exited.then(() => this.#execs.delete(running));
    return running;
  }

  /** Waits for the command's exec and wires its streams. */
  async #process(launched: Launched, stdio: StdioRequest, stage: Stage): Promise<SandboxProcess> {
    let pid: number;
    let terminal: Terminal | undefined;
    try {
      await launched.started;
      pid = await launched.pid;
      if (launched.pty) terminal = new Terminal((await launched.pty).fd);
    } catch (error) {
      void launched.pty?.then(({ fd }) => new Terminal(fd).destroy()).catch(() => {});
      throw explainLaunchError(error, stage);
    }
    if (terminal) this.#terminals.push(terminal);
    if (terminal && stdio.columns && stdio.rows) terminal.setSize(stdio.columns, stdio.rows);
    return {
      pid,
      stdin: terminal ?? launched.stdin,
      stdout: terminal ?? launched.stdout!,
      stderr: terminal ? null : launched.stderr,
      resize: (columns, rows) => terminal?.setSize(columns, rows),
      signal: (signal) => launched.signal(signal),
      exited: launched.exited.then((exit) => this.#exitStatus(exit)),
    };
  }

  #exitStatus(exit: { code: number; signal?: number }): ExitStatus {
    return this.#cgroup?.oomKilled() ? { ...exit, oomKilled: true } : exit;
  }

  signal(signal: number, options: { all?: boolean } = {}): void {
    if (!options.all) return this.#launched?.signal(signal);
    for (const pid of this.#alive()) signalPid(pid, signal);
  }

  async pause(): Promise<void> {
    await this.#freezer('pause').freeze(true);
  }

  async unpause(): Promise<void> {
    await this.#freezer('unpause').freeze(false);
  }

  /** SIGSTOP would be seen by the processes and their parents, and undone by any SIGCONT: not a pause. */
  #freezer(verb: string): ContainerCgroup {
    if (this.#cgroup) return this.#cgroup;
    throw new HuskError(`cannot ${verb} container ${this.#config.id}: this host delegates no cgroup v2 to you, and its freezer is what pauses`, { kind: 'unsupported', fix: 'see husk doctor' });
  }

  #alive(): number[] {
    if (this.#cgroup) return this.#cgroup.processes();
    return containerProcesses(this.#pid, { ownPid: this.#ownPid, more: [...this.#execs].map(({ pid }) => pid) });
  }

  async processes(): Promise<number[]> {
    return this.#alive();
  }

  async stats(): Promise<SandboxStats> {
    const limit = this.#config.spec.linux.resources?.memory?.limit;
    const memoryLimitBytes = limit !== undefined && limit > 0 ? Math.min(limit, totalmem()) : totalmem();
    const measured = sumStats(this.#alive(), { memoryLimitBytes, ...(isolates(namespaces(this.#config.spec), CLONE_NEWNET) ? { network: this.#pid } : {}) });
    if (!this.#cgroup) return measured;
    const counted = this.#cgroup.stats();
    return { ...measured, ...counted, memoryLimitBytes: counted.memoryLimitBytes ?? memoryLimitBytes };
  }

  async update(resources: Resources): Promise<void> {
    if (!this.#cgroup)
      throw new HuskError(`cannot update container ${this.#config.id}: this host delegates no cgroup v2 to you, so no limit can be enforced`, { kind: 'unsupported', fix: 'see husk doctor' });
    this.#cgroup.update(resources);
  }

  destroy(): Promise<void> {
    return (this.#destroyed ??= this.#end());
  }

  async #end(): Promise<void> {
    const launched = this.#launched;
    if (launched) {
      const survivors = this.#ownPid || this.#pid === 0 ? [] : this.#alive();
      launched.signal(SIGKILL);
      // a plan that still waits for its answer dies of the refusal
      this.#go.reject(new HuskError('the container was destroyed before it was started', { kind: 'conflict' }));
      this.#go.promise.catch(() => {});
      for (const exec of this.#execs) exec.signal(SIGKILL);
      await launched.exited;
      if (!this.#ownPid) await this.#killAll(survivors);
    }
    // the pid namespace is gone, and with it every mount, interface and process of the container
    await this.#connecting;
    await this.#connection?.close();
    await this.#cgroup?.remove();
    for (const terminal of this.#terminals) if (terminal.readableEnded) terminal.destroy();
    rmSync(join(this.#config.directory, 'binds'), { recursive: true, force: true });
  }

  /** `--pid host` and `container:X`: no pid namespace dies with the first process, so what it left is looked for. */
  async #killAll(known: number[]): Promise<void> {
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const alive = [...new Set(known.flatMap((pid) => containerProcesses(pid, { ownPid: false })))];
      if (alive.length === 0) return;
      for (const pid of alive) signalPid(pid, SIGKILL);
      await new Promise((resolve) => setTimeout(resolve, KILL_ROUND_MS));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }
}

function withTerminal(spec: Spec, stdio: StdioRequest): Spec {
  const size = stdio.columns && stdio.rows ? { consoleSize: { width: stdio.columns, height: stdio.rows } } : {};
  return { ...spec, process: { ...spec.process, terminal: stdio.terminal, ...size } };
}

function signalPid(pid: number, signal: number): void {
  try {
    using pidfd = pidfdOpen(pid);
    pidfdSignal(pidfd.number, signal);
  } catch {
    // it has ended meanwhile
  }
}

/** As root: what the container's root is to own of its folder. */
function giveFiles(folder: string, maps: IdMaps): void {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return;
  }
  for (const path of [folder, ...names.map((name) => join(folder, name))]) chownSync(path, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
}

/**
 * Runs a container as a launch plan in the kernel that this process runs on: its first process, execs, terminals,
 * signals, cgroup, and its end. The user-namespace isolation and the guest agent both use this class, each with its own
 * plan and answers, so they cannot drift apart. Every process that it starts dies with this process.
 */
import { closeSync } from 'node:fs';
import { totalmem } from 'node:os';
import { HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { pidfdOpen, pidfdSignal } from '../host/kernel/process.ts';
import { after } from '../long-timer.ts';
import { INIT_PROGRAM } from '../program.ts';
import type { ExitStatus, ProcessTable, Sandbox, SandboxProcess, SandboxStats, StdioRequest } from '../sandbox.ts';
import type { ContainerCgroup } from './cgroup/cgroup.ts';
import { launch, type Launched, type Sockets } from '../launch/executor.ts';
import { explainLaunchError, type Stage } from '../launch/failure.ts';
import type { AwaitTag, LaunchPlan, Step } from '../launch/plan.ts';
import { CLONE_NEWNET, CLONE_NEWPID, isolates, namespaces } from './namespaces.ts';
import { planExec } from './plan.ts';
import {
  containerProcesses,
  isLiving,
  mountSpaceIn,
  mountSpaceOf,
  namespaceHolder,
  processesOfMountSpace,
  processTree,
  readStat,
  sumStats,
  ZOMBIE,
} from './processes/tree.ts';
import { ps } from './processes/ps.ts';
import { SIGKILL } from '../notation/signals.ts';
import type { ProcessSpec, Resources, Spec } from '../spec.ts';
import { Terminal } from './terminal.ts';

export interface LocalSandboxOptions {
  /** the container's id, for messages */
  id: string;
  /** see PlanContext */
  rootless: boolean;
  /** makes the container's plan, which stops at `await exec`, and at `await cgroup` when there is a cgroup */
  plan(spec: Spec, has: { cgroup: boolean }): LaunchPlan | Promise<LaunchPlan>;
  /** answers the plan's awaits except `cgroup` and `exec` */
  onAwait?: (tag: AwaitTag, pid: number, namespace?: Fd) => Promise<void> | undefined;
  /** takes the sockets that the plan's `sockets` steps have made */
  onSockets?: (sockets: Sockets) => void;
  /** steps put before every plan, for what the processes must not inherit */
  before?: Step[];
  /** makes the container's cgroup with its limits; undefined where none is delegated and none is needed */
  cgroup: () => Promise<ContainerCgroup | undefined>;
  /** called after every process has ended, to release what the plan's parent made for them */
  release?: () => Promise<void>;
}

/** ms between two searches for survivors in a container without a pid namespace of its own */
const KILL_ROUND_MS = 10;
/** most searches: processes that fork faster than they are killed for a second are reported */
const KILL_ROUNDS = 100;

/** A container's processes; its files belong to the code that made its root. */
export class LocalSandbox implements Omit<Sandbox, 'open' | 'files'> {
  readonly #spec: Spec;
  readonly #options: LocalSandboxOptions;
  readonly #ownPid: boolean;
  readonly #execs = new Set<SandboxProcess>();
  #launched: Launched | undefined;
  #stdio: StdioRequest | undefined;
  #pid = 0;
  /** identifies the process for ever, together with the pid */
  #startTime: string | undefined;
  #cgroup: ContainerCgroup | undefined;
  #started = false;
  #go = Promise.withResolvers<void>();
  /** the mount namespace that only the container's processes have */
  #mountSpace: string | undefined;
  #destroyed: Promise<undefined> | undefined;

  constructor(spec: Spec, options: LocalSandboxOptions) {
    this.#spec = spec;
    this.#options = options;
    this.#ownPid = (namespaces(spec).made & CLONE_NEWPID) !== 0;
  }

  async prepare(stdio: StdioRequest): Promise<{ pid: number }> {
    if (this.#launched) throw new TypeError('already prepared');
    this.#stdio = stdio;
    this.#cgroup = await this.#options.cgroup();
    const plan = await this.#options.plan(withTerminal(this.#spec, stdio), { cgroup: this.#cgroup !== undefined });
    const ready = Promise.withResolvers<void>();
    this.#launched = launch([...(this.#options.before ?? []), ...plan], {
      init: INIT_PROGRAM,
      stdin: stdio.stdin && !stdio.terminal ? 'pipe' : 'null',
      stdout: stdio.terminal ? 'null' : 'pipe',
      stderr: stdio.terminal ? 'null' : 'pipe',
      ...(this.#options.onSockets && { onSockets: this.#options.onSockets }),
      onAwait: async (tag, pid, namespace) => {
        if (tag === 'cgroup') await this.#cgroup?.enter(pid);
        else if (tag !== 'exec') await this.#options.onAwait?.(tag, pid, namespace);
        else {
          if (namespace) this.#mountSpace = mountSpaceIn(namespace);
          ready.resolve();
          await this.#go.promise;
        }
      },
    });
    try {
      await Promise.race([ready.promise, this.#launched.started]);
      this.#pid = await this.#launched.pid;
      this.#startTime = readStat(this.#pid)?.startTime;
    } catch (error) {
      throw explainLaunchError(error, 'create');
    }
    return { pid: this.#pid };
  }

  async start(): Promise<SandboxProcess> {
    const launched = this.#launched;
    if (!launched) throw new TypeError('not prepared');
    this.#started = true;
    this.#go.resolve();
    return this.#process(launched, this.#stdio!, 'create');
  }

  async exec(process: ProcessSpec, stdio: StdioRequest): Promise<SandboxProcess> {
    const first = readStat(this.#pid);
    if (first === undefined || first.state === ZOMBIE || first.startTime !== this.#startTime) throw this.#notRunning();
    const holder = namespaceHolder(this.#pid);
    const holderStart = readStat(holder)?.startTime;
    const plan = planExec(this.#spec, processWithTerminal(process, stdio), {
      pid: holder,
      rootless: this.#options.rootless,
      waitFor: { cgroup: true },
    });
    const launched = launch([...(this.#options.before ?? []), ...plan], {
      init: INIT_PROGRAM,
      stdin: stdio.stdin && !stdio.terminal ? 'pipe' : 'null',
      stdout: stdio.terminal ? 'null' : 'pipe',
      stderr: stdio.terminal ? 'null' : 'pipe',
      onAwait: (_tag, pid) => {
        // The plan has joined the namespaces of a pid, which may by now be the number of another process than the
        // container's first one.
        if (readStat(this.#pid)?.startTime !== this.#startTime || readStat(holder)?.startTime !== holderStart)
          throw this.#notRunning();
        this.#cgroup?.enter(pid);
      },
    });
    const running = await this.#process(launched, stdio, 'exec');
    this.#execs.add(running);
    void running.exited.then(() => this.#execs.delete(running));
    return running;
  }

  #notRunning(): HuskError {
    return new HuskError(`container ${this.#options.id} is not running`, { kind: 'conflict' });
  }

  /** Waits for the command's exec and connects its streams. */
  async #process(launched: Launched, stdio: StdioRequest, stage: Stage): Promise<SandboxProcess> {
    let pid: number;
    let terminal: Terminal | undefined;
    try {
      await launched.started;
      pid = await launched.pid;
      if (launched.pty) terminal = new Terminal((await launched.pty).fd);
    } catch (error) {
      closeTerminal(launched);
      throw explainLaunchError(error, stage);
    }
    if (terminal && stdio.columns && stdio.rows) terminal.setSize(stdio.columns, stdio.rows);
    const startTime = readStat(pid)?.startTime;
    return {
      pid,
      stdin: terminal ?? launched.stdin,
      stdout: terminal ?? launched.stdout!,
      stderr: terminal ? null : launched.stderr,
      resize: (columns, rows) => terminal?.setSize(columns, rows),
      signal: (signal, { group = false } = {}) => {
        if (group) signalGroup(pid, startTime, signal);
        launched.signal(signal);
      },
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

  /**
   * @returns the cgroup that can pause the container. SIGSTOP is no pause: the processes and their parents would see
   * it, and any SIGCONT would undo it.
   */
  #freezer(verb: string): ContainerCgroup {
    if (this.#cgroup) return this.#cgroup;
    throw new HuskError(
      `cannot ${verb} container ${this.#options.id}: this host delegates no cgroup v2 to you, and its freezer is what pauses`,
      { kind: 'unsupported', fix: 'see husk doctor' },
    );
  }

  #alive(): number[] {
    if (this.#cgroup) return this.#cgroup.processes();
    return containerProcesses(this.#pid, { ownPid: this.#ownPid, more: [...this.#execs].map(({ pid }) => pid) });
  }

  async processes(): Promise<number[]> {
    return this.#alive();
  }

  async ps(options: readonly string[]): Promise<ProcessTable> {
    return ps(this.#alive(), options);
  }

  async stats(): Promise<SandboxStats> {
    const limit = this.#spec.linux.resources?.memory?.limit;
    const memoryLimitBytes = limit !== undefined && limit > 0 ? Math.min(limit, totalmem()) : totalmem();
    const measured = sumStats(
      this.#cgroup?.processes() ?? processTree([this.#pid, ...[...this.#execs].map(({ pid }) => pid)]),
      { memoryLimitBytes, ...(isolates(namespaces(this.#spec), CLONE_NEWNET) ? { network: this.#pid } : {}) },
    );
    if (!this.#cgroup) return measured;
    const counted = this.#cgroup.stats();
    return { ...measured, ...counted, memoryLimitBytes: counted.memoryLimitBytes ?? memoryLimitBytes };
  }

  async update(resources: Resources): Promise<void> {
    if (!this.#cgroup)
      throw new HuskError(
        `cannot update container ${this.#options.id}: this host delegates no cgroup v2 to you, so no limit can be enforced`,
        { kind: 'unsupported', fix: 'see husk doctor' },
      );
    this.#cgroup.update(resources);
  }

  /** @returns the process whose /proc/PID/root is the container's root; undefined when none of its processes runs */
  living(): { pid: number; startTime: string } | undefined {
    const first = this.#pid === 0 ? undefined : readStat(this.#pid);
    if (first === undefined || first.state === ZOMBIE || first.startTime !== this.#startTime) return undefined;
    const pid = namespaceHolder(this.#pid);
    const startTime = readStat(pid)?.startTime;
    return startTime === undefined ? undefined : { pid, startTime };
  }

  destroy(): Promise<number | undefined> {
    return (this.#destroyed ??= this.#end());
  }

  async #end(): Promise<undefined> {
    const launched = this.#launched;
    let survivors: number[] = [];
    if (launched) {
      launched.signal(SIGKILL);
      // The rejected answer ends a plan that still waits for it.
      this.#go.reject(new HuskError('the container was destroyed before it was started', { kind: 'conflict' }));
      this.#go.promise.catch(() => {});
      for (const exec of this.#execs) exec.signal(SIGKILL);
      await launched.exited;
      if (!this.#started) closeTerminal(launched);
      if (!this.#ownPid) survivors = await this.#killAll();
    }
    // The pid namespace is gone, and with it every mount, interface and process of the container.
    await this.#options.release?.();
    await this.#cgroup?.remove();
    if (survivors.length > 0)
      throw new HuskError(`processes ${survivors.join(', ')} of container ${this.#options.id} do not end`, {
        kind: 'unavailable',
      });
  }

  /**
   * Kills every process of a container with `--pid host` or `container:X`. No pid namespace dies with its first
   * process, so the processes that it left are searched for: in the cgroup, and by the mount namespace, which every
   * container has of its own and a process that lost its parent keeps.
   * @returns the processes that do not end
   */
  async #killAll(): Promise<number[]> {
    let alive: number[] = [];
    for (let round = 0; round < KILL_ROUNDS; round++) {
      this.#cgroup?.kill();
      const space = this.#mountSpace;
      const found = [
        ...(this.#cgroup?.processes() ?? []),
        ...(space === undefined ? [] : processesOfMountSpace(space)),
      ];
      // A process that is exiting has given up its namespaces already, but belongs to the joined container until it is
      // gone.
      alive = [...new Set([...found, ...alive.filter(isLiving)])];
      if (alive.length === 0) return [];
      for (const pid of found) if (space !== undefined) killMember(pid, space);
      await after(KILL_ROUND_MS);
    }
    return alive;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }
}

function processWithTerminal(process: ProcessSpec, stdio: StdioRequest): ProcessSpec {
  const size = stdio.columns && stdio.rows ? { consoleSize: { width: stdio.columns, height: stdio.rows } } : {};
  return { ...process, terminal: stdio.terminal, ...size };
}

function withTerminal(spec: Spec, stdio: StdioRequest): Spec {
  return { ...spec, process: processWithTerminal(spec.process, stdio) };
}

/** Closes the master of a terminal that no process was given. */
function closeTerminal(launched: Launched): void {
  void launched.pty?.then(({ fd }) => closeSync(fd)).catch(() => {});
}

/**
 * Signals a whole process group. Linux before 6.9 has no pidfd for a group, so the leader must still be the process it
 * was, which it is until its exit status has been read.
 */
function signalGroup(leader: number, startTime: string | undefined, signal: number): void {
  if (startTime === undefined || readStat(leader)?.startTime !== startTime) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // The process leads no group, or the whole group has ended.
  }
}

/** Sends SIGKILL to a pid that is still a process of this mount namespace, once the pidfd fixes which process it is. */
function killMember(pid: number, space: string): void {
  try {
    using pidfd = pidfdOpen(pid);
    if (mountSpaceOf(pid) === space) pidfdSignal(pidfd.number, SIGKILL);
  } catch {
    // The process has ended in the meantime.
  }
}

function signalPid(pid: number, signal: number): void {
  try {
    using pidfd = pidfdOpen(pid);
    pidfdSignal(pidfd.number, signal);
  } catch {
    // The process has ended in the meantime.
  }
}

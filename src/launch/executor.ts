/**
 * Runs a launch plan: spawns `husk-init`, answers its questions, reports its end. Used on the host (rootless) and in
 * the guest (agent) alike. See plan.ts for what a plan is, guest/init/control.c for the records read here.
 *
 * Everything ends together: the processes of a plan when this one is gone (husk-init watches its descriptors), the
 * innermost process when a monitor is killed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fchmodSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { causeOf, HuskError } from '../errors.ts';
import { nameProcess, span } from '../trace.ts';
import { Fd } from '../host/fd.ts';
import { memfd } from '../host/memory/memfd.ts';
import { pipe } from '../host/streams/pipe.ts';
import { watchReadable } from '../host/streams/poll.ts';
import { pidfdSignal } from '../host/kernel/process.ts';
import { receive, send, seqpacketPair, type Message } from '../host/streams/socket.ts';
import { LaunchError, RECORD_BYTES, launchError, readErrorRecord } from './error.ts';
import type { AwaitTag, LaunchPlan } from './plan.ts';
import { OutputPipe } from './output-pipe.ts';
import { AWAIT_TAGS, encodePlan } from './encoding.ts';

export { LaunchError };

export interface LaunchOptions {
  /** path of the husk-init binary */
  init: string;
  /** `pipe` gives real pipes (a container can reopen /dev/stdout), a number an fd to inherit */
  stdin: 'pipe' | 'null' | number;
  stdout: 'pipe' | 'null' | number;
  stderr: 'pipe' | 'null' | number;
  /**
   * more descriptors for the program, which are FIRST_INHERITED and the numbers after it there; its plan has a
   * `closeFrom` beyond them
   */
  inherit?: readonly number[];
  /**
   * the plan's process outlives this one, which does not wait for its end: for plans that begin with
   * `parentDeathSignal` 0. @default false
   */
  detached?: boolean;
  /**
   * Called at each `await`; the plan goes on when the promise resolves; a rejection ends the process.
   * @param namespace at `network` the process's network namespace, at `exec` its mount namespace (mountSpaceIn says
   * whether it is one), open until
   *   the promise has settled: a hidden process shows none in /proc
   */
  onAwait?: (tag: AwaitTag, pid: number, namespace?: Fd) => void | Promise<void>;
}

export interface Launched {
  /**
   * the process made by the plan's last `fork` (without one, the spawned process), in this pid namespace; known as soon
   * as it exists. With a `reaper` it is the reaper, the container's PID 1, which forwards signals.
   */
  readonly pid: Promise<number>;
  /** resolves when execve has happened; rejects with LaunchError naming step, path and errno */
  readonly started: Promise<void>;
  /** never rejects */
  readonly exited: Promise<{ code: number; signal?: number }>;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** the terminal's master once `openPty` has run; the caller closes it */
  readonly pty: Promise<{ fd: number }> | null;
  /** to the process of `pid`, by pidfd: never a reused pid */
  signal(signal: number): void;
}

export type Launch = (plan: LaunchPlan, options: LaunchOptions) => Launched;

/** enum record_type of guest/init/control.c */
const RECORD_HELLO = 1;
const RECORD_AWAIT = 2;
const RECORD_PTY = 3;
const RECORD_ERROR = 4;
const RECORD_EXEC = 5;

const GO = Buffer.from('G');
const GIVE_UP = Buffer.from('A');

/** where husk-init finds its descriptors, see main.c */
const PLAN_FD = 3;
const CONTROL_FD = 4;
const STATUS_FD = 5;
/** the first of LaunchOptions.inherit in the program started */
export const FIRST_INHERITED = 6;

const SIGKILL = 9;

/** One side of a stdio pipe for the child, the other as a stream of ours. */
interface Stdio {
  child: 'ignore' | number;
  ours: OutputPipe | Socket | null;
}

/**
 * @param theirs is given the child's side, which is closed once the child has it: end-of-file comes when the last
 * writer is gone
 * @param ours is given this side, for as long as it is not the caller's
 */
function openStdio(
  kind: 'pipe' | 'null' | number,
  direction: 'in' | 'out',
  { theirs, ours }: { theirs: DisposableStack; ours: DisposableStack },
): Stdio {
  if (kind === 'null') return { child: 'ignore', ours: null };
  if (kind !== 'pipe') return { child: kind, ours: null };
  const { read, write } = pipe();
  const [child, end] = direction === 'in' ? [read, write] : [write, read];
  theirs.use(child);
  ours.use(end);
  // Mode 0600 and our owner would keep the container from reopening it as /dev/stdout, above all where our uid is not
  // mapped inside. The only way to a pipe that is not inherited is /proc/PID/fd, which is open to those alone who may
  // trace PID.
  fchmodSync(read.number, 0o666);
  const stream =
    direction === 'out'
      ? new OutputPipe(end.release())
      : new Socket({ fd: end.release(), readable: false, writable: true });
  ours.adopt(stream, (given) => void given.destroy());
  return { child: child.number, ours: stream };
}

/** A promise whose rejection nobody is obliged to watch. */
function deferred<T>() {
  const made = Promise.withResolvers<T>();
  made.promise.catch(() => {});
  return made;
}

/**
 * The wait status that the innermost monitor wrote: the first record in the pipe. Its own exit code cannot tell exit
 * 137 from a SIGKILL. No record means no `fork` in the plan, or a monitor that was killed.
 */
function readWaitStatus(fd: number): number | undefined {
  const status = Buffer.alloc(4);
  try {
    return readSync(fd, status, 0, 4, null) === 4 ? status.readInt32LE(0) : undefined;
  } catch {
    return undefined; // EAGAIN: nothing was written
  }
}

/** wait(2): the low seven bits are the signal, the next byte the exit status */
function exitOf(waitStatus: number): { code: number; signal?: number } {
  const signal = waitStatus & 0x7f;
  return signal === 0 ? { code: (waitStatus >> 8) & 0xff } : { code: 128 + signal, signal };
}

class Execution {
  readonly #plan: LaunchPlan;
  readonly #options: LaunchOptions;
  readonly #forks: number;
  readonly #control: Fd;
  readonly #status: Fd;
  readonly #watch: Disposable;
  readonly pid = deferred<number>();
  readonly started = deferred<void>();
  readonly exited = deferred<{ code: number; signal?: number }>();
  readonly pty: ReturnType<typeof deferred<{ fd: number }>> | null;
  #pidfd: Fd | undefined;
  /** of the process now carrying out the plan */
  #current: Fd | undefined;
  #executing = false;
  #failure: Error | undefined;
  /** what the timeline of the spawned process is at */
  #phase: Disposable | undefined;
  #lane: number | undefined;

  constructor(plan: LaunchPlan, options: LaunchOptions, control: Fd, status: Fd) {
    this.#plan = plan;
    this.#options = options;
    this.#forks = plan.findLastIndex((step) => step.op === 'fork');
    this.#control = control;
    this.#status = status;
    this.pty = plan.some((step) => step.op === 'openPty') ? deferred<{ fd: number }>() : null;
    this.#watch = watchReadable(control.number, () => this.#readable());
  }

  /** @param pid of the process spawned, which the timeline has a lane for */
  traceLane(pid: number): void {
    this.#lane = pid;
    nameProcess('husk-init', pid);
    this.#enter('start husk-init');
  }

  #enter(phase: string): void {
    this.#phase?.[Symbol.dispose]();
    this.#phase = span(phase, this.#lane);
  }

  /** Reads every record there is. */
  #readable(): void {
    while (!this.#control.closed) {
      let message: Message | null | undefined;
      try {
        message = receive(this.#control.number);
      } catch (error) {
        return this.#ended(error as Error);
      }
      if (message === undefined) return;
      if (message === null) return this.#ended();
      this.#record(message);
    }
  }

  #record(message: Message): void {
    const { data, fds, pid } = message;
    const [fd, ...rest] = fds;
    for (const stray of rest) stray.close();
    const type = data.length >= RECORD_BYTES ? data.readUInt32LE(0) : 0;
    if (type === RECORD_HELLO && fd) return this.#hello(fd, pid, data.readUInt32LE(4));
    if (type === RECORD_PTY && fd && this.pty) return this.pty.resolve({ fd: fd.release() });
    if (type === RECORD_AWAIT) return void this.#answer(AWAIT_TAGS[data.readUInt32LE(16)]!, pid, fd);
    fd?.close();
    if (type === RECORD_ERROR) this.#failure ??= launchError(this.#plan, readErrorRecord(data));
    else if (type === RECORD_EXEC) this.#executing = true;
  }

  /** `step`: the index of the fork that made the process; the first process says hello before step 0 */
  #hello(pidfd: Fd, pid: number, step: number): void {
    this.#enter('carry out the plan');
    const isFirst = this.#current === undefined;
    if (this.#current !== this.#pidfd) this.#current?.close();
    this.#current = pidfd;
    if (isFirst ? this.#forks < 0 : step === this.#forks) {
      this.#pidfd = pidfd;
      this.pid.resolve(pid);
    }
  }

  async #answer(tag: AwaitTag, pid: number, namespace: Fd | undefined): Promise<void> {
    this.#enter(`answer ${tag}`);
    let answer = GO;
    try {
      await this.#options.onAwait?.(tag, pid, namespace);
    } catch (error) {
      this.#failure ??= error as Error;
      answer = GIVE_UP;
    } finally {
      namespace?.close();
    }
    this.#enter('carry out the plan');
    try {
      if (!this.#control.closed) send(this.#control.number, answer);
    } catch {
      // it has died meanwhile: the end-of-file says so
    }
  }

  /** End-of-file: the innermost process has executed its command, or has died. */
  #ended(error?: Error): void {
    this.#watch[Symbol.dispose]();
    this.#control.close();
    this.#enter('run');
    if (this.#failure ?? error) this.fail((this.#failure ?? error)!);
    else if (this.#executing) this.started.resolve();
    else this.fail(new HuskError('husk-init was killed before it could execute the command', { kind: 'start-failed' }));
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.started.reject(error);
    this.pid.reject(error);
    this.pty?.reject(error);
  }

  exit(code: number | null, signal: number | null): void {
    // what was said before the exit is still in the socket
    this.#readable();
    if (!this.#control.closed) this.#ended();
    const status = readWaitStatus(this.#status.number);
    this.#status.close();
    // a monitor that was killed, whose child cleared its parent-death signal by a set-user-ID exec
    this.signal(SIGKILL);
    this.#current?.close();
    this.#pidfd?.close();
    this.#phase?.[Symbol.dispose]();
    this.exited.resolve(
      status !== undefined && code !== null
        ? exitOf(status)
        : signal === null
          ? { code: code! }
          : { code: 128 + signal, signal },
    );
  }

  /** Nothing has been spawned, and nobody will say anything. */
  stopWatching(): void {
    this.#watch[Symbol.dispose]();
  }

  /** husk-init could not be spawned */
  abandon(error: Error): void {
    this.#watch[Symbol.dispose]();
    this.#control.close();
    this.#status.close();
    this.fail(error);
    this.exited.resolve({ code: 125 });
  }

  signal(signal: number): void {
    if (this.#pidfd && !this.#pidfd.closed) pidfdSignal(this.#pidfd.number, signal);
  }
}

/**
 * Starts a plan. Returns at once; what happens is told by the promises.
 * @throws HuskError when the plan cannot be encoded; SyscallError when no pipes can be made
 */
export const launch: Launch = (plan, options) => {
  using launching = new DisposableStack();
  launching.use(span('spawn husk-init'));
  const encoded = encodePlan(plan);
  // the child has copies of its own in the end; until the last descriptor is there (EMFILE), these are nobody's
  using theirs = new DisposableStack();
  using ours = new DisposableStack();
  const stdio = [
    openStdio(options.stdin, 'in', { theirs, ours }),
    openStdio(options.stdout, 'out', { theirs, ours }),
    openStdio(options.stderr, 'out', { theirs, ours }),
  ] as const;
  const { near, far } = seqpacketPair({ credentials: true });
  ours.use(near);
  theirs.use(far);
  const status = pipe({ nonblock: true });
  ours.use(status.read);
  theirs.use(status.write);
  const planFd = theirs.use(memfd('husk-plan', encoded));
  const execution = new Execution(plan, options, near, status.read);
  ours.defer(() => execution.stopWatching());
  const child: ChildProcess = spawn(options.init, ['run', String(PLAN_FD), String(CONTROL_FD), String(STATUS_FD)], {
    stdio: [
      ...stdio.map((one) => one.child),
      planFd.number,
      far.number,
      status.write.number,
      ...(options.inherit ?? []),
    ],
    env: {},
  });
  child.once('exit', (code, signal) => {
    execution.exit(code, signal === null ? null : constants.signals[signal]);
  });
  launching.dispose();
  if (child.pid !== undefined) execution.traceLane(child.pid);
  if (options.detached) child.unref();
  child.once('error', (error) => {
    if (child.pid !== undefined) return; // a failed kill(), not a failed spawn
    execution.abandon(
      new HuskError(`cannot start ${options.init}: ${causeOf(error)}`, {
        kind: 'internal',
        fix: 'make build',
        cause: error,
      }),
    );
  });
  // the streams are the caller's from here on, the rest is the execution's, which closes it at the child's end
  ours.move();
  return {
    pid: execution.pid.promise,
    started: execution.started.promise,
    exited: execution.exited.promise,
    stdin: stdio[0].ours as Socket | null,
    stdout: stdio[1].ours,
    stderr: stdio[2].ours,
    pty: execution.pty?.promise ?? null,
    signal: (signal) => execution.signal(signal),
  };
};

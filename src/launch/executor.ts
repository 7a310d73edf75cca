/**
 * Runs a launch plan: the executor spawns `husk-init`, answers its questions and reports its end. The host (rootless)
 * and the guest (agent) both use it. plan.ts says what a plan is, guest/init/control.c has the records read here.
 *
 * Everything ends together: the processes of a plan end when this process does (husk-init watches its descriptors), and
 * the innermost process ends when a monitor is killed.
 */
import { fchmodSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { causeOf, HuskError } from '../errors.ts';
import { nameProcess, span } from '../trace.ts';
import { Fd } from '../host/fd.ts';
import { memfd } from '../host/memory/memfd.ts';
import { pipe } from '../host/streams/pipe.ts';
import { watchReadable } from '../host/streams/poll.ts';
import { pidfdSignal } from '../host/kernel/process.ts';
import { spawn, type Spawned } from '../host/kernel/spawn.ts';
import { receive, send, seqpacketPair, type Message } from '../host/streams/socket.ts';
import { LaunchError, RECORD_BYTES, launchError, readErrorRecord } from './error.ts';
import type { AwaitTag, LaunchPlan, SocketKind } from './plan.ts';
import { OutputPipe } from './output-pipe.ts';
import { AWAIT_TAGS, encodePlan, socketKinds } from './encoding.ts';

export { LaunchError };

export interface LaunchOptions {
  /** path of the husk-init binary */
  init: string;
  /** `pipe` makes a pipe (a container can reopen /dev/stdout); a number is an fd to inherit */
  stdin: 'pipe' | 'null' | number;
  stdout: 'pipe' | 'null' | number;
  stderr: 'pipe' | 'null' | number;
  /**
   * more descriptors for the program, where they have the number FIRST_INHERITED and those after it; the plan's
   * `closeFrom` must be beyond them
   */
  inherit?: readonly number[];
  /**
   * whether the plan's process outlives this one, which does not wait for its end: for plans that begin with
   * `parentDeathSignal` 0; @default false
   */
  detached?: boolean;
  /**
   * Called at each `await`; the plan goes on when the promise resolves, and a rejection ends the process.
   * @param namespace at `network` the process's network namespace, at `exec` its mount namespace (mountSpaceIn says
   * whether it is one), because a hidden process shows none in /proc; open until the promise has settled
   */
  onAwait?: (tag: AwaitTag, pid: number, namespace?: Fd) => void | Promise<void>;
  /** Called at each `sockets` and `tap` step with what it has made, which is the callee's to close. @default closed */
  onSockets?: (sockets: Sockets) => void;
}

/** what a `sockets` or `tap` step has made */
export type Sockets = Partial<Record<SocketKind, Fd>>;

export interface Launched {
  /**
   * pid, in this pid namespace, of the process made by the plan's last `fork` (without one, of the spawned process);
   * known as soon as that process exists. With a `reaper` it is the reaper, the container's PID 1, which forwards
   * signals.
   */
  readonly pid: Promise<number>;
  /**
   * resolves when execve has happened (with `exit`: when the plan has ended); rejects with a LaunchError that names
   * step, path and errno
   */
  readonly started: Promise<void>;
  /** never rejects */
  readonly exited: Promise<{ code: number; signal?: number }>;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** the terminal's master once `openPty` has run; the caller closes it */
  readonly pty: Promise<{ fd: number }> | null;
  /** Signals the process of `pid` by its pidfd, so that a reused pid is never signalled. */
  signal(signal: number): void;
}

export type Launch = (plan: LaunchPlan, options: LaunchOptions) => Launched;

/** enum record_type of guest/init/control.c */
const RECORD_HELLO = 1;
const RECORD_AWAIT = 2;
const RECORD_PTY = 3;
const RECORD_ERROR = 4;
const RECORD_EXEC = 5;
const RECORD_SOCKETS = 6;

const GO = Buffer.from('G');
const GIVE_UP = Buffer.from('A');

/** numbers of the descriptors that husk-init expects, see main.c */
const PLAN_FD = 3;
const CONTROL_FD = 4;
const STATUS_FD = 5;
/** number of the first descriptor of LaunchOptions.inherit in the started program */
export const FIRST_INHERITED = 6;

const SIGKILL = 9;

/** A stdio pipe: one side for the child, the other as a stream in this process. */
interface Stdio {
  child: 'null' | number;
  ours: OutputPipe | Socket | null;
}

/**
 * @param theirs takes the child's side, which is closed once the child has it: end-of-file comes when the last writer
 * is gone
 * @param ours takes this process's side, until the caller has it
 */
function openStdio(
  kind: 'pipe' | 'null' | number,
  direction: 'in' | 'out',
  { theirs, ours }: { theirs: DisposableStack; ours: DisposableStack },
): Stdio {
  if (kind === 'null') return { child: 'null', ours: null };
  if (kind !== 'pipe') return { child: kind, ours: null };
  const { read, write } = pipe();
  const [child, end] = direction === 'in' ? [read, write] : [write, read];
  theirs.use(child);
  ours.use(end);
  // With mode 0600 and this process's owner the container could not reopen the pipe as /dev/stdout, above all where
  // this uid is not mapped inside. The only way to a pipe that is not inherited is /proc/PID/fd, which is open only to
  // processes that may trace PID.
  fchmodSync(read.number, 0o666);
  const stream =
    direction === 'out'
      ? new OutputPipe(end.release())
      : new Socket({ fd: end.release(), readable: false, writable: true });
  ours.adopt(stream, (given) => void given.destroy());
  return { child: child.number, ours: stream };
}

/** A promise that causes no unhandled rejection when nobody awaits it. */
function deferred<T>() {
  const made = Promise.withResolvers<T>();
  made.promise.catch(() => {});
  return made;
}

/**
 * Reads the wait status that the innermost monitor wrote, which is the first record in the pipe. The monitor's exit
 * code cannot tell exit 137 from a SIGKILL. There is no record when the plan has no `fork`, or a monitor was killed.
 */
function readWaitStatus(fd: number): number | undefined {
  const status = Buffer.alloc(4);
  try {
    return readSync(fd, status, 0, 4, null) === 4 ? status.readInt32LE(0) : undefined;
  } catch {
    return undefined; // EAGAIN: no monitor has written a status
  }
}

/** Decodes a status of wait(2): the low seven bits are the signal, the next byte the exit status. */
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
  /** pidfd of the process that now carries out the plan */
  #current: Fd | undefined;
  #executing = false;
  #failure: Error | undefined;
  /** the current phase in the timeline of the spawned process */
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

  /** @param pid of the spawned process, which has a lane in the timeline */
  traceLane(pid: number): void {
    this.#lane = pid;
    nameProcess('husk-init', pid);
    this.#enter('start husk-init');
  }

  #enter(phase: string): void {
    this.#phase?.[Symbol.dispose]();
    this.#phase = span(phase, this.#lane);
  }

  /** Reads every record that has arrived. */
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
    const type = data.length >= RECORD_BYTES ? data.readUInt32LE(0) : 0;
    if (type === RECORD_SOCKETS) return this.#takeSockets(fds, data.readUInt32LE(16));
    const [fd, ...rest] = fds;
    for (const stray of rest) stray.close();
    if (type === RECORD_HELLO && fd) return this.#hello(fd, pid, data.readUInt32LE(4));
    if (type === RECORD_PTY && fd && this.pty) return this.pty.resolve({ fd: fd.release() });
    if (type === RECORD_AWAIT) return void this.#answer(AWAIT_TAGS[data.readUInt32LE(16)]!, pid, fd);
    fd?.close();
    if (type === RECORD_ERROR) this.#failure ??= launchError(this.#plan, readErrorRecord(data));
    else if (type === RECORD_EXEC) this.#executing = true;
  }

  #takeSockets(fds: Fd[], mask: number): void {
    const kinds = socketKinds(mask);
    if (this.#options.onSockets && kinds.length === fds.length)
      return this.#options.onSockets(Object.fromEntries(kinds.map((kind, index) => [kind, fds[index]!])));
    for (const fd of fds) fd.close();
  }

  /** @param step index of the fork that made the process; the first process says hello before step 0 */
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
      // The process has ended meanwhile, which the end-of-file reports.
    }
  }

  /** Handles end-of-file: the innermost process has executed its command, or has ended. */
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
    // Records sent before the exit are still in the socket.
    this.#readable();
    if (!this.#control.closed) this.#ended();
    const status = readWaitStatus(this.#status.number);
    this.#status.close();
    // The process may outlive a killed monitor when a set-user-ID exec has cleared its parent-death signal.
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

  /** Stops waiting for records, when no process has been spawned. */
  stopWatching(): void {
    this.#watch[Symbol.dispose]();
  }

  /** Ends the execution when husk-init could not be spawned. */
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

function spawnInit(init: string, descriptors: readonly (number | 'null')[]): Spawned | HuskError {
  try {
    return spawn(init, { args: ['run', String(PLAN_FD), String(CONTROL_FD), String(STATUS_FD)], env: [], descriptors });
  } catch (error) {
    return new HuskError(`cannot start ${init}: ${causeOf(error)}`, {
      kind: 'internal',
      fix: 'make build',
      cause: error,
    });
  }
}

/**
 * Starts a plan and returns at once; the promises report what happens.
 * @throws HuskError when the plan cannot be encoded; SyscallError when no pipes can be made
 */
export const launch: Launch = (plan, options) => {
  using launching = new DisposableStack();
  launching.use(span('spawn husk-init'));
  const encoded = encodePlan(plan);
  // The child gets copies of its own. These stacks own both sides until every descriptor has been made, because making
  // one may fail (EMFILE).
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
  const child = spawnInit(options.init, [
    ...stdio.map((one) => one.child),
    planFd.number,
    far.number,
    status.write.number,
    ...(options.inherit ?? []),
  ]);
  launching.dispose();
  if (child instanceof HuskError) execution.abandon(child);
  else {
    execution.traceLane(child.pid);
    if (options.detached) child.unref();
    void child.exited.then(({ code, signal }) => execution.exit(code, signal));
  }
  // From here on the caller owns the streams, and the execution owns the rest, which it closes at the child's end.
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

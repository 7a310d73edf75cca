/**
 * Starts a program of the host's by posix_spawn(3). Node's own spawn is a fork(2), which copies the page tables of a
 * process with a large heap and makes each of its pages be copied when it is next written; posix_spawn(3) borrows the
 * memory until the program is executed, and copies nothing. A pidfd reports the end.
 *
 * The program is this thread's child: its parent-death signal comes when this thread ends (prctl(2)). It begins with
 * every signal's default action and none blocked, whatever this process has, and with no other descriptors than those
 * named here: all others that husk opens are close-on-exec. The program is never searched in $PATH.
 */
import { constants } from 'node:os';
import { duplicate, makeBlocking } from '../descriptors.ts';
import { Fd } from '../fd.ts';
import { checked, libraryFunction, SyscallError } from '../libc.ts';
import { watchReadable } from '../streams/poll.ts';
import { systemCall } from '../system-call.ts';
import { pidfdOpen } from './process.ts';

/**
 * bytes of posix_spawn_file_actions_t, posix_spawnattr_t and sigset_t on x86-64 (spawn.h, bits/types/__sigset_t.h),
 * which are the same in glibc and musl
 */
const FILE_ACTIONS = 80;
const ATTRIBUTES = 336;
const SIGNAL_SET = 128;
/** spawn.h */
const POSIX_SPAWN_SETSIGDEF = 4;
const POSIX_SPAWN_SETSIGMASK = 8;
/** waitid(2): linux/wait.h, asm-generic/siginfo.h */
const P_PID = 1;
const P_PIDFD = 3;
const WNOHANG = 1;
const WEXITED = 4;
const CLD_EXITED = 1;
/** bytes of siginfo_t, and the offsets of its fields for SIGCHLD */
const SIGINFO = 128;
const SI_CODE = 8;
const SI_PID = 16;
const SI_STATUS = 24;

/** fcntl.h */
const O_RDONLY = 0;
const O_RDWR = 2;
const { ECHILD } = constants.errno;
const { SIGKILL } = constants.signals;
/** number of descriptors that programs use as standard input, output and error */
const STDIO = 3;

const initActions = libraryFunction<(actions: Uint8Array) => number>(
  'int posix_spawn_file_actions_init(void *actions)',
);
const destroyActions = libraryFunction<(actions: Uint8Array) => number>(
  'int posix_spawn_file_actions_destroy(void *actions)',
);
const addDuplicate = libraryFunction<(actions: Uint8Array, fd: number, to: number) => number>(
  'int posix_spawn_file_actions_adddup2(void *actions, int fd, int to)',
);
const addOpen = libraryFunction<(actions: Uint8Array, fd: number, path: string, flags: number, mode: number) => number>(
  'int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode)',
);
const initAttributes = libraryFunction<(attributes: Uint8Array) => number>(
  'int posix_spawnattr_init(void *attributes)',
);
const setFlags = libraryFunction<(attributes: Uint8Array, flags: number) => number>(
  'int posix_spawnattr_setflags(void *attributes, short flags)',
);
const setDefaults = libraryFunction<(attributes: Uint8Array, signals: Uint8Array) => number>(
  'int posix_spawnattr_setsigdefault(void *attributes, const void *signals)',
);
const posixSpawn = libraryFunction<
  (
    pid: Int32Array,
    path: string,
    actions: Uint8Array,
    attributes: Uint8Array,
    argv: readonly (string | null)[],
    environment: readonly (string | null)[],
  ) => number
>(
  'int posix_spawn(int *pid, const char *path, const void *actions, const void *attributes, const char **argv, const char **environment)',
);
const waitid = systemCall<(type: number, id: number, info: Uint8Array, options: number, usage: null) => number>(
  'int waitid(int type, int id, void *info, int options, void *usage)',
);

export interface SpawnOptions {
  /** argv after the program's own name */
  args: readonly string[];
  /** NAME=value; the program gets no other variables */
  env: readonly string[];
  /**
   * The program's descriptors 0, 1, 2 and so on: numbers of this process's descriptors, in any order and more than
   * once, or /dev/null, which only the first three may be. Those three are made blocking, for all who share them.
   */
  descriptors: readonly (number | 'null')[];
}

/** How a process ended; one of both is null. */
export interface ProcessEnd {
  code: number | null;
  signal: number | null;
}

export interface Spawned {
  readonly pid: number;
  /** never rejects; until it resolves this process's event loop stays alive, unless `unref` was called */
  readonly exited: Promise<ProcessEnd>;
  unref(): void;
}

/**
 * Starts a program, and returns once the program is being executed.
 * @throws SyscallError with the program's path when it cannot be executed
 */
export function spawn(program: string, { args, env, descriptors }: SpawnOptions): Spawned {
  using lifted = new DisposableStack();
  // A descriptor whose number is one of the places to fill would be overwritten before it is copied, or would stay
  // close-on-exec where it is already in its own place.
  const sources = descriptors.map((fd) =>
    fd === 'null' || fd >= descriptors.length ? fd : lifted.use(new Fd(duplicate(fd, descriptors.length))).number,
  );
  const pid = new Int32Array(1);
  // safe: a buffer of the type's size, which lives as long as this function; koffi copies the strings
  const actions = Buffer.alloc(FILE_ACTIONS);
  succeeded(initActions(actions), program);
  try {
    for (const [place, fd] of sources.entries()) {
      if (fd !== 'null' && place < STDIO) makeBlocking(fd);
      succeeded(
        fd === 'null'
          ? addOpen(actions, place, '/dev/null', place === 0 ? O_RDONLY : O_RDWR, 0)
          : addDuplicate(actions, fd, place),
        program,
      );
    }
    // safe: argv and environment end with a null pointer; the C library writes one pid
    const environment = [...env, null];
    succeeded(posixSpawn(pid, program, actions, signalDefaults(), [program, ...args, null], environment), program);
  } finally {
    destroyActions(actions);
  }
  return childOf(pid[0]!);
}

/** posix_spawn(3) and its companions return errno itself. */
function succeeded(error: number, program: string): void {
  if (error !== 0) throw new SyscallError('spawn', error, program);
}

let attributes: Buffer | undefined;

/** @returns the attributes of every process started here; they contain no pointers and are never changed again */
function signalDefaults(): Buffer {
  if (attributes) return attributes;
  // safe: buffers of the types' sizes
  const made = Buffer.alloc(ATTRIBUTES);
  initAttributes(made); // with no signal in the mask
  setFlags(made, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  setDefaults(made, Buffer.alloc(SIGNAL_SET, 0xff));
  return (attributes = made);
}

/**
 * Watches a child. Only this watch waits for the process, so its pid stays its own until then: libuv waits only for
 * pids that it made (uv__wait_children of src/unix/process.c), and Node undoes an inherited SIG_IGN of SIGCHLD, with
 * which the kernel would reap the child by itself.
 */
function childOf(pid: number): Spawned {
  const pidfd = pidfdOf(pid);
  const { promise: exited, resolve } = Promise.withResolvers<ProcessEnd>();
  const watch = watchReadable(pidfd.number, () => {
    const end = endOf(pidfd.number);
    if (end === undefined) return;
    watch.close();
    pidfd.close();
    resolve(end);
  });
  return { pid, exited, unref: () => watch.unref() };
}

/** @throws SyscallError EMFILE; the process is then killed, because its end could not be observed */
function pidfdOf(pid: number): Fd {
  try {
    return pidfdOpen(pid);
  } catch (error) {
    process.kill(pid, SIGKILL);
    waitid(P_PID, pid, Buffer.alloc(SIGINFO), WEXITED, null); // safe: a whole siginfo_t
    throw error;
  }
}

/** @returns undefined while the process runs: a tracer (ptrace(2)) sees an end before the process's parent does */
function endOf(pidfd: number): ProcessEnd | undefined {
  const info = Buffer.alloc(SIGINFO); // safe: a whole siginfo_t; no resource usage is asked for
  const result = waitid(P_PIDFD, pidfd, info, WEXITED | WNOHANG, null);
  // Another part of this process (a native addon) has waited for every child: the status is lost, but not the end.
  if (result === -ECHILD) return { code: 255, signal: null };
  checked(result, 'waitid');
  if (info.readInt32LE(SI_PID) === 0) return undefined;
  const status = info.readInt32LE(SI_STATUS);
  return info.readInt32LE(SI_CODE) === CLD_EXITED ? { code: status, signal: null } : { code: null, signal: status };
}

/** An Fd is a file descriptor that is closed exactly once. */
import { checked } from './libc.ts';
import { systemCall } from './system-call.ts';

/** fcntl.h */
const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;

const openat = systemCall<(directory: number, path: string, flags: number, mode: number) => number>(
  'int openat(int directory, const char *path, int flags, unsigned int mode)',
);
// fs.closeSync would not do: in a worker thread Node tracks the descriptors that it opened, and warns of others.
const c_close = systemCall<(fd: number) => number>('int close(int fd)');

/**
 * Opens a file close-on-exec, open(2), when its descriptor goes to system calls rather than to Node. @throws
 * SyscallError
 */
export function open(path: string, flags: number, mode = 0): Fd {
  return new Fd(checked(openat(AT_FDCWD, path, flags | O_CLOEXEC, mode), 'open', path));
}

/**
 * Prepares a descriptor that was just made, and closes it when that fails, because no other code has it yet.
 * @returns the descriptor
 */
export function prepared(fd: Fd, prepare: (number: number) => void): Fd {
  try {
    prepare(fd.number);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

export class Fd implements Disposable {
  #number: number;

  constructor(number: number) {
    this.#number = number;
  }

  /** @throws Error when the descriptor is closed or released: a stale number could be another file by now */
  get number(): number {
    if (this.#number < 0) throw new Error('file descriptor used after it was closed');
    return this.#number;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  /** Passes the number to another owner, who closes it. */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  /** The same descriptor in an Fd of its own: for one that is to be closed unless it gets that far. */
  move(): Fd {
    return new Fd(this.release());
  }

  close(): void {
    if (this.#number < 0) return;
    const number = this.#number;
    this.#number = -1;
    c_close(number); // safe: the number is this Fd's until the call, and on Linux even a failed close(2) frees it
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

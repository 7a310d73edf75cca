/** A file descriptor that is closed exactly once. */
import { checked } from './libc.ts';
import { systemCall } from './system-call.ts';

/** fcntl.h */
const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;

const openat = systemCall<(directory: number, path: string, flags: number, mode: number) => number>(
  'int openat(int directory, const char *path, int flags, unsigned int mode)',
);
// not fs.closeSync: in a worker thread Node keeps books of the descriptors it opened, and warns of others
const c_close = systemCall<(fd: number) => number>('int close(int fd)');

/** open(2), close-on-exec; for files whose descriptor goes to system calls rather than to Node. @throws SyscallError */
export function open(path: string, flags: number, mode = 0): Fd {
  return new Fd(checked(openat(AT_FDCWD, path, flags | O_CLOEXEC, mode), 'open', path));
}

/**
 * Gets a descriptor that has just been made ready, and closes it when that fails: nobody else has it yet.
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

  /** @throws Error when it is closed or given away: a stale number could be another file by now */
  get number(): number {
    if (this.#number < 0) throw new Error('file descriptor used after it was closed');
    return this.#number;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  /** hands the number to another owner, who closes it */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  close(): void {
    if (this.#number < 0) return;
    const number = this.#number;
    this.#number = -1;
    c_close(number); // safe: the number is ours until this call, and no error of close(2) on Linux means that it still is
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

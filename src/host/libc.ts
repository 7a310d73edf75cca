/**
 * The only way to koffi: the C library's functions, and the exception that a failed system call becomes (system-call.ts
 * makes the calls). koffi is loaded on first use, because it costs about 8 ms at start and most commands never need it.
 * Nothing here checks what is done with a pointer: each caller says why its own is safe.
 */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';

type Koffi = typeof import('koffi');
type LibraryHandle = ReturnType<Koffi['load']>;

/** Says that a system call failed. `code` is the name of errno (ENOENT …) as in Node's own errors. */
export class SyscallError extends Error {
  override name = 'SyscallError';
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, path?: string) {
    const code = errnoName(errno);
    super(`${syscall}${path === undefined ? '' : ` ${path}`}: ${code}`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
    this.path = path;
  }
}

/** Turns 2 into 'ENOENT'; errno(3). */
export function errnoName(errno: number): string {
  return getSystemErrorName(-errno);
}

let loaded: { koffi: Koffi; library: LibraryHandle } | undefined;

function libc(): { koffi: Koffi; library: LibraryHandle } {
  if (!loaded) {
    // koffi is loaded by require, not import: FFI calls are synchronous, so their loading must be too.
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    loaded = { koffi, library: koffi.load('libc.so.6') };
  }
  return loaded;
}

/** Loads koffi and the C library before they are needed, for processes that wait and will need them. */
export function loadLibc(): void {
  libc();
}

/** @returns the koffi module, for readiness (poll.ts), mappings and callbacks; only files of src/host/ may use it */
export const koffi = (): Koffi => libc().koffi;

/**
 * Binds a function of the C library by its prototype at its first call, for functions that are no system calls. `errno`
 * is never read after such a call (system-call.ts says why).
 * @example const trim = libraryFunction<(pad: number) => number>('int malloc_trim(size_t pad)');
 */
export function libraryFunction<F extends (...args: never[]) => unknown>(prototype: string): F {
  let bound: F | undefined;
  return ((...args: never[]) => {
    bound ??= libc().library.func(prototype) as unknown as F;
    return bound(...args);
  }) as F;
}

const strerror = libraryFunction<(errno: number) => string>('const char *strerror(int errno)');

/**
 * Turns 2 into 'no such file or directory': the C library's text with a small first letter, which is also Go's and so
 * Docker's.
 */
export function errnoText(errno: number): string {
  const text = strerror(errno);
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/**
 * Checks the result of a system call, which is the negated errno on failure.
 * @throws SyscallError
 */
export function checked(result: number, syscall: string, path?: string): number {
  if (result < 0) throw new SyscallError(syscall, -result, path);
  return result;
}

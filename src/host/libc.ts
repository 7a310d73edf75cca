/**
 * The one door to koffi: the C library's functions, and the exception that a failed system call becomes (system-call.ts
 * makes the calls). Loaded on first use, because koffi costs about 8 ms at start and most commands never need it.
 * Nothing here checks what is done with a pointer: each caller says why its own is safe.
 */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';

type Koffi = typeof import('koffi');
type LibraryHandle = ReturnType<Koffi['load']>;

/** A system call that failed. `code` is the name of errno (ENOENT …) as in Node's own errors. */
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

/** 2 → 'ENOENT'; errno(3) */
export function errnoName(errno: number): string {
  return getSystemErrorName(-errno);
}

let loaded: { koffi: Koffi; library: LibraryHandle } | undefined;

function libc(): { koffi: Koffi; library: LibraryHandle } {
  if (!loaded) {
    // require, not import: FFI calls are synchronous, and so must be their loading
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    loaded = { koffi, library: koffi.load('libc.so.6') };
  }
  return loaded;
}

/** The koffi module itself: for readiness (poll.ts), mappings and callbacks. Only for files of this room. */
export const koffi = (): Koffi => libc().koffi;

/**
 * A function of the C library by its prototype, bound at its first call: for what is no system call. `errno` is never
 * read after one (system-call.ts says why).
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
 * 2 → 'no such file or directory': the C library's words with a small first letter, which are also Go's and so Docker's
 */
export function errnoText(errno: number): string {
  const text = strerror(errno);
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/**
 * The result of a system call, which says failure by its negated errno.
 * @throws SyscallError
 */
export function checked(result: number, syscall: string, path?: string): number {
  if (result < 0) throw new SyscallError(syscall, -result, path);
  return result;
}

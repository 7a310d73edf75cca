/**
 * An error of the kernel, whichever way the call was made: through this room's own functions (SyscallError) or through Node's fs. Both say
 * the same in different shapes; callers that put it into a person's words read it here. Never throws.
 */
import { errnoText, SyscallError } from './libc.ts';

export interface SystemError {
  /** ENOENT … */
  code: string;
  /** 'no such file or directory' */
  text: string;
  syscall: string;
}

/** @returns undefined for every other kind of error, a bug's among them */
export function systemError(error: unknown): SystemError | undefined {
  if (error instanceof SyscallError) return { code: error.code, text: errnoText(error.errno), syscall: error.syscall };
  const { code, errno, syscall } = (error ?? {}) as { code?: unknown; errno?: unknown; syscall?: unknown };
  // Node's errno is libuv's: the kernel's, negated
  if (typeof code !== 'string' || typeof errno !== 'number' || errno >= 0 || typeof syscall !== 'string') return undefined;
  return { code, text: errnoText(-errno), syscall };
}

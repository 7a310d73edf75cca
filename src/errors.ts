/**
 * The one error class whose message is meant for users. Any other error that reaches the CLI is a bug in husk and is
 * shown with its stack.
 *
 * Wording (docs: style): lower case, no full stop, what was being done to what, the value, the cause, the fix; except
 * where Docker has a text of its own that scripts match ("No such container: x"), which is kept to the letter.
 */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { getSystemErrorMessage } from 'node:util';

/** exit codes of `docker run`, see the "Exit status" section of its reference */
export const EXIT_HUSK_FAILED = 125;
export const EXIT_NOT_EXECUTABLE = 126;
export const EXIT_NOT_FOUND = 127;

export type ErrorKind =
  /** the named thing does not exist */
  | 'not-found'
  /** the thing exists, but its state forbids the operation, or the name is taken */
  | 'conflict'
  /** what the user typed cannot be right */
  | 'invalid'
  /** this host cannot do it; the message says what to change */
  | 'unsupported'
  /** bytes from an image, registry, guest or disk that break their format's rules */
  | 'corrupt'
  /** credentials missing or refused */
  | 'unauthorized'
  /** the network or the registry failed */
  | 'unavailable'
  /** a bound that protects the host was reached */
  | 'limit'
  /** the container's command could not be started */
  | 'start-failed'
  | 'internal';

export class HuskError extends Error {
  override name = 'HuskError';
  readonly kind: ErrorKind;
  /** process exit code when a command has no code of its own for this failure */
  readonly exitCode: number;
  /** one line that says how to fix the cause */
  readonly fix: string | undefined;

  constructor(message: string, options: { kind: ErrorKind; exitCode?: number; fix?: string; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.kind = options.kind;
    this.exitCode = options.exitCode ?? 1;
    this.fix = options.fix;
  }

  /** Makes the same error for a command that Docker ends with another exit code. */
  withExitCode(exitCode: number): HuskError {
    return new HuskError(this.message, { kind: this.kind, exitCode, fix: this.fix, cause: this });
  }
}

/**
 * A machine that went on from a template ended before its agent had answered. Nothing of the container's has run, so
 * that it may be started once more, by a boot.
 */
export class TemplateFailed extends HuskError {
  constructor(message: string, cause?: unknown) {
    super(message, { kind: 'start-failed', exitCode: EXIT_HUSK_FAILED, cause });
  }
}

/**
 * errno(3) of system calls that only a bug in husk causes, not the host or what was typed. Such errors are shown with
 * their stack.
 */
const BUGS = new Set(['EBADF', 'EFAULT', 'EINVAL', 'ENOTSOCK', 'ENOTTY', 'EDOM', 'EPROTOTYPE', 'ESPIPE']);

/** The words of strerror(3) where libuv's would mislead a user. */
const WORDS: Record<string, string> = {
  EISDIR: 'is a directory',
  ENFILE: 'too many open files in system',
  ENOMEM: 'cannot allocate memory',
  EEXIST: 'file exists',
  EBUSY: 'device or resource busy',
  ELOOP: 'too many levels of symbolic links',
  ENAMETOOLONG: 'file name too long',
  ENOTEMPTY: 'directory not empty',
  EXDEV: 'invalid cross-device link',
  EDQUOT: 'disk quota exceeded',
  ENODEV: 'no such device',
  ENXIO: 'no such device or address',
  EFBIG: 'file too large',
  EIO: 'input/output error',
  EHOSTUNREACH: 'no route to host',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'temporary failure in name resolution',
};

/** The facts of a failed system call, whether src/host (SyscallError) or Node's fs made it. */
export interface SystemError {
  /** ENOENT … */
  code: string;
  /** 'no such file or directory' */
  text: string;
  syscall: string;
}

interface RawSystemError {
  code?: string;
  syscall?: string;
  errno?: number;
  path?: string;
  dest?: string;
  address?: string;
  port?: number;
}

/** @returns the reason of a failed system call in words; undefined for any other error */
function systemWords(error: unknown): string | undefined {
  const { code = '', syscall, errno } = (error ?? {}) as RawSystemError;
  if (syscall === undefined || !/^E[A-Z0-9_]+$/.test(code) || code.startsWith('ERR_')) return undefined;
  if (Object.hasOwn(WORDS, code)) return WORDS[code];
  // Node's own errors have libuv's negative numbers, those of src/host the kernel's positive ones; getaddrinfo has
  // none.
  return typeof errno === 'number' ? getSystemErrorMessage(-Math.abs(errno)) : undefined;
}

/** @returns undefined for every other kind of error, which includes bugs */
export function systemError(error: unknown): SystemError | undefined {
  const text = systemWords(error);
  if (text === undefined) return undefined;
  const { code, syscall } = error as RawSystemError;
  return { code: code!, text, syscall: syscall! };
}

/**
 * @returns why something failed, to end a sentence that says what failed: for a system call the kernel's reason, for
 * any other error its message
 * @example `EACCES: permission denied, open '/x'` → `permission denied`
 */
export function causeOf(error: unknown): string {
  return systemWords(error) ?? (error instanceof Error ? error.message : String(error));
}

const FULL = { problem: 'no space left on device', kind: 'unsupported', fix: 'free some space on its disk' } as const;

/** Texts for primary result codes of SQLite (sqlite3.h) that concern the disk. */
const SQLITE: Record<number, { problem: string; kind: ErrorKind; fix?: string }> = {
  5: { problem: 'another husk command has held it for too long', kind: 'unavailable' },
  8: { problem: 'it may not be written: read-only file system, or no permission', kind: 'unsupported' },
  10: { problem: 'the disk fails', kind: 'unavailable', fix: 'see the kernel log (dmesg)' },
  11: { problem: 'it is damaged', kind: 'corrupt', fix: 'husk system check --repair' },
  13: FULL,
  14: { problem: 'it cannot be opened: read-only file system, or no permission', kind: 'unsupported' },
  26: { problem: 'it is damaged: not a database any more', kind: 'corrupt', fix: 'husk system check --repair' },
};

/** sqlite3.h: SQLITE_IOERR */
const IOERR = 10;
/** bytes that SQLite needs for a log and its index before it can write at all */
const LITTLE = 128 * 1024;

/** @returns whether the disk of a database is so full that SQLite cannot work */
export function isFull(file: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(file));
    return bavail * bsize < LITTLE;
  } catch {
    return false;
  }
}

/**
 * @returns the text for an error of the database, as node:sqlite throws it; undefined for any other, which includes
 * bugs
 */
export function databaseError(error: unknown, file?: string): HuskError | undefined {
  const {
    code,
    errcode = 0,
    errstr,
    message,
  } = (error ?? {}) as { code?: string; errcode?: number; errstr?: string; message?: string };
  // The low byte of the code is the primary code.
  const primary = code === 'ERR_SQLITE_ERROR' ? errcode & 0xff : 0;
  // A log that cannot grow is an I/O error to SQLite, whatever the reason.
  const known = primary === IOERR && file !== undefined && isFull(file) ? FULL : SQLITE[primary];
  if (!known) return undefined;
  const what = file === undefined ? 'the database' : `the database ${file}`;
  return new HuskError(`cannot use ${what}: ${known.problem} (${errstr ?? message})`, {
    kind: known.kind,
    fix: known.fix,
    cause: error,
  });
}

/**
 * Makes one line of an error of a system call or of the database for which no other code has a text. The line says what
 * was done to what, and why it failed.
 * @returns undefined for any other error, and for those that only a bug causes
 */
export function refusal(error: unknown): HuskError | undefined {
  const ofDatabase = databaseError(error);
  if (ofDatabase) return ofDatabase;
  const words = systemWords(error);
  const { code = '', syscall, path, dest, address, port } = (error ?? {}) as RawSystemError;
  if (syscall === 'uv_cwd')
    return new HuskError('cannot find the working folder: it has been removed', {
      kind: 'unsupported',
      fix: 'cd to a folder that is there',
      cause: error,
    });
  if (words === undefined || BUGS.has(code)) return undefined;
  const peer = address === undefined ? undefined : `${address}${port === undefined ? '' : `:${port}`}`;
  const what = [syscall, path ?? peer, ...(dest === undefined ? [] : ['to', dest])]
    .filter((part) => part !== undefined)
    .join(' ');
  return new HuskError(`cannot ${what}: ${words}`, { kind: 'unsupported', exitCode: 1, cause: error });
}

/** Advisory locks that end with their holder. flock(2) */
import { after, elapsed } from '../../long-timer.ts';
import { open, type Fd } from '../fd.ts';
import { SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { constants, fstatSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';

/** sys/file.h */
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const { EWOULDBLOCK } = osConstants.errno;

const flock = systemCall<(fd: number, operation: number) => number>('int flock(int fd, int operation)');

export interface LockOptions {
  shared?: boolean;
  /**
   * Whether others write to the file's folder: a link is not followed then, which would make a file where it leads.
   * @default false
   */
  isForeign?: boolean;
}

/**
 * Takes the lock of a file, which is made with mode 0600 when missing. @returns undefined when another holds the lock
 * @throws SyscallError
 */
export function tryLock(file: string, { shared = false, isForeign = false }: LockOptions = {}): Fd | undefined {
  const fd = open(file, constants.O_RDWR | constants.O_CREAT | (isForeign ? constants.O_NOFOLLOW : 0), 0o600);
  const result = flock(fd.number, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
  if (result === 0) return fd;
  fd.close();
  if (result === -EWOULDBLOCK) return undefined;
  throw new SyscallError('flock', -result, file);
}

/**
 * Whether a lock is that of the file which has the name now: its holder before may have removed the file between an
 * open and a lock, and then the lock is nobody's.
 */
export const isNamed = (lock: Fd, file: string): boolean =>
  fstatSync(lock.number).ino === statSync(file, { throwIfNoEntry: false })?.ino;

/** ms between two attempts at a lock that another holds for milliseconds */
const POLL = 2;

/** Waits for a lock like that of `tryLock`. @param patience ms @returns undefined when another holds it for longer */
export async function waitForLock(file: string, patience: number): Promise<Fd | undefined> {
  for (const began = elapsed(); ;) {
    const lock = tryLock(file);
    if (lock || elapsed() - began > patience) return lock;
    await after(POLL);
  }
}

/** ms between two attempts at a lock that another may hold for minutes: short at first */
const FIRST_POLL = 2;
const LONGEST_POLL = 100;

/**
 * Waits for a lock like that of `tryLock`, as long as another holds it.
 * @param options.onWait called once, when another holds it
 * @throws the signal's reason when that aborts
 */
export async function lockWhenFree(
  file: string,
  { signal, onWait, ...how }: LockOptions & { signal: AbortSignal; onWait?: () => void },
): Promise<Fd> {
  for (let wait = FIRST_POLL; ; wait = Math.min(wait * 2, LONGEST_POLL)) {
    signal.throwIfAborted();
    const lock = tryLock(file, how);
    if (lock) return lock;
    if (wait === FIRST_POLL) onWait?.();
    await after(wait, { signal });
  }
}

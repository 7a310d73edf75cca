/** Advisory locks that die with their holder. flock(2) */
import { open, type Fd } from '../fd.ts';
import { SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { constants } from 'node:fs';
import { constants as osConstants } from 'node:os';

/** sys/file.h */
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const { EWOULDBLOCK } = osConstants.errno;

const flock = systemCall<(fd: number, operation: number) => number>('int flock(int fd, int operation)');

/**
 * Takes the lock of a file (made when missing, mode 0600) or returns undefined when another holds it. @throws
 * SyscallError
 */
export function tryLock(file: string, options: { shared?: boolean } = {}): Fd | undefined {
  const fd = open(file, constants.O_RDWR | constants.O_CREAT, 0o600);
  const result = flock(fd.number, (options.shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
  if (result === 0) return fd;
  fd.close();
  if (result === -EWOULDBLOCK) return undefined;
  throw new SyscallError('flock', -result, file);
}

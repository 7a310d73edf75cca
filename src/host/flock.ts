/** Advisory locks that die with their holder. flock(2) */
import { open, type Fd } from './fd.ts';
import { foreign, lastErrno, SyscallError } from './libc.ts';
import { constants } from 'node:fs';

/** sys/file.h */
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

const flock = foreign<(fd: number, operation: number) => number>('int flock(int fd, int operation)');

/** Takes the lock of a file (made when missing, mode 0600) or returns undefined when another holds it. @throws SyscallError */
export function tryLock(file: string, options: { shared?: boolean } = {}): Fd | undefined {
  const fd = open(file, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (flock(fd.number, (options.shared ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return fd;
  const errno = lastErrno();
  fd.close();
  if (errno === EWOULDBLOCK) return undefined;
  throw new SyscallError('flock', errno, file);
}

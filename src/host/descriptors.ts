/** Descriptors in general: copies of them, and how many a process may have. dup(2), setrlimit(2) */
import { readFileSync } from 'node:fs';
import { checked } from './libc.ts';
import { systemCall } from './system-call.ts';

/** linux/fcntl.h */
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const O_NONBLOCK = 0o4000;
/** the limit that every Linux gives a process by default, INR_OPEN_CUR of include/uapi/linux/fs.h */
const LEAST = 1024;

const fcntl = systemCall<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);

/**
 * @param from the lowest number that the copy may have
 * @returns another number for the same open file, which the caller closes
 * @throws SyscallError
 */
export function duplicate(fd: number, from = 0): number {
  return checked(fcntl(fd, F_DUPFD_CLOEXEC, from), 'fcntl');
}

/** Makes the open file blocking, for all who share it, other processes among them. @throws SyscallError */
export function makeBlocking(fd: number): void {
  const flags = checked(fcntl(fd, F_GETFL, 0), 'fcntl');
  if (flags & O_NONBLOCK) checked(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 'fcntl');
}

/** @returns the soft limit, which Node raises to the hard one when it starts: `ulimit -Sn` */
export function openFilesLimit(limits: string = readFileSync('/proc/self/limits', 'latin1')): number {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? LEAST : Number(soft);
}

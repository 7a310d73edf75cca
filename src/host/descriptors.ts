/** Descriptors as such: copies of them, and how many there may be. dup(2), setrlimit(2) */
import { readFileSync } from 'node:fs';
import { checked } from './libc.ts';
import { systemCall } from './system-call.ts';

/** linux/fcntl.h */
const F_DUPFD_CLOEXEC = 1030;
/** what every Linux gives a process that asked for nothing, INR_OPEN_CUR of include/uapi/linux/fs.h */
const LEAST = 1024;

const fcntl = systemCall<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);

/** @returns another number for the same open file, which is the caller's to close. @throws SyscallError */
export function duplicate(fd: number): number {
  return checked(fcntl(fd, F_DUPFD_CLOEXEC, 0), 'fcntl');
}

/** The soft limit, which Node raises to the hard one as it starts: `ulimit -Sn`. */
export function openFilesLimit(limits: string = readFileSync('/proc/self/limits', 'latin1')): number {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? LEAST : Number(soft);
}

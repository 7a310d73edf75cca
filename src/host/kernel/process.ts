/** Processes by descriptor: a pid may be another process by the time it is used, a pidfd never is. pidfd_open(2) */
import { constants } from 'node:os';
import { Fd } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const { ESRCH } = constants.errno;

const pidfd_open = systemCall<(pid: number, flags: number) => number>('int pidfd_open(int pid, unsigned int flags)');
const pidfd_send_signal = systemCall<(pidfd: number, signal: number, siginfo: null, flags: number) => number>(
  'int pidfd_send_signal(int pidfd, int signal, void *siginfo, unsigned int flags)',
);

const pidfd_getfd = systemCall<(pidfd: number, fd: number, flags: number) => number>(
  'int pidfd_getfd(int pidfd, int fd, unsigned int flags)',
);

/** @returns a copy of another process's descriptor. pidfd_getfd(2) @throws SyscallError EBADF when it is closed */
export function descriptorOfProcess(pidfd: number, fd: number): Fd {
  return new Fd(checked(pidfd_getfd(pidfd, fd, 0), 'pidfd_getfd', String(fd)));
}

/** @throws SyscallError ESRCH when there is no such process */
export function pidfdOpen(pid: number): Fd {
  return new Fd(checked(pidfd_open(pid, 0), 'pidfd_open', String(pid)));
}

/** pidfd_send_signal(2). Signal 0 only checks. @returns false when the process has ended @throws SyscallError */
export function pidfdSignal(pidfd: number, signal: number): boolean {
  // safe: siginfo is NULL, no memory is touched
  const result = pidfd_send_signal(pidfd, signal, null, 0);
  if (result === -ESRCH) return false;
  checked(result, 'pidfd_send_signal');
  return true;
}

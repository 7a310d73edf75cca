/** Processes by descriptor: a pid may be another process by the time it is used, a pidfd never is. pidfd_open(2) */
import { Fd } from './fd.ts';
import { checked, foreign, lastErrno, SyscallError } from './libc.ts';

/** asm/unistd_64.h */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;
const ESRCH = 3;

const syscall2 = foreign<(number: number, a: number, b: number) => number>('long syscall(long number, long a, long b)');
const syscall4 = foreign<(number: number, a: number, b: number, c: number, d: number) => number>('long syscall(long number, long a, long b, long c, long d)');
const c_prctl = foreign<(option: number, a: number, b: number, c: number, d: number) => number>('int prctl(int option, long a, long b, long c, long d)');

/** @throws SyscallError ESRCH when there is no such process */
export function pidfdOpen(pid: number): Fd {
  return new Fd(checked(syscall2(SYS_PIDFD_OPEN, pid, 0), 'pidfd_open', String(pid)));
}

/** pidfd_send_signal(2); false when the process has ended. Signal 0 only asks. @throws SyscallError */
export function pidfdSignal(pidfd: number, signal: number): boolean {
  // safe: siginfo is NULL, no memory is touched
  if (syscall4(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, 0, 0) >= 0) return true;
  const errno = lastErrno();
  if (errno === ESRCH) return false;
  throw new SyscallError('pidfd_send_signal', errno);
}

/** linux/prctl.h */
const PR_SET_PDEATHSIG = 1;
const PR_SET_CHILD_SUBREAPER = 36;

/** PR_SET_PDEATHSIG of this process; 0 clears it. Tied to the thread that started it, prctl(2) */
export function setParentDeathSignal(signal: number): void {
  checked(c_prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), 'prctl');
}

/** orphans below this process become its children */
export function setChildSubreaper(on: boolean): void {
  checked(c_prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0), 'prctl');
}

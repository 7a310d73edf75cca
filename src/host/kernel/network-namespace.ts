/** Visits to another process's network and UTS namespaces. setns(2), network_namespaces(7), uts_namespaces(7) */
import { writeFileSync } from 'node:fs';
import { open } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** linux/sched.h */
const CLONE_NEWUTS = 0x04000000;
const CLONE_NEWNET = 0x40000000;

const c_setns = systemCall<(fd: number, type: number) => number>('int setns(int fd, int type)');

/**
 * Calls `work` in the network namespace of a process. Only this thread is there, and only until `work` returns, so
 * `work` must not wait.
 * @throws SyscallError
 */
export function inNetworkNamespace<T>(pid: number, work: () => T): T {
  return inNamespace(pid, { name: 'net', type: CLONE_NEWNET }, work);
}

/** Gives the UTS namespace of a process a host name. @throws SyscallError */
export function setHostname(pid: number, hostname: string): void {
  // Documentation/admin-guide/sysctl/kernel.rst: the file is that of whoever writes it
  inNamespace(pid, { name: 'uts', type: CLONE_NEWUTS }, () => writeFileSync('/proc/sys/kernel/hostname', hostname));
}

function inNamespace<T>(pid: number, { name, type }: { name: string; type: number }, work: () => T): T {
  using own = open(`/proc/thread-self/ns/${name}`, 0);
  using theirs = open(`/proc/${pid}/ns/${name}`, 0);
  checked(c_setns(theirs.number, type), 'setns', `/proc/${pid}/ns/${name}`);
  try {
    return work();
  } finally {
    checked(c_setns(own.number, type), 'setns', `the own namespace "${name}"`);
  }
}

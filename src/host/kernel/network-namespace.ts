/** Visits to another process's network namespace. setns(2), network_namespaces(7) */
import { open } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** linux/sched.h */
const CLONE_NEWNET = 0x40000000;

const c_setns = systemCall<(fd: number, type: number) => number>('int setns(int fd, int type)');

/**
 * Calls `work` in the network namespace of a process. Only this thread is there, and only until `work` returns, so
 * `work` must not wait.
 * @throws SyscallError
 */
export function inNetworkNamespace<T>(pid: number, work: () => T): T {
  using own = open('/proc/thread-self/ns/net', 0);
  using theirs = open(`/proc/${pid}/ns/net`, 0);
  checked(c_setns(theirs.number, CLONE_NEWNET), 'setns', `/proc/${pid}/ns/net`);
  try {
    return work();
  } finally {
    checked(c_setns(own.number, CLONE_NEWNET), 'setns', 'the own network namespace');
  }
}

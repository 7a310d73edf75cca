/**
 * Chooses the CPUs that this process may run on. sched_setaffinity(2) is for one thread: it is called for every thread
 * that exists now, and later threads inherit the affinity.
 */
import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const { ESRCH } = constants.errno;
/** most CPUs, CONFIG_NR_CPUS of the largest kernels */
const MAX_CPUS = 8192;

const c_sched_setaffinity = systemCall<(tid: number, bytes: number, mask: Uint8Array) => number>(
  'int sched_setaffinity(int tid, size_t bytes, const uint8_t *mask)',
);

/** @throws SyscallError EINVAL when the host has none of these CPUs */
export function pinProcess(cpus: readonly number[]): void {
  const mask = new Uint8Array(MAX_CPUS / 8);
  for (const cpu of cpus) if (cpu < MAX_CPUS) mask[cpu >>> 3]! |= 1 << (cpu & 7);
  for (const tid of readdirSync('/proc/self/task')) {
    // safe: the kernel reads `bytes` of the mask, which is that long
    const result = c_sched_setaffinity(Number(tid), mask.length, mask);
    if (result === -ESRCH) continue; // the thread has ended
    checked(result, 'sched_setaffinity');
  }
}

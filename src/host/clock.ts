/** Setting the system's clock, for the machine that is ours alone: clock_settime(2). */
import { checked } from './libc.ts';
import { systemCall } from './system-call.ts';

/** linux/time.h */
const CLOCK_REALTIME = 0;

const c_clockSettime = systemCall<(clock: number, time: BigInt64Array) => number>('int clock_settime(int clock, const int64_t *time)');

/** @param milliseconds since the epoch. @throws SyscallError */
export function setRealTime(milliseconds: number): void {
  // safe: the kernel reads struct timespec, two int64
  const time = BigInt64Array.of(BigInt(Math.floor(milliseconds / 1000)), BigInt(Math.round((milliseconds % 1000) * 1e6)));
  checked(c_clockSettime(CLOCK_REALTIME, time), 'clock_settime');
}

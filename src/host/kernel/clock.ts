/**
 * The system's wall clock: this file sets it, on a machine that belongs to husk, and watches for the clock being set by
 * others. clock_settime(2), adjtimex(2), timerfd_create(2)
 */
import { Fd } from '../fd.ts';
import { checked } from '../libc.ts';
import { watchReadable, type Watch } from '../streams/poll.ts';
import { systemCall } from '../system-call.ts';

/** linux/time.h */
const CLOCK_REALTIME = 0;
/** sys/timerfd.h, linux/timerfd.h */
const TFD_FLAGS = 0o2000000 | 0o4000; // TFD_CLOEXEC, TFD_NONBLOCK
const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;
/** seconds since the epoch, in 2242: the timer expires only because the clock was set */
const NEVER = 2n ** 33n;
const EXPIRATIONS_BYTES = 8;

/** sys/timex.h: struct timex, its first two members, and the mode by which adjtime(3) works */
const TIMEX = { modes: 0, offset: 8, size: 208 } as const;
const ADJ_OFFSET_SINGLESHOT = 0x8001;

const c_clockSettime = systemCall<(clock: number, time: BigInt64Array) => number>(
  'int clock_settime(int clock, const int64_t *time)',
);
const adjtimex = systemCall<(timex: Uint8Array) => number>('int adjtimex(void *timex)');
const timerfdCreate = systemCall<(clock: number, flags: number) => number>('int timerfd_create(int clock, int flags)');
const timerfdSettime = systemCall<(fd: number, flags: number, value: BigInt64Array, old: null) => number>(
  'int timerfd_settime(int fd, int flags, const int64_t *value, void *old)',
);
const read = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t read(int fd, void *bytes, size_t length)',
);

/** @param milliseconds since the epoch @throws SyscallError */
export function setRealTime(milliseconds: number): void {
  // safe: the kernel reads struct timespec, two int64
  const time = BigInt64Array.of(
    BigInt(Math.floor(milliseconds / 1000)),
    BigInt(Math.round((milliseconds - Math.floor(milliseconds / 1000) * 1000) * 1e6)),
  );
  checked(c_clockSettime(CLOCK_REALTIME, time), 'clock_settime');
}

/**
 * Lets the clock run faster or slower (500 ppm) until it has moved by so much, so that programs see no jump.
 * @throws SyscallError
 */
export function slewRealTime(milliseconds: number): void {
  const timex = new Uint8Array(TIMEX.size);
  const view = new DataView(timex.buffer);
  view.setUint32(TIMEX.modes, ADJ_OFFSET_SINGLESHOT, true);
  // The offset is in microseconds.
  view.setBigInt64(TIMEX.offset, BigInt(Math.round(milliseconds * 1000)), true);
  // safe: the kernel reads and fills in struct timex, and the buffer has its size
  checked(adjtimex(timex), 'adjtimex');
}

/**
 * Calls back whenever this system's wall clock was set or the system was suspended (TFD_TIMER_CANCEL_ON_SET), until the
 * watch is closed.
 * @throws SyscallError
 */
export function watchClockSet(callback: () => void): Watch {
  const fd = new Fd(checked(timerfdCreate(CLOCK_REALTIME, TFD_FLAGS), 'timerfd_create'));
  // safe: the kernel reads struct itimerspec, four int64: no interval, and the time
  checked(
    timerfdSettime(fd.number, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, BigInt64Array.of(0n, 0n, NEVER, 0n), null),
    'timerfd_settime',
  );
  const expirations = new Uint8Array(EXPIRATIONS_BYTES);
  const watch = watchReadable(fd.number, () => {
    // The read gives ECANCELED; the timer stays armed and reports the next change too. safe: eight bytes of a buffer
    // that long
    read(fd.number, expirations, EXPIRATIONS_BYTES);
    callback();
  });
  const close = () => {
    watch.close();
    fd.close();
  };
  return { close, unref: () => watch.unref(), [Symbol.dispose]: close };
}

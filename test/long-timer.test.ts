/** Timers of any length. setTimeout is watched: nobody waits 25 days. */
import test from 'ava';
import { startTimer } from '../src/long-timer.ts';

const LONGEST = 2 ** 31 - 1;

test.serial('a wait longer than setTimeout has is made of several, and cancelled at any of them', (t) => {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  const waits: { callback: () => void; ms: number; cancelled?: boolean }[] = [];
  globalThis.setTimeout = ((callback: () => void, ms: number) => waits.push({ callback, ms }) - 1) as never;
  globalThis.clearTimeout = ((index: number) => void (waits[index]!.cancelled = true)) as never;
  try {
    let fired = 0;
    // seconds of the largest --stop-timeout that a command line takes, in ms
    const cancel = startTimer(3_000_000_000, () => fired++);
    t.deepEqual(
      waits.map(({ ms }) => ms),
      [LONGEST],
    );
    waits[0]!.callback();
    t.deepEqual(
      waits.map(({ ms }) => ms),
      [LONGEST, 3_000_000_000 - LONGEST],
    );
    t.is(fired, 0);
    waits[1]!.callback();
    t.is(fired, 1);
    cancel();
    t.true(waits[1]!.cancelled);
    startTimer(Infinity, () => fired++);
    waits[2]!.callback();
    t.is(waits[3]!.ms, LONGEST);
  } finally {
    Object.assign(globalThis, real);
  }
});

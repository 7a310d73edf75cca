/** Timers of any length. setTimeout is watched: nobody waits 25 days. */
import test from 'ava';
import { after, elapsed, startTimer, within } from '../src/long-timer.ts';

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

test('after: resolves in time, or throws the reason of its signal, also of one that was aborted before', async (t) => {
  await after(1);
  const reason = new Error('given up');
  const controller = new AbortController();
  const waiting = after(Infinity, { signal: controller.signal });
  controller.abort(reason);
  t.is(await t.throwsAsync(waiting), reason);
  t.is(await t.throwsAsync(after(0, { signal: controller.signal })), reason);
});

test('within: what a promise says in time, or late', async (t) => {
  t.is(await within(Promise.resolve(1), Infinity), 1);
  await t.throwsAsync(within(Promise.reject(new Error('no')), Infinity), { message: 'no' });
  const rejects = Promise.withResolvers<number>();
  t.is(await within(rejects.promise, 1), 'late');
  // nobody waits for it any more: no unhandled rejection
  rejects.reject(new Error('too late'));
  await after(1);
});

test('the clock goes on in milliseconds, as performance.now() does', (t) => {
  // each clock is read around the other: nothing that stands still in between counts against it
  const begin = performance.now();
  const from = elapsed();
  const inner = performance.now();
  while (performance.now() - inner < 5);
  const to = elapsed();
  const end = performance.now();
  t.true(to - from >= 4.9 && to - from <= end - begin + 0.1, `${to - from} of ${end - begin}`);
});

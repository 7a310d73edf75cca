/**
 * A guest's clock beside the host's: steps of either, a suspend, answers that are late or lies. Time is the test's own.
 */
import test from 'ava';
import { MOST_SLEW } from '../../src/agent-protocol.ts';
import { GuestClock } from '../../src/vmm/guest-clock.ts';

const START = 1_700_000_000_000;

/** A host and a guest whose clocks are numbers. @param trip ms that a request and an answer take each */
function world(
  options: {
    ahead?: number;
    trip?: [there: number, back: number];
    /** of the first ones */
    slow?: [there: number, back: number][];
    answer?: (time: number) => unknown;
    /** moves only later */ slews?: boolean;
  } = {},
) {
  const slow = [...(options.slow ?? [])];
  let now = 0;
  let wall = START;
  let guest = START + (options.ahead ?? 0);
  let set: () => void = () => {};
  let look: () => void = () => {};
  const shifts: number[] = [];
  let asked = 0;
  let during: (() => void) | undefined;
  const clock = new GuestClock(
    async (shift) => {
      asked++;
      const [there, back] = slow.shift() ?? options.trip ?? [1, 1];
      now += there;
      const act = during;
      during = undefined;
      act?.();
      if (shift !== undefined) {
        shifts.push(shift);
        if (!options.slews) guest += shift;
      }
      const answer = guest + now;
      now += back;
      return options.answer ? options.answer(answer) : answer;
    },
    {
      wall: () => wall + now,
      steady: () => now,
      watch: (onSet) => ((set = onSet), { close: () => (set = () => {}) }),
      every: (_ms, onTime) => ((look = onTime), { [Symbol.dispose]: () => (look = () => {}) }),
    },
  );
  return {
    clock,
    shifts,
    ahead: () => guest - wall,
    asked: () => asked,
    /** somebody sets the host's clock, or it was suspended for so long */
    step: (ms: number) => ((wall += ms), set()),
    /** NTP does, a little at a time: nobody is told */
    drift: (ms: number) => void (wall += ms),
    tick: () => look(),
    whileAsked: (act: () => void) => (during = act),
    settled: () => clock.look(),
  };
}

for (const ahead of [0, 4, -4])
  test(`${ahead} ms are left alone`, async (t) => {
    const { settled, shifts } = world({ ahead });
    await settled();
    t.deepEqual(shifts, []);
  });
for (const ahead of [30, -30, 60, -60, 3_600_000, -86_400_000])
  test(`${ahead} ms are put right`, async (t) => {
    const { settled, shifts, ahead: left } = world({ ahead });
    await settled();
    t.deepEqual(shifts, [-ahead]);
    t.is(left(), 0);
  });

test("the host's clock is set: the guest's follows at once; a suspend is a step, too", async (t) => {
  const { step, settled, ahead } = world();
  for (const ms of [5000, -7200_000, 8 * 3_600_000]) {
    step(ms);
    await settled();
    t.is(ahead(), 0);
  }
});

test('a drift is seen at the next look', async (t) => {
  const { drift, tick, settled, ahead, shifts } = world();
  drift(15);
  t.is(ahead(), -15);
  tick();
  await settled();
  t.deepEqual(shifts, [15]);
});

test('a small difference is told once: a clock that is slewed is not there at once', async (t) => {
  const { settled, shifts } = world({ ahead: MOST_SLEW - 1, slews: true });
  await settled();
  t.deepEqual(shifts, [1 - MOST_SLEW]);
});

for (const trip of [
  [2000, 0],
  [0, 2000],
  [30_000, 30_000],
] as const)
  test(`a host that is busy (${trip.join(' and ')} ms on the way) puts nothing out of order`, async (t) => {
    const right = world({ trip: [...trip] });
    await right.settled();
    t.true(Math.abs(right.ahead()) <= 50, `${right.ahead()}`);
    const wrong = world({ trip: [...trip], ahead: 3_600_000 });
    await wrong.settled();
    t.true(Math.abs(wrong.ahead()) <= (trip[0] + trip[1]) / 2 + 5, `${wrong.ahead()}`);
  });

test('an answer that took long proves nothing: the guest is asked until one shows its clock', async (t) => {
  const late = world({
    ahead: -100,
    slow: [
      [20, 300],
      [0, 250],
    ],
  });
  await late.settled();
  t.is(late.ahead(), 0);
  const right = world({ slow: [[300, 20]] });
  await right.settled();
  t.deepEqual([right.shifts, right.asked()], [[], 2]);
});

test('a guest that always takes long is not asked without end', async (t) => {
  const { settled, asked, shifts } = world({ trip: [30, 30] });
  await settled();
  t.deepEqual([shifts, asked()], [[], 5]);
});

test('a step while the guest is asked is not mixed up with its answer', async (t) => {
  const { step, settled, ahead, whileAsked } = world();
  whileAsked(() => step(10_000));
  await settled();
  t.is(ahead(), 0);
});

for (const [what, answer] of [
  ['nothing', undefined],
  ['a text', '1'],
  ['no number', NaN],
  ['no end', Infinity],
  ['a year beyond all', 1e300],
] as const)
  test(`a guest that answers ${what} is left alone`, async (t) => {
    const { settled, shifts, asked } = world({ answer: () => answer });
    await settled();
    t.deepEqual(shifts, []);
    t.is(asked(), 1);
  });

test('a guest whose clock is never right is not asked without end', async (t) => {
  const { settled, asked } = world({ answer: () => 0 });
  await settled();
  t.true(asked() <= 10);
});

test('a guest that fails to answer, and a machine that has ended, are no errors', async (t) => {
  const { settled, asked, clock, step, tick } = world({
    answer: () => {
      throw new Error('gone');
    },
  });
  await settled();
  const before = asked();
  clock[Symbol.dispose]();
  step(5000);
  tick();
  await settled();
  t.is(asked(), before);
});

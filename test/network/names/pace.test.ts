/** How often something may happen, by a clock of the test's own. */
import test from 'ava';
import { Pace } from '../../../src/network/names/pace.ts';

test('so many at once, then so many a second, and never more than that in store', (t) => {
  let now = 0;
  const pace = new Pace({ each: 10, burst: 3, now: () => now });
  const taken = () => Array.from({ length: 5 }, () => pace.take()).filter(Boolean).length;
  t.is(taken(), 3);
  t.is(pace.wait, 100);
  now += 50;
  t.is(pace.wait, 50);
  t.is(taken(), 0);
  now += 50;
  t.is(pace.wait, 0);
  t.is(taken(), 1);
  now += 60_000;
  t.is(taken(), 3);
});

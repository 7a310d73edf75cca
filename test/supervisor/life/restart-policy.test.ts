import test from 'ava';
import { RestartBackOff, shouldRestart } from '../../../src/supervisor/life/restart-policy.ts';

for (const [name, retries, exitCode, ending, restarts, expected] of [
  ['no', 0, 1, false, 0, false],
  ['always', 0, 0, false, 5, true],
  ['always', 0, 0, true, 0, false],
  ['unless-stopped', 0, 0, false, 0, true],
  ['on-failure', 0, 0, false, 0, false],
  ['on-failure', 0, 1, false, 1000, true],
  ['on-failure', 3, 1, false, 2, true],
  ['on-failure', 3, 1, false, 3, false],
] as const) {
  test(`${name}:${retries} after ${restarts} restarts, exit ${exitCode}${ending ? ', told to end' : ''}`, (t) => {
    t.is(shouldRestart({ name, maximumRetryCount: retries }, { exitCode, ending, restarts }), expected);
  });
}

test('the wait doubles from 100 ms to a minute, and begins again after a good run', (t) => {
  const backOff = new RestartBackOff();
  backOff.started(0);
  const waits = Array.from({ length: 12 }, () => backOff.next(1));
  t.deepEqual(waits.slice(0, 4), [100, 200, 400, 800]);
  t.is(waits.at(-1), 60_000);
  backOff.started(0);
  t.is(backOff.next(10_000), 100);
});

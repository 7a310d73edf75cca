import test from 'ava';
import {
  goDuration,
  healthAfter,
  probeDelay,
  ProbeOutput,
  restingHealth,
  startingHealth,
  timeoutMessage,
} from '../../../src/supervisor/life/health.ts';
import type { HealthState } from '../../../src/state/containers.ts';

const result = (exitCode: number) => ({ start: 's', end: 'e', exitCode, output: '' });

/** each letter is a probe: o good, x bad, and what the container is after it */
for (const [title, probes, check, expected] of [
  ['a good one makes it healthy', 'o', {}, 'healthy 0'],
  ['bad ones do not, until so many in a row', 'xx', {}, 'starting 2'],
  ['three in a row make it unhealthy', 'xxx', {}, 'unhealthy 3'],
  ['a good one between begins anew', 'xxoxx', {}, 'healthy 2'],
  ['a healthy one becomes unhealthy', 'oxxx', {}, 'unhealthy 3'],
  ['an unhealthy one recovers at once', 'xxxxo', {}, 'healthy 0'],
  ['the streak goes on counting', 'xxxxxxx', {}, 'unhealthy 7'],
  ['retries of one', 'x', { retries: 1 }, 'unhealthy 1'],
  ['in the start period failures do not count', 'xxxxx', { startPeriod: 100 }, 'starting 0'],
  ['in the start period after a success they do', 'oxxx', { startPeriod: 100 }, 'unhealthy 3'],
  ['after the start period they do', 'xxx', { startPeriod: 5 }, 'unhealthy 3'],
] as const) {
  test(title, (t) => {
    let health: HealthState = startingHealth(undefined);
    for (const probe of probes)
      health = healthAfter(health, result(probe === 'o' ? 0 : 1), { retries: 3, startPeriod: 0, ...check }, 10);
    t.is(`${health.status} ${health.failingStreak}`, expected);
  });
}

test('the last five results are kept, oldest first, over a restart and a stop', (t) => {
  let health = startingHealth(undefined);
  for (let exitCode = 0; exitCode < 8; exitCode++)
    health = healthAfter(health, result(exitCode), { retries: 3, startPeriod: 0 }, 0);
  t.deepEqual(
    health.log.map(({ exitCode }) => exitCode),
    [3, 4, 5, 6, 7],
  );
  t.like(restingHealth(health), { status: 'unhealthy', failingStreak: 7, log: health.log });
  t.like(startingHealth(health), { status: 'starting', failingStreak: 0, log: health.log });
});

for (const [status, sinceStart, expected] of [
  ['starting', 0, 5],
  ['starting', 99, 5],
  ['starting', 100, 30],
  ['healthy', 0, 30],
  ['unhealthy', 50, 30],
] as const)
  test(`${status} ${sinceStart} ms after the start: next probe in ${expected}`, (t) =>
    t.is(probeDelay(status, { interval: 30, startInterval: 5, startPeriod: 100 }, sinceStart), expected));

for (const [ms, text] of [
  [0, '0s'],
  [1, '1ms'],
  [999, '999ms'],
  [1000, '1s'],
  [1500, '1.5s'],
  [60_000, '1m0s'],
  [90_000, '1m30s'],
  [3_600_000, '1h0m0s'],
  [3_723_004, '1h2m3.004s'],
] as const)
  test(`Go writes ${ms} ms as ${text}`, (t) => t.is(goDuration(ms), text));

test("a timeout is told in Docker's words", (t) => {
  t.is(timeoutMessage(1000, ''), 'Health check exceeded timeout (1s)');
  t.is(timeoutMessage(500, 'so far'), 'Health check exceeded timeout (500ms): so far');
});

test('output is kept up to 4096 bytes', (t) => {
  const output = new ProbeOutput();
  output.push(Buffer.alloc(4000, 'a'));
  t.is(String(output).length, 4000);
  output.push(Buffer.alloc(96, 'b'));
  t.true(String(output).endsWith('b'));
  for (let more = 0; more < 100; more++) output.push(Buffer.alloc(65_536, 'c'));
  t.is(String(output), `${'a'.repeat(4000)}${'b'.repeat(96)}...`);
});

test('output cut within a character, and bytes that are no text, stay a string', (t) => {
  const output = new ProbeOutput();
  output.push(Buffer.alloc(4095, 'a'));
  output.push(Buffer.from('é'));
  t.true(String(output).endsWith('\ufffd...'));
});

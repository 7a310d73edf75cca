/** Probes over processes that a test plays: when they begin, what kills them, and that they never pile up. */
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { SandboxProcess } from '../../../src/sandbox.ts';
import type { HealthResult } from '../../../src/state/containers.ts';
import { HealthMonitor } from '../../../src/supervisor/life/health-monitor.ts';
import type { HealthCheck } from '../../../src/supervisor/protocol/protocol.ts';

const CHECK: HealthCheck = {
  process: { args: ['probe'], env: [], cwd: '/', user: { uid: 0, gid: 0 } },
  interval: 5,
  timeout: 60,
  startPeriod: 0,
  startInterval: 5,
  retries: 3,
};

interface Played {
  process: SandboxProcess;
  say(text: string): void;
  exit(code: number): void;
  signals: number[];
}

function play(): Played {
  const stdout = new PassThrough();
  const exited = Promise.withResolvers<{ code: number }>();
  const signals: number[] = [];
  return {
    process: {
      pid: 1,
      stdin: null,
      stdout,
      stderr: null,
      resize: () => {},
      signal: (signal) => void signals.push(signal),
      exited: exited.promise,
    },
    say: (text) => void stdout.write(text),
    exit(code) {
      stdout.end();
      exited.resolve({ code });
    },
    signals,
  };
}

function monitor(each: (probe: Played, count: number) => void, check: Partial<HealthCheck> = {}) {
  const probes: Played[] = [];
  const results: HealthResult[] = [];
  const running = new HealthMonitor({
    check: { ...CHECK, ...check },
    startedAt: performance.now(),
    exec: async () => {
      const probe = play();
      probes.push(probe);
      each(probe, probes.length);
      return probe.process;
    },
    record: (result) => {
      results.push(result);
      return result.exitCode === 0 ? 'healthy' : 'starting';
    },
  });
  const until = async (count: number) => {
    while (results.length < count) await sleep(2);
  };
  return { probes, results, until, stop: () => running.stop() };
}

test('probes one after another, with their output and exit code', async (t) => {
  const { results, until, stop } = monitor((probe, count) => {
    probe.say(`probe ${count}`);
    probe.exit(count === 1 ? 0 : 7);
  });
  await until(2);
  stop();
  t.deepEqual(
    results.slice(0, 2).map(({ exitCode, output }) => [exitCode, output]),
    [
      [0, 'probe 1'],
      [7, 'probe 2'],
    ],
  );
});

test('a result that cannot be written down is lost, and the next one is not', async (t) => {
  const recorded: HealthResult[] = [];
  const running = new HealthMonitor({
    check: CHECK,
    startedAt: performance.now(),
    exec: async () => {
      const probe = play();
      probe.exit(0);
      return probe.process;
    },
    record: (result) => {
      if (recorded.push(result) === 1) throw new Error('database or disk is full');
      return 'healthy';
    },
  });
  while (recorded.length < 3) await sleep(2);
  running.stop();
  t.pass();
});

test('one over its time is killed, and the next waits for its end', async (t) => {
  const { probes, results, until, stop } = monitor((probe) => probe.say('half'));
  await until(1);
  t.like(results[0], { exitCode: -1, output: 'Health check exceeded timeout (60ms): half' });
  t.deepEqual(probes[0]!.signals, [9]);
  await sleep(100);
  t.is(probes.length, 1, 'the first has not ended yet');
  probes[0]!.exit(137);
  await until(2);
  stop();
  t.is(probes.length, 2);
});

test('one that cannot be started is a failure with the reason', async (t) => {
  const results: HealthResult[] = [];
  const running = new HealthMonitor({
    check: CHECK,
    startedAt: performance.now(),
    exec: () => Promise.reject(new Error('exec: "curl": executable file not found in $PATH')),
    record: (result) => (results.push(result), 'starting'),
  });
  while (results.length < 1) await sleep(2);
  running.stop();
  t.like(results[0], { exitCode: -1, output: 'exec: "curl": executable file not found in $PATH' });
});

test('a start that hangs is a timeout; what it starts later is killed', async (t) => {
  const started = Promise.withResolvers<SandboxProcess>();
  const results: HealthResult[] = [];
  const running = new HealthMonitor({
    check: { ...CHECK, timeout: 20 },
    startedAt: performance.now(),
    exec: () => started.promise,
    record: (result) => (results.push(result), 'starting'),
  });
  while (results.length < 1) await sleep(2);
  const probe = play();
  started.resolve(probe.process);
  while (probe.signals.length === 0) await sleep(2);
  running.stop();
  t.is(results[0]!.output, 'Health check exceeded timeout (20ms)');
});

test('after stop nothing is recorded, and what runs is killed', async (t) => {
  const { probes, results, stop } = monitor(() => {}, { timeout: 1000 });
  while (probes.length < 1) await sleep(2);
  stop();
  t.deepEqual(probes[0]!.signals, [9]);
  probes[0]!.exit(0);
  await sleep(50);
  t.deepEqual(results, []);
  t.is(probes.length, 1);
});

test('children that hold the output open do not hold up the result', async (t) => {
  const begun = performance.now();
  const { probes, results, until, stop } = monitor(
    (probe) => {
      probe.say('done');
      const { exited } = probe.process;
      Object.assign(probe.process, { exited: exited.then(() => ({ code: 0 })) });
      // its stdout stays open and is written to
      const timer = setInterval(() => probe.say('.'), 20);
      t.teardown(() => clearInterval(timer));
      Object.assign(probe.process, { exited: Promise.resolve({ code: 0 }) });
    },
    { timeout: 60_000 },
  );
  await until(1);
  stop();
  t.is(results[0]!.exitCode, 0);
  t.true(performance.now() - begun < 30_000);
  t.true(probes[0]!.process.stdout.destroyed);
});

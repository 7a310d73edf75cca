/** Health checks from flags and image to record, events, `ps` and `inspect`, over the fake sandbox. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { CreateOptions } from '../../../src/engine/contract.ts';
import { checkHealthcheck, mergeHealthcheck } from '../../../src/engine/create/spec/health.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

const MS = 1e6;

async function start(
  { engine }: TestEngine,
  healthcheck: CreateOptions['healthcheck'],
  more: Partial<CreateOptions> = {},
): Promise<string> {
  const { id } = await engine.create(createOptions({ command: ['sleep', '100'], healthcheck, ...more }));
  await engine.start(id);
  return id;
}

async function until(
  { engine }: TestEngine,
  id: string,
  wanted: (health: NonNullable<ReturnType<typeof engine.get>['state']['health']>) => boolean,
): Promise<void> {
  while (!wanted(engine.get(id).state.health!)) await sleep(10);
}

function healthEvents({ paths }: TestEngine): string[] {
  using database = new DatabaseSync(paths.database, { readOnly: true }) as DatabaseSync & Disposable;
  return database
    .prepare('SELECT record FROM events ORDER BY sequence')
    .all()
    .map((row) => (JSON.parse(String(row['record'])) as { Action: string }).Action)
    .filter((action) => action.startsWith('health_status'));
}

test('starting, healthy, unhealthy and back, each told once', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, dataRoot } = fixture;
  const [gate, flag] = [join(dataRoot, 'gate'), join(dataRoot, 'flag')];
  // a probe that hangs for so long as the test needs `starting` to last
  const id = await start(fixture, {
    Test: ['CMD-SHELL', `echo probed; while ! test -e ${gate}; do sleep 0.02; done; test -e ${flag}`],
    Interval: 100 * MS,
    Timeout: 600_000 * MS,
    Retries: 2,
  });
  t.is(engine.get(id).state.health!.status, 'starting');
  t.deepEqual(engine.list({ filters: { health: ['starting'] } }).length, 1);
  writeFileSync(flag, '');
  writeFileSync(gate, '');
  await until(fixture, id, ({ status }) => status === 'healthy');
  t.is(engine.list({ filters: { health: ['healthy'] } }).length, 1);
  rmSync(flag);
  await until(fixture, id, ({ status, failingStreak }) => status === 'unhealthy' && failingStreak >= 3);
  const { State } = (await engine.inspect(id)) as {
    State: { Health: { Status: string; Log: { ExitCode: number; Output: string; Start: string }[] } };
  };
  t.is(State.Health.Status, 'unhealthy');
  t.like(State.Health.Log.at(-1), { ExitCode: 1, Output: 'probed\n' });
  t.true(State.Health.Log.length <= 5);
  writeFileSync(flag, '');
  await until(fixture, id, ({ status }) => status === 'healthy');
  t.deepEqual(healthEvents(fixture), ['health_status: healthy', 'health_status: unhealthy', 'health_status: healthy']);
  rmSync(gate);
  await engine.stop(id, { timeout: 0 });
  t.is(engine.get(id).state.health!.status, 'unhealthy', 'as Docker shows a stopped one');
  await engine.start(id);
  t.like(engine.get(id).state.health, { status: 'starting', failingStreak: 0 });
});

test('probes begin again after a restart by policy', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await start(
    fixture,
    { Test: ['CMD', 'true'], Interval: 20 * MS },
    { command: ['sh', '-c', 'sleep 0.3; exit 1'], restart: { name: 'always', maximumRetryCount: 0 } },
  );
  for (const restarts of [0, 1, 2]) {
    while (fixture.engine.get(id).state.restartCount < restarts) await sleep(10);
    await until(fixture, id, ({ status }) => status === 'healthy');
  }
  t.pass();
});

test('no probes while paused', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, dataRoot } = fixture;
  const mark = join(dataRoot, 'mark');
  const id = await start(fixture, { Test: ['CMD', 'touch', mark], Interval: 20 * MS });
  await until(fixture, id, ({ status }) => status === 'healthy');
  await engine.pause(id);
  rmSync(mark, { force: true });
  await sleep(200);
  t.false(existsSync(mark));
  await engine.unpause(id);
  await until(fixture, id, ({ status }) => status === 'healthy');
  t.true(existsSync(mark));
});

for (const [title, check] of [
  ['NONE', { Test: ['NONE'] }],
  ['an empty test', { Interval: 1000 * MS }],
  ['a kind nobody knows', { Test: ['HTTP', 'localhost'] }],
] as const) {
  test(`${title}: no health`, async (t) => {
    const fixture = await openTestEngine(t);
    const id = await start(fixture, { ...check, Test: 'Test' in check ? [...check.Test] : undefined });
    t.is(fixture.engine.get(id).state.health, undefined);
    t.is(fixture.engine.list({ filters: { health: ['none'] } }).length, 1);
    t.false('Health' in ((await fixture.engine.inspect(id)) as { State: object }).State);
  });
}

test('a filter by a health there is not', async (t) => {
  const { engine } = await openTestEngine(t);
  t.throws(() => engine.list({ filters: { health: ['ill'] } }), { message: "invalid filter 'health=ill'" });
});

test("the image's check fills in what was not asked for", (t) => {
  const image = { Test: ['CMD', 'a'], Interval: 1, Timeout: 2, Retries: 3 };
  t.deepEqual(mergeHealthcheck(undefined, image), image);
  t.deepEqual(mergeHealthcheck({ Test: ['CMD', 'b'] }, undefined), { Test: ['CMD', 'b'] });
  t.like(mergeHealthcheck({ Interval: 9, Test: undefined }, image), {
    Test: ['CMD', 'a'],
    Interval: 9,
    Timeout: 2,
    Retries: 3,
  });
  t.like(mergeHealthcheck({ Test: ['NONE'] }, image), { Test: ['NONE'] });
});

for (const [check, message] of [
  [{ Interval: 10 }, 'Interval in Healthcheck cannot be less than 1ms'],
  [{ Timeout: 999_999 }, 'Timeout in Healthcheck cannot be less than 1ms'],
  [{ StartPeriod: -1 }, 'StartPeriod in Healthcheck cannot be less than 1ms'],
  [{ StartInterval: 1 }, 'StartInterval in Healthcheck cannot be less than 1ms'],
  [{ Retries: -1 }, 'Retries in Healthcheck cannot be negative'],
] as const)
  test(message, (t) => void t.throws(() => checkHealthcheck(check), { message }));

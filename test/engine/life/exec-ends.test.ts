/**
 * Execs and their container's life: where none is made, what is known of one when the container ends under it, and what
 * a client can do to the rows of others. Over the fake sandbox.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import type { HuskError } from '../../../src/errors.ts';
import { createOptions, openTestEngine, readAll } from '../fixture.ts';
import { background, ended, execEvents, execIds, make } from './exec-fixture.ts';

for (const [state, change, text] of [
  [
    'is paused',
    (engine: Engine, id: string) => engine.pause(id),
    'Container ID is paused, unpause the container before exec',
  ],
  ['has ended', (engine: Engine, id: string) => engine.stop(id, { timeout: 0 }), 'container ID is not running'],
] as const)
  test(`in a container that ${state} none is made or started`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine } = fixture;
    const container = await background(fixture);
    const id = await make(fixture, container, ['true']);
    await change(engine, container);
    const expected = { kind: 'conflict', message: text.replace('ID', container) };
    t.like(await t.throwsAsync<HuskError>(make(fixture, container, ['true'])), expected);
    if (state === 'is paused') {
      t.like(await t.throwsAsync<HuskError>(engine.execStart(id, { detach: true })), expected);
      await engine.unpause(container);
      t.is(await engine.execStart(id, { detach: true }), undefined);
    } else
      t.like(await t.throwsAsync<HuskError>(engine.execStart(id, { detach: true })), {
        kind: 'not-found',
        message: `No such exec instance: ${id}`,
      });
  });

test('in a container that waits for its next start none is made', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const { id } = await engine.create(
    createOptions({ command: ['false'], restart: { name: 'always', maximumRetryCount: 0 } }),
  );
  await engine.start(id);
  while (engine.get(id).state.status !== 'restarting') await sleep(1);
  await t.throwsAsync(make(fixture, id, ['true']), { message: /is restarting|is not running/ });
});

for (const [name, end] of [
  ['the container ends', (engine: Engine, container: string) => engine.kill(container, 'KILL')],
  [
    'its supervisor is killed',
    async (engine: Engine, container: string) => {
      process.kill(engine.get(container).state.supervisor!.pid, 'SIGKILL');
    },
  ],
] as const)
  test(`${name} during an exec: 137 for its client and whoever asks; what was not started is gone`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine } = fixture;
    const container = await background(fixture);
    const [runs, waits, before] = [
      await make(fixture, container, ['sleep', '1000']),
      await make(fixture, container, ['true']),
      await make(fixture, container, ['true']),
    ];
    await engine.execStart(before, { detach: true });
    t.is((await ended(engine, before)).exitCode, 0);
    const attachment = (await engine.execStart(runs, { detach: false }))!;
    await end(engine, container);
    t.is((await readAll(attachment)).code, 137);
    await engine.wait(container);
    t.like(engine.execInspect(runs), { running: false, exitCode: 137 });
    t.is(engine.execInspect(before).exitCode, 0);
    t.is(await execIds(engine, container), null);
    t.like(
      t.throws<HuskError>(() => engine.execInspect(waits)),
      {
        kind: 'not-found',
        message: `No such exec instance: ${waits}`,
      },
    );
    t.deepEqual(execEvents(fixture).slice(-2), ['exec_die 137', 'die 137']);
    // and with the container they are gone for good
    await engine.remove(container);
    for (const id of [runs, before])
      t.throws(() => engine.execInspect(id), { message: `No such exec instance: ${id}` });
  });

test('the code of an exec by which the container ends is known afterwards', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const container = await background(fixture);
  const { pid } = engine.get(container).state;
  const id = await make(fixture, container, ['kill', '-9', String(pid)]);
  const attachment = (await engine.execStart(id, { detach: false }))!;
  const { code } = await readAll(attachment);
  await engine.wait(container);
  t.true([0, 137].includes(code));
  t.is(engine.execInspect(id).exitCode, code);
});

test('with --rm nothing is left', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const container = await background(fixture, { autoRemove: true });
  const id = await make(fixture, container, ['sleep', '1000']);
  await engine.execStart(id, { detach: true });
  await engine.stop(container, { timeout: 0 });
  t.throws(() => engine.execInspect(id), { message: `No such exec instance: ${id}` });
  await t.throwsAsync(engine.execStart(id, { detach: true }), { message: `No such exec instance: ${id}` });
});

for (const id of ['', 'nope', '0'.repeat(64), 'f'.repeat(63), '../../etc', "' OR 1=1 --", '\0', 'x'.repeat(100_000)])
  test(`no exec has the id ${JSON.stringify(id.slice(0, 70))} (${id.length})`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine } = fixture;
    await make(fixture, await background(fixture), ['true']);
    const expected = { kind: 'not-found', message: `No such exec instance: ${id}` };
    t.like(
      t.throws<HuskError>(() => engine.execInspect(id)),
      expected,
    );
    t.like(await t.throwsAsync<HuskError>(engine.execStart(id, { detach: true })), expected);
    t.like(await t.throwsAsync<HuskError>(engine.execResize(id, { columns: 1, rows: 1 })), expected);
  });

test("a container's id is no exec's, and an exec's no container's", async (t) => {
  const fixture = await openTestEngine(t);
  const container = await background(fixture);
  const id = await make(fixture, container, ['true']);
  t.throws(() => fixture.engine.execInspect(container), { message: `No such exec instance: ${container}` });
  await t.throwsAsync(make(fixture, id, ['true']), { message: `No such container: ${id}` });
});

test('a client that only makes them loses its oldest, and the database stays small', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const container = await background(fixture);
  const first = await make(fixture, container, ['true']);
  const runs = await make(fixture, container, ['sleep', '1000']);
  await engine.execStart(runs, { detach: true });
  let last = '';
  for (let count = 0; count < 10_000; count++) last = await make(fixture, container, ['true']);
  t.is((await execIds(engine, container))!.length, 1024 + 1);
  t.throws(() => engine.execInspect(first), { message: `No such exec instance: ${first}` });
  t.true(engine.execInspect(runs).running);
  t.is(await engine.execStart(last, { detach: true }), undefined);
});

test('probes of health leave no rows, and are not listed', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, paths } = fixture;
  const MS = 1e6;
  const container = await background(fixture, {
    healthcheck: { Test: ['CMD-SHELL', 'sleep 0.1'], Interval: 20 * MS, Timeout: 600_000 * MS, Retries: 1 },
  });
  while (engine.get(container).state.health!.log.length < 3) {
    t.is(await execIds(engine, container), null);
    await sleep(10);
  }
  using database = new DatabaseSync(paths.database, { readOnly: true }) as DatabaseSync & Disposable;
  t.is(database.prepare('SELECT count(*) AS count FROM execs').get()!['count'], 0);
});

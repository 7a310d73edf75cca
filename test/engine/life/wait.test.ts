/**
 * `wait` beside whatever ends a container, over the fake sandbox: lives too short to be looked at, removals, restarts,
 * kill -9, other processes. HUSK_WAIT_ROUNDS sets how many short lives of each kind are waited for.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import type { ContainerExit, Engine } from '../../../src/engine/contract.ts';
import { appendEvent, MAX_EVENTS } from '../../../src/state/events.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

const ROUNDS = Number(process.env['HUSK_WAIT_ROUNDS'] ?? 16);
/** of them at a time: two cores are shared with the other tests */
const AT_ONCE = 4;
const FOREVER = ['sleep', '1000'];
const WORKER = join(import.meta.dirname, '../crash-worker.ts');
type Options = Parameters<typeof createOptions>[0];

async function make({ engine }: TestEngine, command: string[], options: Options = {}): Promise<string> {
  return (await engine.create(createOptions({ command, ...options }))).id;
}

async function running(fixture: TestEngine, command = FOREVER, options: Options = {}): Promise<string> {
  const id = await make(fixture, command, options);
  await fixture.engine.start(id);
  return id;
}

async function rounds(work: (round: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < ROUNDS) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** start as another husk process does it */
async function startElsewhere({ dataRoot }: TestEngine, id: string): Promise<void> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WORKER, dataRoot, 'start', id], {
    stdio: 'inherit',
  });
  await once(child, 'exit');
}

for (const [what, condition, options, started] of [
  ['next-exit', 'next-exit', {}, 'here'],
  ['removed, with --rm', 'removed', { autoRemove: true }, 'here'],
  ['next-exit, with --rm', 'next-exit', { autoRemove: true }, 'here'],
  ['next-exit, started by another process', 'next-exit', {}, 'elsewhere'],
] as const)
  test(`create, wait, start: every code is right: ${what}`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine } = fixture;
    await rounds(async (round) => {
      // every other one is `true`, which lives for some milliseconds
      const code = round % 2 === 0 ? 0 : 1 + (round % 125);
      const id = await make(fixture, code === 0 ? ['true'] : ['sh', '-c', `exit ${code}`], options);
      const waiting = engine.wait(id, { condition });
      await (started === 'here' ? engine.start(id) : startElsewhere(fixture, id));
      t.deepEqual(await waiting, { code });
    });
  });

test('it waits from the call on, and not from the first turn of its promise', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await running(fixture);
  const waiting = fixture.engine.wait(id, { condition: 'next-exit' });
  // nothing that waits has had a turn yet
  const database = new DatabaseSync(fixture.paths.database);
  appendEvent(database, { Type: 'container', Action: 'die', Actor: { ID: id, Attributes: { exitCode: '11' } } });
  database.close();
  t.deepEqual(await waiting, { code: 11 });
});

test('an exit of before the call is no next exit', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.run(['sh', '-c', 'exit 3']);
  const given = new AbortController();
  const waiting = fixture.engine.wait(id, { condition: 'next-exit', signal: given.signal });
  t.is(await Promise.race([waiting, sleep(300, 'waits')]), 'waits');
  given.abort(new Error('enough'));
  await t.throwsAsync(waiting, { message: 'enough' });
  const again = fixture.engine.wait(id, { condition: 'next-exit' });
  await fixture.engine.start(id);
  t.deepEqual(await again, { code: 3 });
});

for (const condition of ['not-running', 'next-exit', 'removed'] as const)
  test(`kill -9 of the supervisor: ${condition}`, async (t) => {
    const fixture = await openTestEngine(t);
    const id = await running(fixture, FOREVER, { autoRemove: condition === 'removed' });
    const waits = [1, 2, 3].map(() => fixture.engine.wait(id, { condition }));
    await sleep(50 * (condition.length % 3));
    process.kill(fixture.engine.get(id).state.supervisor!.pid, 'SIGKILL');
    t.deepEqual(
      await Promise.all(waits),
      Array.from({ length: 3 }, () => ({ code: 137 })),
    );
  });

test('kill -9 of the supervisor before the call: it has exited already', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await running(fixture);
  process.kill(fixture.engine.get(id).state.supervisor!.pid, 'SIGKILL');
  t.deepEqual(await fixture.engine.wait(id), { code: 137 });
});

test('a start that fails ends the wait, and says why', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const why = 'exec: "no-such-command": executable file not found in $PATH';
  const kept = await make(fixture, ['no-such-command']);
  const gone = await make(fixture, ['no-such-command'], { autoRemove: true });
  const waits = [engine.wait(kept, { condition: 'next-exit' }), engine.wait(gone, { condition: 'removed' })];
  for (const id of [kept, gone]) await t.throwsAsync(engine.start(id), { message: why });
  t.deepEqual(await Promise.all(waits), [
    { code: 127, error: why },
    { code: 127, error: why },
  ]);
  t.deepEqual(await engine.wait(kept), { code: 127, error: why }, 'and afterwards, from the record');
});

test('a start that fails before there is a supervisor ends the wait, and takes one with --rm away', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const base = await make(fixture, FOREVER, { name: 'base' });
  const joining = { network: `container:${base}` };
  const kept = await make(fixture, FOREVER, joining);
  const gone = await make(fixture, FOREVER, { ...joining, autoRemove: true });
  const { engine: broken } = await openTestEngine(undefined, fixture.dataRoot, {
    get: () => {
      throw new Error('the image is gone');
    },
  });
  const waits = [engine.wait(kept, { condition: 'next-exit' }), engine.wait(gone, { condition: 'removed' })];
  for (const id of [kept, gone]) await t.throwsAsync(broken.start(id), { message: 'the image is gone' });
  t.deepEqual(await Promise.all(waits), [
    { code: 128, error: 'the image is gone' },
    { code: 128, error: 'the image is gone' },
  ]);
  t.like(engine.get(kept).state, { status: 'created', exitCode: 128, error: 'the image is gone' });
  t.throws(() => engine.get(gone), { message: /No such container/ });
  broken[Symbol.dispose]();
});

test('whoever starts it is killed: the wait ends', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, paths } = fixture;
  const id = await make(fixture, FOREVER);
  const claimer = spawn('sleep', ['1000']);
  await once(claimer, 'spawn');
  const { identify } = await import('../../../src/state/process-identity.ts');
  const { ContainerStore } = await import('../../../src/state/containers.ts');
  const database = new DatabaseSync(paths.database);
  new ContainerStore(database).change(id, (state) => ({
    ...state,
    claim: { by: identify(claimer.pid!)!, operation: 'start' },
  }));
  const waiting = engine.wait(id, { condition: 'next-exit' });
  await sleep(100);
  claimer.kill('SIGKILL');
  t.deepEqual(await waiting, { code: 128, error: 'the process that started the container was killed' });
  database.close();
});

test('a restart policy: each exit is the next exit once, not-running too; removed is the last', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const restart = { name: 'on-failure', maximumRetryCount: 2 } as const;
  const id = await make(fixture, ['sh', '-c', 'exit 9'], { restart });
  const removed = engine.wait(id, { condition: 'removed' });
  const first = engine.wait(id, { condition: 'next-exit' });
  await engine.start(id);
  t.deepEqual(await first, { code: 9 });
  while (engine.get(id).state.status !== 'exited') await sleep(20);
  t.is(engine.get(id).state.restartCount, 2);
  await engine.remove(id);
  t.deepEqual(await removed, { code: 9 });
});

test('stopped while it waits for its next start: the code of its last exit', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const id = await running(fixture, ['sh', '-c', 'exit 9'], { restart: { name: 'always', maximumRetryCount: 0 } });
  // the back-off doubles: the third wait is long enough to be met
  while (!(engine.get(id).state.restartCount >= 2 && engine.get(id).state.status === 'restarting')) await sleep(5);
  const waiting = engine.wait(id);
  await engine.stop(id);
  t.deepEqual(await waiting, { code: 9 });
});

test('a forced removal, and a removal of one that never ran', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const [busy, idle] = [await running(fixture), await make(fixture, FOREVER)];
  const all = (id: string) =>
    (['next-exit', 'removed'] as const).map((condition) => engine.wait(id, { condition })) as Promise<ContainerExit>[];
  const waits = [...all(busy), ...all(idle)];
  await engine.remove(busy, { force: true });
  await engine.remove(idle);
  t.deepEqual(
    (await Promise.all(waits)).map(({ code }) => code),
    [137, 137, 0, 0],
  );
  await t.throwsAsync(engine.wait(busy), { message: `No such container: ${busy}` });
});

test('more events than are kept come between two looks', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, paths } = fixture;
  const id = await make(fixture, ['sh', '-c', 'exit 5']);
  const database = new DatabaseSync(paths.database);
  // before its first look, and before its second one
  const flood = () => {
    database.exec('BEGIN IMMEDIATE');
    for (let count = 0; count < MAX_EVENTS + 100; count++)
      appendEvent(database, { Type: 'container', Action: 'x', Actor: { ID: 'other', Attributes: {} } });
    database.exec('COMMIT');
  };
  const waiting = engine.wait(id, { condition: 'next-exit' });
  flood();
  await sleep(200);
  flood();
  await engine.start(id);
  t.deepEqual(await waiting, { code: 5 });
  database.close();
});

test('a client that gives up is rid of it, and the container goes on', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await running(fixture);
  for (const when of [0, 100]) {
    const given = new AbortController();
    const waiting = fixture.engine.wait(id, { signal: given.signal });
    await sleep(when);
    given.abort(new Error('gone'));
    await t.throwsAsync(waiting, { message: 'gone' });
  }
  await t.throwsAsync(fixture.engine.wait(id, { signal: AbortSignal.abort(new Error('before')) }), {
    message: 'before',
  });
  t.is(fixture.engine.get(id).state.status, 'running');
});

test('many wait for one, of several engines', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await make(fixture, ['sh', '-c', 'sleep 0.2; exit 21']);
  const { engine: other } = await openTestEngine(undefined, fixture.dataRoot);
  const of = (engine: Engine) => Array.from({ length: 20 }, () => engine.wait(id, { condition: 'next-exit' }));
  const waits = [...of(fixture.engine), ...of(other)];
  await fixture.engine.start(id);
  t.deepEqual([...new Set((await Promise.all(waits)).map(({ code }) => code))], [21]);
  other[Symbol.dispose]();
});

/** Restart policies through stop, kill, the supervisor's own end, and a reboot; over the fake sandbox. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ContainerStore, type ContainerState } from '../../../src/state/containers.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

type Policy = 'no' | 'always' | 'unless-stopped' | 'on-failure';
const FOREVER = ['sleep', '100'];

async function start({ engine }: TestEngine, policy: Policy, command = FOREVER, name?: string): Promise<string> {
  const { id } = await engine.create(createOptions({ command, name, restart: { name: policy, maximumRetryCount: 0 } }));
  await engine.start(id);
  return id;
}

async function reach(
  { engine }: TestEngine,
  id: string,
  wanted: (state: ContainerState) => boolean,
): Promise<ContainerState> {
  for (;;) {
    const { state } = engine.get(id);
    if (wanted(state)) return state;
    await sleep(10);
  }
}

for (const signal of ['KILL', 'TERM', 'INT', 'QUIT'])
  test(`kill -s ${signal} rests the policy`, async (t) => {
    const fixture = await openTestEngine(t);
    const id = await start(fixture, 'always');
    await fixture.engine.kill(id, signal);
    const { stoppedByUser } = await reach(fixture, id, ({ status }) => status === 'exited');
    t.true(stoppedByUser);
    await sleep(300);
    t.is(fixture.engine.get(id).state.status, 'exited');
  });

test('kill -s HUP does not: what it ends is started again', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await start(fixture, 'unless-stopped');
  await fixture.engine.kill(id, 'HUP');
  const { stoppedByUser } = await reach(
    fixture,
    id,
    ({ restartCount, status }) => restartCount === 1 && status === 'running',
  );
  t.false(stoppedByUser);
});

test('stop while it waits for its next start, and at any moment of a fast loop', async (t) => {
  const fixture = await openTestEngine(t);
  for (let moment = 0; moment < 8; moment++) {
    const id = await start(fixture, 'always', ['sh', '-c', 'sleep 0.03; exit 1']);
    await sleep(40 * moment);
    await fixture.engine.stop(id, { timeout: 0 });
    t.is(fixture.engine.get(id).state.status, 'exited');
    await sleep(150);
    t.is(fixture.engine.get(id).state.status, 'exited');
  }
});

test("the supervisor's SIGTERM (logout, shutdown) stops without a restart, and is no stop by the user", async (t) => {
  const fixture = await openTestEngine(t);
  const id = await start(fixture, 'unless-stopped');
  process.kill(fixture.engine.get(id).state.supervisor!.pid, 'SIGTERM');
  const { stoppedByUser } = await reach(fixture, id, ({ status }) => status === 'exited');
  t.false(stoppedByUser);
  t.deepEqual(fixture.engine.restartable().flat(), [fixture.engine.get(id).name]);
});

/** The record as a boot before this one left it: the same pids may well be in use again. */
function reboot({ paths }: TestEngine, id: string): ContainerState {
  const database = new DatabaseSync(paths.database);
  const before = (identity: ContainerState['supervisor']) =>
    identity && { ...identity, bootId: '00000000-0000-0000-0000-000000000000' };
  const changed = new ContainerStore(database).change(id, (state) => ({
    ...state,
    supervisor: before(state.supervisor),
    process: before(state.process),
  }))!;
  database.close();
  return changed.state;
}

test("after a reboot: what ran is exited, nobody else's process is touched, and the policy's are started", async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const ran = { no: '', always: '', 'unless-stopped': '', 'on-failure': '' };
  for (const policy of Object.keys(ran) as Policy[]) ran[policy] = await start(fixture, policy, FOREVER, policy);
  const stopped = {
    always: await start(fixture, 'always', FOREVER, 'always-stopped'),
    unless: await start(fixture, 'unless-stopped', FOREVER, 'unless-stopped-stopped'),
  };
  for (const id of Object.values(stopped)) await engine.stop(id, { timeout: 0 });
  await engine.create(createOptions({ name: 'never-started', restart: { name: 'always', maximumRetryCount: 0 } }));
  const supervisors = Object.values(ran).map((id) => reboot(fixture, id).supervisor!.pid);
  t.teardown(() => supervisors.forEach((pid) => process.kill(pid, 'SIGKILL')));
  const first = engine.get(ran.always).state;
  t.like(first, { status: 'exited', exitCode: 137, pid: 0, stoppedByUser: false });
  t.true(
    supervisors.every((pid) => existsSync(`/proc/${pid}`)),
    'these pids belong to others now',
  );
  t.deepEqual(engine.restartable(), [['always', 'unless-stopped', 'always-stopped']]);
  for (const name of engine.restartable().flat()) await engine.start(name);
  t.deepEqual(engine.restartable(), []);
  t.deepEqual(
    engine
      .list()
      .map(({ name }) => name)
      .sort(),
    ['always', 'always-stopped', 'unless-stopped'],
  );
  t.is(engine.get('always').state.restartCount, 0);
});

test('what others join is started before them', async (t) => {
  const { engine, paths } = await openTestEngine(t);
  const make = async (name: string, more: object) =>
    (await engine.create(createOptions({ name, restart: { name: 'always', maximumRetryCount: 0 }, ...more }))).id;
  const deep = await make('deep', { pid: 'container:middle' });
  const middle = await make('middle', { ipc: 'container:base' });
  const base = await make('base', {});
  const other = await make('other', { network: `container:${base}` });
  const database = new DatabaseSync(paths.database);
  for (const id of [deep, middle, base, other])
    new ContainerStore(database).change(id, (state) => ({
      ...state,
      status: 'exited',
      startedAt: '2026-01-01T00:00:00Z',
    }));
  database.close();
  t.deepEqual(engine.restartable(), [['base'], ['middle', 'other'], ['deep']]);
});

test('update --restart on a running container counts from its next exit on', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, dataRoot } = fixture;
  const gate = join(dataRoot, 'gate');
  const id = await start(fixture, 'no', ['sh', '-c', `while ! test -e ${gate}; do sleep 0.02; done; exit 3`]);
  await engine.update(id, { restart: { name: 'on-failure', maximumRetryCount: 2 } });
  t.deepEqual(engine.get(id).config.options.restart, { name: 'on-failure', maximumRetryCount: 2 });
  writeFileSync(gate, '');
  const state = await reach(fixture, id, ({ status }) => status === 'exited');
  t.like(state, { restartCount: 2, exitCode: 3 });
  const again = await start(fixture, 'always');
  await engine.update(again, { restart: { name: 'no', maximumRetryCount: 0 } });
  process.kill(engine.get(again).state.pid, 'SIGKILL');
  t.is((await reach(fixture, again, ({ status }) => status === 'exited')).restartCount, 0);
});

test('a rename is seen in the events that follow', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await start(fixture, 'no', FOREVER, 'before');
  fixture.engine.rename(id, 'after');
  await fixture.engine.kill(id, 'KILL');
  await reach(fixture, id, ({ status }) => status === 'exited');
  const database = new DatabaseSync(fixture.paths.database);
  const events = database
    .prepare('SELECT record FROM events ORDER BY sequence')
    .all()
    .map((row) => JSON.parse(String(row['record'])) as { Action: string; Actor: { Attributes: { name: string } } });
  database.close();
  t.is(events.find(({ Action }) => Action === 'die')!.Actor.Attributes.name, 'after');
});

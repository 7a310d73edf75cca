/** `events`: what each operation leaves in the stream, who may follow it, and what the filters let through. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { EventMessage, EventOptions } from '../../../src/engine/contract.ts';
import { eventFilter } from '../../../src/engine/look/event-filters.ts';
import { appendEvent, eventsAfter, lastEvent } from '../../../src/state/events.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { CLOCKS, createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

const SLEEP = ['sh', '-c', 'trap "exit 7" TERM; while :; do sleep 0.05; done'];

async function all({ engine }: TestEngine, options: EventOptions = {}): Promise<EventMessage[]> {
  const found: EventMessage[] = [];
  for await (const event of engine.events({ until: Date.now() + CLOCKS, ...options })) found.push(event);
  return found;
}

const actions = (events: EventMessage[]): string[] =>
  events.map(({ Type, Action }) => (Type === 'container' ? Action : `${Type} ${Action}`));

test("a life from create to destroy, with Docker's actions and attributes", async (t) => {
  const machine = await openTestEngine(t);
  const { engine } = machine;
  const { id } = await engine.create(createOptions({ name: 'box', command: SLEEP, labels: { a: 'b' } }));
  await engine.start(id);
  await engine
    .exec(id, { command: ['true'], interactive: false, tty: false, detach: false, env: [], privileged: false })
    .then((attachment) => attachment!.exited);
  engine.rename(id, 'other');
  await engine.kill(id, 'CONT');
  // a SIGKILL after the grace would be told too
  await engine.stop(id, { timeout: 60 });
  await engine.remove(id);
  const events = await all(machine);
  t.deepEqual(actions(events), [
    'create',
    'start',
    'exec_create: true',
    'exec_start: true',
    'exec_die',
    'rename',
    'kill',
    'kill',
    'die',
    'stop',
    'destroy',
  ]);
  const [created, , , , execDied] = events;
  t.deepEqual(created!.Actor, { ID: id, Attributes: { a: 'b', from: 'image', image: 'test', name: 'box' } });
  t.is(execDied!.Actor.Attributes['exitCode'], '0');
  t.is(execDied!.Actor.Attributes['execID']?.length, 64);
  const died = events.find(({ Action }) => Action === 'die')!;
  t.regex(died.Actor.Attributes['execDuration']!, /^\d+$/);
  t.is(events.find(({ Action }) => Action === 'rename')!.Actor.Attributes['oldName'], '/box');
});

test('stop is a kill, a death and a stop; a start with streams is attached first', async (t) => {
  const machine = await openTestEngine(t);
  const { id, code } = await machine.run(['sh', '-c', 'exit 3']);
  t.is(code, 3);
  t.deepEqual(actions(await all(machine)), ['create', 'attach', 'start', 'die']);
  const from = Date.now();
  await sleep(CLOCKS);
  const { id: second } = await machine.engine.create(createOptions({ command: SLEEP }));
  await machine.engine.start(second);
  await machine.engine.stop(second, { timeout: 0 });
  const rest = await all(machine, { since: from });
  t.deepEqual(actions(rest).slice(0, 3), ['create', 'start', 'kill']);
  t.deepEqual(actions(rest).slice(-2), ['die', 'stop']);
  t.is(rest[2]!.Actor.Attributes['signal'], '15');
  t.not(id, second);
});

test('any number of readers follow at once, and each sees everything once', async (t) => {
  const machine = await openTestEngine(t);
  const stop = new AbortController();
  const seen = [0, 0, 0, 0, 0];
  const readers = seen.map(async (_, reader) => {
    for await (const { Action } of machine.engine.events({ signal: stop.signal }))
      if (Action === 'any' && ++seen[reader]! === 300) break;
    return seen[reader];
  });
  const until = async (done: () => boolean) => {
    while (!done()) await sleep(1);
  };
  const other = openDatabase(machine.paths.database);
  const append = () => appendEvent(other, { Type: 'image', Action: 'any', Actor: { ID: '', Attributes: {} } });
  for (let index = 0; index < 280; index++) append();
  await until(() => seen.every((count) => count === 280));
  const started = Date.now();
  for (let count = 281; count <= 300; count++) {
    append();
    await until(() => seen.every((each) => each === count));
  }
  t.deepEqual(await Promise.all(readers), [300, 300, 300, 300, 300]);
  // by notice: twenty rounds of the one-second look would take twice as long
  t.true(Date.now() - started < 10_000);
  stop.abort();
  other.close();
});

test('without a time it begins now; until ends it; a clock set back hides nothing', async (t) => {
  const machine = await openTestEngine(t);
  await machine.engine.create(createOptions());
  const ended = Date.now() + 300;
  t.deepEqual(actions(await all(machine, { until: undefined, signal: AbortSignal.timeout(100) })), []);
  t.deepEqual(actions(await all(machine, { since: Date.now() - 60_000, until: ended })), ['create']);
  t.true(Date.now() >= ended);
  t.throws(() => machine.engine.events({ since: 2000, until: 1000 }), {
    message: /^`since` time \(.*\) cannot be after `until` time/,
  });
  const database = openDatabase(machine.paths.database);
  // an hour back
  database
    .prepare('INSERT INTO events (time, record) VALUES (?, ?)')
    .run(
      (Date.now() - 3_600_000) * 1000,
      JSON.stringify({ Type: 'container', Action: 'past', Actor: { ID: 'x', Attributes: {} } }),
    );
  await machine.engine.create(createOptions());
  t.deepEqual(actions(await all(machine)), ['create', 'past', 'create']);
  t.deepEqual(actions(await all(machine, { since: Date.now() - 60_000 })), ['create', 'create']);
  database.close();
});

test('a damaged record is passed over, and the table stays bounded', async (t) => {
  const { paths } = await openTestEngine(t);
  const database = openDatabase(paths.database);
  const insert = database.prepare('INSERT INTO events (time, record) VALUES (1, ?)');
  for (const record of ['', '{', 'null', '{"Type":1}', '[]']) insert.run(record);
  appendEvent(database, { Type: 'image', Action: 'whole', Actor: { ID: 'i', Attributes: {} } });
  t.deepEqual(
    eventsAfter(database, 0, 100).events.map(({ Action }) => Action),
    ['whole'],
  );
  database.exec('BEGIN');
  for (let index = 0; index < 10_300; index++)
    appendEvent(database, { Type: 'image', Action: 'x', Actor: { ID: '', Attributes: {} } });
  database.exec('COMMIT');
  t.true((database.prepare('SELECT count(*) AS n FROM events').get() as { n: number }).n <= 10_064);
  t.is(eventsAfter(database, lastEvent(database) - 1, 10).events.length, 1);
  database.close();
});

const START: EventMessage = {
  Type: 'container',
  Action: 'start',
  Actor: { ID: 'abcdef', Attributes: { image: 'alpine:3', name: 'web', tier: 'front' } },
  time: 1,
};
const EXEC: EventMessage = { ...START, Action: 'exec_start: sh -c true' };
const PULL: EventMessage = {
  Type: 'image',
  Action: 'pull',
  Actor: { ID: 'alpine:3', Attributes: { name: 'alpine' } },
  time: 2,
};
const VOLUME: EventMessage = {
  Type: 'volume',
  Action: 'create',
  Actor: { ID: 'data', Attributes: { driver: 'local' } },
  time: 3,
};

const CASES: [filters: Record<string, string[]>, expected: EventMessage[]][] = [
  [{}, [START, EXEC, PULL, VOLUME]],
  [{ type: ['image', 'volume'] }, [PULL, VOLUME]],
  [{ container: ['web'] }, [START, EXEC]],
  [{ container: ['abc'] }, [START, EXEC]],
  [{ container: ['we'], event: ['start'] }, [START]],
  [{ event: ['exec_start'] }, [EXEC]],
  [{ event: ['start', 'pull'] }, [START, PULL]],
  [{ image: ['alpine'] }, [START, EXEC, PULL]],
  [{ image: ['alpine:3'] }, [START, EXEC, PULL]],
  [{ image: ['alp'] }, []],
  [{ volume: ['data'] }, [VOLUME]],
  [{ label: ['tier'] }, [START, EXEC]],
  [{ label: ['tier=front', 'no'] }, []],
  [{ scope: ['local'] }, [START, EXEC, PULL, VOLUME]],
  [{ daemon: ['x'] }, []],
];
for (const [filters, expected] of CASES)
  test(`--filter ${JSON.stringify(filters)}`, (t) =>
    t.deepEqual([START, EXEC, PULL, VOLUME].filter(eventFilter(filters)), expected));

test('an unknown filter is refused', (t) =>
  void t.throws(() => eventFilter({ colour: ['red'] }), { message: "invalid filter 'colour'" }));

/** Rows of execs: what becomes of one, how many a container has, and when they go. */
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import test, { type ExecutionContext } from 'ava';
import { openDatabase, transaction } from '../../src/state/database.ts';
import { ExecStore, MAX_EXECS, MAX_KEPT } from '../../src/state/execs.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';

const idOf = (number: number) => number.toString(16).padStart(64, '0');
const FOUND = idOf(0xabc);
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

interface Rows {
  database: DatabaseSync;
  store: ExecStore<{ command: string[] }>;
  insert(number: number, container?: string, command?: string[]): boolean;
  end(number: number, exitCode: number, container?: string): boolean;
  ids(status: string, container?: string): string[];
}

function rows(t: ExecutionContext, containers: Record<string, string> = { web: 'running' }): Rows {
  const database = openDatabase(join(temporaryFolder('husk-execs-'), 'husk.db'));
  t.teardown(() => database.close());
  for (const [id, status] of Object.entries(containers))
    database
      .prepare(`INSERT INTO containers VALUES (?1, ?1, 'image', 0, '{}', ?2)`)
      .run(id, JSON.stringify({ status }));
  const store = new ExecStore<{ command: string[] }>(database);
  const sql = 'SELECT id FROM execs WHERE status = ? AND container_id = ? ORDER BY sequence';
  return {
    database,
    store,
    insert: (number, container = 'web', command = ['true']) =>
      transaction(database, () => store.insert({ id: idOf(number), container, options: { command } })),
    end: (number, exitCode, container = 'web') =>
      transaction(database, () => store.ended({ id: idOf(number), container, exitCode })),
    ids: (status, container = 'web') =>
      database
        .prepare(sql)
        .all(status, container)
        .map((row) => String(row['id'])),
  };
}

test('made, started, ended; each once', (t) => {
  const { store, insert, end } = rows(t);
  t.true(insert(1));
  const made = {
    id: idOf(1),
    container: 'web',
    status: 'created',
    options: { command: ['true'] },
    pid: 0,
    exitCode: null,
  };
  t.deepEqual(store.get(idOf(1)), made as never);
  t.deepEqual(store.open('web'), [idOf(1)]);
  t.true(store.started(idOf(1), 42));
  t.false(store.started(idOf(1), 43));
  t.deepEqual(store.get(idOf(1)), { ...made, status: 'running', pid: 42 } as never);
  t.deepEqual(store.open('web'), [idOf(1)]);
  t.true(end(1, 3));
  t.false(end(1, 4));
  t.deepEqual(store.get(idOf(1)), { ...made, status: 'exited', pid: 42, exitCode: 3 } as never);
  t.deepEqual(store.open('web'), []);
});

for (const status of ['created', 'paused', 'restarting', 'exited', 'removing'])
  test(`none is made in a container that is ${status}`, (t) => {
    const { insert, store } = rows(t, { web: status });
    t.false(insert(1));
    t.is(store.get(idOf(1)), undefined);
  });

test('none is made in a container that is not there', (t) => {
  t.false(rows(t).insert(1, 'other'));
});

for (const id of [
  '',
  'x',
  FOUND.slice(0, 63),
  `${FOUND}0`,
  FOUND.toUpperCase(),
  ` ${FOUND}`,
  '%',
  '../1',
  'é'.repeat(1e6),
])
  test(`an id that is none finds nothing: ${JSON.stringify(id.slice(0, 70))} (${id.length})`, (t) => {
    const { insert, store } = rows(t);
    insert(0xabc);
    t.is(store.get(FOUND)?.id, FOUND);
    t.is(store.get(id), undefined);
  });

test("another container's is none of this one", (t) => {
  const { insert, store, end } = rows(t, { web: 'running', db: 'running' });
  insert(1);
  t.is(store.status(idOf(1), 'db'), undefined);
  t.is(store.status(idOf(1), 'web'), 'created');
  t.false(end(1, 0, 'db'));
  t.is(store.status(idOf(1), 'web'), 'created');
});

test('of those that were not started the oldest go; what runs, what has ended and what others have stays', (t) => {
  const { database, insert, store, end, ids } = rows(t, { web: 'running', db: 'running' });
  insert(1);
  store.started(idOf(1), 1);
  insert(2);
  end(2, 0);
  insert(3, 'db');
  transaction(database, () => {
    for (const number of range(10, 10 + MAX_EXECS + 3))
      store.insert({ id: idOf(number), container: 'web', options: { command: [] } });
  });
  t.deepEqual(ids('created'), range(13, 13 + MAX_EXECS).map(idOf));
  t.deepEqual([ids('running'), ids('exited'), ids('created', 'db')], [[idOf(1)], [idOf(2)], [idOf(3)]]);
});

test('of those that have ended the oldest go', (t) => {
  const { database, store, ids } = rows(t);
  transaction(database, () => {
    for (const number of range(0, MAX_EXECS + 2)) {
      store.insert({ id: idOf(number), container: 'web', options: { command: [] } });
      store.ended({ id: idOf(number), container: 'web', exitCode: 0 });
    }
  });
  t.deepEqual(ids('exited'), range(2, MAX_EXECS + 2).map(idOf));
});

test('large ones are fewer; the newest is kept, however large', (t) => {
  const { insert, ids } = rows(t);
  const large = ['x'.repeat(6 << 20)];
  for (const number of range(0, 5)) insert(number, 'web', large);
  t.deepEqual(ids('created'), [idOf(3), idOf(4)]);
  insert(5, 'web', ['x'.repeat(20 << 20)]);
  t.deepEqual(ids('created'), [idOf(5)]);
  insert(6);
  t.deepEqual(ids('created'), [idOf(6)]);
});

test("with the container's life ends what ran in it, and of the others the last that have ended are kept", (t) => {
  const { database, store, insert, ids } = rows(t, { web: 'running', db: 'running' });
  transaction(database, () => {
    for (const number of range(0, 2 * MAX_KEPT)) {
      store.insert({ id: idOf(number), container: 'web', options: { command: [] } });
      store.ended({ id: idOf(number), container: 'web', exitCode: number });
    }
  });
  insert(1000);
  store.started(idOf(1000), 7);
  insert(1001);
  insert(2000, 'db');
  t.deepEqual(
    transaction(database, () => store.lifeEnded('web')),
    [idOf(1000)],
  );
  t.deepEqual(ids('exited'), [...range(MAX_KEPT + 1, 2 * MAX_KEPT), 1000].map(idOf));
  t.like(store.get(idOf(1000)), { status: 'exited', exitCode: 137, pid: 7 });
  t.deepEqual(store.open('web'), []);
  t.deepEqual(
    transaction(database, () => store.lifeEnded('web')),
    [],
  );
});

test('they go with their container', (t) => {
  const { database, insert, ids } = rows(t, { web: 'running', db: 'running' });
  insert(1);
  insert(2, 'db');
  database.exec(`DELETE FROM containers WHERE id = 'web'`);
  t.deepEqual([ids('created'), ids('created', 'db')], [[], [idOf(2)]]);
});

test('a damaged one is named', (t) => {
  const { database, insert, store } = rows(t);
  insert(1);
  database.exec(`UPDATE execs SET options = '{'`);
  t.throws(() => store.get(idOf(1)), { message: new RegExp(`the record of exec ${idOf(1)} is damaged`) });
});

/**
 * A transaction on a disk that has no room: SQLite has rolled back by itself, the reserve is given up, and what failed
 * is what is told.
 */
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { openDatabase, prepared, transaction } from '../../src/state/database.ts';

test('a full disk is named, and the database goes on', (t) => {
  using database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE t (text TEXT); PRAGMA max_page_count = 4');
  const insert = (length: number) => database.prepare('INSERT INTO t VALUES (?)').run('x'.repeat(length));
  t.throws(() => transaction(database, () => insert(100_000)), { message: /disk is full/ });
  t.is(transaction(database, () => insert(10)).changes, 1);
});

test('what the body throws is thrown, and nothing of it stays', (t) => {
  using database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE t (text TEXT)');
  t.throws(
    () =>
      transaction(database, () => {
        database.exec("INSERT INTO t VALUES ('half')");
        throw new Error('broken');
      }),
    { message: 'broken' },
  );
  t.is(database.prepare('SELECT count(*) AS n FROM t').get()!['n'], 0);
});

test('a database that another process writes before its first write-ahead log is waited for', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-database-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'husk.db');
  // SQLite does not wait for a writer when the mode is changed, as by the first two commands of a new data root.
  const writer = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const { DatabaseSync } = require('node:sqlite');
     const database = new DatabaseSync(workerData);
     database.exec('BEGIN IMMEDIATE; CREATE TABLE other (x)');
     parentPort.postMessage('writes');
     setTimeout(() => database.exec('COMMIT'), 200);`,
    { eval: true, workerData: file },
  );
  // Where the writer has ended before anybody looked, both are told in one turn.
  const ended = once(writer, 'exit');
  await once(writer, 'message');
  using database = openDatabase(file);
  t.is(database.prepare('PRAGMA journal_mode').get()!['journal_mode'], 'wal');
  await ended;
});

test('a statement is compiled once for each database, and outlives errors and changes of the schema', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-database-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const files = ['one', 'two'].map((name) => join(folder, name));
  const [one, two] = files.map((file) => new DatabaseSync(file)) as [DatabaseSync, DatabaseSync];
  using _one = one;
  using _two = two;
  for (const database of [one, two]) database.exec('CREATE TABLE t (x INTEGER UNIQUE)');
  const insert = 'INSERT INTO t VALUES (?)';
  t.is(prepared(one, insert), prepared(one, insert));
  t.not(prepared(one, insert), prepared(two, insert));
  prepared(one, insert).run(1);
  t.throws(() => prepared(one, insert).run(1), { message: /UNIQUE/ });
  prepared(one, insert).run(2);
  const all = 'SELECT * FROM t ORDER BY x';
  t.is(prepared(one, all).all().length, 2);
  using other = new DatabaseSync(files[0]!);
  other.exec('ALTER TABLE t ADD COLUMN y TEXT');
  t.deepEqual(
    prepared(one, all)
      .all()
      .map((row) => ({ ...row })),
    [
      { x: 1, y: null },
      { x: 2, y: null },
    ],
  );
  t.is(prepared(two, all).all().length, 0);
});

test('a process that has it open gives up the reserve when the disk is full; whoever opens it next makes another', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-database-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'husk.db');
  const reserve = `${file}-reserve`;
  const full = () => {
    throw Object.assign(new Error('database or disk is full'), { errcode: 13 });
  };
  {
    using database = openDatabase(file);
    t.is(statSync(reserve).size, 512 << 10);
    t.is(
      transaction(database, () => (existsSync(reserve) ? full() : 'done')),
      'done',
    );
    t.false(existsSync(reserve));
    t.throws(() => transaction(database, full), { message: /disk is full/ });
  }
  using _again = openDatabase(file);
  t.true(existsSync(reserve));
});

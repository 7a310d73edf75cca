/**
 * A transaction on a disk that has no room: SQLite has rolled back by itself, the reserve is given up, and what failed
 * is what is told.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import { openDatabase, transaction } from '../../src/state/database.ts';

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

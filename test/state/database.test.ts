/** A transaction on a disk that has no room: SQLite has rolled back by itself, and what failed is what is told. */
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import { transaction } from '../../src/state/database.ts';

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

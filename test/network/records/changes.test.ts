/** Changes of the database, as they are seen in its shared memory and as SQLite tells of them: the same ones. */
import { spawnSync } from 'node:child_process';
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import { changesBySqlite, changesIn } from '../../../src/network/records/changes.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { network, openRecords } from './fixture.ts';

const INSERT = "INSERT INTO network_names VALUES ('n', 'web', 'c', 0)";

for (const [what, watched] of [
  // SQLite is not asked: there is nothing to ask it by
  ['by the header', (database: DatabaseSync) => changesIn({ location: () => database.location() } as DatabaseSync)],
  ['by SQLite', changesBySqlite],
] as const) {
  test(`${what}: one's own, another connection's and another process's`, (t) => {
    const { file, database, records } = openRecords();
    const version = watched(database);
    let before = version();
    const differs = () => before !== (before = version());
    t.false(differs());
    records.insert(network('front'));
    t.true(differs());
    t.false(differs());
    const other = openDatabase(file);
    t.false(differs());
    other.exec('BEGIN IMMEDIATE');
    other.exec(INSERT);
    t.false(differs(), 'nobody sees it yet');
    other.exec('COMMIT');
    t.true(differs());
    other.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    version();
    before = version();
    other.prepare('SELECT * FROM network_names').all();
    t.false(differs(), 'who reads changes nothing');
    // the log begins anew
    other.exec("DELETE FROM network_names WHERE name = 'web'");
    t.true(differs());
    other.close();
    const script = `new (require('node:sqlite').DatabaseSync)(process.argv[1]).exec(process.argv[2])`;
    const { status } = spawnSync(process.execPath, ['-e', script, file, INSERT]);
    t.is(status, 0);
    t.true(differs());
    t.false(differs());
  });
}

test('a database in memory has no shared memory', (t) => {
  using database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE t (x)');
  const version = changesIn(database);
  const before = version();
  t.is(version(), before);
  database.exec('INSERT INTO t VALUES (1)');
  t.not(version(), before);
});

test('to look does not take SQLite’s locks away: the last connection finds the log in order', (t) => {
  const { file, database } = openRecords();
  changesIn(database)();
  // who could lock the index for itself alone would take it to be nobody's, and empty it under our eyes
  const script = `const db = new (require('node:sqlite').DatabaseSync)(process.argv[1]);
    db.exec(process.argv[2]); db.close(); process.stdout.write(String(require('node:fs').existsSync(process.argv[1] + '-shm')))`;
  const { stdout } = spawnSync(process.execPath, ['-e', script, file, INSERT], { encoding: 'utf8' });
  t.is(stdout, 'true');
  t.is(database.prepare('SELECT count(*) AS n FROM network_names').get()!['n'], 1);
});

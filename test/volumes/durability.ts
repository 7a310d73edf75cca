/**
 * Databases under load whose supervisor is killed with -9: a client outside keeps every id whose commit was
 * acknowledged, and after the next start all of them must be there. Not a test itself: durability.test.ts and
 * test/vmm/storage.test.ts run it under their isolation.
 */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { PGBIN, PGDATA } from '../fixtures/workload-image.ts';

export interface Shell {
  husk(...args: string[]): { status: number | null; stdout: string; stderr: string };
  start(...args: string[]): ChildProcess;
}

export interface Result {
  kills: number;
  /** commits that the client was told of */
  acknowledged: number;
  /** of these, what the database did not have after a restart: nothing */
  lost: string[];
  /** what the database says of itself after each restart, where it is not "ok" */
  damage: string[];
}

interface Database {
  /** `husk run` arguments after the isolation's */
  container: string[];
  /** argv of each client inside; it reads statements and tells of their end at once */
  clients: { name: string; argv: string[]; begin: string; insert: (id: number) => string }[];
  /** argv that exits with 0 when clients may come */
  ready: string[];
  /** argv that prints the ids a client's table has, then `integrity` */
  look: (client: string) => string[];
}

const ACK = /ack:(\d+)/g;
/** commits in a round, of all clients together; the kill comes at a random one beyond */
const LEAST = 20;
const MOST = 60;
/** ms for a round of commits; the test host is fifty times slower than its host */
const PATIENCE = 120_000;
/** ms for a database to answer: it recovers first */
export const START_PATIENCE = 600_000;

/** WAL and rollback journals on a volume, WAL in the container's own layer. */
export const SQLITE: Database = {
  container: ['-v', 'sqlite:/data', 'work', 'sleep', '1000000'],
  clients: [
    ['wal', '/data/wal.db'],
    ['delete', '/data/rollback.db'],
    ['wal', '/own.db'],
  ].map(([mode, file]) => ({
    name: file!,
    // interactive: it flushes after each statement
    argv: ['sqlite3', '-interactive', file!],
    begin: `PRAGMA journal_mode=${mode}; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, filler BLOB);\n`,
    insert: (id) => `INSERT INTO t VALUES (${id}, randomblob(500)); SELECT 'ack:' || ${id};\n`,
  })),
  ready: ['true'],
  look: (file) => ['sqlite3', file, 'SELECT id FROM t; PRAGMA integrity_check;'],
};

const PSQL = [`${PGBIN}/psql`, '-h', '/tmp', '-U', 'postgres', '-qAt'];
/** initdb has been run in the volume `postgres`. */
export const POSTGRES: Database = {
  container: [
    '-u',
    'postgres',
    '-v',
    `postgres:${PGDATA}`,
    'work',
    `${PGBIN}/postgres`,
    '-D',
    PGDATA,
    '-k',
    '/tmp',
    '-c',
    'shared_buffers=16MB',
    '-c',
    'checkpoint_timeout=30s',
    '-c',
    'jit=off',
  ],
  clients: ['one', 'two'].map((name) => ({
    name,
    argv: PSQL,
    begin: `CREATE TABLE IF NOT EXISTS ${name} (id integer PRIMARY KEY, filler text);\n`,
    insert: (id) => `INSERT INTO ${name} VALUES (${id}, repeat('x', 500)) RETURNING 'ack:' || id;\n`,
  })),
  ready: [...PSQL, '-c', 'SELECT 1'],
  // a whole scan and the index must tell of the same rows
  look: (name) => [
    ...PSQL,
    '-c',
    `SELECT id FROM ${name}`,
    '-c',
    `SET enable_seqscan = off; SELECT CASE WHEN (SELECT count(id) FROM ${name} WHERE id > 0) = (SELECT count(filler) FROM ${name}) THEN 'ok' ELSE 'index and table differ' END`,
  ],
};

/** @param options.isolation `husk run` arguments: `--isolation=vm` … */
export async function killUnderLoad(
  shell: Shell,
  database: Database,
  options: { name: string; isolation: string[]; kills: number },
): Promise<Result> {
  const { name, kills } = options;
  const result: Result = { kills, acknowledged: 0, lost: [], damage: [] };
  const told = new Map(database.clients.map((client) => [client.name, new Set<number>()]));
  succeed(shell.husk('run', '-d', '--name', name, ...options.isolation, '--network', 'none', ...database.container));
  for (let round = 0; ; round++) {
    let answer: ReturnType<Shell['husk']> | undefined;
    const logs = () => shell.husk('logs', '--tail', '5', name);
    await until(
      () => (answer = shell.husk('exec', name, ...database.ready)).status === 0,
      () => `the database does not answer: ${answer?.stderr}${logs().stderr}`,
      START_PATIENCE,
    );
    if (round > 0)
      for (const client of database.clients)
        check(client.name, succeed(shell.husk('exec', name, ...database.look(client.name))));
    if (round === kills) break;
    await load(round);
    succeed(shell.husk('start', name));
  }
  succeed(shell.husk('rm', '-f', name));
  result.acknowledged = [...told.values()].reduce((sum, ids) => sum + ids.size, 0);
  return result;

  function check(client: string, output: string): void {
    const lines = output.trim().split('\n');
    const verdict = lines.pop();
    if (verdict !== 'ok') result.damage.push(`${client}: ${verdict}`);
    const there = new Set(lines.map(Number));
    for (const id of told.get(client)!) if (!there.has(id)) result.lost.push(`${client} ${id}`);
  }

  async function load(round: number): Promise<void> {
    const supervisor = supervisorOf(Number(succeed(shell.husk('inspect', '-f', '{{.State.Pid}}', name))));
    const before = [...told.values()].map(({ size }) => size);
    const clients = database.clients.map((client) => {
      const child = shell.start('exec', '-i', name, ...client.argv);
      let complaint = '';
      child.stderr!.on('data', (text) => (complaint += text));
      child.stdin!.on('error', () => {}); // it is about to be killed
      let next = (round + 1) * 1_000_000;
      const insert = () => child.stdin!.write(client.insert(next++));
      let rest = '';
      child.stdout!.setEncoding('utf8').on('data', (text: string) => {
        rest += text;
        for (const [, id] of rest.matchAll(ACK)) {
          told.get(client.name)!.add(Number(id));
          insert();
        }
        rest = rest.slice(rest.lastIndexOf('\n') + 1);
      });
      child.stdin!.write(client.begin);
      insert();
      return { child, complaint: () => complaint, ended: new Promise((resolve) => child.once('close', resolve)) };
    });
    const enough = LEAST + Math.floor(Math.random() * (MOST - LEAST));
    const each = () => [...told.values()].map(({ size }, index) => size - before[index]!);
    await until(
      () => each().every((count) => count > 2) && each().reduce((sum, count) => sum + count) > enough,
      () => `no commits: ${each().join()} ${clients.map(({ complaint }) => complaint()).join()}`,
    );
    process.kill(supervisor, 'SIGKILL');
    await Promise.all(clients.map(({ ended }) => ended));
  }
}

/** The supervisor of a container is its first process's ancestor, or, of a VM, that process itself. */
function supervisorOf(pid: number): number {
  for (
    let at = pid;
    at > 1;
    at = Number(
      readFileSync(`/proc/${at}/stat`, 'latin1')
        .replace(/^.*\) . /s, '')
        .split(' ')[0],
    )
  )
    if (readFileSync(`/proc/${at}/cmdline`, 'latin1').startsWith('husk-supervisor')) return at;
  throw new Error(`no supervisor above process ${pid}`);
}

function succeed({ status, stdout, stderr }: ReturnType<Shell['husk']>): string {
  if (status !== 0) throw new Error(`exit ${status}: ${stderr}${stdout}`);
  return stdout;
}

async function until(done: () => boolean, complaint: () => string, patience = PATIENCE): Promise<void> {
  for (const start = Date.now(); !done(); await sleep(20))
    if (Date.now() - start > patience) throw new Error(complaint());
}

/**
 * Databases under load whose supervisor is killed with -9, or whose container is forked: a client outside keeps every
 * id whose commit was acknowledged, and after the next start, or in the copy, all of them must be there. Not a test
 * itself: durability.test.ts and test/vmm/storage.test.ts run it under their isolation.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
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

/** The same in the container's own layer, which a fork copies. */
export const OWN_POSTGRES: Database = {
  ...POSTGRES,
  container: [
    '-u',
    'postgres',
    '-v',
    `postgres:/made:ro`,
    'work',
    'sh',
    '-c',
    `[ -e ${PGDATA}/PG_VERSION ] || cp -a /made/. ${PGDATA}; exec "$@"`,
    'sh',
    ...POSTGRES.container.slice(POSTGRES.container.indexOf(`${PGBIN}/postgres`)),
  ],
};

interface UnderTest {
  name: string;
  /** `husk run` arguments: `--isolation=vm` … */
  isolation: string[];
}

export async function killUnderLoad(
  shell: Shell,
  database: Database,
  options: UnderTest & { kills: number },
): Promise<Result> {
  const { name, kills } = options;
  const result: Result = { kills, acknowledged: 0, lost: [], damage: [] };
  const told = new Told(database);
  run(shell, database, options);
  for (let round = 0; ; round++) {
    await answers(shell, database, name);
    if (round > 0) told.check(shell, name, result);
    if (round === kills) break;
    const supervisor = supervisorOf(Number(succeed(shell.husk('inspect', '-f', '{{.State.Pid}}', name))));
    const load = new Load(shell, told, { name, round });
    await load.enough();
    process.kill(supervisor, 'SIGKILL');
    await load.over;
    succeed(shell.husk('start', name));
  }
  succeed(shell.husk('rm', '-f', name));
  result.acknowledged = told.count;
  return result;
}

/**
 * Forks the container of a database whose files are all its own, while it is written to: the copy has what was
 * acknowledged before, goes on, and recovers from a kill; the container itself loses nothing.
 */
export async function forkUnderLoad(shell: Shell, database: Database, options: UnderTest): Promise<Result> {
  const { name } = options;
  const copy = `${name}-copy`;
  const result: Result = { kills: 1, acknowledged: 0, lost: [], damage: [] };
  const told = new Told(database);
  run(shell, database, options);
  await answers(shell, database, name);
  const load = new Load(shell, told, { name, round: 0 });
  await load.enough();
  const before = told.copy();
  const fork = shell.start('fork', '--name', copy, name);
  let complaint = '';
  fork.stderr!.on('data', (text) => (complaint += text));
  const [code] = (await once(fork, 'close')) as [number | null];
  if (code !== 0) throw new Error(`fork: ${complaint}`);
  await load.enough();
  load.end();
  await load.over;
  await answers(shell, database, copy);
  before.check(shell, copy, result);
  const later = new Load(shell, before, { name: copy, round: 1 });
  await later.enough();
  succeed(shell.husk('kill', copy));
  await later.over;
  succeed(shell.husk('start', copy));
  await answers(shell, database, copy);
  before.check(shell, copy, result);
  told.check(shell, name, result);
  succeed(shell.husk('rm', '-f', name, copy));
  result.acknowledged = told.count;
  return result;
}

function run(shell: Shell, { container }: Database, { name, isolation }: UnderTest): void {
  succeed(shell.husk('run', '-d', '--name', name, ...isolation, '--network', 'none', ...container));
}

async function answers(shell: Shell, database: Database, name: string): Promise<void> {
  let answer: ReturnType<Shell['husk']> | undefined;
  await until(
    () => (answer = shell.husk('exec', name, ...database.ready)).status === 0,
    () => `the database does not answer: ${answer?.stderr}${shell.husk('logs', '--tail', '5', name).stderr}`,
    START_PATIENCE,
  );
}

/** The ids whose commit each client was told of. */
class Told {
  readonly database: Database;
  readonly #ids: Map<string, Set<number>>;

  constructor(database: Database, ids: ReadonlyMap<string, ReadonlySet<number>> = new Map()) {
    this.database = database;
    this.#ids = new Map(database.clients.map(({ name }) => [name, new Set(ids.get(name))]));
  }

  copy(): Told {
    return new Told(this.database, this.#ids);
  }

  add(client: string, id: number): void {
    this.#ids.get(client)!.add(id);
  }

  get count(): number {
    return this.counts().reduce((sum, count) => sum + count);
  }

  /** of each client */
  counts(): number[] {
    return [...this.#ids.values()].map(({ size }) => size);
  }

  /** Asks the database of a container what it has, and adds to the result what is not as it was told. */
  check(shell: Shell, container: string, { lost, damage }: Result): void {
    for (const [client, ids] of this.#ids) {
      const lines = succeed(shell.husk('exec', container, ...this.database.look(client)))
        .trim()
        .split('\n');
      const verdict = lines.pop();
      if (verdict !== 'ok') damage.push(`${container} ${client}: ${verdict}`);
      const there = new Set(lines.map(Number));
      for (const id of ids) if (!there.has(id)) lost.push(`${container} ${client} ${id}`);
    }
  }
}

/** Clients that write to a container's database, one row after the other. */
class Load {
  /** all clients have ended */
  readonly over: Promise<unknown>;
  readonly #told: Told;
  readonly #clients: ChildProcess[];
  #complaint = '';

  constructor(shell: Shell, told: Told, { name, round }: { name: string; round: number }) {
    this.#told = told;
    this.#clients = told.database.clients.map((client) => {
      const child = shell.start('exec', '-i', name, ...client.argv);
      child.stderr!.on('data', (text) => (this.#complaint += text));
      child.stdin!.on('error', () => {}); // it is about to be killed
      let next = (round + 1) * 1_000_000;
      const insert = () => child.stdin!.write(client.insert(next++));
      let rest = '';
      child.stdout!.setEncoding('utf8').on('data', (text: string) => {
        rest += text;
        for (const [, id] of rest.matchAll(ACK)) {
          told.add(client.name, Number(id));
          insert();
        }
        rest = rest.slice(rest.lastIndexOf('\n') + 1);
      });
      child.stdin!.write(client.begin);
      insert();
      return child;
    });
    this.over = Promise.all(this.#clients.map((child) => once(child, 'close')));
  }

  /** Until so many more commits were told of; some by each client. */
  async enough(): Promise<void> {
    const before = this.#told.counts();
    const wanted = LEAST + Math.floor(Math.random() * (MOST - LEAST));
    const each = () => this.#told.counts().map((count, index) => count - before[index]!);
    await until(
      () => each().every((count) => count > 2) && each().reduce((sum, count) => sum + count) > wanted,
      () => `no commits: ${each().join()} ${this.#complaint}`,
    );
  }

  end(): void {
    for (const child of this.#clients) child.kill('SIGKILL');
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

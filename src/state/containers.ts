/**
 * Container records: rows of the `containers` table. Every change of a state is one IMMEDIATE transaction that reads
 * the row again, so two husk processes that race see each other. Knows nothing of what a container is made of: `config`
 * is the engine's, kept as parsed JSON.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { HuskError } from '../errors.ts';
import { transaction } from './database.ts';
import type { ProcessIdentity } from './process-identity.ts';

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** One health probe; times in RFC 3339. */
export interface HealthResult {
  start: string;
  end: string;
  /** the probe's own; -1 when it timed out or could not be started */
  exitCode: number;
  /** at most 4096 bytes, `...` behind them when there was more */
  output: string;
}

/** Docker's `.State.Health` */
export interface HealthState {
  status: 'starting' | 'healthy' | 'unhealthy';
  failingStreak: number;
  /** the last five, oldest first */
  log: HealthResult[];
}

/** Stored as JSON in `containers.state`. */
export interface ContainerState {
  status: ContainerStatus;
  /** host pid of the container's first process; 0 when not running */
  pid: number;
  /** who `pid` is: a reused pid is never signalled */
  process?: ProcessIdentity;
  exitCode: number;
  error: string;
  oomKilled: boolean;
  /** RFC 3339 with nanoseconds; 0001-01-01T00:00:00Z is "never" */
  startedAt: string;
  finishedAt: string;
  restartCount: number;
  /** stopped by hand: `unless-stopped` and `always` treat it apart */
  stoppedByUser: boolean;
  /** of a container with a health check, from its first start on */
  health?: HealthState;
  /**
   * Who supervises it: pid and start time (/proc/PID/stat field 22, clock ticks) and boot id, so that a reused pid or a
   * reboot is never mistaken for it. A `running` record whose supervisor is gone is shown, and mended, as exited.
   */
  supervisor?: ProcessIdentity;
  /**
   * who is starting it, removing it, or at its files while it does not run: a claim whose process is dead is nobody's
   */
  claim?: { by: ProcessIdentity; operation: 'start' | 'remove' | 'copy' };
  /** bytes its own layer takes, as last measured, where only its machine can measure them */
  writtenBytes?: number;
}

/** RFC 3339's way to say "never", as Docker has it */
export const NEVER = '0001-01-01T00:00:00Z';

export interface ContainerRecord<Config = unknown> {
  /** 64 lower-case hex digits */
  id: string;
  name: string;
  imageId: string;
  /** ms since the epoch */
  createdAt: number;
  config: Config;
  state: ContainerState;
}

interface Row {
  id: string;
  name: string;
  image_id: string;
  created_at: number;
  config: string;
  state: string;
}

const ID = /^[0-9a-f]{1,64}$/;
const COLUMNS = 'id, name, image_id, created_at, config, state';

export class ContainerStore<Config = unknown> {
  readonly #database: DatabaseSync;
  readonly #isConfig: (value: unknown) => value is Config;
  readonly #statements = new Map<string, StatementSync>();

  /** @param isConfig what a config must be, of whoever knows what is in it */
  constructor(
    database: DatabaseSync,
    isConfig: (value: unknown) => value is Config = (value): value is Config =>
      typeof value === 'object' && value !== null,
  ) {
    this.#database = database;
    this.#isConfig = isConfig;
  }

  /**
   * @param check throws when what the record relies on is gone; reads within the transaction
   * @throws HuskError `conflict` with Docker's text when the name is taken
   */
  insert(record: ContainerRecord<Config>, check: () => void = () => {}): void {
    transaction(this.#database, () => {
      check();
      this.assertNameFree(record.name);
      this.#prepare(
        'INSERT INTO containers (id, name, image_id, created_at, config, state) VALUES (?, ?, ?, ?, ?, ?)',
      ).run(
        record.id,
        record.name,
        record.imageId,
        record.createdAt,
        JSON.stringify(record.config),
        JSON.stringify(record.state),
      );
    });
  }

  get(id: string): ContainerRecord<Config> | undefined {
    return this.#one(`SELECT ${COLUMNS} FROM containers WHERE id = ?`, id);
  }

  byName(name: string): ContainerRecord<Config> | undefined {
    return this.#one(`SELECT ${COLUMNS} FROM containers WHERE name = ?`, name);
  }

  /**
   * By full id, name, or unambiguous id prefix, in that order: Docker's. @throws HuskError `not-found` or `invalid`
   * (ambiguous)
   */
  resolve(reference: string): ContainerRecord<Config> {
    const exact = this.get(reference) ?? this.byName(reference.startsWith('/') ? reference.slice(1) : reference);
    if (exact) return exact;
    if (ID.test(reference)) {
      // 'g' sorts right after the last hex digit
      const rows = this.#prepare(`SELECT ${COLUMNS} FROM containers WHERE id >= ? AND id < ? LIMIT 2`).all(
        reference,
        `${reference}g`,
      ) as unknown as Row[];
      if (rows.length > 1)
        throw new HuskError(`Multiple IDs found with provided prefix: ${reference}`, { kind: 'invalid' });
      if (rows.length === 1) return this.#parse(rows[0]!);
    }
    throw new HuskError(`No such container: ${reference}`, { kind: 'not-found' });
  }

  /** newest first, as `ps` lists them */
  all(): ContainerRecord<Config>[] {
    const rows = this.#prepare(
      `SELECT ${COLUMNS} FROM containers ORDER BY created_at DESC, rowid DESC`,
    ).all() as unknown as Row[];
    return rows.map((row) => this.#parse(row));
  }

  /** those with one of these states, newest first */
  withStatus(statuses: readonly ContainerStatus[]): ContainerRecord<Config>[] {
    const marks = statuses.map(() => '?').join(', ');
    const rows = this.#prepare(
      `SELECT ${COLUMNS} FROM containers WHERE status IN (${marks}) ORDER BY created_at DESC, rowid DESC`,
    ).all(...statuses) as unknown as Row[];
    return rows.map((row) => this.#parse(row));
  }

  /** those made from an image, and those whose config's mounts name it, newest first */
  ofImage(imageId: string): ContainerRecord<Config>[] {
    const where = 'image_id = ?1 OR id IN (SELECT container_id FROM container_images WHERE image_id = ?1)';
    const sql = `SELECT ${COLUMNS} FROM containers WHERE ${where} ORDER BY created_at DESC, rowid DESC`;
    const rows = this.#prepare(sql).all(imageId) as unknown as Row[];
    return rows.map((row) => this.#parse(row));
  }

  /** ids of those whose config's mounts name a volume */
  usersOfVolume(name: string): string[] {
    const rows = this.#prepare('SELECT container_id FROM container_volumes WHERE volume = ?').all(name) as unknown as {
      container_id: string;
    }[];
    return rows.map((row) => row.container_id);
  }

  /**
   * Reads the record and writes the state that `change` returns, in one transaction; undefined leaves it as it is.
   * @returns the record as it is afterwards; undefined when there is none
   */
  change(
    id: string,
    change: (state: ContainerState, record: ContainerRecord<Config>) => ContainerState | undefined,
  ): ContainerRecord<Config> | undefined {
    return transaction(this.#database, () => {
      const record = this.get(id);
      if (!record) return undefined;
      const next = change(record.state, record);
      if (next === undefined) return record;
      this.#prepare('UPDATE containers SET state = ? WHERE id = ?').run(JSON.stringify(next), id);
      return { ...record, state: next };
    });
  }

  setConfig(id: string, change: (config: Config) => Config): void {
    transaction(this.#database, () => {
      const record = this.get(id);
      if (record)
        this.#prepare('UPDATE containers SET config = ? WHERE id = ?').run(JSON.stringify(change(record.config)), id);
    });
  }

  rename(id: string, name: string): void {
    transaction(this.#database, () => {
      this.assertNameFree(name);
      this.#prepare('UPDATE containers SET name = ? WHERE id = ?').run(name, id);
    });
  }

  delete(id: string): void {
    this.#prepare('DELETE FROM containers WHERE id = ?').run(id);
  }

  /** @throws HuskError `conflict` with Docker's text */
  assertNameFree(name: string): void {
    const holder = this.#prepare('SELECT id FROM containers WHERE name = ?').get(name) as { id: string } | undefined;
    if (holder)
      throw new HuskError(
        `Conflict. The container name "/${name}" is already in use by container "${holder.id}". You have to remove (or rename) that container to be able to reuse that name.`,
        {
          kind: 'conflict',
          exitCode: 125,
        },
      );
  }

  /** @throws HuskError `corrupt` naming the container */
  #parse(row: Row): ContainerRecord<Config> {
    try {
      const [config, state] = [JSON.parse(row.config) as unknown, JSON.parse(row.state) as unknown];
      if (!this.#isConfig(config)) throw new TypeError('its config is none that a container has');
      if (!isState(state)) throw new TypeError('its state is none that a container has');
      return { id: row.id, name: row.name, imageId: row.image_id, createdAt: row.created_at, config, state };
    } catch (error) {
      throw new HuskError(`the record of container ${row.id} is damaged: ${(error as Error).message}`, {
        kind: 'corrupt',
        fix: 'husk system check --repair',
        cause: error,
      });
    }
  }

  #one(sql: string, parameter: string): ContainerRecord<Config> | undefined {
    const row = this.#prepare(sql).get(parameter) as Row | undefined;
    return row && this.#parse(row);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }
}

const STATUSES: readonly string[] = [
  'created',
  'running',
  'paused',
  'restarting',
  'removing',
  'exited',
  'dead',
] satisfies ContainerStatus[];

export function isState(state: unknown): state is ContainerState {
  const { status, pid, exitCode, error, startedAt, finishedAt } = (state ?? {}) as Partial<
    Record<keyof ContainerState, unknown>
  >;
  return (
    typeof status === 'string' &&
    STATUSES.includes(status) &&
    typeof pid === 'number' &&
    typeof exitCode === 'number' &&
    [error, startedAt, finishedAt].every((text) => typeof text === 'string')
  );
}

/**
 * Container records: rows of the `containers` table. Every change of a state is one IMMEDIATE transaction that reads
 * the row again, so two husk processes that race see each other's changes. This module does not know what a container
 * is made of: `config` is the engine's, stored as JSON.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { HuskError } from '../errors.ts';
import { transaction } from './database.ts';
import type { ProcessIdentity } from './process-identity.ts';

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** One health probe; its times are RFC 3339. */
export interface HealthResult {
  start: string;
  end: string;
  /** exit code of the probe; -1 when it timed out or could not be started */
  exitCode: number;
  /** output of the probe, at most 4096 bytes; `...` follows where there was more */
  output: string;
}

/** Docker's `.State.Health` */
export interface HealthState {
  status: 'starting' | 'healthy' | 'unhealthy';
  failingStreak: number;
  /** the last five probes, oldest first */
  log: HealthResult[];
}

/** A port of this host that leads to a port of a container. */
export interface PublishedPort {
  protocol: 'tcp' | 'udp';
  /** address on this host; `0.0.0.0` and `::` stand for every address of their family */
  hostIp: string;
  hostPort: number;
  containerPort: number;
}

export interface EndpointAddress {
  address: string;
  /** bits of the subnet */
  prefix: number;
  /** absent where the network has no connection to the outside */
  gateway?: string;
}

/** A running container's connection to one of its networks. */
export interface EndpointState {
  networkId: string;
  /** the network's name */
  network: string;
  /** 64 hex digits; a new id at each start */
  endpointId: string;
  /** name of the interface inside the container: eth0 */
  interface: string;
  mac: string;
  ipv4?: EndpointAddress;
  ipv6?: EndpointAddress;
  /** names by which other containers find this one; its own name comes first */
  names: string[];
}

/** The state of a container, stored as JSON in `containers.state`. */
export interface ContainerState {
  status: ContainerStatus;
  /** host pid of the container's first process; 0 when it does not run */
  pid: number;
  /** identity of `pid`, so that a reused pid is never signalled */
  process?: ProcessIdentity;
  exitCode: number;
  error: string;
  oomKilled: boolean;
  /** RFC 3339 with nanoseconds; 0001-01-01T00:00:00Z stands for "never" */
  startedAt: string;
  finishedAt: string;
  restartCount: number;
  /** whether the user stopped the container, after which `unless-stopped` and `always` act differently */
  stoppedByUser: boolean;
  /** state of the health check, from the container's first start on */
  health?: HealthState;
  /**
   * The supervisor's identity: pid, start time (/proc/PID/stat field 22, clock ticks) and boot id, so that neither a
   * reused pid nor a reboot is mistaken for it. A `running` record whose supervisor is gone is shown as exited, and
   * repaired.
   */
  supervisor?: ProcessIdentity;
  /**
   * The process that starts the container, removes it, or uses its files while it does not run. A claim whose process
   * is dead does not count.
   */
  claim?: { by: ProcessIdentity; operation: 'start' | 'remove' | 'copy' };
  /**
   * Clients that are attached before the start, each by a token of its own and the process that has it: output flows
   * only when each of them has its streams. Those of dead processes do not count.
   */
  awaited?: { token: string; by: ProcessIdentity }[];
  /** connections of a running container, in the order of its interfaces */
  endpoints?: EndpointState[];
  /** published ports of a running container */
  published?: PublishedPort[];
  /** bytes of the container's own layer as last measured, where only its machine can measure them */
  writtenBytes?: number;
}

/** the time that stands for "never" in Docker's RFC 3339 */
export const NEVER = '0001-01-01T00:00:00Z';

/**
 * what Docker's daemon records for a container whose start failed before its command could (moby daemon/start.go: exit
 * status 128)
 */
export const NOT_STARTED = 128;

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

  /** @param isConfig tests whether a value is a config; the engine knows what a config has */
  constructor(
    database: DatabaseSync,
    isConfig: (value: unknown) => value is Config = (value): value is Config =>
      typeof value === 'object' && value !== null,
  ) {
    this.#database = database;
    this.#isConfig = isConfig;
  }

  /**
   * Inserts a record.
   * @param check throws when what the record relies on is gone; it reads within the transaction
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
   * Finds a container by its full id, name, or unambiguous id prefix, in Docker's order.
   * @throws HuskError `not-found` or `invalid` (ambiguous)
   */
  resolve(reference: string): ContainerRecord<Config> {
    const exact = this.get(reference) ?? this.byName(reference.startsWith('/') ? reference.slice(1) : reference);
    if (exact) return exact;
    if (ID.test(reference)) {
      // 'g' sorts right after the last hex digit.
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

  /** @returns all records, newest first, as `ps` lists them */
  all(): ContainerRecord<Config>[] {
    const rows = this.#prepare(
      `SELECT ${COLUMNS} FROM containers ORDER BY created_at DESC, rowid DESC`,
    ).all() as unknown as Row[];
    return rows.map((row) => this.#parse(row));
  }

  /** @returns records with one of these states, newest first */
  withStatus(statuses: readonly ContainerStatus[]): ContainerRecord<Config>[] {
    const marks = statuses.map(() => '?').join(', ');
    const rows = this.#prepare(
      `SELECT ${COLUMNS} FROM containers WHERE status IN (${marks}) ORDER BY created_at DESC, rowid DESC`,
    ).all(...statuses) as unknown as Row[];
    return rows.map((row) => this.#parse(row));
  }

  /** @returns records of containers that were made from an image or mount it, newest first */
  ofImage(imageId: string): ContainerRecord<Config>[] {
    const where = 'image_id = ?1 OR id IN (SELECT container_id FROM container_images WHERE image_id = ?1)';
    const sql = `SELECT ${COLUMNS} FROM containers WHERE ${where} ORDER BY created_at DESC, rowid DESC`;
    const rows = this.#prepare(sql).all(imageId) as unknown as Row[];
    return rows.map((row) => this.#parse(row));
  }

  /** @returns ids of containers whose configs mount a volume */
  usersOfVolume(name: string): string[] {
    const rows = this.#prepare('SELECT container_id FROM container_volumes WHERE volume = ?').all(name) as unknown as {
      container_id: string;
    }[];
    return rows.map((row) => row.container_id);
  }

  /**
   * Reads the record and writes the state that `change` returns, in one transaction; when `change` returns undefined,
   * the state stays as it is.
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

  /** @param within done in the same transaction */
  rename(id: string, name: string, within: () => void = () => {}): void {
    transaction(this.#database, () => {
      this.assertNameFree(name);
      this.#prepare('UPDATE containers SET name = ? WHERE id = ?').run(name, id);
      within();
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

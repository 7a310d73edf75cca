/**
 * Records of commands in containers: rows of the `execs` table. A client makes one, the supervisor of its container
 * writes what becomes of it; what a command is made of is the engine's, stored as JSON. Each container has a bounded
 * number of them, and they go with it. This module writes no events: its callers do, in the same transaction.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { HuskError } from '../errors.ts';

export type ExecStatus = 'created' | 'running' | 'exited';

export interface ExecRow<Options = unknown> {
  /** 64 lower-case hex digits */
  id: string;
  container: string;
  status: ExecStatus;
  options: Options;
  /** host pid, also after the end; 0 before the start, and in a VM */
  pid: number;
  /** null before the end */
  exitCode: number | null;
}

interface Row {
  id: string;
  container_id: string;
  status: ExecStatus;
  options: string;
  pid: number;
  exit_code: number | null;
}

/**
 * Rows that one container has of those that were not started, and again of those that have ended. A client that makes
 * them and starts none loses its oldest: Docker keeps all of them, in memory.
 */
export const MAX_EXECS = 1024;
/** bytes of their options, beyond which the newest one alone is kept: one body of the API may have 8 MiB */
const MAX_BYTES = 16 << 20;
/** of those that have ended, once the container's life has: clients ask for a code when the stream has ended */
export const MAX_KEPT = 32;

/** 128 + SIGKILL: the exit code of what was killed with its container */
export const KILLED = 137;

const ID = /^[0-9a-f]{64}$/;

export class ExecStore<Options = unknown> {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Inserts a command that is not started, and drops what is too old. To be called in a transaction.
   * @returns false, and nothing is inserted, when the container does not run, or is paused
   */
  insert({ id, container, options }: Pick<ExecRow<Options>, 'id' | 'container' | 'options'>): boolean {
    const text = JSON.stringify(options);
    const { changes } = this.#prepare(
      `INSERT INTO execs (id, container_id, status, size, options, pid)
        SELECT ?1, ?2, 'created', ?3, ?4, 0 FROM containers WHERE id = ?2 AND status = 'running'`,
    ).run(id, container, Buffer.byteLength(text), text);
    if (changes === 0) return false;
    this.#keep(container, 'created', MAX_EXECS);
    return true;
  }

  /** @param id as a client gave it. @throws HuskError `corrupt` for a damaged row */
  get(id: string): ExecRow<Options> | undefined {
    if (!ID.test(id)) return undefined;
    const row = this.#prepare('SELECT id, container_id, status, options, pid, exit_code FROM execs WHERE id = ?').get(
      id,
    ) as Row | undefined;
    if (!row) return undefined;
    const { container_id: container, status, pid, exit_code: exitCode } = row;
    return { id, container, status, options: parse(row) as Options, pid, exitCode };
  }

  /** What has become of one of a container's; undefined when there is none of that id. */
  status(id: string, container: string): ExecStatus | undefined {
    const row = this.#prepare('SELECT status FROM execs WHERE id = ? AND container_id = ?').get(id, container);
    return (row as { status: ExecStatus } | undefined)?.status;
  }

  /** @returns ids of a container's that have not ended, the oldest first */
  open(container: string): string[] {
    return this.#ids(
      `SELECT id FROM execs WHERE container_id = ? AND status IN ('created', 'running') ORDER BY sequence`,
      container,
    );
  }

  /** It runs. @returns false when it is not there, or has been started before */
  started(id: string, pid: number): boolean {
    const sql = `UPDATE execs SET status = 'running', pid = ? WHERE id = ? AND status = 'created'`;
    return this.#prepare(sql).run(pid, id).changes > 0;
  }

  /**
   * It has ended, or could not be started. To be called in a transaction.
   * @returns false when it is not there, or has ended before
   */
  ended({ id, container, exitCode }: { id: string; container: string; exitCode: number }): boolean {
    const sql = `UPDATE execs SET status = 'exited', exit_code = ?
      WHERE id = ? AND container_id = ? AND status IN ('created', 'running')`;
    if (this.#prepare(sql).run(exitCode, id, container).changes === 0) return false;
    this.#keep(container, 'exited', MAX_EXECS);
    return true;
  }

  /**
   * The container's life has ended, and what ran in it with it: what was not started is gone, and so are all but the
   * last that have ended. To be called in a transaction.
   * @returns ids of those that ran: their exit code is KILLED
   */
  lifeEnded(container: string): string[] {
    const ran = this.#ids(`SELECT id FROM execs WHERE container_id = ? AND status = 'running'`, container);
    if (ran.length > 0)
      this.#prepare(
        `UPDATE execs SET status = 'exited', exit_code = ? WHERE container_id = ? AND status = 'running'`,
      ).run(KILLED, container);
    this.#prepare(`DELETE FROM execs WHERE container_id = ? AND status = 'created'`).run(container);
    this.#keep(container, 'exited', MAX_KEPT);
    return ran;
  }

  /** Drops the oldest until there are no more than so many, of no more than MAX_BYTES; the newest stays. */
  #keep(container: string, status: ExecStatus, most: number): void {
    // the index has all that is looked at, in the order in which it is
    const of = 'FROM execs WHERE container_id = ? AND status = ?';
    let { count, bytes } = this.#prepare(`SELECT count(*) AS count, total(size) AS bytes ${of}`).get(
      container,
      status,
    ) as { count: number; bytes: number };
    const isTooMuch = () => count > 1 && (count > most || bytes > MAX_BYTES);
    if (!isTooMuch()) return;
    let last = 0;
    for (const row of this.#prepare(`SELECT sequence, size ${of} ORDER BY sequence`).iterate(container, status)) {
      last = Number(row['sequence']);
      count--;
      bytes -= Number(row['size']);
      if (!isTooMuch()) break;
    }
    this.#prepare(`DELETE ${of} AND sequence <= ?`).run(container, status, last);
  }

  #ids(sql: string, container: string): string[] {
    return (this.#prepare(sql).all(container) as unknown as { id: string }[]).map(({ id }) => id);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }
}

function parse({ id, options }: Row): unknown {
  try {
    return JSON.parse(options);
  } catch (error) {
    throw new HuskError(`the record of exec ${id} is damaged: ${(error as Error).message}`, {
      kind: 'corrupt',
      fix: 'husk system check --repair',
      cause: error,
    });
  }
}

/**
 * What a container's supervisor writes into the rows of its execs: each change is one transaction with the event that
 * tells of it. Never throws on a full disk: what runs goes on, as with the container's own events.
 */
import type { DatabaseSync } from 'node:sqlite';
import { transaction } from '../../state/database.ts';
import { ExecStore, type ExecStatus } from '../../state/execs.ts';

export class ExecRecord {
  readonly #database: DatabaseSync;
  readonly #store: ExecStore;
  readonly #container: string;
  readonly #hasPids: boolean;
  readonly #event: (action: string, attributes: Record<string, string>) => void;

  /**
   * @param of.hasPids its processes are this host's
   * @param of.event appends an event of the container
   */
  constructor(
    database: DatabaseSync,
    of: {
      container: string;
      hasPids: boolean;
      event(action: string, attributes: Record<string, string>): void;
    },
  ) {
    this.#database = database;
    this.#store = new ExecStore(database);
    this.#container = of.container;
    this.#hasPids = of.hasPids;
    this.#event = (action, attributes) => of.event(action, attributes);
  }

  /** @returns undefined when this container has none of that id */
  status(id: string): ExecStatus | undefined {
    return this.#store.status(id, this.#container);
  }

  started(id: string, pid: number, args: readonly string[]): void {
    this.#write(() => {
      if (this.#store.started(id, this.#hasPids ? pid : 0))
        this.#event(`exec_start: ${args.join(' ')}`, { execID: id });
    });
  }

  notStarted(id: string, exitCode: number): void {
    this.#write(() => this.#store.ended({ id, container: this.#container, exitCode }));
  }

  ended(id: string, exitCode: number): void {
    this.#write(() => {
      if (this.#store.ended({ id, container: this.#container, exitCode }))
        this.#event('exec_die', { execID: id, exitCode: String(exitCode) });
    });
  }

  #write(change: () => void): void {
    try {
      transaction(this.#database, change);
    } catch {
      // the disk may be full: the command runs all the same
    }
  }
}

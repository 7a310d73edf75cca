/**
 * What a container's life writes into its record: each change is one transaction with the event that tells of it.
 * Decides nothing about the container; that is container-life.ts.
 */
import type { DatabaseSync } from 'node:sqlite';
import { HuskError } from '../../errors.ts';
import type { ExitStatus } from '../../sandbox.ts';
import {
  NEVER,
  type ContainerRecord,
  type ContainerState,
  type ContainerStore,
  type HealthResult,
  type HealthState,
} from '../../state/containers.ts';
import { appendEvent } from '../../state/events.ts';
import { identify, identifySelf, isAlive, sameProcess } from '../../state/process-identity.ts';
import { ranFor, rfc3339 } from '../../state/time.ts';
import { healthAfter, restingHealth, startingHealth } from './health.ts';
import type { HealthCheck, Task } from '../protocol/protocol.ts';

/**
 * what Docker's daemon records for a container whose start failed before its command could (moby daemon/start.go: exit
 * status 128)
 */
const NOT_STARTED = 128;

const BEING = { start: 'started', remove: 'removed', copy: 'copied from or to' };

export class LifeRecord {
  readonly #database: DatabaseSync;
  readonly #store: ContainerStore;
  readonly #task: Task;

  constructor(database: DatabaseSync, store: ContainerStore, task: Task) {
    this.#database = database;
    this.#store = store;
    this.#task = task;
  }

  get status(): ContainerState['status'] | undefined {
    return this.#store.get(this.#task.id)?.state.status;
  }

  get health(): HealthState | undefined {
    return this.#store.get(this.#task.id)?.state.health;
  }

  /** One process wins: the record is checked and claimed in one transaction. */
  claim(operation: 'start' | 'copy'): void {
    const { id } = this.#task;
    const self = identifySelf();
    const record = this.#store.change(id, (state) => {
      if (state.status === 'removing')
        throw new HuskError('container is marked for removal and cannot be started', { kind: 'conflict' });
      if (['running', 'paused', 'restarting'].includes(state.status) && isAlive(state.supervisor))
        throw new HuskError(`container ${id} is already running`, { kind: 'conflict' });
      if (state.claim && isAlive(state.claim.by))
        throw new HuskError(`container ${id} is being ${BEING[state.claim.operation]} by another process`, {
          kind: 'conflict',
        });
      return { ...state, claim: { by: self, operation } };
    });
    if (!record) throw new HuskError(`No such container: ${id}`, { kind: 'not-found' });
  }

  /** Its files are nobody's any more. @param written see `measured` */
  released(written: number | undefined): void {
    const self = identifySelf();
    this.#change((state) =>
      sameProcess(state.claim?.by, self)
        ? { ...state, claim: undefined, writtenBytes: written ?? state.writtenBytes }
        : undefined,
    );
  }

  /** What its own layer took when its machine ended; undefined: it can be measured at any time. */
  measured(written: number | undefined): void {
    if (written !== undefined) this.#change((state) => ({ ...state, writtenBytes: written }));
  }

  running(pid: number, restarts: number): void {
    this.#change((state, record) => {
      for (const { name, destination, readonly } of this.#task.volumes)
        this.#volumeEvent('mount', name, { destination, propagation: '', 'read/write': String(!readonly) });
      this.#event(record, 'start');
      return {
        ...state,
        status: 'running',
        pid,
        process: identify(pid),
        exitCode: 0,
        error: '',
        oomKilled: false,
        startedAt: rfc3339(),
        restartCount: restarts,
        stoppedByUser: false,
        health: this.#task.health && startingHealth(state.health),
        supervisor: identifySelf(),
        claim: undefined,
      };
    });
  }

  exited(status: ExitStatus, next: ContainerState['status'], stoppedByUser: boolean): void {
    const self = identifySelf();
    this.#change((state, record) => {
      if (status.oomKilled) this.#event(record, 'oom');
      this.#event(record, 'die', { execDuration: ranFor(state.startedAt), exitCode: String(status.code) });
      for (const { name } of this.#task.volumes) this.#volumeEvent('unmount', name);
      return {
        ...state,
        status: next,
        pid: 0,
        process: undefined,
        exitCode: status.code,
        error: status.error ?? '',
        oomKilled: status.oomKilled === true,
        finishedAt: rfc3339(),
        stoppedByUser,
        health: state.health && restingHealth(state.health),
        supervisor: next === 'restarting' ? self : undefined,
        claim: next === 'removing' ? { by: self, operation: 'remove' } : undefined,
      };
    });
  }

  /** It was stopped while it waited for its next start. */
  restartCancelled(stoppedByUser: boolean): void {
    this.#change((state) => ({
      ...state,
      status: 'exited',
      pid: 0,
      supervisor: undefined,
      claim: undefined,
      stoppedByUser,
    }));
  }

  /**
   * Docker leaves a container whose command could not be started `created` (or `exited`, had it run before), with the
   * reason.
   */
  startFailed(error: unknown): void {
    const { autoRemove } = this.#task;
    const exitCode = error instanceof HuskError && error.kind === 'start-failed' ? error.exitCode : NOT_STARTED;
    const self = identifySelf();
    this.#change((state) => {
      if (!sameProcess(state.claim?.by, self) && !sameProcess(state.supervisor, self)) return undefined;
      const claim = autoRemove ? ({ by: self, operation: 'remove' } as const) : undefined;
      const status = autoRemove ? 'removing' : state.startedAt === NEVER ? 'created' : 'exited';
      return {
        ...state,
        status,
        pid: 0,
        process: undefined,
        exitCode,
        error: error instanceof Error ? error.message : String(error),
        supervisor: undefined,
        claim,
      };
    });
  }

  paused(): void {
    this.#change((state, record) => {
      if (state.status !== 'running') return undefined;
      this.#event(record, 'pause');
      return { ...state, status: 'paused', health: state.health && restingHealth(state.health) };
    });
  }

  unpaused(): void {
    this.#change((state, record) => {
      if (state.status !== 'paused') return undefined;
      this.#event(record, 'unpause');
      return { ...state, status: 'running' };
    });
  }

  /** @returns what the container is after this probe */
  probed(result: HealthResult, check: HealthCheck, sinceStart: number): HealthState['status'] {
    const record = this.#change((state, current) => {
      const before = state.health ?? startingHealth(undefined);
      const health = healthAfter(before, result, check, sinceStart);
      if (health.status !== before.status) this.#event(current, `health_status: ${health.status}`);
      return { ...state, health };
    });
    return record?.state.health?.status ?? 'unhealthy';
  }

  /** Docker's attributes, with the name the container has now. */
  attributes(): Record<string, string> {
    const name = this.#store.get(this.#task.id)?.name;
    return name === undefined ? this.#task.attributes : { ...this.#task.attributes, name };
  }

  /** What changes nothing in the record: a signal, a new size, the end of an exec. */
  event(action: string, attributes: Record<string, string> = {}): void {
    appendEvent(this.#database, {
      Type: 'container',
      Action: action,
      Actor: { ID: this.#task.id, Attributes: { ...this.attributes(), ...attributes } },
    });
  }

  #change(
    change: (state: ContainerState, record: ContainerRecord) => ContainerState | undefined,
  ): ContainerRecord | undefined {
    return this.#store.change(this.#task.id, change);
  }

  #event(record: ContainerRecord, action: string, attributes: Record<string, string> = {}): void {
    appendEvent(this.#database, {
      Type: 'container',
      Action: action,
      Actor: { ID: this.#task.id, Attributes: { ...this.#task.attributes, name: record.name, ...attributes } },
    });
  }

  #volumeEvent(action: string, name: string, attributes: Record<string, string> = {}): void {
    appendEvent(this.#database, {
      Type: 'volume',
      Action: action,
      Actor: { ID: name, Attributes: { container: this.#task.id, driver: 'local', ...attributes } },
    });
  }
}

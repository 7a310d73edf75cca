/**
 * What a container's life writes into its record: each change is one transaction with the event that tells of it.
 * Decides nothing about the container; that is container-life.ts.
 */
import type { DatabaseSync } from 'node:sqlite';
import { HuskError } from '../../errors.ts';
import type { ExitStatus } from '../../sandbox.ts';
import {
  NEVER,
  NOT_STARTED,
  type ContainerRecord,
  type ContainerState,
  type ContainerStore,
  type EndpointState,
  type HealthResult,
  type HealthState,
} from '../../state/containers.ts';
import { appendEvent, appendUntoldEnd } from '../../state/events.ts';
import { ExecStore, KILLED } from '../../state/execs.ts';
import { identify, identifySelf, isAlive, sameProcess, type ProcessIdentity } from '../../state/process-identity.ts';
import { ranFor, rfc3339 } from '../../state/time.ts';
import { healthAfter, restingHealth, startingHealth } from './health.ts';
import type { HealthCheck, Task } from '../protocol/protocol.ts';

const BEING = { start: 'started', remove: 'removed', copy: 'copied from or to' };

/** What a container has on its networks while it runs. */
type NetworkPart = Pick<ContainerState, 'endpoints' | 'published'>;

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

  /**
   * Claims the record. It is checked and claimed in one transaction, so that one process wins.
   * @param options.given the claim is this process's already: a command has given it its own (`passClaim`)
   */
  claim(operation: 'start' | 'copy', { given = false }: { given?: boolean } = {}): void {
    const { id } = this.#task;
    const self = identifySelf();
    const record = this.#store.change(id, (state) => {
      if (state.status === 'removing')
        throw new HuskError('container is marked for removal and cannot be started', { kind: 'conflict' });
      if (['running', 'paused', 'restarting'].includes(state.status) && isAlive(state.supervisor))
        throw new HuskError(`container ${id} is already running`, { kind: 'conflict' });
      if (state.claim && isAlive(state.claim.by) && !(given && sameProcess(state.claim.by, self)))
        throw new HuskError(`container ${id} is being ${BEING[state.claim.operation]} by another process`, {
          kind: 'conflict',
        });
      return { ...state, claim: { by: self, operation } };
    });
    if (!record) throw new HuskError(`No such container: ${id}`, { kind: 'not-found' });
  }

  /**
   * This process's claim is another's from here on. @param together done in the same transaction
   * @throws HuskError `conflict`
   */
  passClaim(to: ProcessIdentity, together: () => void): void {
    const self = identifySelf();
    const { id } = this.#task;
    const record = this.#change((state) => {
      if (!state.claim || !sameProcess(state.claim.by, self)) return undefined;
      together();
      return { ...state, claim: { ...state.claim, by: to } };
    });
    if (!record || !sameProcess(record.state.claim?.by, to))
      throw new HuskError(`container ${id} is no longer this command's to start`, { kind: 'conflict' });
  }

  /** Gives the claim up: the container's files are nobody's any more. @param written see `measured` */
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

  /** @returns tokens of the clients that are attached already, and wait for their streams */
  running(pid: number, { restarts, networks }: { restarts: number; networks?: NetworkPart | undefined }): string[] {
    let awaited: string[] = [];
    this.#change((state, record) => {
      awaited = (state.awaited ?? []).filter(({ by }) => isAlive(by)).map(({ token }) => token);
      for (const endpoint of networks?.endpoints ?? []) this.#networkEvent('connect', endpoint);
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
        awaited: undefined,
        ...networks,
      };
    });
    return awaited;
  }

  exited(status: ExitStatus, next: ContainerState['status'], stoppedByUser: boolean): void {
    const self = identifySelf();
    this.#change((state, record) => {
      for (const id of new ExecStore(this.#database).lifeEnded(record.id))
        this.#event(record, 'exec_die', { execID: id, exitCode: String(KILLED) });
      if (status.oomKilled) this.#event(record, 'oom');
      for (const endpoint of state.endpoints ?? []) this.#networkEvent('disconnect', endpoint);
      for (const { name } of this.#task.volumes) this.#volumeEvent('unmount', name);
      this.#event(record, 'die', { execDuration: ranFor(state.startedAt), exitCode: String(status.code) });
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
        endpoints: undefined,
        published: undefined,
        claim: next === 'removing' ? { by: self, operation: 'remove' } : undefined,
      };
    });
  }

  /** It was stopped while it waited for its next start. */
  restartCancelled(stoppedByUser: boolean): void {
    this.#change((state, { id }) => {
      appendUntoldEnd(this.#database, { id, exitCode: state.exitCode });
      return { ...state, status: 'exited', pid: 0, supervisor: undefined, claim: undefined, stoppedByUser };
    });
  }

  /**
   * Docker leaves a container whose command could not be started `created` (or `exited`, had it run before), with the
   * reason.
   */
  startFailed(error: unknown): void {
    const { autoRemove } = this.#task;
    const exitCode = error instanceof HuskError && error.kind === 'start-failed' ? error.exitCode : NOT_STARTED;
    const message = error instanceof Error ? error.message : String(error);
    const self = identifySelf();
    this.#change((state, { id }) => {
      if (!sameProcess(state.claim?.by, self) && !sameProcess(state.supervisor, self)) return undefined;
      appendUntoldEnd(this.#database, { id, exitCode, error: message });
      const claim = autoRemove ? ({ by: self, operation: 'remove' } as const) : undefined;
      const status = autoRemove ? 'removing' : state.startedAt === NEVER ? 'created' : 'exited';
      return {
        ...state,
        status,
        pid: 0,
        process: undefined,
        exitCode,
        error: message,
        supervisor: undefined,
        claim,
        awaited: undefined,
      };
    });
  }

  /** Its networks have changed while it runs; who asked for it tells of it. */
  onNetworks(networks: NetworkPart | undefined): void {
    this.#change((state) => ({ ...state, ...networks }));
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

  #networkEvent(action: 'connect' | 'disconnect', { networkId, network }: EndpointState): void {
    appendEvent(this.#database, {
      Type: 'network',
      Action: action,
      Actor: { ID: networkId, Attributes: { container: this.#task.id, name: network, type: 'bridge' } },
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

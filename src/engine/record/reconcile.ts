/**
 * What is really so. A record says what a process last wrote; that process may have been killed since. Every reader
 * comes through here: a stale record is mended in a transaction before anybody sees it, half-done removals are
 * finished.
 */
import { removeRememberedCgroup } from '../../container/cgroup/remains.ts';
import { HuskError } from '../../errors.ts';
import { releaseNetworks } from '../../network/records/release.ts';
import { NOT_STARTED, type ContainerState } from '../../state/containers.ts';
import { appendEvent, appendUntoldEnd, type EventRecord } from '../../state/events.ts';
import { ExecStore, KILLED } from '../../state/execs.ts';
import { identifySelf, isAlive } from '../../state/process-identity.ts';
import { ranFor, rfc3339 } from '../../state/time.ts';
import { removeSocket } from '../../supervisor/protocol/access.ts';
import { restingHealth } from '../../supervisor/life/health.ts';
import { removeRecordAndFolder } from '../../supervisor/life/removal.ts';
import type { EngineContext } from './context.ts';
import type { Container } from '../contract.ts';
import { eventAttributes } from './events.ts';
import { killProcess } from './kill-process.ts';

/**
 * Finds a container by its id, its name or an unambiguous prefix of its id.
 * @throws HuskError not-found "No such container: x"
 */
export function resolve(context: EngineContext, reference: string): Container {
  const found = truth(context, context.store.resolve(reference));
  if (!found) throw new HuskError(`No such container: ${reference}`, { kind: 'not-found' });
  return found;
}

/** all of them, newest first */
export function resolveAll(context: EngineContext): Container[] {
  return context.store.all().flatMap((record) => truth(context, record) ?? []);
}

/** @returns the containers that run, newest first; the cost does not grow with those that do not */
export function resolveRunning(context: EngineContext): Container[] {
  // `removing`: a removal whose process died is finished by whoever looks
  return context.store
    .withStatus(['running', 'paused', 'restarting', 'removing'])
    .flatMap((record) => truth(context, record) ?? []);
}

/** @returns the record as it really is; undefined when it was on its way out and now is gone */
export function truth(context: EngineContext, record: Container): Container | undefined {
  if (!isStale(record.state)) return record;
  const mended = context.store.change(record.id, (state) =>
    isStale(state) ? mend(context, record, state) : undefined,
  );
  if (mended?.state.status !== 'removing') return mended;
  if (mended.state.claim && !isOwn(mended.state)) return mended;
  finishRemoval(context, mended);
  return undefined;
}

/**
 * Under this process's own claim. The bytes are deleted behind the caller's back: a command that is killed leaves them
 * to the next.
 */
export function finishRemoval(context: EngineContext, record: Container): Promise<void> {
  const deleted = removeRecordAndFolder(context, record.id, eventAttributes(record))();
  deleted.catch(() => {});
  return deleted;
}

function isOwn(state: ContainerState): boolean {
  return state.claim?.by.pid === process.pid;
}

/** Whoever wrote the record last has died in the middle of what it says. */
export function isStale(state: ContainerState): boolean {
  if (state.claim) return !isAlive(state.claim.by);
  switch (state.status) {
    case 'running':
    case 'paused':
    case 'restarting':
      return !isAlive(state.supervisor);
    case 'removing':
      return true;
    default:
      return false;
  }
}

function mend(context: EngineContext, record: Container, state: ContainerState): ContainerState {
  if (state.status === 'removing') return { ...state, claim: { by: identifySelf(), operation: 'remove' } };
  removeSocket(context.paths, record.id);
  // what a start has taken that did not get as far as running
  releaseNetworks(context.database, record.id);
  if (state.status === 'created' || state.status === 'exited' || state.status === 'dead')
    return state.claim?.operation === 'start' ? startKilled(context, record, state) : { ...state, claim: undefined };
  // the container's first process dies with its supervisor, by its parent-death signal; this kill is for the moment
  // between
  killProcess(state.process);
  removeRememberedCgroup(context.paths.container(record.id));
  // what waited for its next start has ended before
  const exitCode = state.status === 'restarting' ? state.exitCode : KILLED;
  tellOfDeath(context, record, { ...state, exitCode });
  const remove = record.config.options.autoRemove;
  return {
    ...state,
    status: remove ? 'removing' : 'exited',
    pid: 0,
    process: undefined,
    exitCode,
    finishedAt: state.status === 'restarting' ? state.finishedAt : rfc3339(),
    health: state.health && restingHealth(state.health),
    supervisor: undefined,
    endpoints: undefined,
    published: undefined,
    claim: remove ? { by: identifySelf(), operation: 'remove' } : undefined,
  };
}

/** Whoever started it was killed before the command ran. */
function startKilled(context: EngineContext, { id }: Container, state: ContainerState): ContainerState {
  const error = 'the process that started the container was killed';
  appendUntoldEnd(context.database, { id, exitCode: NOT_STARTED, error });
  return { ...state, claim: undefined, awaited: undefined, exitCode: NOT_STARTED, error };
}

/** What its supervisor would have told: its commands ended, it gave back its networks and volumes, and died. */
function tellOfDeath(context: EngineContext, record: Container, state: ContainerState): void {
  const { id, config } = record;
  const tell = (Type: EventRecord['Type'], Action: string, ID: string, Attributes: Record<string, string>) =>
    appendEvent(context.database, { Type, Action, Actor: { ID, Attributes } });
  const own = (action: string, attributes: Record<string, string>) =>
    tell('container', action, id, { ...eventAttributes(record), ...attributes });
  for (const execID of new ExecStore(context.database).lifeEnded(id))
    own('exec_die', { execID, exitCode: String(KILLED) });
  for (const { networkId, network } of state.endpoints ?? [])
    tell('network', 'disconnect', networkId, { container: id, name: network, type: 'bridge' });
  // one that waits for its next start has none mounted
  const mounted = state.status === 'restarting' ? [] : config.mounts;
  for (const { type, name } of mounted)
    if (type === 'volume' && name !== undefined) tell('volume', 'unmount', name, { container: id, driver: 'local' });
  // KILLED is what Docker shows for a container whose runtime was killed
  own('die', { execDuration: ranFor(state.startedAt), exitCode: String(state.exitCode) });
}

/**
 * What is really so. A record says what a process last wrote; that process may have been killed since. Every reader
 * comes through here: a stale record is mended in a transaction before anybody sees it, half-done removals are
 * finished.
 */
import { removeRememberedCgroup } from '../../container/cgroup/remains.ts';
import { HuskError } from '../../errors.ts';
import type { ContainerState } from '../../state/containers.ts';
import { appendEvent } from '../../state/events.ts';
import { identifySelf, isAlive } from '../../state/process-identity.ts';
import { ranFor, rfc3339 } from '../../state/time.ts';
import { removeSocket } from '../../supervisor/protocol/access.ts';
import { restingHealth } from '../../supervisor/life/health.ts';
import { removeRecordAndFolder } from '../../supervisor/life/removal.ts';
import type { EngineContext } from './context.ts';
import type { Container } from '../contract.ts';
import { eventAttributes } from './events.ts';
import { killProcess } from './kill-process.ts';

/** 128 + SIGKILL: what Docker shows for a container whose runtime was killed */
const KILLED = 137;

/** By id, name or unambiguous prefix. @throws HuskError not-found "No such container: x" */
export function resolve(context: EngineContext, reference: string): Container {
  const found = truth(context, context.store.resolve(reference));
  if (!found) throw new HuskError(`No such container: ${reference}`, { kind: 'not-found' });
  return found;
}

/** all of them, newest first */
export function resolveAll(context: EngineContext): Container[] {
  return context.store.all().flatMap((record) => truth(context, record) ?? []);
}

/** Those that run, newest first; the cost does not grow with those that do not. */
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
  if (state.status === 'created' || state.status === 'exited' || state.status === 'dead')
    return { ...state, claim: undefined };
  // its parent-death signal takes the container's first process along with the supervisor; this is for the time between
  killProcess(state.process);
  removeRememberedCgroup(context.paths.container(record.id));
  const attributes = eventAttributes(record);
  appendEvent(context.database, {
    Type: 'container',
    Action: 'die',
    Actor: {
      ID: record.id,
      Attributes: { ...attributes, execDuration: ranFor(state.startedAt), exitCode: String(KILLED) },
    },
  });
  const remove = record.config.options.autoRemove;
  return {
    ...state,
    status: remove ? 'removing' : 'exited',
    pid: 0,
    process: undefined,
    exitCode: state.status === 'restarting' ? state.exitCode : KILLED,
    finishedAt: state.status === 'restarting' ? state.finishedAt : rfc3339(),
    health: state.health && restingHealth(state.health),
    supervisor: undefined,
    claim: remove ? { by: identifySelf(), operation: 'remove' } : undefined,
  };
}

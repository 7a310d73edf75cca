/**
 * `rm`, `rename` and `container prune`. A removal is claimed in the record first, so that two of them, or one and a
 * start, never meet; a forced one waits for another's and is content when that has done it.
 */
import { existsSync, rmSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import { within } from '../../long-timer.ts';
import { renameMember } from '../../network/records/renamed.ts';
import { appendEvent } from '../../state/events.ts';
import { identifySelf, isAlive } from '../../state/process-identity.ts';
import { sweepRemoved } from '../../supervisor/life/removal.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container, Engine } from '../contract.ts';
import { ask, isRunning, isUnreachable, releaseFiles, reread } from '../record/supervisor-link.ts';
import { keepContainerCopy } from '../record/record-copies.ts';
import { recordEvent } from '../record/events.ts';
import { NOT_YET, untilFound } from '../record/record-changes.ts';
import { pruneFilter } from '../record/filters.ts';
import { killProcess } from '../record/kill-process.ts';
import { sizeOf } from '../look/list.ts';
import { checkName } from '../record/names.ts';
import { finishRemoval, resolve, resolveAll } from '../record/reconcile.ts';
import { untilEnded } from './until-ended.ts';
import { waitUntilStopped } from './wait.ts';

const SIGKILL = 9;
/**
 * ms a forced removal waits for the supervisor to kill; a machine is switched off 20 s after a SIGKILL that had no
 * effect (src/vmm/sandbox/guest.ts)
 */
const KILL_PATIENCE_MS = 30_000;

export async function remove(
  context: EngineContext,
  reference: string,
  options: { force?: boolean; volumes?: boolean } = {},
): Promise<void> {
  const container = resolve(context, reference);
  const claimed = await claim(context, container, { reference, force: options.force ?? false });
  // a --rm container has gone by itself meanwhile
  if (claimed) await finishRemoval(context, claimed);
  const { mounts } = (claimed ?? container).config;
  if (existsSync(context.paths.saved)) {
    const { checkpointsOf } = await import('../fork/saved.ts');
    rmSync(checkpointsOf(context.paths, container.id), { recursive: true, force: true });
  }
  if (options.volumes && mounts.length > 0) await (await context.volumes()).removeAnonymous(mounts);
  await sweepRemoved(context.paths);
}

/** @returns undefined when it has gone meanwhile */
async function claim(
  context: EngineContext,
  { id }: Container,
  { reference, force }: { reference: string; force: boolean },
): Promise<Container | undefined> {
  return untilFound(context, async () => {
    await untilFree(context, id);
    const container = reread(context, id);
    if (!container) return undefined;
    if (isRunning(container)) {
      if (!force) throw cannotRemove(container, container.state.status);
      await end(context, container);
    }
    let taken = false;
    const claimed = context.store.change(id, (state, record) => {
      const isClaimed = state.claim !== undefined && isAlive(state.claim.by);
      // somebody was faster: once more
      if (isRunning(record) || (isClaimed && (force || state.claim!.operation !== 'remove'))) return undefined;
      if (isClaimed)
        throw new HuskError(`removal of container ${reference} is already in progress`, { kind: 'conflict' });
      taken = true;
      return { ...state, status: 'removing', claim: { by: identifySelf(), operation: 'remove' } };
    });
    return taken || !claimed ? claimed : NOT_YET;
  });
}

/**
 * Kills what runs in it. A supervisor that cannot be asked, or does not do it in time, is killed itself, and its
 * container with it.
 */
async function end(context: EngineContext, container: Container): Promise<void> {
  const { id } = container;
  const killed = (async () => {
    await ask(context, container, { type: 'signal', signal: SIGKILL, byUser: true });
    await waitUntilStopped(context, id);
  })();
  try {
    // late: its connection ends with the supervisor
    await within(killed, KILL_PATIENCE_MS);
  } catch (error) {
    if (!isUnreachable(error)) throw error;
  }
  const left = reread(context, id);
  if (left && isRunning(left)) killProcess(left.state.supervisor);
  await waitUntilStopped(context, id);
  // What a killed supervisor ran is killed with it, and its files are in use until it has ended.
  await untilEnded(container.state.process, KILL_PATIENCE_MS);
}

const isWorkedOn = ({ state }: Container): boolean => ['start', 'copy'].includes(state.claim?.operation ?? '');

/** Somebody starts it, or copies from or to it while it does not run: that ends by itself. */
async function untilFree(context: EngineContext, id: string): Promise<void> {
  return untilFound(context, async () => {
    const current = reread(context, id);
    if (!current || !isWorkedOn(current)) return;
    await releaseFiles(context, current);
    return NOT_YET;
  });
}

function cannotRemove(container: Container, status: string): HuskError {
  const advice =
    status === 'paused'
      ? 'container is paused and must be unpaused first'
      : `container is ${status}: stop the container before removing or force remove`;
  return new HuskError(`cannot remove container "/${container.name}": ${advice}`, { kind: 'conflict' });
}

export function rename(context: EngineContext, reference: string, name: string): void {
  const container = resolve(context, reference);
  if (name.replace(/^\//, '') === container.name)
    throw new HuskError('Renaming a container with the same name as its current name', { kind: 'invalid' });
  const plain = allocating(() => checkName(name));
  const tell = () => recordEvent(context, { ...container, name: plain }, 'rename', { oldName: `/${container.name}` });
  allocating(() => context.store.rename(container.id, plain, tell));
  const { hostname } = container.config;
  renameMember(context.database, { id: container.id, name: plain, hostname });
  keepContainerCopy(context, container.id);
}

/** Docker's daemon says so before what is wrong with a name. */
function allocating<T>(allocate: () => T): T {
  try {
    return allocate();
  } catch (error) {
    if (error instanceof HuskError)
      throw new HuskError(`Error when allocating new name: ${error.message}`, { kind: error.kind });
    throw error;
  }
}

export async function prune(
  context: EngineContext,
  options: Parameters<Engine['prune']>[0] = {},
): Promise<{ deleted: string[]; reclaimed: number }> {
  const wanted = pruneFilter(options.filters ?? {});
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const container of resolveAll(context)) {
    const isClaimed = container.state.claim !== undefined && container.state.claim.operation !== 'copy';
    if (isRunning(container) || isClaimed || !wanted(container)) continue;
    const { rw: size } = await sizeOf(context, container);
    try {
      await remove(context, container.id, {});
    } catch (error) {
      // started, or removed by somebody else, since
      if (error instanceof HuskError && (error.kind === 'conflict' || error.kind === 'not-found')) continue;
      throw error;
    }
    deleted.push(container.id);
    reclaimed += size;
  }
  appendEvent(context.database, {
    Type: 'container',
    Action: 'prune',
    Actor: { ID: '', Attributes: { reclaimed: String(reclaimed) } },
  });
  return { deleted, reclaimed };
}

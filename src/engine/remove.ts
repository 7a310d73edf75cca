/** `rm`, `rename` and `container prune`. A removal is claimed in the record first, so that two of them, or one and a start, never meet. */
import { HuskError } from '../errors.ts';
import { appendEvent } from '../state/events.ts';
import { identifySelf, isAlive } from '../state/process-identity.ts';
import { sweepRemoved } from '../supervisor/removal.ts';
import type { EngineContext } from './context.ts';
import type { Container, Engine } from './contract.ts';
import { ask, isRunning, reread, releaseFiles } from './control.ts';
import { keepContainerCopy } from './copies.ts';
import { recordEvent } from './events.ts';
import { checkPruneFilters, matchPrune } from './filters.ts';
import { sizeOf } from './list.ts';
import { checkName } from './names.ts';
import { finishRemoval, resolve, resolveAll } from './truth.ts';
import { waitUntilStopped } from './wait.ts';

const SIGKILL = 9;
/** how often a removal looks whether a start or a copy is over, ms */
const POLL_MS = 20;

export async function remove(context: EngineContext, reference: string, options: { force?: boolean; volumes?: boolean } = {}): Promise<void> {
  const container = resolve(context, reference);
  const claimed = await claim(context, container, { reference, force: options.force ?? false });
  // a --rm container has gone by itself meanwhile
  if (claimed) await finishRemoval(context, claimed);
  const { mounts } = (claimed ?? container).config;
  if (options.volumes && mounts.length > 0) await (await context.volumes()).removeAnonymous(mounts);
  await sweepRemoved(context.paths);
}

/** @returns undefined when it has gone meanwhile */
async function claim(context: EngineContext, { id }: Container, { reference, force }: { reference: string; force: boolean }): Promise<Container | undefined> {
  for (;;) {
    await untilFree(context, id);
    const container = reread(context, id);
    if (!container) return undefined;
    if (isRunning(container)) {
      if (!force) throw cannotRemove(container, container.state.status);
      await ask(context, container, { type: 'signal', signal: SIGKILL, byUser: true });
      await waitUntilStopped(context, id);
    }
    let taken = false;
    const claimed = context.store.change(id, (state, record) => {
      const isClaimed = state.claim !== undefined && isAlive(state.claim.by);
      // somebody was faster: once more
      if (isRunning(record) || (isClaimed && state.claim!.operation !== 'remove')) return undefined;
      if (isClaimed) throw new HuskError(`removal of container ${reference} is already in progress`, { kind: 'conflict' });
      taken = true;
      return { ...state, status: 'removing', claim: { by: identifySelf(), operation: 'remove' } };
    });
    if (taken || !claimed) return claimed;
  }
}

/** Somebody starts it, or copies from or to it while it does not run: that ends by itself. */
async function untilFree(context: EngineContext, id: string): Promise<void> {
  for (let current = reread(context, id); current?.state.claim && current.state.claim.operation !== 'remove'; current = reread(context, id)) {
    await releaseFiles(context, current);
    await new Promise((after) => setTimeout(after, POLL_MS));
  }
}

function cannotRemove(container: Container, status: string): HuskError {
  const advice = status === 'paused' ? 'container is paused and must be unpaused first' : `container is ${status}: stop the container before removing or force remove`;
  return new HuskError(`cannot remove container "/${container.name}": ${advice}`, { kind: 'conflict' });
}

export function rename(context: EngineContext, reference: string, name: string): void {
  const container = resolve(context, reference);
  if (name.replace(/^\//, '') === container.name) throw new HuskError('Renaming a container with the same name as its current name', { kind: 'invalid' });
  const plain = allocating(() => checkName(name));
  allocating(() => context.store.rename(container.id, plain));
  keepContainerCopy(context, container.id);
  recordEvent(context, { ...container, name: plain }, 'rename', { oldName: `/${container.name}` });
}

/** Docker's daemon says so before what is wrong with a name. */
function allocating<T>(allocate: () => T): T {
  try {
    return allocate();
  } catch (error) {
    if (error instanceof HuskError) throw new HuskError(`Error when allocating new name: ${error.message}`, { kind: error.kind });
    throw error;
  }
}

export async function prune(context: EngineContext, options: Parameters<Engine['prune']>[0] = {}): Promise<{ deleted: string[]; reclaimed: number }> {
  checkPruneFilters(options.filters ?? {});
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const container of resolveAll(context)) {
    const isClaimed = container.state.claim !== undefined && container.state.claim.operation !== 'copy';
    if (isRunning(container) || isClaimed || !matchPrune(container, options.filters ?? {})) continue;
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
  appendEvent(context.database, { Type: 'container', Action: 'prune', Actor: { ID: '', Attributes: { reclaimed: String(reclaimed) } } });
  return { deleted, reclaimed };
}

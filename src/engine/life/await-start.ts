/**
 * `awaitStart`: a client that attaches before the start is written into the container's record, where the supervisor
 * finds it in the transaction that says `running`, whichever process has started it. So either the record says that
 * somebody is awaited before the command runs, or whoever comes sees that it runs; there is nothing in between.
 */
import { randomHex } from '../../host/kernel/random.ts';
import { after } from '../../long-timer.ts';
import { HuskError } from '../../errors.ts';
import { identifySelf, isAlive } from '../../state/process-identity.ts';
import type { AwaitedStart } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { ChangeNotice, LEAST_MS, LOOK_EVERY_MS } from '../record/record-changes.ts';
import { resolve } from '../record/reconcile.ts';
import { ask, isRunning, reread } from '../record/supervisor-link.ts';

const TOKEN_BYTES = 16;
/** of one container; its supervisor takes 256 connections, and others want some, too */
const MAX_AWAITED = 128;
/** ms between two looks where changes are told: a notice may be lost all the same */
const LOOK_RARELY_MS = 1000;

export async function awaitStart(context: EngineContext, reference: string): Promise<AwaitedStart | undefined> {
  const { id } = resolve(context, reference);
  const token = randomHex(TOKEN_BYTES);
  const record = context.store.change(id, (state, container) => {
    if (isRunning(container)) return undefined;
    const others = (state.awaited ?? []).filter(({ by }) => isAlive(by));
    if (others.length >= MAX_AWAITED)
      throw new HuskError(`cannot wait for the start of container ${id}: ${others.length} clients do already`, {
        kind: 'limit',
      });
    return { ...state, awaited: [...others, { token, by: identifySelf() }] };
  });
  if (!record) throw new HuskError(`No such container: ${reference}`, { kind: 'not-found' });
  if (isRunning(record)) return undefined;
  return {
    token,
    started: (signal) => started(context, { id, token }, signal),
    release: () => release(context, { id, token }),
  };
}

interface Place {
  id: string;
  token: string;
}

async function started(context: EngineContext, { id, token }: Place, signal: AbortSignal): Promise<boolean> {
  using notice = new ChangeNotice(context.paths);
  while (!signal.aborted) {
    // begins before the look: what is written during it is noticed
    const changed = notice.next();
    const container = reread(context, id);
    if (!container || container.state.status === 'removing') return false;
    if (isRunning(container)) return true;
    // a start that failed has taken it
    if (!container.state.awaited?.some((place) => place.token === token)) return false;
    await Promise.all([changed(notice.isTold ? LOOK_RARELY_MS : LOOK_EVERY_MS, signal), after(LEAST_MS)]);
  }
  return false;
}

async function release(context: EngineContext, { id, token }: Place): Promise<void> {
  try {
    let isTaken = false;
    const record = context.store.change(id, (state) => {
      const others = state.awaited?.filter((place) => place.token !== token);
      isTaken = others?.length === state.awaited?.length;
      return isTaken ? undefined : { ...state, awaited: others };
    });
    if (isTaken && record && isRunning(record)) await ask(context, record, { type: 'leave-start', awaited: [token] });
  } catch {
    // the record cannot be written, or its supervisor not be asked, which waits for ten seconds at most
  }
}

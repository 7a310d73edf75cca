/** `wait`: a container's exit code, from its supervisor while it runs, from its record afterwards. */
import type { EngineContext } from '../record/context.ts';
import type { Engine } from '../contract.ts';
import { connect, isRunning, reread } from '../record/supervisor-link.ts';
import { resolve } from '../record/reconcile.ts';

/** how often a record is read where nobody can tell of its change, ms */
const POLL_MS = 50;

type WaitOptions = NonNullable<Parameters<Engine['wait']>[1]>;

export async function wait(context: EngineContext, reference: string, options: WaitOptions = {}): Promise<number> {
  const { id } = resolve(context, reference);
  const condition = options.condition ?? 'not-running';
  let code: number | undefined;
  let ran = condition !== 'next-exit';
  for (;;) {
    options.signal?.throwIfAborted();
    const container = reread(context, id);
    if (!container) return code ?? 0;
    if (isRunning(container)) {
      ran = true;
      code = (await nextExit(context, id, options.signal)) ?? code;
      if (code !== undefined && condition !== 'removed') return code;
    } else {
      code = container.state.exitCode;
      if (condition === 'not-running' || (condition === 'next-exit' && ran)) return code;
      await pause(POLL_MS);
    }
  }
}

/** Until the record says that it does not run, or is gone. */
export async function waitUntilStopped(context: EngineContext, id: string): Promise<void> {
  for (let container = reread(context, id); container && isRunning(container); container = reread(context, id))
    await pause(POLL_MS);
}

/** @returns undefined when the supervisor went away without telling */
async function nextExit(
  context: EngineContext,
  id: string,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const container = reread(context, id);
  using client = container && (await connect(context, container));
  if (!client) return undefined;
  const abort = () => client[Symbol.dispose]();
  signal?.addEventListener('abort', abort);
  try {
    const event = await client.request({ type: 'wait' });
    return event.type === 'exit' ? event.code : undefined;
  } catch {
    return undefined;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((after) => setTimeout(after, ms));
}

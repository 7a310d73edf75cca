/** `wait`: a container's exit code, from its supervisor while it runs, from its record afterwards. */
import type { EngineContext } from '../record/context.ts';
import type { Engine } from '../contract.ts';
import { NOT_YET, untilFound } from '../record/record-changes.ts';
import { connect, isRunning, reread } from '../record/supervisor-link.ts';
import { resolve } from '../record/reconcile.ts';

type WaitOptions = NonNullable<Parameters<Engine['wait']>[1]>;

export async function wait(context: EngineContext, reference: string, options: WaitOptions = {}): Promise<number> {
  const { id } = resolve(context, reference);
  const condition = options.condition ?? 'not-running';
  let code: number | undefined;
  let ran = condition !== 'next-exit';
  const look = async (): Promise<number | typeof NOT_YET> => {
    const container = reread(context, id);
    if (!container) return code ?? 0;
    if (isRunning(container)) {
      ran = true;
      code = (await nextExit(context, id, options.signal)) ?? code;
      return code !== undefined && condition !== 'removed' ? code : NOT_YET;
    }
    code = container.state.exitCode;
    return condition === 'not-running' || (condition === 'next-exit' && ran) ? code : NOT_YET;
  };
  return untilFound(context, look, options);
}

/** Until the record says that it does not run, or is gone. */
export async function waitUntilStopped(context: EngineContext, id: string): Promise<void> {
  return untilFound(context, () => {
    const container = reread(context, id);
    if (container && isRunning(container)) return NOT_YET;
  });
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

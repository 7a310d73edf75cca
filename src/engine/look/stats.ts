/** `stats`: one sample from the container's supervisor. */
import type { SandboxStats } from '../../sandbox.ts';
import type { EngineContext } from '../record/context.ts';
import { ask, isRunning, notRunning } from '../record/supervisor-link.ts';
import { resolve } from '../record/reconcile.ts';

export async function stats(context: EngineContext, reference: string): Promise<SandboxStats> {
  const container = resolve(context, reference);
  const answer = isRunning(container) ? await ask(context, container, { type: 'stats' }) : undefined;
  if (answer?.type !== 'ok') throw notRunning(container);
  return answer.value as SandboxStats;
}

/** `stats`: one sample from the container's supervisor, and the host's CPUs beside it. */
import { readFileSync } from 'node:fs';
import type { SandboxStats } from '../../sandbox.ts';
import type { EngineContext } from '../record/context.ts';
import { ask, isRunning, notRunning } from '../record/supervisor-link.ts';
import { resolve } from '../record/reconcile.ts';
import type { ContainerStats } from '../contract.ts';

/** ns of USER_HZ, the unit of /proc/stat, which is 100 on every Linux architecture that husk knows */
const TICK_NS = 10_000_000;
/** user, nice, system, idle, iowait, irq, softirq: those that Docker's daemon adds up (daemon/stats_unix.go) */
const TIMES = 7;

export async function stats(context: EngineContext, reference: string): Promise<ContainerStats> {
  const container = resolve(context, reference);
  const answer = isRunning(container) ? await ask(context, container, { type: 'stats' }) : undefined;
  if (answer?.type !== 'ok') throw notRunning(container);
  return { ...(answer.value as SandboxStats), hostCpu: parseHostCpu(readFileSync('/proc/stat', 'latin1')) };
}

/** @param text of /proc/stat, proc_stat(5) */
export function parseHostCpu(text: string): ContainerStats['hostCpu'] {
  const [all = ''] = /^cpu .*$/m.exec(text) ?? [];
  const times = all
    .trim()
    .split(/\s+/)
    .slice(1, TIMES + 1);
  return {
    nanoseconds: times.reduce((sum, ticks) => sum + Number(ticks), 0) * TICK_NS,
    online: text.match(/^cpu\d+ /gm)?.length ?? 0,
  };
}

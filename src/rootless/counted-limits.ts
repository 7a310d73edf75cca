/**
 * The resource limits that the kernel counts for a user of a user namespace and of all namespaces around it, each
 * against the limit that the namespace's maker had while making it (kernel/ucount.c). This file makes the plan's steps
 * that raise the limits before a namespace is made, and restore them afterwards. It makes no namespace.
 */
import { readFileSync } from 'node:fs';
import type { Step } from '../launch/plan.ts';
import type { Limits } from './holders.ts';

/** a resource of asm-generic/resource.h, and its name in proc_pid_limits(5) */
export type CountedLimit = readonly [resource: number, name: string];

export const PROCESSES: CountedLimit = [6, 'Max processes'];
export const COUNTED_BUT_PROCESSES: readonly CountedLimit[] = [
  [8, 'Max locked memory'],
  [11, 'Max pending signals'],
  [12, 'Max msgqueue size'],
];
export const COUNTED: readonly CountedLimit[] = [PROCESSES, ...COUNTED_BUT_PROCESSES];

const RLIM_INFINITY = 2n ** 64n - 1n;
/** linux/capability.h */
const CAP_SYS_RESOURCE = 24n;

/** @returns this process's limits, by the names of proc_pid_limits(5) */
export function readLimits(text: string = readFileSync('/proc/self/limits', 'latin1')): { soft: Limits; hard: Limits } {
  const soft: Limits = {};
  const hard: Limits = {};
  for (const [, name] of COUNTED) {
    const line = text.split('\n').find((one) => one.startsWith(name)) ?? '';
    const [low, high] = line.slice(name.length).trim().split(/\s+/);
    soft[name] = limitOf(low);
    hard[name] = limitOf(high);
  }
  return { soft, hard };
}

const limitOf = (text: string | undefined): number => (text === 'unlimited' ? Infinity : Number(text));

/** @returns steps that raise the limits as far as a user who is not root may */
export const raiseLimits = (which: readonly CountedLimit[], { hard } = readLimits()): Step[] =>
  which.map(([resource, name]) => limitStep(resource, hard[name]!, hard[name]!));

/** @returns a step that raises the limit of processes, beyond the hard limit where this process may */
export function raiseProcesses({ hard } = readLimits(), mayRaise = mayRaiseLimits()): Step {
  const [resource, name] = PROCESSES;
  const most = mayRaise ? Infinity : hard[name]!;
  return limitStep(resource, most, most);
}

/**
 * @returns steps that restore this process's limits; the hard ones are not higher than the steps above have left them
 */
export const putBackLimits = (which: readonly CountedLimit[], { soft, hard } = readLimits()): Step[] =>
  which.map(([resource, name]) => limitStep(resource, soft[name]!, hard[name]!));

const valueOf = (limit: number): bigint => (Number.isFinite(limit) ? BigInt(limit) : RLIM_INFINITY);

const limitStep = (resource: number, soft: number, hard: number): Step => ({
  op: 'rlimit',
  resource,
  soft: valueOf(soft),
  hard: valueOf(hard),
});

/** @returns whether this process has CAP_SYS_RESOURCE, which root of a container often lacks */
export function mayRaiseLimits(status: string = readFileSync('/proc/self/status', 'latin1')): boolean {
  return ((BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? '0'}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

/** What a guest's agent answers, made of the right shape: a guest says what it likes. */
import type { SandboxStats } from '../../sandbox.ts';

export function checkStats(answer: unknown): SandboxStats {
  const value = answer as Partial<Record<keyof SandboxStats, unknown>> | null;
  const count = (name: keyof SandboxStats): number => {
    const number = value?.[name];
    return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : 0;
  };
  return {
    cpuNanoseconds: count('cpuNanoseconds'),
    memoryBytes: count('memoryBytes'),
    memoryLimitBytes: count('memoryLimitBytes'),
    pids: count('pids'),
    pidsLimit: value?.pidsLimit === undefined ? undefined : count('pidsLimit'),
    networkReceivedBytes: count('networkReceivedBytes'),
    networkSentBytes: count('networkSentBytes'),
    blockReadBytes: count('blockReadBytes'),
    blockWrittenBytes: count('blockWrittenBytes'),
  };
}

export const checkPids = (answer: unknown): number[] =>
  Array.isArray(answer) ? answer.filter((pid) => Number.isSafeInteger(pid)) : [];

/** @returns the bytes on the writable disk, where the agent has said a number */
export function checkWritten(answer: unknown): number | undefined {
  const written = (answer as { written?: unknown } | null | undefined)?.written;
  return Number.isSafeInteger(written) && (written as number) >= 0 ? (written as number) : undefined;
}

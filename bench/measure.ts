/**
 * Timing of whole commands: medians, and ratios of contenders run in turn, so that a drifting machine harms all alike.
 */
import { spawnSync } from 'node:child_process';

export interface Sample {
  /** in the row's unit */
  median: number;
  minimum: number;
  runs: number;
}

export type Timed = () => number | Promise<number>;

/** wall time of one command in ms; throws when it fails: a failing command measures nothing */
export function timeCommand(command: string[], environment: NodeJS.ProcessEnv): number {
  const start = process.hrtime.bigint();
  const result = spawnSync(command[0]!, command.slice(1), {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  });
  const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
  if (result.status !== 0)
    throw new Error(
      `${command.join(' ')} gave ${result.status ?? result.signal}: ${result.stderr.toString().trim().slice(-400)}`,
    );
  return milliseconds;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Runs the contenders in turn, A B C A B C …, `runs` times each after one warm-up. */
export async function compare(contenders: Record<string, Timed>, runs: number): Promise<Record<string, Sample>> {
  const times: Record<string, number[]> = {};
  for (let run = -1; run < runs; run++) {
    for (const [name, timed] of Object.entries(contenders)) {
      const value = await timed();
      if (run >= 0) (times[name] ??= []).push(value);
    }
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, values]) => [
      name,
      { median: median(values), minimum: Math.min(...values), runs: values.length },
    ]),
  );
}

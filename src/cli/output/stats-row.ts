/** What a container uses, as `stats` shows it: every column that a `--format` can name. The functions are pure. */
import type { SandboxStats } from '../../sandbox.ts';
import { shortId } from './container-row.ts';
import { binarySize, humanSize } from './units.ts';

export const STATS_HEADERS: Record<string, string> = {
  Container: 'CONTAINER',
  Name: 'NAME',
  ID: 'CONTAINER ID',
  CPUPerc: 'CPU %',
  MemUsage: 'MEM USAGE / LIMIT',
  MemPerc: 'MEM %',
  NetIO: 'NET I/O',
  BlockIO: 'BLOCK I/O',
  PIDs: 'PIDS',
};

export interface Sample {
  stats: SandboxStats;
  /** ms of a monotonic clock */
  at: number;
  /** start of the container's life in which the sample was taken; counters start anew with the next life */
  startedAt: string;
}

export interface StatsOf {
  id: string;
  name: string;
  /** the container as typed; its id when none was typed */
  container: string;
  /** undefined for a running container that has not answered yet; null for one that does not run, and uses nothing */
  sample: Sample | undefined | null;
  /** the sample before this one */
  before: Sample | undefined;
}

/** digits of sizes in NET and BLOCK, docker/cli formatter/stats.go */
const IO_DIGITS = 3;
const NOTHING: SandboxStats = {
  cpuNanoseconds: 0,
  memoryBytes: 0,
  memoryLimitBytes: 0,
  pids: 0,
  pidsLimit: undefined,
  networkReceivedBytes: 0,
  networkSentBytes: 0,
  blockReadBytes: 0,
  blockWrittenBytes: 0,
};

export function statsRow(of: StatsOf, options: { truncate: boolean }): Record<string, unknown> {
  const id = options.truncate ? shortId(of.id) : of.id;
  const container = of.container === of.id ? id : of.container;
  if (of.sample === undefined)
    return {
      BlockIO: '--',
      CPUPerc: '--',
      Container: container,
      ID: id,
      MemPerc: '--',
      MemUsage: '-- / --',
      Name: of.name,
      NetIO: '--',
      PIDs: '--',
    };
  const stats = of.sample?.stats ?? NOTHING;
  const pair = (one: number, other: number): string => `${humanSize(one, IO_DIGITS)} / ${humanSize(other, IO_DIGITS)}`;
  return {
    BlockIO: pair(stats.blockReadBytes, stats.blockWrittenBytes),
    CPUPerc: of.sample && !of.before ? '--' : percent(cpuShare(of.before, of.sample)),
    Container: container,
    ID: id,
    MemPerc: percent(stats.memoryLimitBytes > 0 ? stats.memoryBytes / stats.memoryLimitBytes : 0),
    MemUsage: `${binarySize(stats.memoryBytes)} / ${binarySize(stats.memoryLimitBytes)}`,
    Name: of.name,
    NetIO: pair(stats.networkReceivedBytes, stats.networkSentBytes),
    PIDs: String(stats.pids),
  };
}

/**
 * @returns CPUs in use between two samples: 1 is one whole CPU. Where the times of processes are added up, a process
 * that ends takes its time out of the sum, so the result is bounded below by 0.
 */
function cpuShare(before: Sample | undefined, now: Sample | null): number {
  if (!before || !now || now.at <= before.at) return 0;
  return Math.max(0, (now.stats.cpuNanoseconds - before.stats.cpuNanoseconds) / 1e6 / (now.at - before.at));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}

/**
 * Reads a cgroup's figures from the text of its files. Nothing here touches the system. Source: linux
 * Documentation/admin-guide/cgroup-v2.rst; memory is the figure of `docker stats`: what is used, less what could be
 * dropped at once (inactive_file).
 */

export interface CgroupStats {
  cpuNanoseconds: number;
  memoryBytes: number;
  /** undefined: no limit */
  memoryLimitBytes: number | undefined;
  pids: number;
  pidsLimit: number | undefined;
  blockReadBytes: number;
  blockWrittenBytes: number;
  /** those below are absent where their file is */
  userNanoseconds?: number;
  systemNanoseconds?: number;
  throttling?: { periods: number; throttledPeriods: number; throttledNanoseconds: number };
  memoryUsageBytes?: number;
  memory?: Record<string, number>;
  blocks?: { major: number; minor: number; readBytes: number; writtenBytes: number }[];
}

const NS_PER_USEC = 1000;

/** @param read gives the text of a file of the cgroup, or undefined when its controller is missing */
export function parseCgroupStats(read: (file: string) => string | undefined): CgroupStats {
  const cpu = parseKeyed(read('cpu.stat') ?? '');
  const memory = parseKeyed(read('memory.stat') ?? '');
  const used = amount(read('memory.current'));
  const io = read('io.stat');
  const blocks = parseIo(io ?? '');
  const sum = (name: 'readBytes' | 'writtenBytes') => blocks.reduce((total, block) => total + block[name], 0);
  return {
    ...cpuTimes(cpu),
    memoryBytes: Math.max(0, (used ?? 0) - (memory.get('inactive_file') ?? 0)),
    ...(used !== undefined && { memoryUsageBytes: used }),
    ...(memory.size > 0 && { memory: Object.fromEntries(memory) }),
    memoryLimitBytes: amount(read('memory.max')),
    pids: amount(read('pids.current')) ?? 0,
    pidsLimit: amount(read('pids.max')),
    blockReadBytes: sum('readBytes'),
    blockWrittenBytes: sum('writtenBytes'),
    ...(io !== undefined && { blocks }),
  };
}

/** Of cpu.stat, whose counts of throttling are there where the cpu controller is. */
function cpuTimes(
  cpu: ReadonlyMap<string, number>,
): Pick<CgroupStats, 'cpuNanoseconds' | 'userNanoseconds' | 'systemNanoseconds' | 'throttling'> {
  const [user, system, periods] = ['user_usec', 'system_usec', 'nr_periods'].map((name) => cpu.get(name));
  return {
    cpuNanoseconds: (cpu.get('usage_usec') ?? 0) * NS_PER_USEC,
    ...(user !== undefined && { userNanoseconds: user * NS_PER_USEC }),
    ...(system !== undefined && { systemNanoseconds: system * NS_PER_USEC }),
    ...(periods !== undefined && {
      throttling: {
        periods,
        throttledPeriods: cpu.get('nr_throttled') ?? 0,
        throttledNanoseconds: (cpu.get('throttled_usec') ?? 0) * NS_PER_USEC,
      },
    }),
  };
}

/** Parses flat keyed files: `name number` on each line. */
export function parseKeyed(text: string): Map<string, number> {
  const result = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' ');
    if (name && value && /^\d+$/.test(value)) result.set(name, Number(value));
  }
  return result;
}

/** Parses nested keyed files: `8:0 rbytes=1 wbytes=2 …` */
function parseIo(text: string): NonNullable<CgroupStats['blocks']> {
  return text.split('\n').flatMap((line) => {
    const [, major, minor, figures = ''] = /^(\d+):(\d+) (.*)$/.exec(line) ?? [];
    if (major === undefined) return [];
    const figure = (name: string) => Number(new RegExp(`\\b${name}=(\\d+)`).exec(figures)?.[1] ?? 0);
    return [
      { major: Number(major), minor: Number(minor), readBytes: figure('rbytes'), writtenBytes: figure('wbytes') },
    ];
  });
}

/** Parses a single number, or `max`. */
function amount(text: string | undefined): number | undefined {
  const value = text?.trim();
  return value === undefined || !/^\d+$/.test(value) ? undefined : Number(value);
}

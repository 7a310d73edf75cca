/**
 * A cgroup's figures, from the text of its files. Pure. Source: linux Documentation/admin-guide/cgroup-v2.rst; memory
 * as `docker stats` shows it: what is used less what could be dropped at once (inactive_file).
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
}

/** @param read text of a file of the cgroup, or undefined when its controller is not there */
export function parseCgroupStats(read: (file: string) => string | undefined): CgroupStats {
  const memory = parseKeyed(read('memory.stat') ?? '');
  const used = amount(read('memory.current')) ?? 0;
  const io = parseIo(read('io.stat') ?? '');
  return {
    cpuNanoseconds: (parseKeyed(read('cpu.stat') ?? '').get('usage_usec') ?? 0) * 1000,
    memoryBytes: Math.max(0, used - (memory.get('inactive_file') ?? 0)),
    memoryLimitBytes: amount(read('memory.max')),
    pids: amount(read('pids.current')) ?? 0,
    pidsLimit: amount(read('pids.max')),
    blockReadBytes: io.read,
    blockWrittenBytes: io.written,
  };
}

/** flat keyed files: `name number` a line */
export function parseKeyed(text: string): Map<string, number> {
  const result = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' ');
    if (name && value && /^\d+$/.test(value)) result.set(name, Number(value));
  }
  return result;
}

/** nested keyed: `8:0 rbytes=1 wbytes=2 …` */
function parseIo(text: string): { read: number; written: number } {
  let read = 0;
  let written = 0;
  for (const match of text.matchAll(/\b([rw])bytes=(\d+)/g)) {
    if (match[1] === 'r') read += Number(match[2]);
    else written += Number(match[2]);
  }
  return { read, written };
}

/** a single number, or `max` */
function amount(text: string | undefined): number | undefined {
  const value = text?.trim();
  return value === undefined || !/^\d+$/.test(value) ? undefined : Number(value);
}

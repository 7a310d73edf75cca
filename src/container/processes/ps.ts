/**
 * Makes the rows of `top` for processes of this kernel, which this file reads from /proc by itself (ps-format.ts).
 * Whatever a process says of itself is bounded.
 */
import { readFileSync } from 'node:fs';
import { psColumns, psTable, type Process } from './ps-format.ts';

/** most rows shown, so that a fork bomb does not make a message of any length */
const MAX_ROWS = 1000;
/**
 * most characters of a command line shown: MAX_ROWS of them fit one frame of the supervisor's protocol, whatever they
 * are
 */
const MAX_COMMAND_LINE = 256;
/** USER_HZ; see tree.ts */
const TICKS = 100;

/** @throws HuskError `unsupported` for an option that cannot be served, before the function reads anything */
export function ps(pids: readonly number[], options: readonly string[]): { titles: string[]; processes: string[][] } {
  const columns = psColumns(options);
  // The second in which the machine started is the kernel's own figure, as in ps: computed from uptime and the clock,
  // it would change near a second's end.
  const bootedAt = Number(/^btime (\d+)$/m.exec(read('/proc/stat'))?.[1] ?? 0);
  const kernel = {
    bootedAt,
    uptime: Number.parseFloat(read('/proc/uptime')),
    memoryBytes: 1024 * Number(/^MemTotal:\s+(\d+)/m.exec(read('/proc/meminfo'))?.[1] ?? 0),
    now: Date.now(),
  };
  const processes = [...pids]
    .sort((a, b) => a - b)
    .slice(0, MAX_ROWS)
    .flatMap((pid) => processOf(pid, kernel) ?? []);
  return psTable(columns, processes, kernel);
}

/** @returns undefined when the process has ended */
function processOf(pid: number, kernel: { uptime: number; bootedAt: number }): Process | undefined {
  const stat = read(`/proc/${pid}/stat`);
  const end = stat.lastIndexOf(')');
  if (end < 0) return undefined;
  const fields = stat.slice(end + 2).split(' ');
  // proc_pid_stat(5) counts from 1 and `fields` begins at field 3
  const at = (field: number): number => Number(fields[field - 3]);
  const status = read(`/proc/${pid}/status`);
  const number = (key: string): number => Number(new RegExp(`^${key}:\\s*\\d+\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  const startedAfter = at(22) / TICKS;
  return {
    pid,
    command: stat.slice(stat.indexOf('(') + 1, end),
    state: fields[0]!,
    parent: at(4),
    group: at(5),
    session: at(6),
    tty: at(7),
    cpu: (at(14) + at(15)) / TICKS,
    priority: at(18),
    nice: at(19),
    threads: at(20),
    virtualBytes: at(23),
    // The figure in stat is only rough, see proc_pid_stat(5).
    residentBytes: 1024 * Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1] ?? 0),
    processor: at(39),
    age: Math.max(0, kernel.uptime - startedAfter),
    startedAt: 1000 * (kernel.bootedAt + startedAfter),
    // The ids are the effective ones, as in ps.
    uid: number('Uid'),
    gid: number('Gid'),
    arguments: commandLine(read(`/proc/${pid}/cmdline`)),
    locked: Number(/^VmLck:\s*(\d+)/m.exec(status)?.[1] ?? 0) > 0,
  };
}

function commandLine(text: string): string[] {
  const cut = text.slice(0, MAX_COMMAND_LINE).replace(/\0+$/, '');
  return cut === '' ? [] : cut.split('\0');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

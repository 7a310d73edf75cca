/**
 * Which host processes a container has, and what they use, where no cgroup tells: read from /proc, proc(5). Figures are
 * sums over the processes alive now: what has ended is missing from the CPU time, and pages shared by several are
 * counted for each.
 */
import { fstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { Fd } from '../../host/fd.ts';
import { readOptional } from '../../host/files/read-optional.ts';
import type { SandboxStats } from '../../sandbox.ts';

/** USER_HZ, the unit of /proc/PID/stat's times, is 100 on every Linux architecture husk knows; ns */
const TICK_NS = 10_000_000;
/** bytes; x86-64 */
const PAGE = 4096;
/** has ended; its parent has not asked yet */
export const ZOMBIE = 'Z';

export interface ProcessFacts {
  pid: number;
  parent: number;
  state: string;
  /** clock ticks since boot, field 22: with the pid it names one process for ever */
  startTime: string;
  cpuTicks: number;
  residentPages: number;
}

/**
 * Fields of /proc/PID/stat; the command's name may hold spaces and parentheses, so they are counted from the last one.
 */
export function parseStat(text: string): ProcessFacts | undefined {
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  if (end < 0 || fields.length < 22) return undefined;
  // proc_pid_stat(5) counts from 1 and `fields` begins at field 3
  const at = (field: number) => fields[field - 3]!;
  return {
    pid: Number.parseInt(text, 10),
    state: at(3),
    parent: Number(at(4)),
    cpuTicks: Number(at(14)) + Number(at(15)),
    startTime: at(22),
    residentPages: Number(at(24)),
  };
}

export function readStat(pid: number): ProcessFacts | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined; // it has ended
  }
}

/** proc_pid_ns(5) */
const NAMESPACE = /^mnt:\[\d+\]$/;

function namespaceOf(pid: number | 'self', type: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${type}`);
  } catch {
    return undefined; // it has ended, or is another user's
  }
}

function allPids(): number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/**
 * The process whose namespaces stand for a container's: its first one, or that one's eldest child where the first is
 * husk-init as the reaper of `--init`, which hides itself (guest/init/process.c) and with it its /proc/PID/ns.
 */
export function namespaceHolder(first: number): number {
  if (namespaceOf(first, 'pid') !== undefined) return first;
  try {
    return Number.parseInt(readFileSync(`/proc/${first}/task/${first}/children`, 'latin1'), 10) || first;
  } catch {
    return first; // it has ended
  }
}

/** Has it not ended, or only not been waited for? */
export const isLiving = (pid: number): boolean => (readStat(pid)?.state ?? ZOMBIE) !== ZOMBIE;

/**
 * Every process of the container: all of its pid namespace when it has one of its own, else what descends from its
 * first process and from the processes that `exec` has put in.
 */
export function containerProcesses(first: number, options: { ownPid: boolean; more?: readonly number[] }): number[] {
  if (options.ownPid) {
    const space = namespaceOf(namespaceHolder(first), 'pid');
    if (space === undefined || space === namespaceOf('self', 'pid')) return [];
    return allPids().filter((pid) => (pid === first || namespaceOf(pid, 'pid') === space) && isLiving(pid));
  }
  const children = new Map<number, number[]>();
  for (const pid of allPids()) {
    const stat = readStat(pid);
    if (stat && stat.state !== ZOMBIE) children.set(stat.parent, [...(children.get(stat.parent) ?? []), pid]);
  }
  const found = new Set<number>();
  const visit = (pid: number) => {
    if (found.has(pid) || !isLiving(pid)) return;
    found.add(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  for (const pid of [first, ...(options.more ?? [])]) visit(pid);
  return [...found].sort((a, b) => a - b);
}

/** What names a process's mount namespace; undefined when it has ended. */
export const mountSpaceOf = (pid: number): string | undefined => namespaceOf(pid, 'mnt');

/**
 * The same, of a descriptor that a process handed over. It opened a path below the container's /proc, which a mount of
 * the container's may cover: what is no mount namespace is nothing.
 */
export function mountSpaceIn(namespace: Fd): string | undefined {
  const name = readlinkSync(`/proc/self/fd/${namespace.number}`);
  return NAMESPACE.test(name) && fstatSync(namespace.number).dev === statSync('/proc/self/ns/mnt').dev
    ? name
    : undefined;
}

/** Every living process of a mount namespace, whoever its parent is by now. */
export function processesOfMountSpace(space: string): number[] {
  return allPids().filter((pid) => namespaceOf(pid, 'mnt') === space && isLiving(pid));
}

/**
 * These processes and all that descend from them, by the kernel's own lists: what it costs depends on the container
 * alone, not on what else runs here. A process that is made or ends meanwhile may be missed (proc_pid_task(5)), so
 * nothing is killed by this list.
 */
export function processTree(roots: readonly number[]): number[] {
  const found = new Set<number>(roots);
  for (const pid of found) {
    let threads: string[];
    try {
      threads = readdirSync(`/proc/${pid}/task`);
    } catch {
      continue; // it has ended
    }
    for (const thread of threads)
      for (const child of textOf(`/proc/${pid}/task/${thread}/children`).split(' '))
        if (child !== '') found.add(Number(child));
  }
  return [...found];
}

export function sumStats(
  pids: readonly number[],
  options: { network?: number; memoryLimitBytes: number },
): SandboxStats {
  const stats: SandboxStats = {
    cpuNanoseconds: 0,
    memoryBytes: 0,
    memoryLimitBytes: options.memoryLimitBytes,
    pids: 0,
    pidsLimit: undefined,
    networkReceivedBytes: 0,
    networkSentBytes: 0,
    blockReadBytes: 0,
    blockWrittenBytes: 0,
  };
  for (const pid of pids) {
    const stat = readStat(pid);
    if (!stat) continue;
    stats.cpuNanoseconds += stat.cpuTicks * TICK_NS;
    stats.memoryBytes += stat.residentPages * PAGE;
    stats.pids += threads(pid);
    const io = textOf(`/proc/${pid}/io`);
    stats.blockReadBytes += numberAfter(io, 'read_bytes');
    stats.blockWrittenBytes += numberAfter(io, 'write_bytes');
  }
  if (options.network !== undefined) Object.assign(stats, networkBytes(textOf(`/proc/${options.network}/net/dev`)));
  return stats;
}

/** Docker counts threads: pids.current of the cgroup does */
function threads(pid: number): number {
  return numberAfter(textOf(`/proc/${pid}/status`), 'Threads') || 1;
}

/** Bytes of every interface but loopback, from /proc/PID/net/dev. */
export function networkBytes(text: string): { networkReceivedBytes: number; networkSentBytes: number } {
  let networkReceivedBytes = 0;
  let networkSentBytes = 0;
  for (const line of text.split('\n').slice(2)) {
    const [name, figures] = line.split(':');
    const fields = figures?.trim().split(/\s+/).map(Number);
    if (fields === undefined || fields.length < 9 || name!.trim() === 'lo') continue;
    networkReceivedBytes += fields[0]!;
    networkSentBytes += fields[8]!;
  }
  return { networkReceivedBytes, networkSentBytes };
}

function numberAfter(text: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** a process that has gone has nothing to say */
function textOf(path: string): string {
  return readOptional(path) ?? '';
}

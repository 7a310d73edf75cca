/**
 * Finds a container's host processes, and what they use, where no cgroup reports it: read from /proc, proc(5). Figures
 * are sums over the processes alive now: the CPU time lacks that of processes that have ended, and pages that several
 * share are counted for each.
 */
import { fstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { Fd } from '../../host/fd.ts';
import { readOptional } from '../../host/files/read-optional.ts';
import type { InterfaceStats, SandboxStats } from '../../sandbox.ts';

/**
 * nanoseconds of USER_HZ, the unit of /proc/PID/stat's times, which is 100 on every Linux architecture that husk knows
 */
const TICK_NS = 10_000_000;
/** bytes; x86-64 */
const PAGE = 4096;
/** bytes of the unit of /proc/PID/status */
const KIB = 1024;
/** field of /proc/net/dev at which the eight of what was sent begin */
const SENT = 8;
/** of one sample; a container can make thousands */
const MAX_INTERFACES = 64;
/** the state of a process that has ended and that its parent has not waited for */
export const ZOMBIE = 'Z';

export interface ProcessFacts {
  pid: number;
  parent: number;
  state: string;
  /** clock ticks since boot, field 22; identifies one process for ever, together with the pid */
  startTime: string;
  userTicks: number;
  systemTicks: number;
  residentPages: number;
}

/**
 * Parses /proc/PID/stat. The command's name may hold spaces and parentheses, so the fields are counted from the last
 * parenthesis.
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
    userTicks: Number(at(14)),
    systemTicks: Number(at(15)),
    startTime: at(22),
    residentPages: Number(at(24)),
  };
}

export function readStat(pid: number): ProcessFacts | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined; // The process has ended.
  }
}

/** proc_pid_ns(5) */
const NAMESPACE = /^mnt:\[\d+\]$/;

function namespaceOf(pid: number | 'self', type: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${type}`);
  } catch {
    return undefined; // The process has ended, or belongs to another user.
  }
}

function allPids(): number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/**
 * @returns the process whose namespaces stand for a container's: its first one, or that one's eldest child where the
 * first is husk-init as the reaper of `--init`, which hides itself (guest/init/process.c) and with it its /proc/PID/ns
 */
export function namespaceHolder(first: number): number {
  if (namespaceOf(first, 'pid') !== undefined) return first;
  try {
    return Number.parseInt(readFileSync(`/proc/${first}/task/${first}/children`, 'latin1'), 10) || first;
  } catch {
    return first; // The process has ended.
  }
}

/** @returns whether the process runs: it has neither ended nor become a zombie */
export const isLiving = (pid: number): boolean => (readStat(pid)?.state ?? ZOMBIE) !== ZOMBIE;

/**
 * @returns every process of the container: all of its pid namespace when it has one of its own; otherwise the
 * descendants of its first process and of the processes that `exec` has started in it
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

/** @returns a text that identifies the process's mount namespace; undefined when the process has ended */
export const mountSpaceOf = (pid: number): string | undefined => namespaceOf(pid, 'mnt');

/**
 * @returns the same text for a descriptor that a process handed over, undefined for a file that is no mount namespace.
 * The process opened a path below the container's /proc, which a mount of the container's may cover.
 */
export function mountSpaceIn(namespace: Fd): string | undefined {
  const name = readlinkSync(`/proc/self/fd/${namespace.number}`);
  return NAMESPACE.test(name) && fstatSync(namespace.number).dev === statSync('/proc/self/ns/mnt').dev
    ? name
    : undefined;
}

/** @returns every living process of a mount namespace, whatever its parent is by now */
export function processesOfMountSpace(space: string): number[] {
  return allPids().filter((pid) => namespaceOf(pid, 'mnt') === space && isLiving(pid));
}

/**
 * @returns these processes and all their descendants, by the kernel's own lists: the cost depends on the container
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
      continue; // The process has ended.
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
  const times = { userNanoseconds: 0, systemNanoseconds: 0 };
  // of memory that is mapped alone: nobody says which files the kernel keeps for whom
  const memory = { anon: 0, file: 0, file_mapped: 0, shmem: 0, inactive_file: 0 };
  const sums = { memoryBytes: 0, pids: 0, blockReadBytes: 0, blockWrittenBytes: 0 };
  for (const pid of pids) {
    const stat = readStat(pid);
    if (!stat) continue;
    times.userNanoseconds += stat.userTicks * TICK_NS;
    times.systemNanoseconds += stat.systemTicks * TICK_NS;
    sums.memoryBytes += stat.residentPages * PAGE;
    const status = textOf(`/proc/${pid}/status`);
    const [file, shared] = [numberAfter(status, 'RssFile') * KIB, numberAfter(status, 'RssShmem') * KIB];
    memory.anon += numberAfter(status, 'RssAnon') * KIB;
    memory.shmem += shared;
    memory.file += file + shared;
    memory.file_mapped += file + shared;
    // threads, which Docker counts: pids.current of the cgroup does
    sums.pids += numberAfter(status, 'Threads') || 1;
    const io = textOf(`/proc/${pid}/io`);
    sums.blockReadBytes += numberAfter(io, 'read_bytes');
    sums.blockWrittenBytes += numberAfter(io, 'write_bytes');
  }
  return {
    cpuNanoseconds: times.userNanoseconds + times.systemNanoseconds,
    ...times,
    ...sums,
    memory,
    memoryLimitBytes: options.memoryLimitBytes,
    pidsLimit: undefined,
    ...networkStats(options.network === undefined ? undefined : textOf(`/proc/${options.network}/net/dev`)),
  };
}

/** @param text of /proc/PID/net/dev, proc_pid_net(5); its interfaces are the container's to make */
export function networkStats(
  text: string | undefined,
): Pick<SandboxStats, 'networkReceivedBytes' | 'networkSentBytes' | 'interfaces'> {
  const found: [name: string, stats: InterfaceStats][] = (text ?? '')
    .split('\n')
    .slice(2)
    .flatMap((line): [string, InterfaceStats][] => {
      const colon = line.lastIndexOf(':');
      const name = line.slice(0, colon).trim();
      const fields = line
        .slice(colon + 1)
        .trim()
        .split(/\s+/)
        .map(Number);
      return colon < 0 || fields.length < SENT + 1 || name === 'lo' ? [] : [[name, interfaceStats(fields)]];
    });
  return {
    networkReceivedBytes: found.reduce((sum, [, { receivedBytes }]) => sum + receivedBytes, 0),
    networkSentBytes: found.reduce((sum, [, { sentBytes }]) => sum + sentBytes, 0),
    ...(text !== undefined && { interfaces: Object.fromEntries(found.slice(0, MAX_INTERFACES)) }),
  };
}

function interfaceStats(fields: readonly number[]): InterfaceStats {
  const at = (index: number) => fields[index] ?? 0;
  return {
    receivedBytes: at(0),
    receivedPackets: at(1),
    receiveErrors: at(2),
    receiveDropped: at(3),
    sentBytes: at(SENT),
    sentPackets: at(SENT + 1),
    sendErrors: at(SENT + 2),
    sendDropped: at(SENT + 3),
  };
}

function numberAfter(text: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** @returns the file's text, empty when the process has gone */
function textOf(path: string): string {
  return readOptional(path) ?? '';
}

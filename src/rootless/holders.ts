/**
 * Lists who holds the user's namespace (users-namespace.ts), in a file with a line for each process that has a
 * descriptor of it. The file only says where to look. What counts is what the kernel says of the descriptor found
 * there: it must be a user namespace directly inside of this one, made by this user, and held by a process that is in
 * no container. This file makes no namespace.
 */
import { constants, fstatSync, ftruncateSync, readSync, readlinkSync, writeSync } from 'node:fs';
import { readStat } from '../container/processes/tree.ts';
import { HuskError } from '../errors.ts';
import { open, type Fd } from '../host/fd.ts';
import { waitForLock } from '../host/files/flock.ts';
import { namespaceName, namespaceOwner, parentNamespace } from '../host/kernel/namespace.ts';
import type { IdMaps } from './idmap.ts';

/** a process's limits by the names of proc_pid_limits(5) */
export type Limits = Record<string, number>;

/** One line of the file, as JSON. */
interface Holder {
  pid: number;
  /** identifies the process for as long as this boot lasts, together with the pid */
  startTime: string;
  /** number of the process's descriptor of the namespace */
  fd: number;
  /** `user:[4026532000]` */
  name: string;
  /** the namespace's maps and its maker's limits, as text */
  maps: string;
  limits: Record<string, number | null>;
}

/** ms until a lock is given up; it is held for as long as newuidmap takes, at most */
const LOCK_TIMEOUT = 30_000;
/** most bytes that are read: some ten thousand holders */
const MAX_FILE = 4 << 20;
/** how many recorded holders are checked for life at each visit: more than one visit adds */
const ASKED = 8;

/** Locks the file until it is disposed of, and makes it when missing. @throws HuskError `unavailable` */
export async function lockHolders(file: string): Promise<Fd> {
  const lock = await waitForLock(file, LOCK_TIMEOUT);
  if (lock) return lock;
  throw new HuskError(`cannot lock ${file}: another husk process has held it for ${LOCK_TIMEOUT / 1000} s`, {
    kind: 'unavailable',
  });
}

/** @returns a new descriptor of a namespace with these maps, whose maker's limits were at least these */
export function findHeld(
  lock: Fd,
  { maps, atLeast }: { maps: IdMaps; atLeast: Limits },
): { fd: Fd; limits: Limits } | undefined {
  const text = mapsText(maps);
  // The latest holders are the likeliest to be alive.
  for (const holder of readHolders(lock).toReversed()) {
    const limits = limitsOf(holder);
    if (holder.maps !== text || !Object.entries(atLeast).every(([name, limit]) => (limits[name] ?? 0) >= limit))
      continue;
    const fd = openHeld(holder);
    if (fd) return { fd, limits };
  }
  return undefined;
}

/** Records a holder, and removes some of the holders that are gone. */
export function recordHolder(
  lock: Fd,
  { pid, fd, name, maps, limits }: Pick<Holder, 'pid' | 'fd' | 'name'> & { maps: IdMaps; limits: Limits },
): void {
  const startTime = readStat(pid)?.startTime;
  if (startTime === undefined) return;
  const before = readHolders(lock);
  // Checked holders go to the end, so that sooner or later every one is checked.
  const living = before.splice(0, ASKED).filter((holder) => readStat(holder.pid)?.startTime === holder.startTime);
  const own: Holder = {
    pid,
    startTime,
    fd,
    name,
    maps: mapsText(maps),
    limits: Object.fromEntries(
      Object.entries(limits).map(([name, limit]) => [name, Number.isFinite(limit) ? limit : null]),
    ),
  };
  const text = Buffer.from([...before, ...living, own].map((holder) => `${JSON.stringify(holder)}\n`).join(''));
  writeSync(lock.number, text, 0, text.length, 0);
  ftruncateSync(lock.number, text.length);
}

/** Lines that do not parse are skipped: a namespace that the file lacks is made again. */
function readHolders(lock: Fd): Holder[] {
  const buffer = Buffer.alloc(Math.min(fstatSync(lock.number).size, MAX_FILE));
  const length = readSync(lock.number, buffer, 0, buffer.length, 0);
  return buffer
    .toString('utf8', 0, length)
    .split('\n')
    .flatMap((line) => {
      try {
        const holder = JSON.parse(line) as Holder;
        return isHolder(holder) ? [holder] : [];
      } catch {
        return [];
      }
    });
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startTime, fd, name, maps, limits } = value as Record<string, unknown>;
  const numbers = [pid, fd].every((number) => Number.isSafeInteger(number) && (number as number) >= 0);
  return numbers && [startTime, name, maps].every((text) => typeof text === 'string') && typeof limits === 'object';
}

const limitsOf = ({ limits }: Holder): Limits =>
  Object.fromEntries(Object.entries(limits ?? {}).map(([name, limit]) => [name, limit ?? Infinity]));

const mapsText = ({ uid, gid }: IdMaps): string => JSON.stringify([uid, gid]);

/**
 * Opens a holder's descriptor after checking it, because a container that was given the folder could write anything
 * there. The process must be in this user namespace, and the descriptor one of a namespace directly inside of it that
 * this user has made. The containers' own namespaces are deeper.
 */
function openHeld({ pid, startTime, fd, name }: Holder): Fd | undefined {
  const at = `/proc/${pid}/fd/${fd}`;
  const own = readlinkSync('/proc/self/ns/user');
  try {
    if (!/^user:\[\d+\]$/.test(name) || readlinkSync(at) !== name) return undefined;
    if (readlinkSync(`/proc/${pid}/ns/user`) !== own || readStat(pid)?.startTime !== startTime) return undefined;
    const found = open(at, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    if (isOurs(found, { name, own })) return found;
    found.close();
  } catch {
    // The process has ended, or has closed the descriptor.
  }
  return undefined;
}

function isOurs(fd: Fd, { name, own }: { name: string; own: string }): boolean {
  if (namespaceName(fd.number) !== name || namespaceOwner(fd.number) !== process.geteuid!()) return false;
  using parent = parentNamespace(fd.number);
  return namespaceName(parent.number) === own;
}

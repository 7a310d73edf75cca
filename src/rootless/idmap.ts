/**
 * Decides which host ids a container's ids are: it reads subuid(5) and subgid(5), chooses the map, and writes it for a
 * process that waits in a new user namespace (user_namespaces(7)).
 *
 * For an ordinary user, container id 0 is the user and 1… are every subordinate range, one after another; the setuid
 * programs newuidmap(1) and newgidmap(1) write the map. For root the map is an unprivileged range, written directly;
 * container root is never host root. A map is never made smaller: what cannot be mapped is refused with the fix.
 */
import { readFileSync, readSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { IdMapping } from '../spec.ts';
import { causeOf, HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { spawn, type Spawned } from '../host/kernel/spawn.ts';
import { memfd } from '../host/memory/memfd.ts';
import { signalName } from '../notation/signals.ts';
import { findProgram } from './programs.ts';
import { nameProcess, span } from '../trace.ts';

export type IdKind = 'uid' | 'gid';

/** consecutive host ids */
export interface IdRange {
  start: number;
  count: number;
}

export interface IdMaps {
  uid: IdMapping[];
  gid: IdMapping[];
  /** whether this process, as root, writes the maps itself; otherwise newuidmap and newgidmap do */
  direct: boolean;
}

/** Everything that the map depends on; tests pass their own. */
export interface IdSources {
  uid?: number;
  gid?: number;
  /** login name, by which subuid(5) usually names its ranges */
  name?: string;
  /** folder of `subuid` and `subgid`; @default '/etc' */
  etc?: string;
  /** path in which newuidmap and newgidmap are looked for; @default $PATH, then the usual folders */
  path?: string;
  /** text of this process's own /proc/self/uid_map and gid_map: root inside a container has few ids to give */
  ownMaps?: Record<IdKind, string>;
}

/**
 * Root's range when /etc/subuid has none for `husk` or `root`: far above those that distributions give to users (below
 * 600100000).
 */
export const ROOT_RANGE: IdRange = { start: 1_000_000_000, count: 65_536 };
/** most lines of a map, UID_GID_MAP_MAX_EXTENTS of include/linux/user_namespace.h (Linux 4.15) */
const MAX_EXTENTS = 340;
/** the highest valid id: (uid_t)-1 means "no change" to the kernel */
const MAX_ID = 0xffff_fffe;
/** most bytes of a mapper's messages that are read */
const MAX_SAID = 4096;
/** most bytes that are read: a file of a hundred thousand users has half as many */
const MAX_FILE = 8 << 20;

/**
 * @returns the ranges that a subuid(5) file gives to a user, in the file's order; an entry names the user by login name
 * or by number. Lines that are not `owner:start:count` of whole numbers in range are skipped, as shadow does.
 */
export function parseSubordinateIds(text: string, owner: { name?: string; uid: number }): IdRange[] {
  const ranges: IdRange[] = [];
  for (const line of text.split('\n')) {
    const [who, start, count, ...rest] = line.trim().split(':');
    if (who === undefined || rest.length > 0 || (who !== owner.name && who !== String(owner.uid))) continue;
    if (!/^\d{1,10}$/.test(start ?? '') || !/^\d{1,10}$/.test(count ?? '')) continue;
    const range = { start: Number(start), count: Number(count) };
    if (range.count > 0 && range.start + range.count - 1 <= MAX_ID) ranges.push(range);
  }
  return ranges;
}

/**
 * Maps container id 0 to `own`, and 1… to the ranges. Ids named twice (overlapping entries, the user's own id) are
 * given once, because the kernel refuses overlaps.
 */
export function buildIdMap(own: number, ranges: readonly IdRange[]): IdMapping[] {
  return number([{ start: own, count: 1 }, ...ranges]);
}

/** Makes root's map: container ids 0… are the ranges, none of which has host id 0. */
export function buildRootIdMap(ranges: readonly IdRange[]): IdMapping[] {
  return number(ranges.map((range) => (range.start > 0 ? range : { start: 1, count: range.count - 1 })));
}

function number(ranges: readonly IdRange[]): IdMapping[] {
  const taken: IdRange[] = [];
  for (const range of ranges) taken.push(...subtract(range, taken));
  const map: IdMapping[] = [];
  let containerID = 0;
  for (const { start, count } of taken.slice(0, MAX_EXTENTS)) {
    map.push({ containerID, hostID: start, size: count });
    containerID += count;
  }
  return map;
}

function subtract(range: IdRange, taken: readonly IdRange[]): IdRange[] {
  let pieces = range.count > 0 ? [range] : [];
  for (const hole of taken) {
    pieces = pieces.flatMap(({ start, count }) => {
      const before = { start, count: Math.min(count, hole.start - start) };
      const after = { start: Math.max(start, hole.start + hole.count), count: 0 };
      after.count = start + count - after.start;
      return [before, after].filter((piece) => piece.count > 0);
    });
  }
  return pieces;
}

/** Parses lines of /proc/PID/uid_map: id inside, id outside, count. */
export function parseIdMap(text: string): IdMapping[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((fields) => fields.length === 3 && fields.every((field) => Number.isSafeInteger(field) && field >= 0))
    .map(([containerID, hostID, size]) => ({ containerID: containerID!, hostID: hostID!, size: size! }));
}

/**
 * @returns the range for containers that root starts: `preferred` where this namespace has those ids, else (for root
 * inside a container) the longest stretch of ids above 0 that the namespace has
 */
export function rootRange(preferred: readonly IdRange[], own: readonly IdMapping[]): IdRange[] {
  const has = (range: IdRange) =>
    own.some((line) => range.start >= line.containerID && range.start + range.count <= line.containerID + line.size);
  const usable = preferred.filter(has);
  if (usable.length > 0) return usable;
  if (has(ROOT_RANGE)) return [ROOT_RANGE];
  const stretches = own
    .map((line) => ({
      start: Math.max(1, line.containerID),
      count: line.containerID + line.size - Math.max(1, line.containerID),
    }))
    .filter((range) => range.count > 0)
    .sort((a, b) => b.count - a.count);
  return stretches.slice(0, 1).map(({ start, count }) => ({ start, count: Math.min(count, ROOT_RANGE.count) }));
}

/** @throws HuskError `unsupported` when the user has no subordinate range */
export function idMaps(sources: IdSources = {}): IdMaps {
  const uid = sources.uid ?? process.getuid!();
  const gid = sources.gid ?? process.getgid!();
  const owner = { uid, name: sources.name ?? loginName(uid) };
  const etc = sources.etc ?? '/etc';
  if (uid === 0) return { uid: rootMap('uid', etc, sources), gid: rootMap('gid', etc, sources), direct: true };
  const map = (kind: IdKind, own: number) => {
    const file = join(etc, `sub${kind}`);
    const ranges = parseSubordinateIds(readSubordinateFile(file), owner);
    if (ranges.length === 0)
      throw new HuskError(`cannot map ${kind}s: ${file} has no range for ${owner.name ?? `uid ${uid}`}`, {
        kind: 'unsupported',
        fix: rangeFix(owner),
      });
    return buildIdMap(own, ranges);
  };
  return { uid: map('uid', uid), gid: map('gid', gid), direct: false };
}

function rootMap(kind: IdKind, etc: string, sources: IdSources): IdMapping[] {
  const text = readSubordinateFile(join(etc, `sub${kind}`));
  const husk = parseSubordinateIds(text, { uid: -1, name: 'husk' });
  const preferred = husk.length > 0 ? husk : parseSubordinateIds(text, { uid: 0, name: 'root' });
  const map = buildRootIdMap(
    rootRange(preferred, parseIdMap(sources.ownMaps?.[kind] ?? readFileSync(`/proc/self/${kind}_map`, 'utf8'))),
  );
  if (map.length === 0)
    throw new HuskError(`cannot map ${kind}s: this user namespace has no ${kind} but root's to give to a container`, {
      kind: 'unsupported',
      fix: 'run husk as an ordinary user, or in a container with more ids',
    });
  return map;
}

/**
 * @returns the host's gid of the root of containers that root starts; undefined where root has no ids to give (`idMaps`
 * says why)
 */
export function containerRootGroup(sources: IdSources = {}): number | undefined {
  try {
    return rootMap('gid', sources.etc ?? '/etc', sources)[0]!.hostID;
  } catch (error) {
    if (error instanceof HuskError) return undefined;
    throw error;
  }
}

/** @returns the command that gives a user ranges of their own */
export function rangeFix(owner: { name?: string; uid: number }): string {
  return `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${owner.name ?? owner.uid}`;
}

function readSubordinateFile(file: string): string {
  try {
    if (statSync(file).size > MAX_FILE)
      throw new HuskError(`cannot read ${file}: larger than ${MAX_FILE} bytes`, { kind: 'limit' });
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function loginName(uid: number): string | undefined {
  try {
    const info = userInfo();
    return info.uid === uid ? info.username : undefined;
  } catch {
    return undefined; // A uid may have no passwd entry: subuid may still name it by number.
  }
}

/**
 * Writes the maps of a process that has just unshared its user namespace.
 * @throws HuskError `unsupported` naming the range, the cause and the fix
 */
export async function writeIdMaps(pid: number, maps: IdMaps, sources: IdSources = {}): Promise<void> {
  if (maps.direct) {
    for (const kind of ['gid', 'uid'] as const) {
      try {
        writeFileSync(
          `/proc/${pid}/${kind}_map`,
          maps[kind].map((line) => `${line.containerID} ${line.hostID} ${line.size}\n`).join(''),
        );
      } catch (error) {
        throw new HuskError(`cannot map ${describe(kind, maps[kind])}: ${causeOf(error)}`, {
          kind: 'unsupported',
          cause: error,
        });
      }
    }
    return;
  }
  // Both run at once, because each starts a process and reads a file.
  const results = await Promise.allSettled([
    runMapper('uid', pid, maps.uid, sources),
    runMapper('gid', pid, maps.gid, sources),
  ]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** @returns the full path of newuidmap or newgidmap, or undefined */
export function findMapper(kind: IdKind, path: string = process.env['PATH'] ?? ''): string | undefined {
  return findProgram(`new${kind}map`, `${path}:/usr/bin:/usr/sbin:/bin:/sbin`);
}

async function runMapper(kind: IdKind, pid: number, map: readonly IdMapping[], sources: IdSources): Promise<void> {
  const what = `cannot map ${describe(kind, map)}`;
  const program = sources.path === undefined ? findMapper(kind) : findProgram(`new${kind}map`, sources.path);
  if (program === undefined)
    throw new HuskError(`${what}: new${kind}map is not installed`, { kind: 'unsupported', fix: 'apt install uidmap' });
  const lines = map.flatMap((line) => [line.containerID, line.hostID, line.size].map(String));
  const { code, stderr } = await run(program, [String(pid), ...lines]);
  if (code === 0) return;
  const said =
    stderr
      .trim()
      .replace(/^new[ug]idmap: /, '')
      .split('\n')[0] ?? '';
  if (/write to [ug]id_map failed/.test(said) && !isSetuidRoot(program))
    throw new HuskError(`${what}: ${program} is not setuid root (and may have no file capability)`, {
      kind: 'unsupported',
      fix: `sudo chmod u+s ${program}, on a file system that is not mounted nosuid`,
    });
  throw new HuskError(`${what}: ${program}: ${said || `exit status ${code}`}`, {
    kind: 'unsupported',
    fix: `see /etc/sub${kind}`,
  });
}

export function isSetuidRoot(file: string): boolean {
  const stat = statSync(file);
  return stat.uid === 0 && (stat.mode & 0o4000) !== 0;
}

/** @returns `uid range 100000-165535`: the subordinate part of the map, which is what a user can change */
function describe(kind: IdKind, map: readonly IdMapping[]): string {
  const ranges = map.filter((line) => line.size > 1);
  return `${kind} range ${(ranges.length > 0 ? ranges : map).map((line) => `${line.hostID}-${line.hostID + line.size - 1}`).join(', ')}`;
}

async function run(program: string, args: string[]): Promise<{ code: number; stderr: string }> {
  // The messages go to a file, not a pipe: they are short, and read after the mapper has ended.
  using said = memfd('husk-mapper');
  const child = started(program, args, said);
  nameProcess(program, child.pid);
  using _running = span(program, child.pid);
  const { code, signal } = await child.exited;
  return { code: code ?? 128, stderr: signal === null ? beginning(said) : `ended by ${signalName(signal)}` };
}

function started(program: string, args: string[], stderr: Fd): Spawned {
  try {
    // The mapper gets an environment of its own, because it is setuid and its messages are matched.
    return spawn(program, { args, env: ['LC_ALL=C'], descriptors: ['null', 'null', stderr.number] });
  } catch (error) {
    throw new HuskError(`cannot run ${program}: ${causeOf(error)}`, { kind: 'unsupported', cause: error });
  }
}

/** @returns the first bytes of a file, as text */
function beginning(file: Fd): string {
  const bytes = Buffer.alloc(MAX_SAID);
  return bytes.toString('utf8', 0, readSync(file.number, bytes, 0, MAX_SAID, 0));
}

/**
 * The folder of templates: machines that wait to be told what they are (sandbox/template.ts), one for each shape, husk
 * and boot of the host. A template is a folder of two files that appears whole, by a rename, and never changes; whoever
 * can write to it runs code in every machine, so nothing that runs a guest may, and what is not this user's alone is
 * not used.
 *
 *   <key>/state, <key>/memory   a template
 *   <key>.half/                 one that is being made, by whoever has the lock
 *   <key>.lock                  its lock (flock)
 *   <key>.failed                why it could not be made: it is not tried again for an hour
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { causeOf, HuskError } from '../../errors.ts';
import { isNamed, tryLock } from '../../host/files/flock.ts';
import type { MachineShape } from './shape.ts';
import { STATE_VERSION } from '../snapshot/machine-state.ts';

/** templates that are kept, the last used ones: each has some 120 MiB of memory */
const MOST = 4;
/** bytes a disk has free before a template is made on it: what only saves time takes nobody's last room */
const LEAST_FREE = 512 * 2 ** 20;
const LOCK = '.lock';
const HALF = '.half';
const FAILED = '.failed';
/** ms; a host that was too busy may not be later */
const RETRY_AFTER = 3_600_000;
/**
 * ms since its last use in which none goes for another: containers of more shapes than are kept, started in turn, would
 * else have each other's templates removed, and pay for a boot and a maker at every start
 */
const IN_USE = 600_000;
const KEY = /^[0-9a-f]{32}$/;

export interface TemplateFiles {
  /** paths */
  state: string;
  memory: string;
}

export interface TemplateUse {
  key: string;
  /** bytes on the disk */
  size: number;
  /** ms since the epoch */
  lastUsed: number;
}

/**
 * @param files the kernel, the agent's disk and husk's own code: other ones make another template
 * @returns the name of the template of a shape, on this boot of this host
 */
export function templateKey(shape: MachineShape, files: readonly string[]): string {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  const made = files.map((path) => {
    const { size, mtimeMs, ino, dev } = statSync(path);
    return [path, size, mtimeMs, ino, dev];
  });
  const { memory, cpus, images, mtus, hasShares } = shape;
  const all = [STATE_VERSION, bootId, release(), made, memory, cpus, images, mtus, hasShares];
  return createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 32);
}

/** Makes the folder, so that nobody else does. */
export function makeTemplateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/** @returns undefined when there is none, or none that only this user can have written */
export function findTemplate(folder: string, key: string): TemplateFiles | undefined {
  const place = join(folder, key);
  const files = { state: join(place, 'state'), memory: join(place, 'memory') };
  if (![folder, place, files.state, files.memory].every(isOwn)) return undefined;
  const now = new Date();
  try {
    utimesSync(place, now, now);
  } catch {
    // it was removed since
    return undefined;
  }
  return files;
}

/** Whether it is there, is this user's, is no link and is closed to others. */
function isOwn(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return (
    stat !== undefined &&
    !stat.isSymbolicLink() &&
    stat.uid === process.getuid!() &&
    (stat.mode & (stat.isDirectory() ? 0o022 : 0o077)) === 0
  );
}

/**
 * Whether to make it is worth a try: there is room for it, it was not tried in vain within the hour, and no other that
 * is in use has to go for it.
 * @param options.leastFree bytes that the folder's disk must have free
 */
export function isWorthMaking(
  folder: string,
  key: string,
  { leastFree = LEAST_FREE }: { leastFree?: number } = {},
): boolean {
  makeTemplateFolder(folder);
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < leastFree) return false;
  const oldest = listTemplates(folder)[MOST - 1];
  if (oldest !== undefined && oldest.lastUsed > Date.now() - IN_USE) return false;
  const failed = statSync(join(folder, key + FAILED), { throwIfNoEntry: false });
  return failed === undefined || failed.mtimeMs < Date.now() - RETRY_AFTER;
}

/**
 * Makes a template, unless it is there or another process makes it.
 * @param make writes the files, whose folder is there and empty
 */
export async function addTemplate(
  folder: string,
  key: string,
  make: (files: TemplateFiles) => Promise<void>,
): Promise<void> {
  if (!KEY.test(key)) throw new HuskError(`"${key}" is no key of a template`, { kind: 'internal' });
  makeTemplateFolder(folder);
  const lockFile = join(folder, key + LOCK);
  using lock = tryLock(lockFile);
  const place = join(folder, key);
  // Whoever swept the folder may have removed the file between our open and our lock: then the lock is nobody's.
  if (lock === undefined || !isNamed(lock, lockFile) || existsSync(place)) return;
  const half = place + HALF;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { mode: 0o700 });
  try {
    await make({ state: join(half, 'state'), memory: join(half, 'memory') });
    renameSync(half, place);
  } catch (error) {
    rmSync(half, { recursive: true, force: true });
    writeFileSync(join(folder, key + FAILED), `${causeOf(error)}\n`, { mode: 0o600 });
    throw error;
  } finally {
    // the name goes while the lock is held
    rmSync(lockFile, { force: true });
  }
  removeTemplates(folder, { keep: MOST });
}

/** What is there, the last used first. */
export function listTemplates(folder: string): TemplateUse[] {
  return namesIn(folder)
    .filter((name) => KEY.test(name))
    .flatMap((key) => {
      const place = join(folder, key);
      try {
        const sizes = ['state', 'memory'].map((name) => statSync(join(place, name)).blocks * 512);
        return [{ key, size: sizes[0]! + sizes[1]!, lastUsed: statSync(place).mtimeMs }];
      } catch {
        return [{ key, size: 0, lastUsed: 0 }];
      }
    })
    .sort((one, other) => other.lastUsed - one.lastUsed);
}

/**
 * Removes templates, and what makers that were killed have left. A machine that goes on from one keeps its memory.
 * @param options.keep so many of the last used ones stay; 0: those that could not be made may be tried again
 * @returns those that are gone
 */
export function removeTemplates(folder: string, { keep }: { keep: number }): TemplateUse[] {
  const gone = listTemplates(folder).slice(keep);
  for (const { key } of gone) removeTemplate(folder, key);
  for (const name of namesIn(folder)) {
    const key = name.slice(0, 32);
    const file = join(folder, name);
    if (KEY.test(key) && name === key + FAILED && keep === 0) rmSync(file);
    if (!KEY.test(key) || name !== key + LOCK) continue;
    using lock = tryLock(file);
    if (lock === undefined || !isNamed(lock, file)) continue;
    rmSync(join(folder, key + HALF), { recursive: true, force: true });
    rmSync(file, { force: true });
  }
  return gone;
}

export function removeTemplate(folder: string, key: string): void {
  if (KEY.test(key)) rmSync(join(folder, key), { recursive: true, force: true });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

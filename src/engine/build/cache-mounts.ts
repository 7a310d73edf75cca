/**
 * The folders behind `RUN --mount=type=cache`: one for each id, shared by all builds of a data root, and a lock beside
 * each that says who uses it. A lock is a flock: it dies with the build. Knows nothing of what is in a folder.
 *
 * `sharing=shared` (the default) uses the folder beside others; `locked` waits until nobody else does; `private` takes
 * another folder of the same id while the first is in use.
 */
import { createHash, createHmac } from 'node:crypto';
import { chownSync, existsSync, readdirSync, renameSync, rmdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { lockWhenFree, tryLock } from '../../host/files/flock.ts';
import { makeFolder } from '../../host/files/make-folder.ts';
import { HuskError } from '../../errors.ts';
import type { RunMount } from '../../images/build/operations.ts';
import { unpackInto } from '../../images/layers/unpack-into.ts';
import type { Layer } from '../../images/store/contract.ts';
import type { CacheMountUsage } from '../build-contract.ts';
import type { Paths } from '../../paths.ts';

/** of folders that the container's root passes through */
const CLOSED_MODE = 0o711;
/** folders of one id that are private to steps at a time: more than steps that run */
const MAX_PRIVATE = 64;
const LOCK = '.lock';

type Place = Pick<Paths, 'dataRoot'>;

const folderOf = ({ dataRoot }: Place) => join(dataRoot, 'build-cache-mounts');

/** What says which cache is meant. */
export interface CacheChoice extends Pick<RunMount, 'id' | 'target' | 'sharing'> {
  /** digest of what a new cache begins with: caches that began with something else are others, as BuildKit's are */
  seed?: string;
}

/** @returns the name of a cache's folder: an id may be any text, and only its hash becomes a name */
export const cacheName = ({ id, target, seed }: CacheChoice): string =>
  (seed === undefined ? createHash('sha256') : createHmac('sha256', seed)).update(id ?? target).digest('hex');

/**
 * Takes a cache for a step. Whoever takes several takes them in the order of their names, so that no two steps wait for
 * each other.
 * @param options.onWait called once, when another step has it
 * @param options.renewed of a step that is made without the cache: folders that its build has begun anew already; any
 * other one is emptied first, as BuildKit's `--no-cache` begins with an empty cache, once a build
 * @returns the folder, until it is disposed of
 */
export async function takeCache(
  place: Place,
  mount: CacheChoice,
  { signal, onWait, renewed }: { signal: AbortSignal; onWait?: () => void; renewed?: Set<string> },
): Promise<Disposable & { folder: string }> {
  makeFolder(folderOf(place), CLOSED_MODE);
  const first = join(folderOf(place), cacheName(mount));
  if (renewed && mount.sharing !== 'private' && !renewed.has(first)) {
    using _alone = await lockWhenFree(first + LOCK, { signal, onWait });
    await renew(first, renewed);
  }
  const lock =
    mount.sharing === 'private'
      ? undefined
      : await lockWhenFree(first + LOCK, { shared: mount.sharing !== 'locked', signal, onWait });
  const { folder, held } = lock === undefined ? takePrivate(first, mount) : { folder: first, held: lock };
  try {
    if (renewed && mount.sharing === 'private') await renew(folder, renewed);
    await prepare(folder);
  } catch (error) {
    held.close();
    throw error;
  }
  return { folder, [Symbol.dispose]: () => held.close() };
}

function takePrivate(first: string, { id, target }: Pick<RunMount, 'id' | 'target'>) {
  for (let number = 0; number < MAX_PRIVATE; number++) {
    const folder = number === 0 ? first : `${first}-${number}`;
    const held = tryLock(folder + LOCK);
    if (held) return { folder, held };
  }
  throw new HuskError(`cache ${id ?? target}: ${MAX_PRIVATE} steps have it to themselves already`, { kind: 'limit' });
}

/** The cache's files, as they are mounted (src/rootless/build/mounts.ts); and a lock of whoever makes them. */
const DATA = 'data';
const SEED_LOCK = 'seed.lock';

/**
 * Fills a cache that is new, once; the caller holds the cache. A cache of which a step has removed everything is not
 * new any more.
 * @param options.layer gives the files; asked only for a new cache
 */
export async function seedCache(
  folder: string,
  paths: Pick<Paths, 'layers'>,
  { layer, signal }: { layer: () => Promise<Layer>; signal: AbortSignal },
): Promise<void> {
  const isMade = (): boolean => existsSync(join(folder, DATA));
  if (isMade()) return;
  const files = await layer();
  // Of several steps that share a new cache one fills it.
  using _lock = await lockWhenFree(join(folder, SEED_LOCK), { isForeign: true, signal });
  if (!isMade()) await unpackInto(files, { folder, name: DATA, reach: [paths.layers, folder], signal });
}

/**
 * Takes the files of a cache away that nobody else uses; its next user finds a new one. @param renewed gets the folder
 */
async function renew(folder: string, renewed: Set<string>): Promise<void> {
  if (renewed.has(folder)) return;
  // Under another name: a cache that was filled by its seed is whole or not there, whenever this process is killed.
  const old = join(folder, `${DATA}-${process.pid}`);
  try {
    renameSync(join(folder, DATA), old);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    renewed.add(folder);
    return;
  }
  try {
    // Most caches of a build without the cache are as empty as it left them the last time.
    rmdirSync(old);
  } catch {
    // A machine that has ended its step still shares the files.
    await (await import('../../rootless/trees.ts')).removeLiveTree(old);
  }
  renewed.add(folder);
}

/** Makes the folder, and notes that it was used. */
async function prepare(folder: string): Promise<void> {
  makeFolder(folder, CLOSED_MODE);
  // Where root runs husk, the container's root is another user, who makes what is in the folder.
  if (process.getuid!() === 0) {
    const { uid, gid } = (await import('../../volumes/volumes.ts')).containerRoot();
    if (statSync(folder).uid !== uid) chownSync(folder, uid, gid);
  }
  const now = new Date();
  utimesSync(folder + LOCK, now, now);
}

const NAME = /^[0-9a-f]{64}(-\d{1,2})?$/;

/** @returns the caches that are there, with bytes of their files; that of each costs a walk */
export async function listCaches(place: Place): Promise<CacheMountUsage[]> {
  // Loaded here: it brings the launcher along, which a build without a RUN does without.
  const { treeSize } = await import('../../rootless/trees.ts');
  const found: CacheMountUsage[] = [];
  for (const name of names(folderOf(place)).filter((each) => NAME.test(each))) {
    const folder = join(folderOf(place), name);
    const { mtimeMs } = statSync(folder + LOCK, { throwIfNoEntry: false }) ?? { mtimeMs: 0 };
    // A step holds its lock, alone or with others, for as long as it runs.
    using lock = tryLock(folder + LOCK);
    found.push({ name, size: await treeSize(folder), lastUsed: mtimeMs, inUse: lock === undefined });
  }
  return found;
}

/**
 * Removes caches that nobody uses.
 * @param usedBefore ms since 1970: those that were used later stay. @default none does
 * @returns bytes that were given back
 */
export async function pruneCaches(place: Place, usedBefore = Number.POSITIVE_INFINITY): Promise<number> {
  const { removeLiveTree, treeSize } = await import('../../rootless/trees.ts');
  let bytes = 0;
  for (const name of names(folderOf(place))) {
    if (!NAME.test(name)) continue;
    const folder = join(folderOf(place), name);
    // The lock's file stays: whoever waits for it has it open.
    using lock = tryLock(folder + LOCK);
    if (!lock || statSync(folder + LOCK).mtimeMs >= usedBefore) continue;
    bytes += await treeSize(folder);
    await removeLiveTree(folder);
  }
  return bytes;
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

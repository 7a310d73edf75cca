/**
 * Layers as folders, for the user-namespace isolation: makes what is missing, once, however many husk processes want it, and gives
 * the short paths an overlay mount names them by. A layer that is already there costs two system calls.
 *
 * A tree is made as `layers/<hex>/tree-v1.partial-<random>` and renamed when whole; who makes it holds the lock `layers/<hex>/lock`,
 * which dies with its holder, so a killed unpack is simply done again. The files are written by `unpack` (unpack-main.ts) inside the
 * user namespace; this side never looks into an archive.
 */
import { randomBytes } from 'node:crypto';
import {
  type Stats,
  chownSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { HuskError, type ErrorKind } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import { after } from '../../long-timer.ts';
import type { Paths } from '../../paths.ts';
import type { IdMaps } from '../../rootless/idmap.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';
import type { Layer } from '../contract.ts';
import { distinctLayers, PARENTS, stackKey } from './stack.ts';
import { assertWhole } from './whole.ts';

/** The name carries the version of what write-tree.ts writes; another version is another folder. */
export const TREE = 'tree-v1';
const PARENTS_PARTIAL = 'parents.partial-';

/** Owners on disk are host ids, so containers with other maps (`--userns keep-id`) need trees of their own. */
export function keptSuffix(kept?: KeptIds): string {
  return kept === undefined ? '' : `.keep-${kept.uid}-${kept.gid}`;
}

/** of the name of a layer's tree; undefined: it is no tree */
export function parseTreeName(name: string): { kept?: KeptIds } | undefined {
  if (name === TREE) return {};
  const suffix = name.startsWith(TREE) ? name.slice(TREE.length) : '';
  const [, uid, gid] = /^\.keep-(\d{1,10})-(\d{1,10})$/.exec(suffix) ?? [];
  return uid === undefined ? undefined : { kept: { uid: Number(uid), gid: Number(gid) } };
}

/** What overlay gets as the layers of an image that has none: an empty folder among the short links. */
const NO_LAYERS = 'empty';
/** Hex digits of a short link's name; more where two layers begin alike (which an attacker can arrange). */
const SHORT = 12;
const POLL_MS = 20;
/** Unpacking waits for the kernel's file system more than for anything else; more processes than this only queue there. */
const MAX_PROCESSES = 4;

export interface UnpackOptions {
  /** for containers that have the caller's id at this place */
  kept?: KeptIds;
  /** layers of this call made so far, of those that were missing */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

type UnpackPaths = Pick<Paths, 'layers' | 'layerLinks'>;

/**
 * @param layers bottom first, as `Image.layers`
 * @returns folders, topmost first, as overlay's `lowerdir=` wants them, at least one and none twice: short links below
 *   `paths.layerLinks`, one for each layer and one more where folders inherit their attributes
 * @throws HuskError `corrupt` for a layer that cannot be unpacked, `unsupported` for owners that have no subordinate id
 */
export async function ensureUnpacked(
  layers: readonly Layer[],
  paths: UnpackPaths,
  options: UnpackOptions = {},
): Promise<string[]> {
  const stack = distinctLayers(layers);
  const { kept } = options;
  const top = stack.at(-1);
  if (!top) return [emptyFolder(paths)];
  const missing = stack
    .map(({ diffId }) => hexOf(diffId))
    .filter((hex) => !shortLink(hex, treeOf(hex, kept), paths, kept));
  if (missing.length > 0) await unpackMissing(missing, stack, paths, options);
  const folders = stack.map(({ diffId }) => linkTo(hexOf(diffId), treeOf(hexOf(diffId), kept), paths, kept)).reverse();
  // A single layer has nothing to inherit from.
  if (stack.length === 1) return folders;
  const key = stackKey(stack).toString('hex');
  const parents = join(hexOf(top.diffId), PARENTS + key + keptSuffix(kept));
  const made =
    lstatSync(join(paths.layers, parents), { throwIfNoEntry: false }) ??
    (await makeParents(stack, parents, paths, options));
  return made.isDirectory() ? [linkTo(key, parents, paths, kept), ...folders] : folders;
}

/**
 * As ensureUnpacked, for an overlay without an upper layer: of those the kernel wants two folders at least.
 * @returns one folder only for an image without layers: it is the tree
 */
export async function ensureUnpackedView(
  layers: readonly Layer[],
  paths: UnpackPaths,
  options: UnpackOptions = {},
): Promise<string[]> {
  const folders = await ensureUnpacked(layers, paths, options);
  return layers.length > 0 && folders.length === 1 ? [...folders, emptyFolder(paths)] : folders;
}

function emptyFolder({ layerLinks }: UnpackPaths): string {
  const folder = join(layerLinks, NO_LAYERS);
  mkdirSync(layerLinks, { recursive: true, mode: 0o711 });
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}

function hexOf(diffId: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(diffId)?.[1];
  if (hex === undefined) throw new HuskError(`"${diffId}" is not a diffID`, { kind: 'internal' });
  return hex;
}

/** below `paths.layers` */
const treeOf = (hex: string, kept?: KeptIds) => join(hex, TREE + keptSuffix(kept));
/** of a short link */
const linkTarget = (tree: string) => join('../layers', tree);

const linkName = (hex: string, length: number, kept?: KeptIds) => hex.slice(0, length) + keptSuffix(kept);

const linkTo = (hex: string, tree: string, paths: UnpackPaths, kept?: KeptIds): string =>
  shortLink(hex, tree, paths, kept) ?? makeShortLink(hex, tree, paths, kept);

/** The link to this tree, if both are there. @param hex its name's digits; @param tree below `paths.layers` */
function shortLink(hex: string, tree: string, { layerLinks }: UnpackPaths, kept?: KeptIds): string | undefined {
  for (let length = SHORT; length <= hex.length; length += SHORT) {
    const link = join(layerLinks, linkName(hex, length, kept));
    let target: string;
    try {
      target = readlinkSync(link);
    } catch {
      return undefined;
    }
    // Never taken on its name alone: 48 bits can be collided, and the other layer may be anybody's.
    if (target === linkTarget(tree)) return statSync(link, { throwIfNoEntry: false }) ? link : undefined;
  }
  return undefined;
}

function makeShortLink(hex: string, tree: string, paths: UnpackPaths, kept?: KeptIds): string {
  mkdirSync(paths.layerLinks, { recursive: true, mode: 0o711 });
  for (let length = SHORT; length <= hex.length; length += SHORT) {
    const link = join(paths.layerLinks, linkName(hex, length, kept));
    try {
      symlinkSync(linkTarget(tree), link);
      return link;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (readlinkSync(link) === linkTarget(tree)) return link;
      // A link to a layer that is no more is taken over.
      if (!existsSync(link)) {
        unlinkSync(link);
        length -= SHORT;
      }
    }
  }
  throw new HuskError(`cannot make a link for the layer ${hex} in ${paths.layerLinks}`, { kind: 'internal' });
}

async function unpackMissing(
  missing: string[],
  layers: readonly Layer[],
  paths: UnpackPaths,
  options: UnpackOptions,
): Promise<void> {
  const { tryLock } = await import('../../host/files/flock.ts');
  const tars = new Map(layers.map((layer) => [hexOf(layer.diffId), layer]));
  for (const hex of missing) assertWhole(tars.get(hex)!);
  const isMade = (hex: string) => existsSync(join(paths.layers, treeOf(hex, options.kept)));
  let done = 0;
  options.onProgress?.(0, missing.length);
  const waiting = [...missing];
  while (waiting.length > 0) {
    const claimed: { hex: string; lock: Fd }[] = [];
    const others: string[] = [];
    for (const hex of waiting.splice(0)) {
      const lock = tryLock(join(paths.layers, hex, 'lock'));
      if (!lock) others.push(hex);
      else if (isMade(hex)) lock.close();
      else claimed.push({ hex, lock });
    }
    try {
      if (claimed.length > 0)
        await unpackClaimed(
          claimed.map(({ hex }) => tars.get(hex)!),
          paths,
          options,
          () => options.onProgress?.(++done, missing.length),
        );
    } finally {
      for (const { lock } of claimed) lock.close();
    }
    waiting.push(...others.filter((hex) => !isMade(hex)));
    if (waiting.length > 0) await after(POLL_MS, { signal: options.signal });
  }
}

/** Several processes, the largest layers first, each with about the same number of bytes. */
async function unpackClaimed(
  layers: Layer[],
  paths: UnpackPaths,
  { kept, signal }: UnpackOptions,
  onDone: () => void,
): Promise<void> {
  const { removeTree } = await import('../../rootless/trees.ts');
  const maker = await makerOfTrees(kept);
  const tree = TREE + keptSuffix(kept);
  const shares = Array.from({ length: Math.min(layers.length, availableParallelism(), MAX_PROCESSES) }, () => ({
    bytes: 0,
    layers: [] as Layer[],
  }));
  for (const layer of [...layers].sort((a, b) => b.size - a.size)) {
    const least = shares.reduce((a, b) => (b.bytes < a.bytes ? b : a));
    least.layers.push(layer);
    least.bytes += layer.size;
  }
  const made: string[] = [];
  const work = shares.map(async (share) => {
    const args: string[] = [];
    for (const layer of share.layers) {
      const partial = await newPartial(join(paths.layers, hexOf(layer.diffId)), `${tree}.partial-`, maker);
      made.push(partial);
      maker.letRead(layer.tar);
      args.push(layer.tar, partial);
    }
    await runInternal('unpack', args, { paths, maps: maker.maps, signal }, (partial) => {
      renameSync(partial, join(partial, '..', tree));
      made.splice(made.indexOf(partial), 1);
      onDone();
    });
  });
  const results = await Promise.allSettled(work);
  for (const partial of made) await removeTree(partial).catch(() => {});
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

/** Who writes trees: root of the user namespace, which is another user on this host when its starter is root. */
interface TreeMaker {
  maps: IdMaps;
  give(folder: string): void;
  letRead(tar: string): void;
}

async function makerOfTrees(kept?: KeptIds): Promise<TreeMaker> {
  const [{ idMaps }, { keepIdMaps }] = await Promise.all([
    import('../../rootless/idmap.ts'),
    import('../../rootless/keep-id.ts'),
  ]);
  const maps = kept === undefined ? idMaps() : keepIdMaps(idMaps(), kept);
  return {
    maps,
    give: (folder) => maps.direct && chownSync(folder, maps.uid[0]!.hostID, maps.gid[0]!.hostID),
    letRead: (tar) => maps.direct && chmodSync(tar, 0o644),
  };
}

/** A new folder for the maker. The caller holds the lock of the layer's folder. */
async function newPartial(folder: string, prefix: string, maker: TreeMaker): Promise<string> {
  const { removeTree } = await import('../../rootless/trees.ts');
  // What a killed maker left; one that is still ending may write into it meanwhile, and then the next one deletes it.
  for (const name of readdirSync(folder))
    if (name.startsWith(prefix)) await removeTree(join(folder, name)).catch(() => {});
  const partial = join(folder, prefix + randomBytes(6).toString('hex'));
  mkdirSync(partial, { mode: 0o700 });
  maker.give(partial);
  return partial;
}

/**
 * Makes the folders that a stack implies, or the mark that it needs none. Looks at the upper layers' members first:
 * those of the
 * lowest, mostly the largest, are read only where one of the others implies a folder.
 * @param parents below `paths.layers`
 */
async function makeParents(
  stack: readonly Layer[],
  parents: string,
  paths: UnpackPaths,
  { kept, signal }: UnpackOptions,
): Promise<Stats> {
  const [{ tryLock }, { impliesParents, impliedParents }, { readTree }, { removeTree }] = await Promise.all([
    import('../../host/files/flock.ts'),
    import('./implied-parents.ts'),
    import('./parents-main.ts'),
    import('../../rootless/trees.ts'),
  ]);
  const target = join(paths.layers, parents);
  for (const layer of stack) assertWhole(layer);
  const upper = stack.slice(1).map(({ tar }) => readTree(tar));
  const areNeeded = upper.some(impliesParents) && impliedParents([readTree(stack[0]!.tar), ...upper]) !== undefined;
  for (;;) {
    using lock = tryLock(join(target, '..', 'lock'));
    const made = lstatSync(target, { throwIfNoEntry: false });
    if (made) return made;
    if (lock) {
      if (!areNeeded) writeFileSync(target, '');
      else {
        const maker = await makerOfTrees(kept);
        const partial = await newPartial(join(target, '..'), PARENTS_PARTIAL, maker);
        for (const { tar } of stack) maker.letRead(tar);
        try {
          await runInternal(
            'implied-parents',
            [partial, ...stack.map(({ tar }) => tar)],
            { paths, maps: maker.maps, signal },
            () => renameSync(partial, target),
          );
        } catch (error) {
          await removeTree(partial).catch(() => {});
          throw error;
        }
      }
      return lstatSync(target);
    }
    await after(POLL_MS, { signal });
  }
}

/**
 * Runs a program that writes trees.
 * @param onDone told of each finished folder; what it throws ends the program, and is thrown
 */
async function runInternal(
  internal: 'unpack' | 'implied-parents',
  args: string[],
  { paths, maps, signal }: { paths: UnpackPaths; maps: IdMaps; signal: AbortSignal | undefined },
  onDone: (folder: string) => void,
): Promise<void> {
  const { runInUserNamespace } = await import('../../rootless/namespace.ts');
  const launched = runInUserNamespace({
    program: { internal, args },
    reach: { kept: [paths.layers] },
    stdout: 'pipe',
    maps,
  });
  const stop = () => launched.signal(9);
  signal?.addEventListener('abort', stop);
  let rest = '';
  let failure: { message: string; kind: ErrorKind; fix?: string } | undefined;
  let refused: { error: unknown } | undefined;
  launched.stdout!.setEncoding('utf8').on('data', (text: string) => {
    if (refused) return;
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    // An exception in a stream's listener would end this process, and with it a container's supervisor.
    try {
      for (const line of lines) {
        const message = JSON.parse(line) as { done?: string; error?: typeof failure };
        if (message.done !== undefined) onDone(message.done);
        failure ??= message.error;
      }
    } catch (error) {
      refused = { error };
      stop();
    }
  });
  try {
    await launched.started;
    const [{ code, signal: killed }] = await Promise.all([
      launched.exited,
      new Promise((resolve) => launched.stdout!.once('close', resolve)),
    ]);
    signal?.throwIfAborted();
    if (refused) throw refused.error;
    if (failure) throw new HuskError(failure.message, failure);
    if (code !== 0)
      throw new HuskError(
        `unpacking layers ended with ${killed === undefined ? `exit status ${code}` : `signal ${killed}`}`,
        { kind: 'internal' },
      );
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/**
 * Layers as folders, for the user-namespace isolation: makes the missing ones, once, however many husk processes want
 * them, and returns the short paths by which an overlay mount names them. A layer that is already there costs two
 * system calls.
 *
 * A tree is made as `layers/<hex>/tree-v1.partial-<random>` and renamed when it is whole. Its maker holds the lock
 * `layers/<hex>/lock`, which the kernel releases when the holder dies, so a killed unpack is simply done again. The
 * files are written by `unpack` (unpack-main.ts) inside the user namespace; this side never looks into an archive.
 */
import { type Stats, existsSync, lstatSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Fd } from '../../host/fd.ts';
import { after } from '../../long-timer.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';
import type { Layer } from '../store/contract.ts';
import { distinctLayers, PARENTS, stackKey } from './stack.ts';
import { emptyFolder, hexOf, keptSuffix, linkTo, shortLink, TREE, treeOf, type UnpackPaths } from './tree-links.ts';
import { makerOfTrees, newPartial, runInternal } from './tree-maker.ts';
import { assertWhole } from './whole.ts';

const PARENTS_PARTIAL = 'parents.partial-';

const POLL_MS = 20;
/** processes at once: unpacking waits mostly for the kernel's file system, where more processes would only queue */
const MAX_PROCESSES = 4;

export interface UnpackOptions {
  /** the ids of the caller that the container keeps; its trees have the owners of that map */
  kept?: KeptIds;
  /** called with the number of layers that this call has made, and the number of those that were missing */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * Makes the trees of layers that are missing.
 * @param layers bottom first, as `Image.layers`
 * @returns folders, topmost first, as overlay's `lowerdir=` wants them, at least one and none twice: short links below
 * `paths.layerLinks`, one for each layer and one more where folders inherit their attributes
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
 * Does what ensureUnpacked does, for an overlay without an upper layer, of which the kernel wants at least two folders.
 * @returns one folder only for an image without layers; that folder is the tree
 */
export async function ensureUnpackedView(
  layers: readonly Layer[],
  paths: UnpackPaths,
  options: UnpackOptions = {},
): Promise<string[]> {
  const folders = await ensureUnpacked(layers, paths, options);
  return layers.length > 0 && folders.length === 1 ? [...folders, emptyFolder(paths)] : folders;
}

export async function unpackMissing(
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

/**
 * Unpacks with several processes; the largest layers are distributed first, so that each process has about the same
 * number of bytes.
 */
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
    await runInternal('unpack', args, { reach: [paths.layers], maps: maker.maps, signal }, (partial) => {
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

/**
 * Makes the folders that a stack implies, or the mark that it needs none. The members of the upper layers are read
 * first; those of the lowest layer, mostly the largest, are read only where one of the others implies a folder.
 * @param parents path below `paths.layers`
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
            { reach: [paths.layers], maps: maker.maps, signal },
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

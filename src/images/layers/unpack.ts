/**
 * Layers as folders, for the user-namespace isolation: makes what is missing, once, however many husk processes want
 * it, and gives the short paths an overlay mount names them by. A layer that is already there costs two system calls.
 *
 * A tree is made as `layers/<hex>/tree-v1.partial-<random>` and renamed when whole; who makes it holds the lock
 * `layers/<hex>/lock`, which dies with its holder, so a killed unpack is simply done again. The files are written by
 * `unpack` (unpack-main.ts) inside the user namespace; this side never looks into an archive.
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
/**
 * Unpacking waits for the kernel's file system more than for anything else; more processes than this only queue there.
 */
const MAX_PROCESSES = 4;

export interface UnpackOptions {
  /** for containers that have the caller's id at this place */
  kept?: KeptIds;
  /** layers of this call made so far, of those that were missing */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

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

/**
 * Makes the folders that a stack implies, or the mark that it needs none. Looks at the upper layers' members first:
 * those of the lowest, mostly the largest, are read only where one of the others implies a folder.
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

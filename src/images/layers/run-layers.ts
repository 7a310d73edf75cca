/**
 * The layers of a build's steps: the folders that a step's root is mounted of, and the place of the layer that it made.
 * Knows nothing of what ran.
 */
import { lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fd } from '../../host/fd.ts';
import type { Layer } from '../store/contract.ts';
import { impliesParents } from './implied-parents.ts';
import { readTree } from './parents-main.ts';
import { distinctLayers, PARENTS, stackKey } from './stack.ts';
import { emptyFolder, hexOf, linkTo, shortLink, TREE, treeOf, type UnpackPaths } from './tree-links.ts';
import { ensureUnpacked } from './unpack.ts';

/** Layers that are known to describe each of their folders, by diffID; a digest says the same for ever. */
const whole = new Set<string>();

const describesParents = (layer: Layer): boolean => {
  if (!whole.has(layer.diffId) && !impliesParents(readTree(layer.tar))) whole.add(layer.diffId);
  return whole.has(layer.diffId);
};

/**
 * As ensureUnpacked, for a stack that grows by a layer at each step. The folders that a stack implies cost a look at
 * each of its layers; a layer that describes its folders itself, as those of a build do, is put above what was known of
 * the rest, and what is found out is written down for those who come later.
 */
export async function stackFolders(
  layers: readonly Layer[],
  paths: UnpackPaths,
  options: { signal?: AbortSignal } = {},
): Promise<string[]> {
  const stack = distinctLayers(layers);
  if (stack.length === 0) return [emptyFolder(paths)];
  // All that are missing are made at once, by several processes.
  await unpackEach(stack, paths, options);
  return folders(stack, paths, options);
}

async function unpackEach(stack: readonly Layer[], paths: UnpackPaths, options: { signal?: AbortSignal }) {
  const missing = stack.filter(({ diffId }) => !shortLink(hexOf(diffId), treeOf(hexOf(diffId)), paths));
  if (missing.length === 0) return;
  const { unpackMissing } = await import('./unpack.ts');
  await unpackMissing(
    missing.map(({ diffId }) => hexOf(diffId)),
    missing,
    paths,
    options,
  );
}

async function folders(
  stack: readonly Layer[],
  paths: UnpackPaths,
  options: { signal?: AbortSignal },
): Promise<string[]> {
  const top = stack.at(-1)!;
  if (stack.length === 1 || isKnown(stack, paths) || !describesParents(top))
    return ensureUnpacked(stack, paths, options);
  const hex = hexOf(top.diffId);
  const below = await folders(stack.slice(0, -1), paths, options);
  if (below.length === stack.length - 1) markKnown(stack, paths);
  return [linkTo(hex, treeOf(hex), paths), ...below];
}

const parentsOf = (stack: readonly Layer[], { layers }: UnpackPaths): string =>
  join(layers, hexOf(stack.at(-1)!.diffId), PARENTS + stackKey(stack).toString('hex'));

const isKnown = (stack: readonly Layer[], paths: UnpackPaths): boolean =>
  lstatSync(parentsOf(stack, paths), { throwIfNoEntry: false }) !== undefined;

/** Writes down that no folder is needed for what the stack implies. */
function markKnown(stack: readonly Layer[], paths: UnpackPaths): void {
  try {
    writeFileSync(parentsOf(stack, paths), '', { flag: 'wx' });
  } catch {
    // Another has written it, or the disk is full: whoever wants to know finds it out again.
  }
}

/**
 * Puts a new layer to its place, `layers/<hex>`, with its tree. One that is there already is left as it is.
 * @param made.folder has `layer.tar` and `tree-v1`, on the file system of `paths.layers`; it is gone afterwards.
 * The layer describes each folder on the way to what it has
 */
export async function keepLayer(
  { folder, diffId, size }: { folder: string; diffId: string; size: number },
  paths: UnpackPaths,
): Promise<Layer & { tree: string }> {
  const hex = hexOf(diffId);
  const target = join(paths.layers, hex);
  mkdirSync(paths.layers, { recursive: true, mode: 0o711 });
  try {
    renameSync(folder, target);
  } catch (error) {
    if (!lstatSync(target, { throwIfNoEntry: false })) throw error;
    await keepMissing(folder, target);
  }
  whole.add(diffId);
  linkTo(hex, treeOf(hex), paths);
  return { diffId, size, tar: join(target, 'layer.tar'), tree: join(target, TREE) };
}

/** Another has made the same layer: of ours only that stays which is not there. */
async function keepMissing(folder: string, target: string): Promise<void> {
  const [{ tryLock }, { after }, { removeTree }] = await Promise.all([
    import('../../host/files/flock.ts'),
    import('../../long-timer.ts'),
    import('../../rootless/trees.ts'),
  ]);
  const tree = join(target, TREE);
  for (;;) {
    using lock: Fd | undefined = tryLock(join(target, 'lock'));
    const isMissing = (path: string) => lstatSync(path, { throwIfNoEntry: false }) === undefined;
    if (lock) {
      if (isMissing(join(target, 'layer.tar'))) renameSync(join(folder, 'layer.tar'), join(target, 'layer.tar'));
      if (isMissing(tree)) renameSync(join(folder, TREE), tree);
      break;
    }
    // Whoever holds it unpacks the tar that is there.
    await after(POLL_MS);
  }
  await removeTree(folder);
  rmSync(folder, { recursive: true, force: true });
}

const POLL_MS = 20;

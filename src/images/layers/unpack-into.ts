/**
 * Unpacks one layer into a folder that is no layer's own: the files that a cache of a build begins with. The folder is
 * there whole or not at all.
 */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Layer } from '../store/contract.ts';
import { makerOfTrees, newPartial, runInternal } from './tree-maker.ts';
import { assertWhole } from './whole.ts';

export interface UnpackIntoOptions {
  /** where the new folder is made; it belongs to the root of the user namespace, and the caller holds its lock */
  folder: string;
  /** of the new folder; nothing of that name is there yet */
  name: string;
  /** folders of the host that hold the layer's tar and `folder` */
  reach: readonly string[];
  signal: AbortSignal;
}

/** @throws HuskError `corrupt` for a layer that cannot be unpacked, `unsupported` for owners without subordinate ids */
export async function unpackInto(layer: Layer, { folder, name, reach, signal }: UnpackIntoOptions): Promise<void> {
  assertWhole(layer);
  const maker = await makerOfTrees();
  const partial = await newPartial(folder, `${name}.partial-`, maker);
  maker.letRead(layer.tar);
  try {
    await runInternal('unpack', [layer.tar, partial], { reach, maps: maker.maps, signal }, () =>
      renameSync(partial, join(folder, name)),
    );
  } catch (error) {
    const { removeTree } = await import('../../rootless/trees.ts');
    await removeTree(partial).catch(() => {});
    throw error;
  }
}

/** An image of an archive once it has proved right, and what checks it. Pure. */
import { HuskError } from '../../errors.ts';
import type { ImageConfig, Platform } from '../store/contract.ts';
import { familiarReference, parseReference, shortId, type Reference } from '../store/reference.ts';
import type { LayerFile } from './contents.ts';

/** An image whose digests and diffIDs have all proved right, so that it can be recorded. */
export interface CheckedImage {
  config: Buffer;
  layers: LayerFile[];
  platform: Platform;
}

/** One image and its names; or those of several platforms, for which each name stands. */
export interface NamedImages {
  images: CheckedImage[];
  names: Reference[];
}

export interface LoadOptions {
  onLayer: (diffId: string) => void;
  platform: Platform | undefined;
}

export const corrupt = (message: string) => new HuskError(`invalid archive: ${message}`, { kind: 'corrupt' });

/** @returns a name of an image, which has a tag and no digest @throws HuskError */
export function tagOf(text: string): Reference {
  const reference = parseReference(text);
  if (reference.tag === undefined || reference.digest !== undefined)
    throw corrupt(`"${familiarReference(reference)}" is no name with a tag`);
  return reference;
}

/** @throws HuskError `corrupt` for layers that are not those of the config */
export function checkDiffIds({ rootfs: { diff_ids: diffIds } }: ImageConfig, layers: LayerFile[], id: string): void {
  if (diffIds.length !== layers.length)
    throw corrupt(
      `invalid manifest, layers length mismatch: expected ${diffIds.length}, got ${layers.length} (image ${shortId(id)})`,
    );
  for (const [index, { diffId }] of layers.entries())
    if (diffId !== diffIds[index])
      throw corrupt(`invalid diffID for layer ${index}: expected "${diffIds[index]}", got "${diffId}"`);
}

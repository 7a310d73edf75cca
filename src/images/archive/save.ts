/** `save`: images as a docker-archive with an OCI layout in it. */
import { HuskError } from '../../errors.ts';
import type { Image } from '../contract.ts';
import type { Reference } from '../reference.ts';
import type { ArchiveContext } from './context.ts';

/** one image and the names it is saved under; none when it was asked for by id */
export interface SavedImage {
  image: Image;
  /** with tags */
  names: Reference[];
}

export async function saveImages(_context: ArchiveContext, _images: SavedImage[], _output: NodeJS.WritableStream): Promise<void> {
  throw new HuskError('save is not here yet', { kind: 'unsupported' });
}

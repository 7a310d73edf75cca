/** `import`: a flat file system tar becomes a one-layer image. */
import { HuskError } from '../../errors.ts';
import type { Images } from '../contract.ts';
import type { ArchiveContext } from './context.ts';

/** @returns the new image's id */
export async function importImage(_context: ArchiveContext, _input: NodeJS.ReadableStream, _options: Parameters<Images['import']>[1]): Promise<string> {
  throw new HuskError('import is not here yet', { kind: 'unsupported' });
}

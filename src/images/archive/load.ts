/** `load`: a docker-archive or an OCI layout in a tar, plain or compressed. */
import { HuskError } from '../../errors.ts';
import type { Progress } from '../contract.ts';
import type { ArchiveContext } from './context.ts';

/** @returns familiar references, or ids of images without one */
export async function loadImages(_context: ArchiveContext, _input: NodeJS.ReadableStream, _options: { onProgress?: (progress: Progress) => void }): Promise<{ loaded: string[] }> {
  throw new HuskError('load is not here yet', { kind: 'unsupported' });
}

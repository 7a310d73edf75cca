/** What save, load and import need of the image room. This module has types only. */
import type { Paths } from '../../paths.ts';
import type { Blobs } from '../store/blobs.ts';
import type { ImageRecords } from '../store/records.ts';

export interface ArchiveContext {
  paths: Paths;
  blobs: Blobs;
  records: ImageRecords;
  /** the caller's environment, for its proxies */
  env: NodeJS.ProcessEnv;
  /** bytes that a layer may have, uncompressed */
  maxLayerSize: number;
  /**
   * Takes a claim for the time in which layers are written whose image is not recorded yet, so that a prune leaves
   * them.
   */
  claim(purpose: 'load' | 'import' | 'commit' | 'build'): Disposable;
  /** Removes those layers that no image has, unless another process may be about to use them. */
  discard(diffIds: string[]): Promise<void>;
}

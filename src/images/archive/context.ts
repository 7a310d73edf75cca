/** What save, load and import need of the image room. Types only. */
import type { Paths } from '../../paths.ts';
import type { Blobs } from '../store/blobs.ts';
import type { ImageRecords } from '../store/records.ts';

export interface ArchiveContext {
  paths: Paths;
  blobs: Blobs;
  records: ImageRecords;
  /** of whoever asked: proxies */
  env: NodeJS.ProcessEnv;
  /** bytes an uncompressed layer may have */
  maxLayerSize: number;
  /** held while layers are written whose image is not recorded yet: a prune leaves them alone */
  claim(purpose: 'load' | 'import' | 'commit'): Disposable;
  /** takes layers away that no image has, unless somebody else may be about to use them */
  discard(diffIds: string[]): Promise<void>;
}

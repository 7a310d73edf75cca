/** What a stage of a build gives to those that need it, and what the executor of its steps needs. Types only. */
import type { ImageConfig, Layer } from '../../images/store/contract.ts';
import type { Done } from './made-image.ts';

export interface StageResult {
  /** bottom first */
  layers: readonly Layer[];
  /** of what it began with, at the very bottom: an image, or `scratch` */
  base: Pick<ImageConfig, 'created' | 'history' | 'rootfs'>;
  /** steps since that base, those of parent stages first */
  done: readonly Done[];
  config: ImageConfig;
}

/** The steps that an image was made by, as its config tells them. Pure. */
import type { Image } from './contract.ts';

export interface HistoryStep {
  /** ms since the epoch; undefined where the config does not say */
  created?: number;
  createdBy: string;
  comment: string;
  /** bytes of the step's layer, uncompressed; 0 for a step without one */
  size: number;
}

/** @returns the newest step first; that alone is an image of its own */
export function imageHistory({ config, layers }: Pick<Image, 'config' | 'layers'>): HistoryStep[] {
  let layer = 0;
  const steps = (config.history ?? []).map((step): HistoryStep => {
    const created = Date.parse(step.created ?? '');
    return {
      ...(!Number.isNaN(created) && { created }),
      createdBy: step.created_by ?? '',
      comment: step.comment ?? '',
      size: step.empty_layer ? 0 : (layers[layer++]?.size ?? 0),
    };
  });
  return steps.reverse();
}

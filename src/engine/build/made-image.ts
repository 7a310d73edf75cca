/**
 * The config of the image that a stage gives: history and layers are added, and every time in it is one that the same
 * build gives again: a build that was wholly cached has the same id. Pure.
 */
import type { ImageConfig } from '../../images/store/contract.ts';
import { rfc3339 } from '../../state/time.ts';

/** What BuildKit writes as comment of its history entries. */
const COMMENT = 'buildkit.dockerfile.v0';
/** digest of a tar without members, two blocks of zeros */
const EMPTY_TAR = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef';

/** One step of a stage as it was done. */
export interface Done {
  createdBy: string;
  /** absent of what changes the config alone */
  layer?: { diffId: string; /** ms since the epoch */ made: number };
}

export interface MadeImageOptions {
  labels: Record<string, string>;
  /** seconds since 1970 that no own time is later than */
  epoch: number | undefined;
}

/**
 * @param base config of what the stage began with; of `scratch` one without layers
 * @param planned the config after the stage's last instruction
 */
export function madeConfig(
  base: Pick<ImageConfig, 'created' | 'history' | 'rootfs'>,
  planned: ImageConfig,
  done: readonly Done[],
  { labels, epoch }: MadeImageOptions,
): ImageConfig {
  const limit = epoch === undefined ? undefined : epoch * 1000;
  const timeOf = (ms: number): string => rfc3339(BigInt(Math.min(ms, limit ?? ms)) * 1_000_000n);
  /** the moment of the newest layer so far; without one that of the base */
  let newest: number | undefined;
  const history = done.map(({ createdBy, layer }) => {
    if (layer && layer.diffId !== EMPTY_TAR) newest = Math.max(newest ?? 0, layer.made);
    const created = newest === undefined ? base.created : timeOf(newest);
    return {
      ...(created !== undefined && { created }),
      created_by: createdBy,
      comment: COMMENT,
      ...(!layer && { empty_layer: true }),
    };
  });
  const created =
    newest === undefined ? (base.created ?? (limit === undefined ? undefined : timeOf(limit))) : timeOf(newest);
  const config = structuredClone(planned.config ?? {});
  if (Object.keys(labels).length > 0) config.Labels = { ...config.Labels, ...labels };
  return {
    architecture: planned.architecture,
    ...(planned.variant !== undefined && { variant: planned.variant }),
    ...(planned.author !== undefined && { author: planned.author }),
    config,
    ...(created !== undefined && { created }),
    history: [...(base.history ?? []), ...history],
    os: planned.os,
    rootfs: {
      type: 'layers',
      diff_ids: [...base.rootfs.diff_ids, ...done.flatMap(({ layer }) => (layer ? [layer.diffId] : []))],
    },
  };
}

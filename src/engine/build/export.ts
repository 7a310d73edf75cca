/** What a build gives: the image or its files go to the outputs, and the steps to the caches that were asked for. */
import type { DoneStep, ImageConfig } from '../../images/store/contract.ts';
import type { BuildOptions, BuildResult } from '../build-contract.ts';
import type { EngineContext } from '../record/context.ts';
import { exportCaches } from './caches.ts';
import type { Executor } from './executor.ts';
import { madeConfig } from './made-image.ts';
import type { StageResult } from './stage.ts';
import { writeOutputs, type Outcome } from './outputs.ts';

export interface ExportOptions extends Pick<Outcome, 'store' | 'steps'> {
  options: BuildOptions;
  /** of the target */
  result: StageResult;
  /** the steps that a mode of a cache writes */
  done: Executor['doneSteps'];
  epoch: number | undefined;
  note: (text: string) => void;
  signal: AbortSignal;
}

/** @throws HuskError of the first output or cache that cannot be written */
export async function exportResult(
  context: EngineContext,
  { options, result, done, epoch, store, steps, note, signal }: ExportOptions,
): Promise<Omit<BuildResult, 'warnings'>> {
  const { cacheTo = [], labels } = options;
  const config = madeConfig(result.base, result.config, result.done, { labels, epoch });
  const isInline = cacheTo.some(({ type }) => type === 'inline');
  const inline = isInline ? await inlineConfig(done('min'), config) : {};
  const made = await writeOutputs(context, {
    store,
    steps,
    options,
    layers: result.layers,
    config: { ...config, ...inline },
    signal,
  });
  await exportCaches(cacheTo, { store, steps, done, note, signal });
  return made;
}

/** @returns what the image's config has besides, so that the image is a cache of its own steps */
async function inlineConfig(done: readonly DoneStep[], { rootfs }: ImageConfig): Promise<object> {
  const { inlineCache } = await import('../../images/build-store/cache-manifest.ts');
  const steps = done.map(({ key, made, layer }) => ({ key, made, diffId: layer.diffId }));
  return inlineCache(steps, rootfs.diff_ids);
}

/**
 * Carries a plan out. Stages run side by side, each from its base upwards; a step first looks for its key in the cache,
 * and is made where that has no layer. The first failure ends all that runs.
 */
import { availableParallelism } from 'node:os';
import { HuskError, systemError } from '../../errors.ts';
import {
  BuildError,
  type BuildPlan,
  type CopyOperation,
  type Operation,
  type Origin,
  type PlannedStage,
  type RunOperation,
  type WorkdirOperation,
} from '../../images/build/operations.ts';
import type { BuildStore, DoneStep, Image, ImageConfig, Layer } from '../../images/store/contract.ts';
import { chainId, copyKey, runKey, type RunSettings } from '../../images/build-store/keys.ts';
import type { Paths } from '../../paths.ts';
import type { Bases } from './bases.ts';
import type { CacheImports } from './caches.ts';
import { BuildFailed, type FailurePlace } from './failure.ts';
import { lockKey } from './key-lock.ts';
import type { Done } from './made-image.ts';
import { stepName } from '../build-events.ts';
import { Slots } from './slots.ts';
import type { Sources } from './sources.ts';
import type { PlannedLayer } from '../../images/build/copy.ts';
import type { RunStep } from './run-step.ts';
import type { StageResult } from './stage.ts';
import type { Step, Steps } from './steps.ts';

/** steps that run at a time */
const MOST_AT_ONCE = 8;

export interface ExecutorOptions {
  plan: BuildPlan;
  /** of a build for several: that of the plan, which its steps are shown with */
  platform: string | undefined;
  /** of the Dockerfile, in messages */
  file: string;
  store: BuildStore;
  paths: Paths;
  bases: Bases;
  sources: Sources;
  runs: RunStep;
  imports: Pick<CacheImports, 'fetch'>;
  steps: Steps;
  settings: RunSettings;
  noCache: boolean | readonly string[];
  /** seconds since 1970 */
  epoch: number | undefined;
  /** aborts on a failure of any step, and by the caller */
  controller: AbortController;
  /** makes what a person must not see in a step's name unreadable */
  mask: (text: string) => string;
}

/** The layer of a step, with its key and when it was made. */
type Made = Layer & { made: number; key: string };

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #stages = new Map<number, Promise<StageResult>>();
  /** by stage, in the order of its operations */
  readonly #done = new Map<number, DoneStep[]>();
  readonly #slots = new Slots(Math.min(MOST_AT_ONCE, Math.max(2, availableParallelism())));

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /**
   * @returns what the target has become
   * @throws BuildFailed of the step that failed first; the signal's reason when the caller ended it
   */
  async run(): Promise<StageResult> {
    const { plan, controller, sources } = this.#options;
    for (const { operations } of plan.stages)
      for (const operation of operations) if (operation.kind === 'copy') sources.begin(operation);
    // A stage waits for those that it needs, which stand before it.
    for (const stage of plan.stages) this.#stages.set(stage.index, this.#start(stage));
    const outcomes = await Promise.allSettled(this.#stages.values());
    if (controller.signal.aborted) throw controller.signal.reason;
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    return await this.stage(plan.target);
  }

  /**
   * @param mode `min`: the steps of the target, those of the stages below it first; `max`: those of every stage
   * @returns each key once
   */
  doneSteps(mode: 'min' | 'max'): DoneStep[] {
    const { plan } = this.#options;
    let stages = plan.stages;
    if (mode === 'min') {
      stages = [];
      for (let index: number | undefined = plan.target; index !== undefined;) {
        const stage = plan.stages.find((each) => each.index === index)!;
        stages = [stage, ...stages];
        index = stage.base.kind === 'stage' ? stage.base.stage : undefined;
      }
    }
    const steps = stages.flatMap(({ index }) => this.#done.get(index) ?? []);
    return [...new Map(steps.map((step) => [step.key, step])).values()];
  }

  /** @returns the result of a stage that the plan has */
  stage(index: number): Promise<StageResult> {
    const found = this.#stages.get(index);
    if (!found) throw new Error(`the plan has no stage ${index}`);
    return found;
  }

  #start(stage: PlannedStage): Promise<StageResult> {
    // Later stages must be known before the first step of this one asks for them.
    const running = Promise.resolve().then(() => this.#stage(stage));
    running.catch((error: unknown) => this.#options.controller.abort(error));
    return running;
  }

  async #stage(stage: PlannedStage): Promise<StageResult> {
    const { plan, platform } = this.#options;
    const hasImage = stage.base.kind === 'image';
    const shown = stage.operations.filter(({ kind }) => kind !== 'config').length;
    const of = shown + (hasImage ? 1 : 0);
    const nameOf = (number: number, text: string): string =>
      this.#options.mask(
        stepName(
          { name: stage.name, index: stage.index, alone: plan.lines.length > 0 && this.#isAlone() },
          { number, of, text },
        ).replace(/^\[/, platform === undefined ? '[' : `[${platform} `),
      );
    const result = await this.#base(stage, () => nameOf(1, stage.text));
    const done: Done[] = [...result.done];
    let layers: readonly Layer[] = result.layers;
    let number = hasImage ? 1 : 0;
    for (const operation of stage.operations) {
      this.#options.controller.signal.throwIfAborted();
      if (operation.kind === 'config') {
        done.push({ createdBy: operation.createdBy });
        continue;
      }
      const { key, ...layer } = await this.#step(stage, operation, layers, nameOf(++number, operation.text));
      const steps = this.#done.get(stage.index) ?? [];
      this.#done.set(stage.index, [...steps, { key, made: layer.made, layer }]);
      done.push({ createdBy: operation.createdBy, layer });
      layers = [...layers, layer];
    }
    return { layers, base: result.base, done, config: stage.config };
  }

  #isAlone(): boolean {
    return this.#options.plan.stages.length === 1 && this.#options.plan.target === 0;
  }

  async #base({ base, range }: PlannedStage, name: () => string): Promise<StageResult> {
    if (base.kind === 'stage') return await this.stage(base.stage);
    if (base.kind === 'scratch')
      return {
        layers: [],
        base: { rootfs: { type: 'layers', diff_ids: [] } },
        done: [],
        config: { architecture: '', os: '', rootfs: { type: 'layers', diff_ids: [] } },
      };
    const { bases, steps } = this.#options;
    let image: Image;
    try {
      image = await bases.get(base.reference, base.platform);
    } catch (error) {
      throw this.#failed(error, range);
    }
    steps.start(name(), range.start).end('cached');
    const config: ImageConfig = image.config;
    return { layers: image.layers, base: config, done: [], config };
  }

  /** One step: out of the cache, or made. */
  async #step(
    stage: PlannedStage,
    operation: Exclude<Operation, { kind: 'config' }>,
    layers: readonly Layer[],
    name: string,
  ): Promise<Made> {
    const { steps, controller } = this.#options;
    let step: Step | undefined;
    const begin = (): Step => (step ??= steps.start(name, operation.range.start));
    try {
      // What a step needs of other stages comes first: it has no number before it has its turn.
      const work = await this.#prepare(operation, layers, { begin, isFresh: this.#isUncached(stage) });
      return await this.#cached(stage, work, { name, begin });
    } catch (error) {
      if (controller.signal.aborted) {
        step?.end('canceled');
        throw controller.signal.reason;
      }
      const failed = this.#failed(error, operation.range, begin().number);
      begin().end('error', failed.message);
      throw failed;
    }
  }

  /** @returns the key of a step, and what makes its layer */
  async #prepare(
    operation: Exclude<Operation, { kind: 'config' }>,
    layers: readonly Layer[],
    running: Running,
  ): Promise<Work> {
    switch (operation.kind) {
      case 'run':
        return await this.#prepareRun(operation, layers, running);
      case 'copy':
        return await this.#prepareCopy(operation, layers);
      case 'workdir':
        return this.#prepareWorkdir(operation, layers);
    }
  }

  async #prepareCopy(operation: CopyOperation, layers: readonly Layer[]): Promise<Work> {
    const { sources, store, epoch, controller } = this.#options;
    const source = await sources.open(operation.origin, (origin) => this.#layersOf(origin));
    const { key, write } = await sources.copy(operation, layers, source);
    return {
      key: copyKey(chain(layers), key, epoch),
      make: () => store.ingest(write(), { signal: controller.signal }),
    };
  }

  #prepareWorkdir(operation: WorkdirOperation, layers: readonly Layer[]): Work {
    const { sources, store, epoch, controller } = this.#options;
    const { key, write } = sources.workdir(operation, layers);
    return {
      key: copyKey(chain(layers), key, epoch),
      make: () => store.ingest(write(), { signal: controller.signal }),
    };
  }

  async #prepareRun(written: RunOperation, layers: readonly Layer[], { begin, isFresh }: Running): Promise<Work> {
    const { runs, settings, epoch, controller } = this.#options;
    const operation = runs.settled(written);
    const mounts = await runs.mounts(operation, (origin) => this.#layersOf(origin), {
      cached: (planned) => this.#layerOf(planned),
    });
    return {
      key: runKey(chain(layers), operation, settings, { inputs: mounts.inputs, epoch }),
      make: async () => {
        const { signal } = controller;
        const onWait = (): void => begin().message('waits for a cache that is in use');
        using open = await mounts.open({ signal, onWait, isFresh });
        return await runs.run(operation, { layers, mounts: open.mounts, hidden: mounts.hidden, step: begin(), signal });
      },
    };
  }

  /** A layer of files that a mount shows, kept as any step's is. */
  async #layerOf(planned: PlannedLayer): Promise<Layer> {
    const { store, paths, controller, epoch } = this.#options;
    const key = copyKey('', planned.key, epoch);
    const found = store.find(key);
    if (found) return found;
    using _lock = await lockKey(paths, key, { signal: controller.signal });
    const meanwhile = store.find(key);
    if (meanwhile) return meanwhile;
    const layer = await store.ingest(planned.write(), { signal: controller.signal });
    store.keep({ key, diffId: layer.diffId, size: layer.size, step: 'files of a mount', made: Date.now() });
    return layer;
  }

  async #cached(stage: PlannedStage, work: Work, { name, begin }: { name: string; begin: () => Step }): Promise<Made> {
    const { store, paths, controller, imports } = this.#options;
    const { signal } = controller;
    const isFresh = this.#isUncached(stage);
    const hit = isFresh ? undefined : store.find(work.key);
    if (hit) {
      begin().end('cached');
      return { ...hit, key: work.key };
    }
    const began = Date.now();
    using _lock = await lockKey(paths, work.key, { signal, onWait: () => begin().message('waits for another build') });
    // Whoever had the lock may have made it. A build without the cache takes what was made since it began.
    const meanwhile = store.find(work.key);
    if (meanwhile && (!isFresh || meanwhile.made >= began)) {
      begin().end('cached');
      return { ...meanwhile, key: work.key };
    }
    const elsewhere = isFresh ? undefined : await imports.fetch(work.key, begin, name);
    if (elsewhere) {
      begin().end('cached');
      return { ...elsewhere, key: work.key };
    }
    using _slot = await this.#slots.take(signal);
    const step = begin();
    const layer = await work.make();
    const made = Date.now();
    store.keep({ key: work.key, diffId: layer.diffId, size: layer.size, step: name, made });
    step.end('done');
    return { ...layer, made, key: work.key };
  }

  #isUncached({ name, index }: PlannedStage): boolean {
    const { noCache } = this.#options;
    return typeof noCache === 'boolean'
      ? noCache
      : noCache.some((each) => each.toLowerCase() === name || each === String(index));
  }

  /** @returns the layers of a stage or an image that is copied from */
  async #layersOf(origin: Exclude<Origin, { kind: 'context' }>): Promise<readonly Layer[]> {
    if (origin.kind === 'stage') return (await this.stage(origin.stage)).layers;
    return (await this.#options.bases.get(origin.reference, origin.platform)).layers;
  }

  #failed(cause: unknown, range: FailurePlace['range'], step?: number): BuildFailed {
    if (cause instanceof BuildFailed) return cause;
    const error = ofTheHost(cause);
    if (!(error instanceof HuskError)) throw error;
    const place = {
      file: this.#options.file,
      lines: this.#options.plan.lines,
      range: (error instanceof BuildError ? error.range : undefined) ?? range,
    };
    return new BuildFailed(error.message, {
      kind: error.kind,
      cause: error,
      place,
      ...(error.fix !== undefined && { fix: error.fix }),
      ...(step !== undefined && { step }),
    });
  }
}

/** @returns a system call that failed, a full disk above all, as an error of the step; any other error as it is */
function ofTheHost(error: unknown): unknown {
  const known = error instanceof HuskError ? undefined : systemError(error);
  if (known === undefined) return error;
  return new HuskError(`cannot make the step: ${known.text}`, { kind: 'limit', cause: error });
}

/** How a step is run, if it is. */
interface Running {
  begin: () => Step;
  /** whether the cache is not asked */
  isFresh: boolean;
}

interface Work {
  key: string;
  make(): Promise<Layer>;
}

const chain = (layers: readonly Layer[]): string => chainId(layers.map(({ diffId }) => diffId));

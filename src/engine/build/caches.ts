/**
 * Build caches that are elsewhere: those of `--cache-from` are asked for a step that the store does not have, those of
 * `--cache-to` are written when all is done. A source that is missing, or lies, costs a warning and the step is made.
 */
import { HuskError } from '../../errors.ts';
import type { BuildStore, CacheChoice, DoneStep, Layer, RemoteCache } from '../../images/store/contract.ts';
import type { CacheTarget } from '../build-contract.ts';
import type { Step, Steps } from './steps.ts';

export interface CacheImportsOptions {
  store: Pick<BuildStore, 'openCache' | 'keep'>;
  sources: readonly CacheChoice[];
  steps: Steps;
  note: (text: string) => void;
  signal: AbortSignal;
}

interface Opened {
  name: string;
  cache: RemoteCache;
}

const nameOf = (choice: CacheChoice): string => (choice.type === 'registry' ? choice.reference : choice.folder);

export class CacheImports implements AsyncDisposable {
  readonly #options: CacheImportsOptions;
  /** in the order in which they are asked; read side by side with all else */
  readonly #sources: Promise<Opened | undefined>[];
  /** those that have failed in a way in which they would fail again */
  readonly #silent = new Set<Opened>();

  readonly #closing = new AbortController();

  constructor(options: CacheImportsOptions) {
    this.#options = { ...options, signal: AbortSignal.any([options.signal, this.#closing.signal]) };
    this.#sources = options.sources.map((choice) => this.#open(choice));
    // Whoever asks for a step hears of a failure; none may ask.
    for (const source of this.#sources) source.catch(() => {});
  }

  async #open(choice: CacheChoice): Promise<Opened | undefined> {
    const { store, steps, signal } = this.#options;
    const name = nameOf(choice);
    const step = steps.start(`importing cache manifest from ${name}`);
    try {
      const cache = await store.openCache(choice, signal);
      step.message(`${cache.size} steps`);
      step.end('done');
      return { name, cache };
    } catch (error) {
      if (signal.reason === this.#closing.signal.reason && signal.aborted) {
        // The build has found all it wanted here: nothing was stopped that anybody would miss.
        step.message('not needed');
        step.end('done');
        return undefined;
      }
      if (signal.aborted) step.end('canceled');
      this.#failed(name, error, step);
      return undefined;
    }
  }

  /** @throws what is no failure of the cache's */
  #failed(name: string, error: unknown, step: Step): void {
    const { signal, note } = this.#options;
    if (signal.aborted) throw signal.reason;
    const reason = error instanceof HuskError ? error.message : String(error);
    step.end('error', reason);
    if (!(error instanceof HuskError)) throw error;
    note(`the cache ${name} is not used: ${reason}`);
  }

  /**
   * Fetches the layer of a key, and records it.
   * @param step is told how far it is @param text of the step
   * @returns undefined where no cache has it
   */
  async fetch(key: string, step: () => Step, text: string): Promise<(Layer & { made: number }) | undefined> {
    const { store, note, signal } = this.#options;
    for (const source of this.#sources) {
      const opened = await source;
      if (!opened || this.#silent.has(opened)) continue;
      try {
        const found = await opened.cache.fetch(key, {
          onBytes: (current, total) => step().transfer(key.slice(0, 12), 'Downloading', current, total),
          signal,
        });
        if (!found) continue;
        const { diffId, size, made } = found;
        store.keep({ key, diffId, size, step: text, made, used: Date.now() });
        return found;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!(error instanceof HuskError)) throw error;
        // A registry that does not answer would be waited for at each step.
        if (error.kind === 'unavailable' || error.kind === 'unauthorized') this.#silent.add(opened);
        note(`${text}: what the cache ${opened.name} has is not used: ${error.message}`);
      }
    }
    return undefined;
  }

  /** A build that found all it wanted here does not wait for a registry. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new HuskError('the build is done', { kind: 'conflict' }));
    for (const source of this.#sources) (await source.catch(() => undefined))?.cache[Symbol.dispose]();
  }
}

/**
 * Writes the caches that were asked for, but those that go into the image.
 * @param done the steps that a mode writes
 * @throws HuskError, unless the target says that errors are to be told only
 */
export async function exportCaches(
  targets: readonly CacheTarget[],
  {
    store,
    steps,
    done,
    note,
    signal,
  }: {
    store: Pick<BuildStore, 'writeCache'>;
    steps: Steps;
    done: (mode: 'min' | 'max') => readonly DoneStep[];
    note: (text: string) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  for (const target of targets) {
    if (target.type === 'inline') continue;
    const { mode, compression, ignoreError } = target;
    const name = nameOf(target);
    const step = steps.start(`exporting cache to ${name}`);
    try {
      await store.writeCache(target, done(mode), { compression, signal, onMessage: (text) => step.message(text) });
      step.end('done');
    } catch (error) {
      if (signal.aborted) {
        step.end('canceled');
        throw signal.reason;
      }
      const reason = error instanceof Error ? error.message : String(error);
      step.end('error', reason);
      if (!(error instanceof HuskError)) throw error;
      // The image is there: what failed is told by its name.
      const told = `the cache ${name} was not written: ${reason}`;
      if (!ignoreError)
        throw new HuskError(told, {
          kind: error.kind,
          cause: error,
          ...(error.fix !== undefined && { fix: error.fix }),
        });
      note(told);
    }
  }
}

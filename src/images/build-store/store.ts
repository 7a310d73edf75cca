/**
 * What a build needs of the image room: the rows of its cache, layers made of tars, and the image at the end. Until the
 * image is recorded, a claim keeps the layers of the build against a prune.
 */
import type { Config } from '../../config.ts';
import type { Paths } from '../../paths.ts';
import { transaction } from '../../state/database.ts';
import { imageManifest } from '../archive/manifest-of.ts';
import { diskTrouble } from '../layers/disk-trouble.ts';
import { ingestLayer } from '../layers/ingest.ts';
import { sha256 } from '../store/blobs.ts';
import type { BuildStore, CacheChoice, DoneStep, Image, Layer, LayoutChoice, RemoteCache } from '../store/contract.ts';
import { appendTagEvents } from '../store/image-event.ts';
import { readImageConfig } from '../store/manifest.ts';
import { layerTar, type ImageRecords } from '../store/records.ts';
import { nameKey, parseReference, withDefaultTag } from '../store/reference.ts';
import type { CachePlace } from './cache-place.ts';
import { CacheRows } from './rows.ts';

interface BuildStoreOptions {
  records: ImageRecords;
  paths: Paths;
  maxLayerSize: number;
  config: Config;
  env: NodeJS.ProcessEnv;
  /** how many layers are written to a cache elsewhere, or read out of a layout, at once */
  concurrency: number;
  claim(): Disposable;
}

export class LocalBuildStore implements BuildStore {
  readonly #rows: CacheRows;
  readonly #options: BuildStoreOptions;
  readonly #claim: Disposable;

  constructor(options: BuildStoreOptions) {
    this.#options = options;
    this.#rows = new CacheRows(options.records);
    this.#claim = options.claim();
  }

  get unpack(): BuildStore['unpack'] {
    return { tmp: this.#options.paths.tmp, maxSize: this.#options.maxLayerSize };
  }

  #layer({ diffId, size }: { diffId: string; size: number }): Layer {
    return { diffId, size, tar: layerTar(this.#options.paths, diffId) };
  }

  find(key: string): (Layer & { made: number }) | undefined {
    const found = this.#rows.find(key);
    return found && { ...this.#layer(found), made: found.made };
  }

  keep(row: Parameters<BuildStore['keep']>[0]): void {
    this.#rows.add(row);
  }

  async ingest(
    source: AsyncIterable<Uint8Array>,
    options: { signal?: AbortSignal; programs?: boolean } = {},
  ): Promise<Layer> {
    const { records, paths, maxLayerSize } = this.#options;
    const layer = await ingestLayer({
      source,
      diffId: undefined,
      tmp: paths.tmp,
      layersDir: paths.layers,
      maxSize: maxLayerSize,
      ...options,
    }).catch((error: unknown) => {
      throw diskTrouble(error);
    });
    records.recordLayer(layer);
    return this.#layer(layer);
  }

  async readLayout(choice: LayoutChoice, options: Parameters<BuildStore['readLayout']>[1]): Promise<Image> {
    const { readLayout } = await import('../archive/layout.ts');
    return readLayout(choice, this.#options, options).catch((error: unknown) => {
      throw diskTrouble(error);
    });
  }

  async #place(choice: CacheChoice, { push, signal }: { push: boolean; signal: AbortSignal }): Promise<CachePlace> {
    if (choice.type === 'local') {
      const { CacheFolder } = await import('./cache-folder.ts');
      return new CacheFolder(choice.folder, { ...choice, signal });
    }
    const { config, env } = this.#options;
    const { registryPlace } = await import('./cache-registry.ts');
    return registryPlace(choice.reference, { config, env, push, signal });
  }

  async openCache(choice: CacheChoice, signal: AbortSignal): Promise<RemoteCache> {
    const { readSteps, fetchLayer } = await import('./cache-transfer.ts');
    using opening = new DisposableStack();
    const place = opening.use(await this.#place(choice, { push: false, signal }));
    const steps = new Map((await readSteps(place, signal)).map((step) => [step.key, step]));
    const held = opening.move();
    return {
      size: steps.size,
      fetch: async (key, options) => {
        const step = steps.get(key);
        if (!step) return undefined;
        return { ...this.#layer(await fetchLayer(place, step, this.#options, options)), made: step.made };
      },
      [Symbol.dispose]: () => held.dispose(),
    };
  }

  async writeCache(
    choice: CacheChoice,
    steps: readonly DoneStep[],
    options: Parameters<BuildStore['writeCache']>[2],
  ): Promise<void> {
    const { writeSteps } = await import('./cache-transfer.ts');
    using place = await this.#place(choice, { push: true, signal: options.signal });
    const rows = steps.map((step) => ({ ...step, diffId: step.layer.diffId }));
    await writeSteps(place, rows, this.#options, options);
  }

  setIndex(names: readonly string[], images: Parameters<BuildStore['setIndex']>[1]): void {
    const { records } = this.#options;
    transaction(records.database, () => {
      for (const name of names) records.setIndex(nameKey(withDefaultTag(parseReference(name))), images);
    });
  }

  addImage(
    config: Uint8Array,
    layers: readonly Layer[],
    { names, annotations = {} }: { names: readonly string[]; annotations?: Record<string, string> },
  ): { id: string; manifest: string } {
    const made = imageManifest(config, [...layers]);
    const manifest =
      Object.keys(annotations).length === 0
        ? made.bytes
        : Buffer.from(
            JSON.stringify({ ...(JSON.parse(made.bytes.toString()) as object), annotations: { ...annotations } }),
          );
    const { records } = this.#options;
    const keys = names.map((name) => nameKey(withDefaultTag(parseReference(name))));
    const labels = readImageConfig(Buffer.from(config).toString('utf8')).config?.Labels;
    const id = records.add({
      config,
      manifest,
      layers: made.layers,
      names: keys,
      within: (image) => appendTagEvents(records.database, keys, { id: image, labels }),
    });
    return { id, manifest: sha256(manifest) };
  }

  [Symbol.dispose](): void {
    this.#claim[Symbol.dispose]();
  }
}

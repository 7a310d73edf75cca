/**
 * The image room's front door: `Images` over the content store, the database and the registries. `ImageStore` decides
 * and delegates; it never parses bytes of images itself.
 */
import { statfsSync } from 'node:fs';
import type { PushContext, PushRequest } from './push.ts';
import type { DatabaseSync } from 'node:sqlite';
import type { Config } from '../config.ts';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { transaction } from '../state/database.ts';
import { appendEvent } from '../state/events.ts';
import { VERSION } from '../version.ts';
import type { ArchiveContext } from './archive/context.ts';
import type { SavedImage } from './archive/saved.ts';
import { Blobs } from './store/blobs.ts';
import { Claims } from './store/claims.ts';
import type {
  BuildStore,
  CachePruneOptions,
  CacheRow,
  Credentials,
  DistributedImage,
  Image,
  Images,
  ManifestLists,
  Platform,
  PullOptions,
  Pushed,
  PushOptions,
  SearchAnswer,
} from './store/contract.ts';
import { appendImageEvent, appendTagEvents } from './store/image-event.ts';
import { isDangling } from './store/image-filters.ts';
import { sweepHalfMade } from './store/half-made.ts';
import type { Pulled } from './pull.ts';
import { serves } from './store/platform.ts';
import { ImageNames, noSuchImage } from './store/image-names.ts';
import { ImageRecords } from './store/records.ts';
import type { Reference } from './store/reference.ts';
import { familiarName, familiarReference, nameKey, parseReference, withDefaultTag } from './store/reference.ts';
import type { RemovalContext } from './removal.ts';
import { deleteRows, discardLayers, removeImage, restoreRemoved, sweepRemoved, sweepUnreferenced } from './removal.ts';

/** Docker's --max-concurrent-downloads */
const DEFAULT_CONCURRENCY = 3;
/** bytes that an uncompressed layer may have when the configuration sets no limit: 64 GiB */
const DEFAULT_MAX_LAYER_SIZE = 64 * 2 ** 30;

export interface ImageStoreOptions {
  paths: Paths;
  /** The database; the caller opens and closes it. */
  database: DatabaseSync;
  config: Config;
  env?: NodeJS.ProcessEnv;
}

/**
 * Deletes a layer's folder, whose unpacked trees have files of subordinate ids. The module is loaded when it is needed,
 * because it loads koffi.
 */
const removeTree = async (path: string): Promise<void> => (await import('../rootless/trees.ts')).removeTree(path);

export class ImageStore implements Images {
  readonly blobs: Blobs;
  readonly records: ImageRecords;
  /** The deletion that continues after `remove` and `prune` have returned; it never rejects. */
  swept: Promise<void> = Promise.resolve();
  #options: ImageStoreOptions;
  readonly #names: ImageNames;
  #claims: Claims;
  #removal: RemovalContext;
  readonly #compressed: PushContext['compressed'] = new Map();

  constructor(options: ImageStoreOptions) {
    const { paths, database } = options;
    this.#options = options;
    this.blobs = new Blobs(paths);
    this.records = new ImageRecords({ database, paths, blobs: this.blobs });
    this.#names = new ImageNames(this.records);
    this.#claims = new Claims(database);
    this.#removal = {
      records: this.records,
      blobs: this.blobs,
      paths,
      removeTree,
      isClaimed: () => this.#claims.any(),
    };
  }

  // — looking up —

  get(reference: string): Image {
    const image = this.find(reference);
    if (!image) throw noSuchImage(reference);
    return image;
  }

  find(reference: string, platform?: Platform): Image | undefined {
    const found = this.#names.lookUp(reference);
    if (!found) return undefined;
    // A removal that crashed half-way may have set this image's layers aside.
    restoreRemoved(this.#removal);
    const own = this.records.load(found.id);
    if (!platform || !found.name || (own && serves(own.config, platform))) return own;
    const others = this.records.indexOf(found.name).filter((each) => serves(each.platform, platform));
    return others.flatMap(({ id }) => this.records.load(id) ?? [])[0] ?? own;
  }

  list(): Image[] {
    restoreRemoved(this.#removal);
    return this.records.ids().flatMap((id) => this.records.load(id) ?? []);
  }

  platforms(id: string): { id: string; platform: Platform }[] {
    return this.records.indexOfImage(id);
  }

  // — registries —

  async pull(text: string, options: PullOptions = {}): Promise<{ image: Image; digest: string; upToDate: boolean }> {
    const typed = parseReference(text);
    if (options.allTags) return this.#pullAllTags(typed, options);
    return this.#pullOne(withDefaultTag(typed), options);
  }

  async #pullAllTags(
    typed: Reference,
    options: PullOptions,
  ): Promise<{ image: Image; digest: string; upToDate: boolean }> {
    if (typed.tag !== undefined || typed.digest !== undefined)
      throw new HuskError("tag can't be used with --all-tags/-a", { kind: 'invalid' });
    const { Repository } = await import('./registry/client.ts');
    const { endpoints } = await import('./registry/endpoints.ts');
    const { NotAnImage } = await import('./store/manifest.ts');
    using transport = await this.#transport();
    const endpoint = endpoints(typed.domain, this.#options.config).at(-1)!;
    const tags = await new Repository({
      transport,
      endpoint,
      path: typed.path,
      env: this.#options.env,
      credentials: options.credentials,
      signal: options.signal,
    }).tags();
    let last: { image: Image; digest: string; upToDate: boolean } | undefined;
    for (const tag of tags) {
      // Tags from a registry's list are parsed like tags that a user types: they may be malformed.
      const reference = parseReference(`${typed.domain}/${typed.path}:${tag}`);
      try {
        last = await this.#pullOne(reference, options);
      } catch (error) {
        // A cache of builds, a chart or a signature has its tags beside those of images.
        if (!(error instanceof NotAnImage)) throw error;
        options.onProgress?.({ status: `Skipped: ${familiarReference(reference)}: ${error.message}` });
      }
    }
    if (last) return last;
    const [what, why] = tags.length === 0 ? ['tags', ''] : ['images', `: none of its ${tags.length} tags is one`];
    throw new HuskError(`no ${what} found for ${familiarName(typed)}${why}`, { kind: 'not-found' });
  }

  async #pullOne(
    reference: Reference,
    { platform, isNamed, onProgress = () => {}, signal, credentials }: PullOptions,
  ): Promise<{ image: Image; digest: string; upToDate: boolean }> {
    const { config, paths, env = process.env } = this.#options;
    // Modules that only a pull needs are loaded by a pull.
    const [{ pull }, { endpoints }] = await Promise.all([import('./pull.ts'), import('./registry/endpoints.ts')]);
    using transport = await this.#transport();
    restoreRemoved(this.#removal);
    sweepHalfMade(paths);
    const pulled: Pulled = await pull(
      {
        paths,
        blobs: this.blobs,
        records: this.records,
        claims: this.#claims,
        transport,
        endpoints: endpoints(reference.domain, config),
        concurrency: config['max-concurrent-downloads'] ?? DEFAULT_CONCURRENCY,
        maxLayerSize: config['max-layer-size'] ?? DEFAULT_MAX_LAYER_SIZE,
        env,
      },
      { reference, platform, isNamed, onProgress, signal, credentials },
    );
    onProgress({ status: `Digest: ${pulled.digest}` });
    onProgress({
      status: `Status: ${pulled.upToDate ? 'Image is up to date' : 'Downloaded newer image'} for ${familiarReference(reference)}`,
    });
    const image = this.get(pulled.id);
    this.#event('pull', familiarReference(reference), familiarName(reference), image);
    return { image, digest: pulled.digest, upToDate: pulled.upToDate };
  }

  /** Records an event with Docker's attributes: the name, and the image's labels. */
  #event(action: string, id: string, name: string, image?: Image): void {
    appendImageEvent(this.records.database, action, { id, name, labels: image?.config.config?.Labels });
  }

  async push(text: string, { platform, ...options }: PushOptions = {}): Promise<Pushed> {
    return await this.#push(text, options, async (context, request) =>
      (await import('./push.ts')).push(context, { ...request, ...(platform && { platform }) }),
    );
  }

  async pushIndex(
    text: string,
    ids: readonly string[],
    options: Omit<PushOptions, 'platform'> = {},
  ): Promise<{ digest: string; size: number }> {
    return await this.#push(text, options, async (context, request) =>
      (await import('./push.ts')).pushIndex(context, ids, request),
    );
  }

  async #push<T>(
    text: string,
    { onProgress = () => {}, signal, credentials }: Omit<PushOptions, 'platform'>,
    send: (context: PushContext, request: PushRequest) => Promise<T>,
  ): Promise<T> {
    const { config, paths, env = process.env } = this.#options;
    const reference = withDefaultTag(parseReference(text));
    const { endpoints } = await import('./registry/endpoints.ts');
    using transport = await this.#transport();
    // A push never goes to a mirror.
    const endpoint = endpoints(reference.domain, { ...config, 'registry-mirrors': [] })[0]!;
    const concurrency = config['max-concurrent-downloads'] ?? DEFAULT_CONCURRENCY;
    const { records, blobs } = this;
    const compressed = this.#compressed;
    const pushed = await send(
      { paths, blobs, records, transport, endpoint, concurrency, env, compressed },
      { reference, onProgress, signal, credentials },
    );
    this.#event('push', familiarReference(reference), familiarName(reference), this.find(text));
    return pushed;
  }

  async search(text: string, options: Parameters<Images['search']>[1]): Promise<SearchAnswer> {
    const { config, env = process.env } = this.#options;
    const { searchRegistry } = await import('./registry/search.ts');
    using transport = await this.#transport();
    return await searchRegistry({ transport, text, config, env, ...options });
  }

  async distribution(text: string, options: Parameters<Images['distribution']>[1] = {}): Promise<DistributedImage> {
    const { config, env = process.env } = this.#options;
    const { fetchDistributed } = await import('./manifests/remote.ts');
    using transport = await this.#transport();
    return await fetchDistributed(withDefaultTag(parseReference(text)), { transport, config, env, ...options });
  }

  async checkCredentials(
    server: string,
    credentials: Credentials,
    options: Parameters<Images['checkCredentials']>[2] = {},
  ): Promise<void> {
    const { config, env = process.env } = this.#options;
    const [{ checkCredentials }, { registryHost }] = await Promise.all([
      import('./registry/login.ts'),
      import('./registry/registry-host.ts'),
    ]);
    await checkCredentials(registryHost(server), credentials, { config, env, ...options });
  }

  async manifestLists(): Promise<ManifestLists> {
    const { config, paths, env = process.env } = this.#options;
    const [{ MadeLists }, { LocalLists }] = await Promise.all([
      import('./manifests/lists.ts'),
      import('./manifests/local.ts'),
    ]);
    return new MadeLists(new LocalLists(this.records.database, paths), async (call) => {
      using transport = await this.#transport();
      return await call({ transport, config, env });
    });
  }

  async #transport() {
    const { Transport } = await import('./registry/transport.ts');
    return new Transport({ userAgent: `husk/${VERSION}`, env: this.#options.env ?? process.env });
  }

  // — names and removal —

  tag(source: string, target: string): void {
    const found = this.#names.lookUp(source);
    if (!found) throw noSuchImage(source);
    const reference = parseReference(target);
    if (reference.digest !== undefined)
      throw new HuskError('refusing to create a tag with a digest reference', { kind: 'invalid' });
    const key = nameKey(withDefaultTag(reference));
    const labels = this.records.load(found.id)?.config.config?.Labels;
    const images = found.name === undefined ? [] : this.records.indexOf(found.name);
    this.records.setNames([key], found.id, () => {
      this.records.setIndex(key, images);
      appendTagEvents(this.records.database, [key], { id: found.id, labels });
    });
  }

  remove(text: string, options: Parameters<Images['remove']>[1]): { untagged: string[]; deleted: string[] } {
    const found = this.#names.lookUp(text);
    if (!found) throw noSuchImage(text);
    const image = this.records.load(found.id);
    // Stale container states are repaired now, because that cannot be done within the transaction.
    options.inUse(found.id);
    const { others, ...removed } = removeImage(this.#removal, {
      text,
      name: found.name,
      imageId: found.id,
      force: options.force ?? false,
      users: (id) => options.inUse(id),
      within: ({ untagged, deleted }) => {
        for (const _name of untagged) this.#event('untag', found.id, found.id, image);
        if (deleted.length > 0) this.#event('delete', found.id, found.id, image);
      },
    });
    for (const id of [found.id, ...others]) this.records.keepNames(id);
    this.swept = sweepRemoved(this.#removal);
    return removed;
  }

  prune(options: Parameters<Images['prune']>[0]): { deleted: string[]; untagged: string[]; reclaimed: number } {
    const result = { deleted: [] as string[], untagged: [] as string[], reclaimed: 0 };
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    for (const image of this.list()) {
      if (!isDangling(image) && !options.all) continue;
      if (options.filters && !options.filters(image)) continue;
      // A container that uses an image keeps its name, and so what that stands for besides.
      const holders = [image.id, ...this.records.indexedBy(image.id).map(({ own }) => own)];
      if (holders.some((id) => options.inUse(id))) continue;
      // The transaction's body may run again after room has been made on a full disk, so it leaves its findings in its
      // result alone.
      const gone = transaction(this.records.database, () => {
        if (holders.some((id) => options.inUse(id))) return undefined;
        for (const _name of [...image.repoTags, ...image.repoDigests]) this.#event('untag', image.id, image.id, image);
        this.#event('delete', image.id, image.id, image);
        return deleteRows(this.#removal, image.id);
      });
      if (!gone) continue;
      result.untagged.push(...image.repoTags, ...image.repoDigests);
      result.deleted.push(...gone.deleted);
      result.reclaimed += gone.reclaimed;
      for (const blob of gone.blobs) this.blobs.remove(blob);
      if (gone.blobs.length > 0) this.records.keepNames(image.id);
    }
    // A pull that is under way has layers that no image refers to yet.
    if (!this.#claims.any()) result.reclaimed += sweepUnreferenced(this.#removal);
    appendEvent(this.records.database, {
      Type: 'image',
      Action: 'prune',
      Actor: { ID: '', Attributes: { reclaimed: String(result.reclaimed) } },
    });
    this.swept = sweepRemoved(this.#removal);
    return result;
  }

  // — archives: src/images/archive —

  async save(
    references: string[],
    output: NodeJS.WritableStream,
    { platform }: { platform?: Platform } = {},
  ): Promise<void> {
    const { chooseSaved } = await import('./archive/saved.ts');
    const [names, records] = [this.#names, this.records];
    const find = (text: string, wanted?: Platform): Image => this.find(text, wanted) ?? this.get(text);
    await this.#save(chooseSaved(references, { names, records }, { platform, find }), output);
  }

  async saveIndex(images: readonly { id: string; platform: Platform }[], output: NodeJS.WritableStream): Promise<void> {
    const { ofIndex } = await import('./archive/saved.ts');
    const found = images.map(({ id, platform }) => ({ image: this.get(id), platform }));
    await this.#save([ofIndex(found) ?? { image: found[0]!.image, names: [] }], output);
  }

  async #save(saved: readonly SavedImage[], output: NodeJS.WritableStream): Promise<void> {
    const { saveImages } = await import('./archive/save.ts');
    await saveImages(this.#archive(), saved, output);
    for (const { image } of saved) this.#event('save', image.id, image.id, image);
  }

  async load(input: NodeJS.ReadableStream, options: Parameters<Images['load']>[1] = {}): Promise<{ loaded: string[] }> {
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    const { loadImages } = await import('./archive/load.ts');
    const { loaded } = await loadImages(this.#archive(), input, options);
    const images = new Map(loaded.flatMap((name) => this.find(name) ?? []).map((image) => [image.id, image]));
    for (const [id, image] of images) this.#event('load', id, id, image);
    return { loaded };
  }

  async commit(layer: NodeJS.ReadableStream, options: Parameters<Images['commit']>[1]): Promise<Image> {
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    const { commitImage } = await import('./archive/commit.ts');
    return this.get(await commitImage(this.#archive(), this.get(options.base), layer, options));
  }

  async import(input: NodeJS.ReadableStream | URL, options: Parameters<Images['import']>[1]): Promise<Image> {
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    const { importImage } = await import('./archive/import.ts');
    return this.get(await importImage(this.#archive(), input, options));
  }

  // — builds: src/images/build-store —

  async building(): Promise<BuildStore> {
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    const { LocalBuildStore } = await import('./build-store/store.ts');
    const { paths, claim, maxLayerSize, records, env } = this.#archive();
    const { config } = this.#options;
    const concurrency = config['max-concurrent-downloads'] ?? DEFAULT_CONCURRENCY;
    return new LocalBuildStore({
      records,
      paths,
      maxLayerSize,
      config,
      env,
      concurrency,
      claim: () => claim('build'),
    });
  }

  async buildCache(): Promise<CacheRow[]> {
    const { CacheRows } = await import('./build-store/rows.ts');
    return new CacheRows(this.records).list();
  }

  async pruneBuildCache(options: CachePruneOptions): Promise<CacheRow[]> {
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    const [{ CacheRows }, { bytesToKeep }] = await Promise.all([
      import('./build-store/rows.ts'),
      import('./build-store/limits.ts'),
    ]);
    const rows = new CacheRows(this.records);
    const { limits = {}, ...which } = options;
    const used = rows.used();
    const keep = bytesToKeep(used, this.#disk(), limits);
    // Most builds end so: the rows are not looked at.
    if (keep > 0 && used <= keep) return [];
    const gone = rows.prune({ ...which, keep });
    await this.#archive().discard(gone.map(({ diffId }) => diffId));
    return gone;
  }

  async collectBuildCache(): ReturnType<Images['collectBuildCache']> {
    const { cacheRules, isLimited } = await import('./build-store/limits.ts');
    const rows: CacheRow[] = [];
    const ages: number[] = [];
    for (const { limits, unusedFor, all } of cacheRules(this.#options.config, this.#disk())) {
      // Layers that another is about to use could not be removed, and would be left without their rows.
      if (this.#claims.any()) break;
      const usedBefore = Date.now() - unusedFor;
      if (unusedFor > 0 && !isLimited(limits)) ages.push(usedBefore);
      rows.push(...(await this.pruneBuildCache({ usedBefore, limits, filter: ({ shared }) => all || !shared })));
    }
    return { rows, mountsUsedBefore: ages.length === 0 ? undefined : Math.max(...ages) };
  }

  /** @returns bytes of the file system with the data root, and those that this user may still fill */
  #disk(): { total: number; free: number } {
    const { bsize, blocks, bavail } = statfsSync(this.#options.paths.dataRoot);
    return { total: blocks * bsize, free: bavail * bsize };
  }

  #archive(): ArchiveContext {
    const { paths, config, env = process.env } = this.#options;
    return {
      env,
      paths,
      blobs: this.blobs,
      records: this.records,
      maxLayerSize: config['max-layer-size'] ?? DEFAULT_MAX_LAYER_SIZE,
      claim: (purpose) => this.#claims.hold(purpose),
      discard: async (diffIds) => {
        if (this.#claims.any() || !discardLayers(this.#removal, diffIds)) return;
        await (this.swept = sweepRemoved(this.#removal));
      },
    };
  }
}

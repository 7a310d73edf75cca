/**
 * The image room's front door: `Images` over the content store, the database and the registries. Decides and delegates;
 * never parses bytes of images itself.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Config } from '../config.ts';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { transaction } from '../state/database.ts';
import { appendEvent } from '../state/events.ts';
import { VERSION } from '../version.ts';
import type { ArchiveContext } from './archive/context.ts';
import { Blobs } from './store/blobs.ts';
import { Claims } from './store/claims.ts';
import type { Image, Images, Progress, PullOptions } from './store/contract.ts';
import { sweepHalfMade } from './store/half-made.ts';
import type { Pulled } from './pull.ts';
import { ImageRecords } from './store/records.ts';
import type { Reference } from './store/reference.ts';
import {
  familiarName,
  familiarReference,
  fullName,
  idPrefix,
  isDigest,
  nameKey,
  parseReference,
  withDefaultTag,
} from './store/reference.ts';
import type { RemovalContext } from './removal.ts';
import { deleteRows, discardLayers, removeImage, restoreRemoved, sweepRemoved, sweepUnreferenced } from './removal.ts';

/** Docker's --max-concurrent-downloads */
const DEFAULT_CONCURRENCY = 3;
/** bytes an uncompressed layer may have when the config says nothing: 64 GiB */
const DEFAULT_MAX_LAYER_SIZE = 64 * 2 ** 30;

export interface ImageStoreOptions {
  paths: Paths;
  /** opened by whoever made it, and closed there */
  database: DatabaseSync;
  config: Config;
  env?: NodeJS.ProcessEnv;
}

/** Layer folders hold unpacked trees with files of subordinate ids. Loaded when needed: it brings koffi along. */
const removeTree = async (path: string): Promise<void> => (await import('../rootless/trees.ts')).removeTree(path);

export class ImageStore implements Images {
  readonly blobs: Blobs;
  readonly records: ImageRecords;
  /** the deleting that goes on after `remove` and `prune` have returned; never rejects */
  swept: Promise<void> = Promise.resolve();
  #options: ImageStoreOptions;
  #claims: Claims;
  #removal: RemovalContext;

  constructor(options: ImageStoreOptions) {
    const { paths, database } = options;
    this.#options = options;
    this.blobs = new Blobs(paths);
    this.records = new ImageRecords({ database, paths, blobs: this.blobs });
    this.#claims = new Claims(database);
    this.#removal = { records: this.records, blobs: this.blobs, paths, removeTree };
  }

  // — looking up —

  get(reference: string): Image {
    const image = this.find(reference);
    if (!image) throw noSuchImage(reference);
    return image;
  }

  find(reference: string): Image | undefined {
    const found = this.#resolve(reference);
    if (!found) return undefined;
    // a removal that crashed half-way may have this image's layers
    restoreRemoved(this.#removal);
    return this.records.load(found.id);
  }

  list(): Image[] {
    restoreRemoved(this.#removal);
    return this.records.ids().flatMap((id) => this.records.load(id) ?? []);
  }

  /**
   * Docker's order: a full id, then a name, then the beginning of an id.
   * @returns the key of image_names when it was found by name
   */
  #resolve(text: string): { id: string; name?: string } | undefined {
    const hex = idPrefix(text);
    if (hex?.length === 64) {
      const ids = this.records.idsByPrefix(hex);
      return ids[0] === undefined ? undefined : { id: ids[0] };
    }
    const reference = parseOrUndefined(text);
    if (reference) {
      const name = nameKey(reference);
      const id = this.records.idOfName(name);
      if (id !== undefined) return { id, name };
    }
    const ids = hex === undefined ? [] : this.records.idsByPrefix(hex);
    return ids.length === 1 ? { id: ids[0]! } : undefined;
  }

  /**
   * As `#resolve`, but a bare repository stands for all that it has, as in Docker's `save`.
   * @throws HuskError `not-found`
   */
  #resolveAll(text: string): { id: string; name?: string }[] {
    const reference = parseOrUndefined(text);
    if (reference && reference.tag === undefined && reference.digest === undefined) {
      const named = this.records.namesOfRepository(fullName(reference));
      if (named.length > 0) return named;
    }
    const found = this.#resolve(text);
    if (!found) throw noSuchImage(text);
    return [found];
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
    using transport = await this.#transport();
    const endpoint = endpoints(typed.domain, this.#options.config).at(-1)!;
    const tags = await new Repository({
      transport,
      endpoint,
      path: typed.path,
      env: this.#options.env,
      signal: options.signal,
    }).tags();
    let last: { image: Image; digest: string; upToDate: boolean } | undefined;
    for (const tag of tags) {
      // a registry's list is no better than what a person types
      const reference = parseReference(`${typed.domain}/${typed.path}:${tag}`);
      last = await this.#pullOne(reference, options);
    }
    if (!last) throw new HuskError(`no tags found for ${familiarName(typed)}`, { kind: 'not-found' });
    return last;
  }

  async #pullOne(
    reference: Reference,
    { platform, onProgress = () => {}, signal }: PullOptions,
  ): Promise<{ image: Image; digest: string; upToDate: boolean }> {
    const { config, paths, env = process.env } = this.#options;
    // what a pull needs is loaded by a pull only
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
      { reference, platform, onProgress, signal },
    );
    onProgress({ status: `Digest: ${pulled.digest}` });
    onProgress({
      status: `Status: ${pulled.upToDate ? 'Image is up to date' : 'Downloaded newer image'} for ${familiarReference(reference)}`,
    });
    const image = this.get(pulled.id);
    this.#event('pull', familiarReference(reference), familiarName(reference), image);
    return { image, digest: pulled.digest, upToDate: pulled.upToDate };
  }

  /** Docker's attributes: the name, and the image's labels. */
  #event(action: string, id: string, name: string, image?: Image): void {
    appendEvent(this.records.database, {
      Type: 'image',
      Action: action,
      Actor: { ID: id, Attributes: { ...image?.config.config?.Labels, name } },
    });
  }

  async push(
    text: string,
    { onProgress = () => {}, signal }: { onProgress?: (progress: Progress) => void; signal?: AbortSignal } = {},
  ): Promise<{ digest: string; size: number }> {
    const { config, paths, env = process.env } = this.#options;
    const reference = withDefaultTag(parseReference(text));
    const [{ push }, { endpoints }] = await Promise.all([import('./push.ts'), import('./registry/endpoints.ts')]);
    using transport = await this.#transport();
    // never to a mirror
    const endpoint = endpoints(reference.domain, { ...config, 'registry-mirrors': [] })[0]!;
    const concurrency = config['max-concurrent-downloads'] ?? DEFAULT_CONCURRENCY;
    const pushed = await push(
      { paths, blobs: this.blobs, records: this.records, transport, endpoint, concurrency, env },
      { reference, onProgress, signal },
    );
    this.#event('push', familiarReference(reference), familiarName(reference), this.find(text));
    return pushed;
  }

  async #transport() {
    const { Transport } = await import('./registry/transport.ts');
    return new Transport({ userAgent: `husk/${VERSION}`, env: this.#options.env ?? process.env });
  }

  // — names and removal —

  tag(source: string, target: string): void {
    const found = this.#resolve(source);
    if (!found) throw noSuchImage(source);
    const reference = parseReference(target);
    if (reference.digest !== undefined)
      throw new HuskError('refusing to create a tag with a digest reference', { kind: 'invalid' });
    this.records.setNames([nameKey(reference)], found.id);
    this.#event('tag', found.id, familiarReference(withDefaultTag(reference)), this.records.load(found.id));
  }

  remove(text: string, options: Parameters<Images['remove']>[1]): { untagged: string[]; deleted: string[] } {
    const found = this.#resolve(text);
    if (!found) throw noSuchImage(text);
    const image = this.records.load(found.id);
    // what is stale is mended now, which cannot be done within the transaction
    options.inUse(found.id);
    const removed = removeImage(this.#removal, {
      text,
      name: found.name,
      imageId: found.id,
      force: options.force ?? false,
      users: () => options.inUse(found.id),
    });
    this.records.keepNames(found.id);
    for (const _name of removed.untagged) this.#event('untag', found.id, found.id, image);
    if (removed.deleted.length > 0) this.#event('delete', found.id, found.id, image);
    this.swept = sweepRemoved(this.#removal);
    return removed;
  }

  prune(options: Parameters<Images['prune']>[0]): { deleted: string[]; untagged: string[]; reclaimed: number } {
    const result = { deleted: [] as string[], untagged: [] as string[], reclaimed: 0 };
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    for (const image of this.list()) {
      if (image.repoTags.length > 0 && !options.all) continue;
      if (options.filters && !options.filters(image)) continue;
      if (options.inUse(image.id)) continue;
      // The body may run again after room has been made on a full disk, so all that it finds is its result.
      const gone = transaction(this.records.database, () => {
        if (options.inUse(image.id)) return undefined;
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
    // a pull under way has layers that no image refers to yet
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

  async save(references: string[], output: NodeJS.WritableStream): Promise<void> {
    const { saveImages } = await import('./archive/save.ts');
    const chosen = new Map<string, { image: Image; names: Reference[] }>();
    for (const text of references) {
      for (const found of this.#resolveAll(text)) {
        const entry = chosen.get(found.id) ?? { image: this.get(found.id), names: [] };
        const name = found.name === undefined ? undefined : parseReference(found.name);
        if (
          name?.tag !== undefined &&
          !entry.names.some(({ tag, ...rest }) => tag === name.tag && fullName(rest) === fullName(name))
        )
          entry.names.push(name);
        chosen.set(found.id, entry);
      }
    }
    await saveImages(this.#archive(), [...chosen.values()], output);
    for (const { image } of chosen.values()) this.#event('save', image.id, image.id, image);
  }

  async load(input: NodeJS.ReadableStream, options: Parameters<Images['load']>[1] = {}): Promise<{ loaded: string[] }> {
    restoreRemoved(this.#removal);
    sweepHalfMade(this.#options.paths);
    const { loadImages } = await import('./archive/load.ts');
    const { loaded } = await loadImages(this.#archive(), input, options);
    for (const name of loaded) {
      const image = this.find(name);
      if (image) this.#event('load', image.id, name, image);
    }
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
    const image = this.get(await importImage(this.#archive(), input, options));
    this.#event('import', image.id, image.repoTags[0] ?? image.id, image);
    return image;
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

function parseOrUndefined(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

function noSuchImage(text: string): HuskError {
  const reference = isDigest(text) ? undefined : parseOrUndefined(text);
  return new HuskError(`No such image: ${reference ? familiarReference(withDefaultTag(reference)) : text}`, {
    kind: 'not-found',
  });
}

/**
 * The contents of an archive of images, read while it streams by: small JSON files stay in memory, everything else is
 * ingested as a layer (so no archive is ever written out whole), and links are followed afterwards. Which layer belongs
 * to which image is not known yet, so a file that is no layer is an error only when an image names it.
 *
 * Every bound on archives is here; an archive's names never become paths of this host.
 */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { HuskError } from '../../errors.ts';
import { ingestLayer } from '../layers/ingest.ts';
import { decompress, sniff } from '../layers/decompress.ts';
import { MAX_MANIFEST } from '../store/manifest.ts';
import { display, fromText } from '../../tar/byte-string.ts';
import { BLOCK, type TarEntry } from '../../tar/entry.ts';
import type { ArchiveContext } from './context.ts';
import { Members } from './members.ts';

/** limit of files, folders and links: a docker-archive has a handful for each layer */
const MAX_MEMBERS = 1 << 16;
/** limit of bytes of all JSON files together, which stay in memory */
const MAX_JSON = 64 << 20;
/** limit of files that are ingested as layers; each costs an fsync */
const MAX_LAYERS = 4096;
/** limit of links that lead to links: old `docker save` makes one step */
const MAX_LINKS = 8;
/** offset in bytes at which a tar header says "ustar" */
const TAR_MAGIC = 257;

/** a file of the archive that became a layer */
export interface LayerFile {
  kind: 'layer';
  diffId: string;
  /** bytes of the uncompressed tar */
  size: number;
  /**
   * digest and size of the bytes as they are in the archive; undefined when they were not read because the store has
   * the layer
   */
  blob: { digest: string; size: number } | undefined;
}

export type ArchiveFile =
  | { kind: 'json'; bytes: Buffer }
  | LayerFile
  | { kind: 'link'; target: string }
  /** a file that cannot be a layer; its error is thrown when an image names it as one */
  | { kind: 'other'; error: HuskError };

export interface ReadOptions {
  /** Called with the diffID of each layer that was made, before the layer is recorded. */
  onLayer: (diffId: string) => void;
  onProgress: (path: string, current: number, total: number) => void;
}

const corrupt = (message: string) => new HuskError(`invalid archive: ${message}`, { kind: 'corrupt' });
const limit = (message: string) => new HuskError(`the archive has ${message}`, { kind: 'limit' });

export class ArchiveContents {
  readonly #context: ArchiveContext;
  readonly #files = new Map<string, ArchiveFile>();
  #jsonBytes = 0;
  #layers = 0;

  private constructor(context: ArchiveContext) {
    this.#context = context;
  }

  /** Reads an archive to its end. @throws HuskError `corrupt`, `limit`; whatever the source throws */
  static async read(
    context: ArchiveContext,
    input: AsyncIterable<Uint8Array>,
    options: ReadOptions,
  ): Promise<ArchiveContents> {
    const contents = new ArchiveContents(context);
    const members = new Members(decompress(input, { programs: true }));
    try {
      let count = 0;
      for (let entry = await members.next(); entry; entry = await members.next()) {
        if (++count > MAX_MEMBERS) throw limit(`more than ${MAX_MEMBERS} members`);
        await contents.#take(entry, members, options);
      }
      await members.drain();
    } finally {
      await members.close();
    }
    return contents;
  }

  has(path: string): boolean {
    return this.#files.has(fromText(path));
  }

  /**
   * @returns a JSON file's bytes
   * @throws HuskError `corrupt` when there is none of this path
   */
  json(path: string): Buffer {
    const file = this.#find(path);
    if (file.kind === 'other') throw file.error;
    if (file.kind !== 'json') throw corrupt(`${JSON.stringify(path)} is no JSON file`);
    return file.bytes;
  }

  /**
   * @returns the layer of this path
   * @throws HuskError `corrupt` when there is none, or it is no layer
   */
  async layer(path: string, options: Pick<ReadOptions, 'onLayer'>): Promise<LayerFile> {
    const file = this.#find(path);
    if (file.kind === 'layer') return file;
    if (file.kind === 'other') throw file.error;
    if (file.kind === 'link') throw corrupt(`${JSON.stringify(path)} leads nowhere`);
    // A v7 tar whose first name begins with a brace looks like JSON, so it was kept as such; it is ingested now.
    return this.#ingest(one(file.bytes), options);
  }

  #find(path: string): ArchiveFile {
    let name = fromText(path);
    for (let steps = 0; ; steps++) {
      const file = this.#files.get(name);
      if (!file) throw corrupt(`${JSON.stringify(path.slice(0, 200))} is missing`);
      if (file.kind !== 'link') return file;
      if (steps === MAX_LINKS) throw corrupt(`${JSON.stringify(path.slice(0, 200))} is a link to a link to a link`);
      name = file.target;
    }
  }

  async #take(entry: TarEntry, members: Members, options: ReadOptions): Promise<void> {
    const { path, type } = entry;
    if (type === 'directory') return;
    // Readers would disagree about which of the two counts.
    if (this.#files.has(path)) throw corrupt(`"${display(path)}" is there twice`);
    if (type === 'symlink' || type === 'hardlink') this.#files.set(path, link(entry));
    else if (type !== 'file' || entry.sparse) this.#files.set(path, other(entry, 'is no ordinary file'));
    else this.#files.set(path, await this.#file(entry, members, options));
  }

  async #file(entry: TarEntry, members: Members, options: ReadOptions): Promise<ArchiveFile> {
    const known = this.#knownLayer(entry.path);
    if (known) return known;
    const source = members.contents();
    const start = await take(source, BLOCK);
    if (isJson(start)) {
      if (entry.size <= MAX_MANIFEST) return { kind: 'json', bytes: await this.#keep(entry, start, source) };
      return other(entry, `is larger than ${MAX_MANIFEST} bytes`);
    }
    if (sniff(start) === 'none' && start.length < BLOCK) return other(entry, 'is no layer');
    let current = 0;
    let archiveError: unknown;
    const counted = async function* () {
      try {
        for await (const chunk of joined(start, source)) {
          options.onProgress(entry.path, (current += chunk.length), entry.size);
          yield chunk;
        }
      } catch (error) {
        archiveError = error;
        throw error;
      }
    };
    try {
      return await this.#ingest(counted(), options);
    } catch (error) {
      // A file that is no layer may be anything. A layer of too many bytes, a full disk or a broken archive ends the
      // whole load.
      if (!(error instanceof HuskError) || error.kind !== 'corrupt' || archiveError !== undefined) throw error;
      return { kind: 'other', error };
    }
  }

  /**
   * Finds a layer by a name that is its digest. When the store has an uncompressed layer of this diffID, which was
   * verified when it was stored, the archive's bytes under that name are not needed.
   */
  #knownLayer(path: string): LayerFile | undefined {
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path)?.[1];
    const diffId = `sha256:${hex}`;
    const size = hex === undefined ? undefined : this.#context.records.presentLayer(diffId);
    return size === undefined ? undefined : { kind: 'layer', diffId, size, blob: undefined };
  }

  async #keep(entry: TarEntry, start: Buffer, source: AsyncIterable<Buffer>): Promise<Buffer> {
    this.#jsonBytes += entry.size;
    if (this.#jsonBytes > MAX_JSON) throw limit(`more than ${MAX_JSON} bytes of JSON`);
    const pieces: Buffer[] = [];
    for await (const piece of joined(start, source)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  async #ingest(source: AsyncIterable<Buffer>, { onLayer }: Pick<ReadOptions, 'onLayer'>): Promise<LayerFile> {
    const { paths, records, maxLayerSize } = this.#context;
    const hash = createHash('sha256');
    let size = 0;
    const hashed = async function* () {
      for await (const chunk of source) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    };
    const layer = await ingestLayer({
      source: hashed(),
      diffId: undefined,
      tmp: paths.tmp,
      layersDir: paths.layers,
      maxSize: maxLayerSize,
    });
    if (++this.#layers > MAX_LAYERS) throw limit(`more than ${MAX_LAYERS} layers`);
    onLayer(layer.diffId);
    records.recordLayer(layer);
    return { kind: 'layer', ...layer, blob: { digest: `sha256:${hash.digest('hex')}`, size } };
  }
}

const other = ({ path }: TarEntry, what: string): ArchiveFile => ({
  kind: 'other',
  error: corrupt(`"${display(path)}" ${what}`),
});

/**
 * Resolves a link: old `docker save` links a layer that images share, `../<id>/layer.tar`. A link out of the archive
 * leads to no file of it.
 */
function link(entry: TarEntry): ArchiveFile {
  const { path, linkname, type } = entry;
  if (type === 'hardlink') return { kind: 'link', target: linkname };
  const target = posix.normalize(posix.join(posix.dirname(path), linkname));
  if (linkname.startsWith('/') || target === '..' || target.startsWith('../'))
    return other(entry, 'is a link out of the archive');
  return { kind: 'link', target };
}

/** Reads at least this many bytes, unless the source has fewer. */
async function take(source: AsyncGenerator<Buffer>, length: number): Promise<Buffer> {
  let start: Buffer = Buffer.alloc(0);
  while (start.length < length) {
    const { done, value } = await source.next();
    if (done) break;
    start = start.length === 0 ? value : Buffer.concat([start, value]);
  }
  return start;
}

function isJson(start: Buffer): boolean {
  if (start.toString('latin1', TAR_MAGIC, TAR_MAGIC + 5) === 'ustar') return false;
  return /^\s*[[{]/.test(start.toString('latin1', 0, 64));
}

async function* joined(start: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  if (start.length > 0) yield start;
  yield* rest;
}

// oxlint-disable-next-line require-await
async function* one(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}

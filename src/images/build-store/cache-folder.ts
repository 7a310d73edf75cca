/**
 * A build cache in a folder of the caller's: an OCI image layout, in which a tag names the cache. Blobs that are there
 * already stay, so a folder may have several caches. Whoever else writes to the folder is not believed
 * (layout-folder.ts).
 *
 * Source: OCI image-spec 1.1 image-layout.md
 */
import { constants } from 'node:fs';
import { copyFile, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { causeOf, HuskError } from '../../errors.ts';
import { lockWhenFree } from '../../host/files/flock.ts';
import { writeWholeFile } from '../../whole-file.ts';
import { LayoutFolder, pathOf } from '../archive/layout-folder.ts';
import { sha256 } from '../store/blobs.ts';
import {
  descriptor as readDescriptor,
  isObject,
  MAX_INDEX_ENTRIES,
  OCI_INDEX,
  OCI_MANIFEST,
  parseObject,
  type Descriptor,
  type Json,
} from '../store/manifest.ts';
import { platformEntry } from './cache-manifest.ts';
import type { CachePlace } from './cache-place.ts';

const NAME = 'org.opencontainers.image.ref.name';
const LAYOUT = { imageLayoutVersion: '1.0.0' };
const DEFAULT_TAG = 'latest';
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

export interface CacheFolderOptions {
  /** @default latest */
  tag?: string;
  /** of the manifest, instead of what the tag names */
  digest?: string;
  signal: AbortSignal;
}

export class CacheFolder extends LayoutFolder implements CachePlace {
  readonly #options: CacheFolderOptions;

  constructor(folder: string, options: CacheFolderOptions) {
    super(folder);
    this.#options = options;
  }

  #blob = ({ digest }: Pick<Descriptor, 'digest'>): string => join(this.name, pathOf(digest));

  async manifest(): Promise<Buffer> {
    const { tag = DEFAULT_TAG, digest } = this.#options;
    const entries = (await this.#index()).filter((entry) =>
      digest === undefined ? nameOf(entry) === tag : entry['digest'] === digest,
    );
    const found = entries.at(-1);
    if (!found) throw new HuskError(`there is no cache ${digest ?? tag} in ${this.name}`, { kind: 'not-found' });
    const bytes = await this.small(readDescriptor(found, `an entry of ${this.name}/index.json`));
    const entry = platformEntry(bytes, this.name);
    return entry === undefined ? bytes : await this.small(entry);
  }

  /** @returns the entries of index.json, each an object; none where there is no such file */
  async #index(): Promise<Json[]> {
    const path = join(this.name, 'index.json');
    const bytes = await this.index();
    if (!bytes) return [];
    const { manifests } = parseObject(bytes, path);
    if (!Array.isArray(manifests) || manifests.length > MAX_INDEX_ENTRIES || !manifests.every(isObject))
      throw new HuskError(`${path} is no index of an OCI layout`, { kind: 'corrupt' });
    return manifests;
  }

  /** A blob that is damaged counts as missing, and is written again. */
  async has(descriptor: Descriptor): Promise<boolean> {
    try {
      for await (const _ of this.blob(descriptor));
      return true;
    } catch (error) {
      if (error instanceof HuskError) return false;
      throw error;
    }
  }

  async put(descriptor: Descriptor, from: { bytes: Uint8Array } | { file: string }): Promise<void> {
    await this.#makeFolders();
    const path = this.#blob(descriptor);
    const half = `${path}.${process.pid}`;
    await writing(path, async () => {
      if ('bytes' in from) return writeWholeFile(path, from.bytes, { mode: FILE_MODE });
      try {
        await rm(half, { force: true });
        await copyFile(from.file, half, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
        await openToAll(half);
        await rename(half, path);
      } catch (error) {
        await rm(half, { force: true });
        throw error;
      }
    });
  }

  async #makeFolders(): Promise<void> {
    await writing(this.name, async () => {
      await mkdir(this.name, { recursive: true, mode: FOLDER_MODE });
      for (const name of ['blobs', 'blobs/sha256']) {
        const path = join(this.name, name);
        await mkdir(path, { mode: FOLDER_MODE }).catch(() => {});
        if (!(await lstat(path)).isDirectory())
          throw new HuskError(`cannot write a cache to ${this.name}: ${path} is no folder`, { kind: 'invalid' });
      }
    });
  }

  async putManifest(bytes: Uint8Array): Promise<void> {
    const { tag = DEFAULT_TAG } = this.#options;
    const own = { mediaType: OCI_MANIFEST, digest: sha256(bytes), size: bytes.length, annotations: { [NAME]: tag } };
    await this.put(own, { bytes });
    // Of two builds that write to the folder neither loses what the other names.
    using _lock = await lockWhenFree(join(this.name, 'index.json.lock'), {
      isForeign: true,
      signal: this.#options.signal,
    });
    const others = (await this.#index()).filter((entry) => nameOf(entry) !== tag);
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...others, own] };
    await writing(this.name, async () => {
      for (const [name, value] of [
        ['oci-layout', LAYOUT],
        ['index.json', index],
      ] as const)
        writeWholeFile(join(this.name, name), JSON.stringify(value), { mode: FILE_MODE });
    });
  }

  [Symbol.dispose](): void {}
}

const nameOf = ({ annotations }: Json): unknown => (isObject(annotations) ? annotations[NAME] : undefined);

/**
 * Gives a file that was just made the mode of a cache's. By a descriptor, and only where it is this user's alone:
 * whoever else may write to the folder can put a link to a private file in its place.
 */
async function openToAll(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.nlink !== 1)
      throw new HuskError(`cannot write ${path}: another file was put in its place`, { kind: 'conflict' });
    await file.chmod(FILE_MODE);
  } finally {
    await file.close();
  }
}

async function writing(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw new HuskError(`cannot write ${path}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
}

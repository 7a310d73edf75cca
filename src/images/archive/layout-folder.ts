/**
 * Reads an OCI image layout that lies in a folder. Whoever else writes to the folder is not believed: no link is
 * followed below it, nothing but a plain file is read, and lengths and digests are checked.
 *
 * Source: OCI image-spec 1.1 image-layout.md
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, read } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { causeOf, HuskError, systemError } from '../../errors.ts';
import { MAX_MANIFEST, type Descriptor } from '../store/manifest.ts';
import { hexOf } from '../store/reference.ts';

/** bytes that are read at a time */
const CHUNK = 1 << 20;
const readInto = promisify(read);

/** An open file; it is closed when it is disposed of. */
interface PlainFile extends Disposable {
  fd: number;
  /** bytes */
  size: number;
}

export class LayoutFolder {
  /** the folder, as messages have it */
  readonly name: string;

  constructor(folder: string) {
    this.name = folder;
  }

  /** @returns the bytes of index.json; undefined where there is none @throws HuskError `corrupt` */
  index(): Promise<Buffer | undefined> {
    return this.#whole('index.json');
  }

  /** @returns the bytes of the file oci-layout; undefined where there is none @throws HuskError `corrupt` */
  marker(): Promise<Buffer | undefined> {
    return this.#whole('oci-layout');
  }

  /** @returns bytes of the blob of this digest; undefined where there is none @throws HuskError `corrupt` */
  async sizeOf(digest: string): Promise<number | undefined> {
    using file = await openPlain(this.name, pathOf(digest));
    return file?.size;
  }

  /** @returns a blob that is no layer, such as a manifest @throws HuskError `corrupt` */
  async small(descriptor: Descriptor): Promise<Buffer> {
    if (descriptor.size > MAX_MANIFEST) throw tooLarge(join(this.name, pathOf(descriptor.digest)));
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.blob(descriptor)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Yields a blob's bytes; ends only after their number and digest have proved right. @throws HuskError `corrupt` */
  async *blob(
    descriptor: Pick<Descriptor, 'digest' | 'size'>,
    { onBytes, signal }: { onBytes?: (current: number) => void; signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    const path = join(this.name, pathOf(descriptor.digest));
    using file = await openPlain(this.name, pathOf(descriptor.digest));
    if (!file) throw new HuskError(`${path} is missing`, { kind: 'corrupt' });
    const { fd, size } = file;
    if (size !== descriptor.size)
      throw new HuskError(`${path} has ${size} bytes, its manifest says ${descriptor.size}`, { kind: 'corrupt' });
    const hash = createHash('sha256');
    for (let position = 0; position < size;) {
      signal?.throwIfAborted();
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, size - position));
      const { bytesRead } = await readInto(fd, chunk, 0, chunk.length, position);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      position += bytesRead;
      onBytes?.(position);
      yield chunk.subarray(0, bytesRead);
    }
    if (`sha256:${hash.digest('hex')}` !== descriptor.digest)
      throw new HuskError(`${path} does not have the digest it is named by`, { kind: 'corrupt' });
  }

  async #whole(name: string): Promise<Buffer | undefined> {
    using file = await openPlain(this.name, name);
    if (!file) return undefined;
    if (file.size > MAX_MANIFEST) throw tooLarge(join(this.name, name));
    const bytes = Buffer.alloc(file.size);
    const { bytesRead } = await readInto(file.fd, bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  }
}

/** @returns the path of a blob below its layout. @param digest `sha256:…`, checked before */
export const pathOf = (digest: string): string => `blobs/sha256/${hexOf(digest)}`;

const tooLarge = (path: string): HuskError =>
  new HuskError(`${path} is larger than ${MAX_MANIFEST} bytes`, { kind: 'corrupt' });

/**
 * @param path below `folder`, ASCII
 * @returns undefined where nothing is there
 * @throws HuskError for a link anywhere on the way, a pipe or a folder
 */
async function openPlain(folder: string, path: string): Promise<PlainFile | undefined> {
  const { openBeneath } = await import('../../host/files/lookup.ts');
  let fd: number;
  try {
    await using top = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    // A pipe in a stranger's folder must not hold the build up.
    fd = openBeneath(top.fd, path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = systemError(error) ?? {};
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new HuskError(
      `cannot read ${join(folder, path)}: ${code === 'ELOOP' ? 'it is a link, or below one' : causeOf(error)}`,
      { kind: 'corrupt', cause: error },
    );
  }
  const stat = fstatSync(fd);
  if (stat.isFile()) return { fd, size: stat.size, [Symbol.dispose]: () => closeSync(fd) };
  closeSync(fd);
  throw new HuskError(`cannot read ${join(folder, path)}: it is no file`, { kind: 'corrupt' });
}

/**
 * Reads an OCI image layout whose blobs somebody else hands over, as a client of a build does: lengths and digests are
 * checked. There is no index: an image is named by its digest.
 *
 * Source: OCI image-spec 1.1 image-layout.md
 */
import { createHash } from 'node:crypto';
import { HuskError } from '../../errors.ts';
import type { BlobSource } from '../store/contract.ts';
import { MAX_MANIFEST, type Descriptor } from '../store/manifest.ts';

export class LayoutBlobs {
  /** the layout, as messages have it */
  readonly name: string;
  readonly #source: BlobSource;

  constructor(name: string, source: BlobSource) {
    this.name = name;
    this.#source = source;
  }

  /** @returns bytes of the blob of this digest; undefined where there is none */
  sizeOf(digest: string): Promise<number | undefined> {
    return this.#source.size(digest);
  }

  /** @returns a blob that is no layer, such as a manifest @throws HuskError `corrupt` */
  async small(descriptor: Descriptor): Promise<Buffer> {
    if (descriptor.size > MAX_MANIFEST) throw this.#corrupt(descriptor, `is larger than ${MAX_MANIFEST} bytes`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.blob(descriptor)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Yields a blob's bytes; ends only after their number and digest have proved right. @throws HuskError `corrupt` */
  async *blob(
    descriptor: Pick<Descriptor, 'digest' | 'size'>,
    { onBytes, signal }: { onBytes?: (current: number) => void; signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    const hash = createHash('sha256');
    let position = 0;
    for await (const chunk of this.#source.read(descriptor.digest)) {
      signal?.throwIfAborted();
      position += chunk.length;
      if (position > descriptor.size) break;
      hash.update(chunk);
      onBytes?.(position);
      yield chunk;
    }
    if (position !== descriptor.size)
      throw this.#corrupt(descriptor, `has not the ${descriptor.size} bytes that its manifest says`);
    if (`sha256:${hash.digest('hex')}` !== descriptor.digest)
      throw this.#corrupt(descriptor, 'does not have the digest it is named by');
  }

  #corrupt({ digest }: Pick<Descriptor, 'digest'>, what: string): HuskError {
    return new HuskError(`the blob ${digest} of ${this.name} ${what}`, { kind: 'corrupt' });
  }
}

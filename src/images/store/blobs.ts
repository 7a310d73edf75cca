/**
 * The small blobs of the content store: manifests, indexes and configs under blobs/sha256/<hex>. A blob is written
 * under another name, fsynced and renamed; it is verified when it is written and again when it is read. Layers are
 * stored elsewhere (see layers/).
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { causeOf, HuskError } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import { tmpPath } from '../../state/tmp-folder.ts';
import { writeWholeFile } from '../../whole-file.ts';
import { MAX_MANIFEST } from './manifest.ts';
import { hexOf } from './reference.ts';

/**
 * @returns the digest of the bytes. node:crypto is loaded on first use, so that a process that only reads records never
 * pays the 5 ms.
 */
export const sha256 = (bytes: Uint8Array) =>
  `sha256:${process.getBuiltinModule('node:crypto').createHash('sha256').update(bytes).digest('hex')}`;

export class Blobs {
  #paths: Paths;

  constructor(paths: Paths) {
    this.#paths = paths;
  }

  #path = (digest: string) => join(this.#paths.blobs, hexOf(digest));

  has(digest: string): boolean {
    return existsSync(this.#path(digest));
  }

  /** Stores the bytes; bytes that are stored already cost nothing but their digest. @returns their digest */
  put(bytes: Uint8Array): string {
    const digest = sha256(bytes);
    const target = this.#path(digest);
    if (existsSync(target)) return digest;
    mkdirSync(this.#paths.blobs, { recursive: true, mode: 0o700 });
    const half = tmpPath(this.#paths, 'half-blob');
    writeWholeFile(target, bytes, { mode: 0o600, durable: true, half });
    return digest;
  }

  /** @throws HuskError `corrupt` when the blob is missing, too large or not what its name says */
  get(digest: string): Buffer {
    const path = this.#path(digest);
    let bytes: Buffer;
    try {
      if (statSync(path).size > MAX_MANIFEST)
        throw new HuskError(`the blob ${path} is larger than ${MAX_MANIFEST} bytes`, { kind: 'corrupt' });
      bytes = readFileSync(path);
    } catch (error) {
      if (error instanceof HuskError) throw error;
      throw new HuskError(`cannot read the blob ${path}: ${causeOf(error)}`, { kind: 'corrupt', cause: error });
    }
    if (sha256(bytes) !== `sha256:${hexOf(digest)}`)
      throw new HuskError(`the blob ${path} does not have the digest it is named by`, {
        kind: 'corrupt',
        fix: 'remove the image and pull it again',
      });
    return bytes;
  }

  remove(digest: string): void {
    rmSync(this.#path(digest), { force: true });
  }
}

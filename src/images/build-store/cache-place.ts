/** Where a build cache that travels lies: a folder (cache-folder.ts) or a registry (cache-registry.ts). Types only. */
import type { Descriptor } from '../store/manifest.ts';

export interface CachePlace extends Disposable {
  /** as messages have it */
  readonly name: string;
  /**
   * @returns the bytes of the manifest; of an index those of this machine's
   * @throws HuskError `not-found` where there is none
   */
  manifest(): Promise<Buffer>;
  /** Yields a blob's bytes; ends only after their number and digest have proved right. @throws HuskError `corrupt` */
  blob(
    descriptor: Descriptor,
    options: { onBytes?: (current: number) => void; signal?: AbortSignal },
  ): AsyncIterable<Uint8Array>;
  has(descriptor: Descriptor): Promise<boolean>;
  /** Puts a blob there. @param from its bytes, or the file that has them */
  put(descriptor: Descriptor, from: { bytes: Uint8Array } | { file: string }, signal?: AbortSignal): Promise<void>;
  /** Names the cache, when all of its blobs are there. */
  putManifest(bytes: Uint8Array): Promise<void>;
}

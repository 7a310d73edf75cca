/** A layer's tar as the blob that a registry keeps: compressed into a file, and uploaded from it. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';
import type { Repository } from './registry/client.ts';
import { Transient, withRetries } from './registry/retry.ts';
import { TransportError } from './registry/transport.ts';

/** bytes read at once from a tar */
export const CHUNK = 1 << 20;

/**
 * Compresses a tar, at the default level. node:zlib writes no name and no time into the header, so the same tar gives
 * the same bytes.
 * @param file is new
 * @returns the digest of the compressed bytes
 */
export async function compressLayer(
  tar: string,
  file: string,
  { by = 'gzip', signal }: { by?: 'gzip' | 'zstd'; signal?: AbortSignal },
): Promise<string> {
  const hash = createHash('sha256');
  const hashed = async function* (source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      hash.update(chunk);
      yield chunk;
    }
  };
  await pipeline(
    createReadStream(tar, { highWaterMark: CHUNK }),
    by === 'gzip' ? createGzip({ chunkSize: CHUNK }) : createZstdCompress({ chunkSize: CHUNK }),
    hashed,
    createWriteStream(file, { flags: 'wx', mode: 0o600 }),
    { signal },
  );
  return `sha256:${hash.digest('hex')}`;
}

/** Uploads a blob; every retry begins a new upload, because the registry may have dropped the old one. */
export const uploadBlob = (
  repository: Repository,
  blob: Parameters<Repository['upload']>[1],
  signal?: AbortSignal,
): Promise<void> =>
  withRetries(
    async () => {
      try {
        const location = await repository.startUpload();
        await repository.upload(location!, blob);
      } catch (error) {
        throw error instanceof TransportError ? new Transient(error) : error;
      }
    },
    { signal },
  );

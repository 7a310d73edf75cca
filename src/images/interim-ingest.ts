/** Stands in for src/images/layers/ingest.ts until that has landed: decompresses, verifies the diffID, commits by rename; does not look into the tar. */
import { createHash } from 'node:crypto';
import { open, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { HuskError } from '../errors.ts';
import { halfMade } from './half-made.ts';
import { compressionOf } from './manifest.ts';
import { hexOf } from './reference.ts';

export interface IngestOptions {
  /** compressed bytes; throws before it ends when they fail verification */
  source: AsyncIterable<Uint8Array>;
  mediaType: string;
  diffId: string;
  tmp: string;
  layersDir: string;
  maxSize: number;
  signal?: AbortSignal;
}

export async function ingestLayer({ source, mediaType, diffId, tmp, layersDir, maxSize, signal }: IngestOptions): Promise<{ size: number }> {
  const half = halfMade({ tmp }, 'layer');
  await mkdir(half, { recursive: true, mode: 0o755 });
  const hash = createHash('sha256');
  let size = 0;
  try {
    const file = await open(join(half, 'layer.tar'), 'wx', 0o644);
    try {
      const compression = compressionOf(mediaType);
      const decompress = compression === 'gzip' ? createGunzip({ chunkSize: 1 << 20 }) : compression === 'zstd' ? createZstdDecompress({ chunkSize: 1 << 20 }) : new PassThrough();
      const write = async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          size += chunk.length;
          if (size > maxSize) throw new HuskError(`the layer ${diffId} is larger than ${maxSize} bytes (max-layer-size)`, { kind: 'limit' });
          hash.update(chunk);
          await file.write(chunk);
        }
      };
      await pipeline(Readable.from(source, { objectMode: false, highWaterMark: 2 << 20 }), decompress, write, { signal });
    } finally {
      await file.close();
    }
    if (`sha256:${hash.digest('hex')}` !== diffId) throw new HuskError(`the layer does not have the diffID ${diffId}`, { kind: 'corrupt' });
    await mkdir(layersDir, { recursive: true, mode: 0o711 });
    await rename(half, join(layersDir, hexOf(diffId)));
  } finally {
    await rm(half, { recursive: true, force: true });
  }
  return { size };
}

/**
 * From a layer's compressed bytes to `layers/<hex of diffID>/layer.tar`: the bytes are decompressed, bounded, read as a
 * tar, compared with the diffID by their digest, fsynced and renamed. Nothing is visible under layers/ before all of
 * that has succeeded, and a failed ingest leaves nothing behind.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import { tmpPath } from '../../state/tmp-folder.ts';
import { TarParser } from '../../tar/parser.ts';
import { decompress } from './decompress.ts';
import { LayerTree } from './tree.ts';

export interface IngestOptions {
  /** compressed bytes; the stream must throw before its end when they fail verification */
  source: AsyncIterable<Uint8Array>;
  /** `sha256:…` that the uncompressed bytes must have; undefined where any digest is right (`import`) */
  diffId: string | undefined;
  /** folder on the same file system as `layersDir` */
  tmp: string;
  layersDir: string;
  /** bytes that the uncompressed tar may have: the bound that stops a decompression bomb */
  maxSize: number;
  signal?: AbortSignal;
  /** Whether the source may be xz or bzip2; Docker allows it to `load` and `import`. */
  programs?: boolean;
}

/**
 * Ingests one layer. A layer that is there already, from a concurrent ingest, is left as it is. Bytes behind the end
 * mark of the tar count for the digest and for nothing else, as in Docker.
 * @returns bytes of the uncompressed tar, and its digest
 * @throws HuskError `corrupt` (compression, tar, digest), `limit` (maxSize); whatever the source throws
 */
export async function ingestLayer({
  source,
  diffId,
  tmp,
  layersDir,
  maxSize,
  signal,
  programs,
}: IngestOptions): Promise<{ size: number; diffId: string }> {
  // Where root runs husk, the root of its user namespace is another user on the host, and must pass through to the
  // layers. `recursive` gives the mode to the parents too.
  await mkdir(layersDir, { recursive: true, mode: 0o711 });
  const half = tmpPath({ tmp }, 'half-layer');
  await mkdir(half, { mode: 0o711 });
  try {
    const { size, digest } = await writeLayer(
      decompress(source, { programs }),
      join(half, 'layer.tar'),
      maxSize,
      signal,
    );
    if (diffId !== undefined && digest !== diffId)
      throw new HuskError(`the layer's uncompressed bytes have the digest ${digest}, its image says ${diffId}`, {
        kind: 'corrupt',
      });
    const target = join(layersDir, digest.replace('sha256:', ''));
    try {
      await rename(half, target);
    } catch (error) {
      // ENOTEMPTY or EEXIST: another process was faster with the same bytes, or the tar that was there was damaged and
      // has been removed.
      if (!(await stat(target).catch(() => undefined))) throw error;
      if (!(await stat(join(target, 'layer.tar')).catch(() => undefined)))
        await rename(join(half, 'layer.tar'), join(target, 'layer.tar'));
    }
    await syncFolder(layersDir);
    return { size, diffId: digest };
  } finally {
    await rm(half, { recursive: true, force: true });
  }
}

/**
 * Writes a layer's tar. Hashing, checking and writing one chunk overlap with the decompression of the next, which runs
 * in another thread.
 */
async function writeLayer(
  chunks: AsyncIterable<Buffer>,
  path: string,
  maxSize: number,
  signal: AbortSignal | undefined,
): Promise<{ size: number; digest: string }> {
  const hash = createHash('sha256');
  const tree = new LayerTree();
  const parser = new TarParser((entry) => tree.add(entry));
  const file = await open(path, 'wx', 0o644);
  let size = 0;
  let writing: Promise<unknown> | undefined;
  try {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      size += chunk.length;
      if (size > maxSize)
        throw new HuskError(`the uncompressed layer is larger than ${maxSize} bytes`, {
          kind: 'limit',
          fix: 'if the image is to be trusted, set "max-layer-size" in the config',
        });
      await writing;
      writing = writeAll(file, chunk, size - chunk.length);
      // The loop's next turn awaits this write; until then its rejection must not count as unhandled.
      writing.catch(() => {});
      hash.update(chunk);
      parser.push(chunk);
    }
    await writing;
    parser.end();
    await file.datasync();
    return { size, digest: `sha256:${hash.digest('hex')}` };
  } finally {
    await writing?.catch(() => {});
    await file.close();
  }
}

async function writeAll(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;)
    done += (await file.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

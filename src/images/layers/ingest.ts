/**
 * From a layer's compressed bytes to `layers/<hex of diffID>/layer.tar`: decompressed, bounded, read as a tar, its
 * digest compared with the diffID, fsynced, renamed. Nothing is visible under layers/ before all of that has succeeded;
 * what failed leaves nothing behind.
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
  /** compressed bytes; throws before it ends when they fail verification */
  source: AsyncIterable<Uint8Array>;
  /** `sha256:…` the uncompressed bytes must have; undefined: whatever they have (`import`) */
  diffId: string | undefined;
  /** folder on the same file system as `layersDir` */
  tmp: string;
  layersDir: string;
  /** bytes of the uncompressed tar: a decompression bomb stops here */
  maxSize: number;
  signal?: AbortSignal;
  /** may the source be xz or bzip2? Docker allows it to `load` and `import` */
  programs?: boolean;
}

/**
 * A layer that is there already, from a concurrent ingest, is left as it is. What follows the end mark of the tar
 * belongs to the digest and to nothing else, as in Docker.
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
  // Root's user namespace is another user on the host and must pass through to the layers; `recursive` gives its mode
  // to the parents too.
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
      // ENOTEMPTY, EEXIST: somebody else was faster with the same bytes, or the tar there was damaged and taken away
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

/** Hashing, checking and writing one chunk overlap with the decompression of the next, which runs in another thread. */
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
      // seen at the next turn; until then it must not count as unhandled
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

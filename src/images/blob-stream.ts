/**
 * A layer's compressed bytes, first from the part that an earlier pull left behind and then from the registry, verified
 * while they stream. Bytes that have arrived are kept in tmp/<hex>.partial, so a pull that was killed resumes where it
 * stopped. This module decompresses nothing.
 *
 * The caller holds the claim on the digest, so no other process writes the part.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { MAX_MANIFEST, type Descriptor } from './store/manifest.ts';
import { hexOf } from './store/reference.ts';
import type { Repository } from './registry/client.ts';
import { waitBeforeResume } from './registry/retry.ts';
import { TransportError } from './registry/transport.ts';

/** bytes; a smaller blob is fetched again rather than kept */
const MIN_RESUMABLE = 1 << 20;
/** bytes read at once from the kept part, and gathered from the registry before they are written and handed on */
const CHUNK = 1 << 20;
/**
 * bytes that must arrive before the count of fruitless tries starts again: a registry that trickles must not be retried
 * for ever
 */
const PROGRESS = 1 << 20;

export interface BlobStreamOptions {
  descriptor: Descriptor;
  repository: Pick<Repository, 'blob' | 'host'>;
  paths: Pick<Paths, 'tmp'>;
  /** bytes that have arrived so far, including the kept part */
  onBytes?: (current: number) => void;
  /** called when size and digest have proved right */
  onComplete?: () => void;
  /** whether to keep what has arrived, for the next pull */
  keep: boolean;
  signal?: AbortSignal;
}

const partialPath = (paths: Pick<Paths, 'tmp'>, digest: string) => join(paths.tmp, `${hexOf(digest)}.partial`);

export const removePartial = (paths: Pick<Paths, 'tmp'>, digest: string) =>
  rm(partialPath(paths, digest), { force: true });

/**
 * Yields the blob's bytes, in order and once. The stream ends only after size and digest have been verified: a consumer
 * that commits when the stream ends commits verified bytes.
 * @throws HuskError `corrupt` (the part is removed), TransportError (the part stays)
 */
export async function* blobStream(options: BlobStreamOptions): AsyncGenerator<Buffer, void, void> {
  const { descriptor, paths, onBytes } = options;
  const hash = createHash('sha256');
  const part =
    options.keep && descriptor.size >= MIN_RESUMABLE
      ? await open(partialPath(paths, descriptor.digest), 'a+', 0o600)
      : undefined;
  let complete = false;
  let poisoned = false;
  let received = 0;
  let pendingWrite: Promise<unknown> | undefined;
  try {
    for await (const chunk of kept(part, descriptor.size)) {
      hash.update(chunk);
      received += chunk.length;
      onBytes?.(received);
      yield chunk;
    }
    for await (const chunk of fetched(options, () => received)) {
      // The write of one chunk overlaps with the work on the chunk before it.
      await pendingWrite;
      // appendFile continues after a short write; a single write() would leave a hole, for which the next pull would
      // blame the registry.
      pendingWrite = part?.appendFile(chunk);
      // An unhandled rejection would end the process before the next turn of the loop sees it.
      pendingWrite?.catch(() => {});
      hash.update(chunk);
      received += chunk.length;
      onBytes?.(received);
      yield chunk;
    }
    await pendingWrite;
    const digest = `sha256:${hash.digest('hex')}`;
    if (digest !== descriptor.digest)
      throw new HuskError(
        `${options.repository.host} sends other bytes for ${descriptor.digest}: their digest is ${digest}`,
        { kind: 'corrupt' },
      );
    complete = true;
    options.onComplete?.();
  } catch (error) {
    poisoned = error instanceof HuskError && error.kind === 'corrupt';
    throw error;
  } finally {
    await pendingWrite?.catch(() => {});
    await part?.close();
    if (part && (complete || poisoned)) await removePartial(paths, descriptor.digest);
  }
}

/** Fetches a blob of at most MAX_MANIFEST bytes into memory: a longer one is broken off. */
export async function smallBlob(repository: BlobStreamOptions['repository'], descriptor: Descriptor): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const size = Math.min(descriptor.size, MAX_MANIFEST);
  for await (const chunk of blobStream({
    descriptor: { ...descriptor, size },
    repository,
    paths: { tmp: '' },
    keep: false,
  }))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Yields what an earlier pull has kept; a part that is longer than the blob is dropped. */
async function* kept(part: FileHandle | undefined, size: number): AsyncGenerator<Buffer, void, void> {
  if (!part) return;
  const { size: length } = await part.stat();
  if (length > size) return part.truncate(0);
  for (let position = 0; position < length;) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, length - position));
    const { bytesRead } = await part.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Yields the rest of the blob from the registry; when a connection breaks, a new one resumes at that byte. */
async function* fetched(
  { descriptor, repository, signal }: BlobStreamOptions,
  offset: () => number,
): AsyncGenerator<Buffer, void, void> {
  const { digest, size } = descriptor;
  let fruitless = 0;
  let goodUntil = offset();
  while (offset() < size) {
    let body: Readable | undefined;
    try {
      const { response, from } = await repository.blob(digest, offset(), size);
      ({ body } = response);
      // A registry that ignored the range sends bytes that are here already; these are skipped.
      let skip = offset() - from;
      for await (const chunk of gathered(body as AsyncIterable<Buffer>)) {
        const fresh = skip >= chunk.length ? undefined : chunk.subarray(skip);
        skip = Math.max(0, skip - chunk.length);
        if (!fresh) continue;
        if (offset() + fresh.length > size)
          throw new HuskError(`${repository.host} sends more bytes for ${digest} than the ${size} of its manifest`, {
            kind: 'corrupt',
          });
        yield fresh;
      }
      if (offset() >= size) return;
    } catch (error) {
      // A registry that restarts is gone for a moment; one that was never there has failed before the first byte.
      const gone = error instanceof TransportError && offset() > 0;
      if ((error instanceof HuskError && !gone) || signal?.aborted) throw error;
    } finally {
      body?.destroy();
    }
    if (offset() - goodUntil >= PROGRESS) fruitless = 0;
    goodUntil = Math.max(goodUntil, offset());
    if (!(await waitBeforeResume(++fruitless, signal)))
      throw new HuskError(`${repository.host} broke off ${digest} at byte ${offset()} of ${size}`, {
        kind: 'unavailable',
      });
  }
}

/** Joins the socket's pieces of 16-64 KiB: each chunk costs a write, a hash call and a turn of the decompressor. */
async function* gathered(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of body) {
      pieces.push(piece);
      length += piece.length;
      if (length < CHUNK) continue;
      yield Buffer.concat(pieces, length);
      pieces = [];
      length = 0;
    }
  } catch (error) {
    // The bytes that arrived before the connection broke are passed on first.
    if (length > 0) yield Buffer.concat(pieces, length);
    throw error;
  }
  if (length > 0) yield Buffer.concat(pieces, length);
}

/**
 * A layer's compressed bytes, from the part an earlier pull left behind and then from the registry, verified while they
 * stream. What has arrived is kept in tmp/<hex>.partial, so a killed pull goes on where it stopped. Decompresses
 * nothing.
 *
 * The caller holds the claim on the digest: nobody else writes the part.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Descriptor } from './store/manifest.ts';
import { hexOf } from './store/reference.ts';
import type { Repository } from './registry/client.ts';
import { waitBeforeResume } from './registry/retry.ts';
import { TransportError } from './registry/transport.ts';

/** bytes; what is smaller is fetched again rather than kept */
const MIN_RESUMABLE = 1 << 20;
/** bytes read at once from the kept part, and gathered before they are written and handed on */
const CHUNK = 1 << 20;
/** bytes that must arrive before the count of fruitless tries starts again: a drip must not retry for ever */
const PROGRESS = 1 << 20;

export interface BlobStreamOptions {
  descriptor: Descriptor;
  repository: Pick<Repository, 'blob' | 'host'>;
  paths: Pick<Paths, 'tmp'>;
  /** bytes arrived so far, the kept part included */
  onBytes?: (current: number) => void;
  /** size and digest are right */
  onComplete?: () => void;
  /** keep what has arrived, for the next pull */
  keep: boolean;
  signal?: AbortSignal;
}

const partialPath = (paths: Pick<Paths, 'tmp'>, digest: string) => join(paths.tmp, `${hexOf(digest)}.partial`);

export const removePartial = (paths: Pick<Paths, 'tmp'>, digest: string) =>
  rm(partialPath(paths, digest), { force: true });

/**
 * Yields the blob's bytes, in order, once. Ends only after size and digest have been verified: a consumer that commits
 * when the stream ends commits verified bytes.
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
      // the write of one chunk overlaps with the work on the one before
      await pendingWrite;
      // appendFile writes on after a short write; a lone write() would leave a hole that the next pull blames the
      // registry for
      pendingWrite = part?.appendFile(chunk);
      // an unhandled rejection would end the process before the next turn sees it
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

/** What an earlier pull has kept; a part that is longer than the blob is dropped. */
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

/** The rest, from the registry; a connection that breaks is taken up again where it broke. */
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
      // the registry ignored the range: what we have already is passed over
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
      // a registry that restarts is gone for a moment; one that was never there has failed before
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

/** Joins the socket's 16-64 KiB pieces: each chunk costs a write, a hash call and a turn of the decompressor. */
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
    // what arrived before the break counts
    if (length > 0) yield Buffer.concat(pieces, length);
    throw error;
  }
  if (length > 0) yield Buffer.concat(pieces, length);
}

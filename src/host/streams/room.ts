/** Waiting for whoever reads what is written, so that what is not read yet takes no memory without end. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

/**
 * Resolves when a stream has room for more, or takes no more at all. It leaves no listener behind, and never rejects.
 */
export async function roomIn(stream: Writable): Promise<void> {
  if (!stream.writableNeedDrain || stream.destroyed) return;
  const over = new AbortController();
  const { signal } = over;
  try {
    await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]);
  } catch {
    // It failed, which those who listen for its errors are told.
  } finally {
    over.abort();
  }
}

/**
 * Writes guest RAM to a file that is as long as the RAM, with holes where the RAM is zero. A restored machine maps the
 * file copy-on-write, so the file must never change.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { GuestMemory } from '../memory/guest-memory.ts';

/** bytes that are compared and written at once; a smaller hole would save too little */
const PIECE = 64 * 1024;
const ZEROES = Buffer.alloc(PIECE);

/** Writes the RAM of a paused machine. `path` must not exist. */
export function writeMemory(memory: GuestMemory, path: string): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    ftruncateSync(fd, memory.size);
    const all = memory.bytes;
    for (let at = 0; at < memory.size; at += PIECE) {
      const piece = all.subarray(at, Math.min(at + PIECE, memory.size));
      if (ZEROES.compare(piece, 0, piece.length, 0, piece.length) === 0) continue;
      for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done, piece.length - done, at + done);
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Writes a member's contents, in pieces as they arrive, to where its map of data says: a tar keeps the data between the
 * holes of a sparse file end to end. A hole stays a hole. This file does not ask what the contents are.
 */
import { writeSync } from 'node:fs';
import type { TarEntry } from '../../tar/entry.ts';

/** A file that is being written: the member that it comes from, and the bytes of its contents so far. */
export interface Pieces {
  readonly fd: number;
  readonly entry: TarEntry;
  written: number;
}

/** bytes: a block of most file systems; a smaller hole saves nothing */
const LEAST_HOLE = 4096;
const ZEROS = Buffer.alloc(256 << 10);

/** Writes contents where the member's map of data says, which for most members is everywhere. */
export function writePieces(file: Pieces, bytes: Buffer, options: { holes: boolean }): void {
  const { fd, entry } = file;
  for (let at = 0; at < bytes.length;) {
    const { offset, length } = pieceAt(entry, file.written);
    const piece = Math.min(length, bytes.length - at);
    const wrote =
      options.holes && isHole(bytes.subarray(at, at + piece)) ? piece : writeSync(fd, bytes, at, piece, offset);
    at += wrote;
    file.written += wrote;
  }
}

/** @returns where byte `done` of the contents belongs in the file, and how many bytes follow it there */
function pieceAt(entry: TarEntry, done: number): { offset: number; length: number } {
  if (!entry.sparse) return { offset: done, length: entry.dataSize - done };
  let before = 0;
  for (const segment of entry.sparse) {
    if (done < before + segment.length)
      return { offset: segment.offset + done - before, length: before + segment.length - done };
    before += segment.length;
  }
  throw new Error('contents behind the last segment of a sparse file');
}

const isHole = (bytes: Buffer): boolean =>
  bytes.length >= LEAST_HOLE && bytes.length <= ZEROS.length && ZEROS.subarray(0, bytes.length).equals(bytes);

/**
 * Packs a sparse file into a compact form that has only its data extents. The empty writable disk is 64 GiB, of which 5
 * MB are data; the packed form survives copying, archives and file systems that do not report holes, and unpacking it
 * writes just those 5 MB.
 *
 * The form is little-endian: "HUSKSPRS", u64 size of the file, then until the end: u64 offset, u64 length, bytes.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { HuskError } from '../errors.ts';
import { dataExtents } from '../host/files/holes.ts';
import { makeWholeFile } from '../whole-file.ts';

const MAGIC = Buffer.from('HUSKSPRS');
const HEADER = 16;
const EXTENT_HEADER = 16;
const BLOCK = 4096;

function pair(first: number, second: number): Buffer {
  const bytes = Buffer.alloc(EXTENT_HEADER);
  bytes.writeBigUInt64LE(BigInt(first), 0);
  bytes.writeBigUInt64LE(BigInt(second), 8);
  return bytes;
}

/** Packs a file for the build. Blocks of zeroes inside the file's extents are left out too. */
export function packSparse(source: string, target: string): void {
  const from = openSync(source, 'r');
  const to = openSync(target, 'w');
  try {
    const size = statSync(source).size;
    const header = Buffer.alloc(HEADER);
    MAGIC.copy(header);
    header.writeBigUInt64LE(BigInt(size), 8);
    writeSync(to, header);
    for (const { offset, length } of dataExtents(from, size)) {
      const bytes = Buffer.alloc(length);
      readSync(from, bytes, 0, length, offset);
      for (const part of nonZero(bytes)) {
        writeSync(to, pair(offset + part.start, part.end - part.start));
        writeSync(to, bytes, part.start, part.end - part.start);
      }
    }
  } finally {
    closeSync(from);
    closeSync(to);
  }
}

function* nonZero(bytes: Buffer): Generator<{ start: number; end: number }> {
  const zeroes = Buffer.alloc(BLOCK);
  let start = -1;
  for (let at = 0; at < bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    const empty = block.equals(zeroes.subarray(0, block.length));
    if (!empty && start < 0) start = at;
    if (empty && start >= 0) {
      yield { start, end: at };
      start = -1;
    }
  }
  if (start >= 0) yield { start, end: bytes.length };
}

/**
 * Makes `path`, whole or not at all.
 * @throws HuskError `corrupt` when the template is damaged or has another form
 */
export function unpackSparse(template: string, path: string): void {
  const packed = readFileSync(template);
  const bad = (why: string) =>
    new HuskError(`the disk template ${template} is damaged: ${why}`, {
      kind: 'corrupt',
      fix: 'build it again: make vm',
    });
  if (packed.length < HEADER || !packed.subarray(0, 8).equals(MAGIC)) throw bad('it does not begin as one');
  const size = Number(packed.readBigUInt64LE(8));
  const half = `${path}.new`;
  const make = () => {
    const fd = openSync(half, 'wx', 0o600);
    try {
      ftruncateSync(fd, size);
      for (let at = HEADER; at < packed.length;) {
        if (packed.length - at < EXTENT_HEADER) throw bad('it ends within an extent');
        const offset = Number(packed.readBigUInt64LE(at));
        const length = Number(packed.readBigUInt64LE(at + 8));
        at += EXTENT_HEADER;
        if (length > packed.length - at || offset + length > size) throw bad(`extent ${offset}+${length} does not fit`);
        writeSync(fd, packed, at, length, offset);
        at += length;
      }
    } finally {
      closeSync(fd);
    }
  };
  makeWholeFile(path, { half, make });
}

/**
 * Maps of sparse files, in GNU tar's four forms: old GNU (in the header and blocks behind it), pax 0.0 and 0.1 (in pax
 * records), pax 1.0 (at the start of the contents). Source: GNU tar manual, "Storing Sparse Files". Every form becomes
 * the same checked list.
 */
import { number } from './header.ts';
import { BLOCK, corruptTar, MAX_SPARSE_SEGMENTS, type SparseSegment } from './entry.ts';
import type { ByteString } from './byte-string.ts';
import { parsePaxNumber } from './pax.ts';

/** Old GNU: four segments in the header, 21 in each further block; each is an offset and a length of 12 bytes. */
const SEGMENT_SIZE = 24;
const HEADER_SEGMENTS = { at: 386, count: 4, more: 482 };
const BLOCK_SEGMENTS = { at: 0, count: 21, more: 504 };
/** Old GNU: the field with the size as a program sees it. */
const REAL_SIZE = [483, 12] as const;

/** @returns the segments of this block and whether another block of segments follows */
export function parseOldGnuSegments(
  bytes: Buffer,
  at: number,
  offset: number,
  kind: 'header' | 'block',
): { segments: SparseSegment[]; more: boolean } {
  const layout = kind === 'header' ? HEADER_SEGMENTS : BLOCK_SEGMENTS;
  const segments: SparseSegment[] = [];
  for (let index = 0; index < layout.count; index++) {
    const start = layout.at + index * SEGMENT_SIZE;
    if (bytes[at + start] === 0) break;
    segments.push({
      offset: number(bytes, at, [start, 12], offset, 'sparse offset'),
      length: number(bytes, at, [start + 12, 12], offset, 'sparse length'),
    });
  }
  return { segments, more: bytes[at + layout.more] !== 0 };
}

export function oldGnuRealSize(bytes: Buffer, at: number, offset: number): number {
  return number(bytes, at, REAL_SIZE, offset, 'sparse size');
}

/** Parses pax 0.1's `GNU.sparse.map`: offset,length,offset,length… (0.0's records are joined to the same form). */
export function parseSparseList(map: ByteString, offset: number): SparseSegment[] {
  if (map === '') return [];
  const numbers = map.split(',', 2 * MAX_SPARSE_SEGMENTS + 2);
  if (numbers.length % 2 !== 0) throw corruptTar(offset, 'its sparse map has an odd number of fields');
  const segments: SparseSegment[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    segments.push({
      offset: parsePaxNumber(numbers[index]!, offset, 'sparse offset'),
      length: parsePaxNumber(numbers[index + 1]!, offset, 'sparse length'),
    });
  }
  return segments;
}

/**
 * Parses a map of pax 1.0, which stands before the data as decimal lines, the count first, padded to a full block.
 * @param body the map's blocks so far
 * @returns undefined while lines are missing, else the segments and the bytes of the map with its padding
 */
export function parseSparseText(body: Buffer, offset: number): { segments: SparseSegment[]; size: number } | undefined {
  let at = 0;
  const line = (): number | undefined => {
    const end = body.indexOf(0x0a, at);
    if (end === -1) {
      if (body.length - at > 24) throw corruptTar(offset, 'its sparse map has an endless line');
      return undefined;
    }
    const value = parsePaxNumber(body.toString('latin1', at, Math.min(end, at + 24)), offset, 'sparse map');
    at = end + 1;
    return value;
  };
  const count = line();
  if (count === undefined) return undefined;
  if (count < 0 || count > MAX_SPARSE_SEGMENTS)
    throw corruptTar(offset, `its sparse map has ${count} segments, more than ${MAX_SPARSE_SEGMENTS}`);
  // Each segment has at least two digits and two newlines; this check avoids parsing the lines again for each block
  // that arrives.
  if (body.length < at + 4 * count) return undefined;
  const segments: SparseSegment[] = [];
  for (let index = 0; index < count; index++) {
    const start = line();
    const length = start === undefined ? undefined : line();
    if (start === undefined || length === undefined) return undefined;
    segments.push({ offset: start, length });
  }
  return { segments, size: Math.ceil(at / BLOCK) * BLOCK };
}

/**
 * Checks that segments ascend, do not overlap, lie within the file, and have as many bytes as the archive holds.
 * @returns the segments without the empty ones that GNU tar writes to mark the end
 */
export function checkSegments(
  segments: SparseSegment[],
  size: number,
  dataSize: number,
  offset: number,
): SparseSegment[] {
  if (segments.length > MAX_SPARSE_SEGMENTS)
    throw corruptTar(offset, `its sparse map has more than ${MAX_SPARSE_SEGMENTS} segments`);
  let end = 0;
  let sum = 0;
  for (const segment of segments) {
    if (segment.offset < end || segment.length < 0 || segment.offset + segment.length > size)
      throw corruptTar(offset, 'its sparse map overlaps or leaves the file');
    end = segment.offset + segment.length;
    sum += segment.length;
  }
  if (sum !== dataSize) throw corruptTar(offset, `its sparse map has ${sum} bytes of data, the archive ${dataSize}`);
  return segments.filter((segment) => segment.length > 0);
}

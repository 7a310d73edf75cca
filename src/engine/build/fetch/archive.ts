/**
 * What `git archive` writes, as a part of one tar: without the mark of its end and git's own global header, and with
 * one time for all members. Of a subfolder git gives the time of the moment, by which no two builds would agree.
 */
import { HuskError } from '../../../errors.ts';
import { BLOCK } from '../../../tar/entry.ts';

/** places in a header (POSIX.1-2017 pax, "ustar Interchange Format") */
const SIZE = [124, 136] as const;
const MTIME = [136, 148] as const;
const CHECKSUM = [148, 156] as const;
const TYPE = 156;
/** bytes of a pax header: git writes names and sizes there */
const MAX_PAX = 1 << 20;

/** @param mtime seconds since 1970 */
export async function* archivePart(
  source: AsyncIterable<Uint8Array>,
  mtime: number,
): AsyncGenerator<Buffer, void, void> {
  let bytes: Buffer = Buffer.alloc(0);
  /** bytes that are passed on, or left out, before the next header */
  let left = 0;
  let isLeftOut = false;
  let pax: Buffer[] | undefined;
  /** size of the next member, where a pax header has it */
  let paxSize: number | undefined;
  let ended = false;
  for await (const chunk of source) {
    // What follows the end is padding, and is read so that git can end.
    if (ended) continue;
    bytes = bytes.length === 0 ? asBuffer(chunk) : Buffer.concat([bytes, chunk]);
    while (bytes.length > 0) {
      if (left > 0) {
        const piece = bytes.subarray(0, left);
        left -= piece.length;
        bytes = bytes.subarray(piece.length);
        pax?.push(piece);
        if (!isLeftOut) yield piece;
        if (left === 0 && pax) {
          paxSize = sizeIn(Buffer.concat(pax));
          pax = undefined;
        }
        continue;
      }
      if (bytes.length < BLOCK) break;
      const header = Buffer.from(bytes.subarray(0, BLOCK));
      bytes = bytes.subarray(BLOCK);
      if (header.every((byte) => byte === 0)) {
        ended = true;
        break;
      }
      const type = String.fromCharCode(header[TYPE]!);
      const own = octal(header, SIZE);
      const size = type === 'x' || type === 'g' ? own : (paxSize ?? own);
      if (type !== 'x') paxSize = undefined;
      if (type === 'x' || type === 'g') {
        if (size > MAX_PAX) throw new HuskError('git wrote a tar with an endless header', { kind: 'corrupt' });
        if (type === 'x') pax = [];
      }
      isLeftOut = type === 'g';
      left = Math.ceil(size / BLOCK) * BLOCK;
      if (!isLeftOut) yield withTime(header, mtime);
      if (left === 0) pax = undefined;
    }
  }
  if (!ended || left > 0) throw new HuskError('git wrote a tar that has no end', { kind: 'corrupt' });
}

const asBuffer = (chunk: Uint8Array): Buffer => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);

function octal(header: Buffer, [start, end]: readonly [number, number]): number {
  const text = header.toString('latin1', start, end).replace(/[\0 ]+$/, '');
  if (!/^[0-7]{1,12}$/.test(text)) throw new HuskError('git wrote a tar with a broken number', { kind: 'corrupt' });
  return Number.parseInt(text, 8);
}

function withTime(header: Buffer, mtime: number): Buffer {
  header.write(`${Math.min(Math.max(mtime, 0), 0o77777777777).toString(8).padStart(11, '0')}\0`, MTIME[0], 'latin1');
  header.fill(' ', ...CHECKSUM);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM[0], 'latin1');
  return header;
}

/** @returns the size that the records of a pax header say: lines of `LENGTH KEY=VALUE` */
function sizeIn(records: Buffer): number | undefined {
  let found: number | undefined;
  for (let at = 0; at < records.length && records[at] !== 0;) {
    const space = records.indexOf(' ', at);
    const length = Number(records.toString('latin1', at, space));
    if (space === -1 || !Number.isSafeInteger(length) || length <= space - at || at + length > records.length)
      throw new HuskError('git wrote a tar with a broken header', { kind: 'corrupt' });
    const [, digits] = /^size=(\d{1,15})\n$/.exec(records.toString('latin1', space + 1, at + length)) ?? [];
    if (digits !== undefined) found = Number(digits);
    at += length;
  }
  return found;
}

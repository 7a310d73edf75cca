/**
 * husk's own format of the driver `local`, version 1: compact, exact to the byte, quick to write. All lines of one
 * stream that came together are one record, so a line costs nothing but itself.
 *
 *   file    "HUSKLOG" 0x01, then records
 *   record  u32 length of what lies between the two lengths (11 to MAX_RECORD)
 *           u8  0 stdout, 1 stderr
 *           u64 ns since the epoch
 *           u16 bytes of attributes, and they: JSON, one object of strings (0: there are none)
 *           the text: whole lines with their \n, or a part of one long line
 *           u32 the same length again: files are read from their end too
 *
 * Numbers are little-endian. A record is whole when both lengths agree; a torn last one is cut off by the next writer
 * and never shown by a reader.
 */
import { readSync } from 'node:fs';
import { HuskError } from '../errors.ts';
import { rfc3339 } from '../state/time.ts';
import type { Batch, LogDecoder, LogFormat } from './format.ts';
import { MAX_ENTRY, NEWLINE, type Piece } from './pieces.ts';
import type { LogEntry, Stream } from './sink.ts';

const MAGIC = Buffer.from('HUSKLOG\x01', 'latin1');
const LENGTH = 4;
/** bytes of stream, time and the attributes' length */
const FIXED = 11;
/** bytes of text in one record, unless a single line is longer */
const MAX_TEXT = 64 * 1024;
/** limit of bytes of attributes, whose length is a u16; attributes.ts has the lower limit that applies */
const MAX_ATTRIBUTES = 0xffff;
const MAX_RECORD = FIXED + MAX_ATTRIBUTES + MAX_TEXT + MAX_ENTRY + 1;
const STREAMS: readonly Stream[] = ['stdout', 'stderr'];
/** bytes read at once when a file is searched */
const BLOCK = 256 * 1024;

export class LocalFormat implements LogFormat {
  readonly header = MAGIC;
  readonly #attributes: Buffer;
  readonly #most: number;

  /** @param maxSize bytes of a file; no record should be larger */
  constructor(attributes: Record<string, string> = {}, maxSize: number = Number.POSITIVE_INFINITY) {
    const sorted = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
    this.#attributes = Buffer.from(sorted.length === 0 ? '' : JSON.stringify(Object.fromEntries(sorted)));
    this.#most = Math.max(1, Math.min(MAX_TEXT, maxSize - MAGIC.length - 2 * LENGTH - FIXED - this.#attributes.length));
  }

  encode({ bytes, whole }: Piece, stream: Stream, batch: Batch): void {
    if (!whole) return this.#record(bytes, stream, batch);
    for (let rest = bytes; rest.length > 0;) {
      // A record takes as many lines as fit, and at least one.
      const end =
        rest.length <= this.#most
          ? rest.length
          : rest.lastIndexOf(NEWLINE, this.#most - 1) + 1 || rest.indexOf(NEWLINE) + 1;
      this.#record(rest.subarray(0, end), stream, batch);
      rest = rest.subarray(end);
    }
  }

  #record(text: Buffer, stream: Stream, batch: Batch): void {
    const attributes = this.#attributes;
    const length = FIXED + attributes.length + text.length;
    batch.reserve(length + 2 * LENGTH);
    const { buffer } = batch;
    let at = batch.length;
    at = buffer.writeUInt32LE(length, at);
    at = buffer.writeUInt8(STREAMS.indexOf(stream), at);
    at = buffer.writeBigUInt64LE(batch.time, at);
    at = buffer.writeUInt16LE(attributes.length, at);
    buffer.set(attributes, at);
    buffer.set(text, at + attributes.length);
    batch.length = buffer.writeUInt32LE(length, at + attributes.length + text.length);
  }

  divide(bytes: Buffer, room: number): number {
    let end = 0;
    while (end < bytes.length) {
      const next = end + bytes.readUInt32LE(end) + 2 * LENGTH;
      if (next > room) break;
      end = next;
    }
    return end;
  }

  /**
   * Checks the chain of records from the first on: text may look like a record, and only the chain from the start
   * cannot be forged.
   */
  wholeLength(file: number, size: number): number {
    let whole = 0;
    try {
      const decoder = new LocalDecoder(true);
      for (let at = 0; at < size;) {
        const block = Buffer.allocUnsafe(BLOCK);
        const count = readSync(file, block, 0, Math.min(BLOCK, size - at), at);
        if (count === 0) break;
        at += count;
        decoder.skip(block.subarray(0, count));
        whole = at - decoder.pending;
      }
    } catch {
      // The records before the damage stay.
    }
    return whole;
  }

  tail(file: number, size: number, count: number): { offset: number; lines: number } {
    if (count <= 0) return { offset: size, lines: 0 };
    const end = this.wholeLength(file, size);
    let lines = 0;
    for (let at = end; at > MAGIC.length;) {
      const length = readExactly(file, LENGTH, at - LENGTH).readUInt32LE(0);
      const start = at - length - 2 * LENGTH;
      if (start < MAGIC.length) throw damaged();
      lines += lineCount(recordText(readExactly(file, length, start + LENGTH)));
      at = start;
      if (lines >= count) return { offset: start, lines };
    }
    return { offset: 0, lines };
  }

  decoder(fromStart: boolean): LogDecoder {
    return new LocalDecoder(fromStart);
  }
}

class LocalDecoder implements LogDecoder {
  #held: Buffer = Buffer.alloc(0);
  #expectMagic: boolean;

  constructor(fromStart: boolean) {
    this.#expectMagic = fromStart;
  }

  get pending(): number {
    return this.#held.length;
  }

  *push(block: Buffer): Generator<LogEntry> {
    for (const record of this.#records(block)) yield* entries(record);
  }

  /** Checks the records without making entries of them. */
  skip(block: Buffer): void {
    for (const _ of this.#records(block));
  }

  *#records(block: Buffer): Generator<Buffer> {
    let rest = this.#held.length === 0 ? block : Buffer.concat([this.#held, block]);
    this.#held = rest;
    if (this.#expectMagic) {
      if (rest.length < MAGIC.length) return;
      if (!rest.subarray(0, MAGIC.length).equals(MAGIC))
        throw new HuskError(
          rest.subarray(0, MAGIC.length - 1).equals(MAGIC.subarray(0, -1))
            ? `the log has format version ${rest[MAGIC.length - 1]}, this husk reads ${MAGIC.at(-1)}`
            : 'the log has no HUSKLOG header',
          { kind: 'corrupt' },
        );
      this.#expectMagic = false;
      rest = rest.subarray(MAGIC.length);
    }
    for (;;) {
      this.#held = rest;
      if (rest.length < LENGTH) return;
      const length = rest.readUInt32LE(0);
      if (length < FIXED || length > MAX_RECORD) throw damaged();
      if (rest.length < length + 2 * LENGTH) return;
      const record = rest.subarray(LENGTH, LENGTH + length);
      if (
        rest.readUInt32LE(LENGTH + length) !== length ||
        record[0]! >= STREAMS.length ||
        FIXED + record.readUInt16LE(FIXED - 2) > length
      )
        throw damaged();
      rest = rest.subarray(length + 2 * LENGTH);
      yield record;
    }
  }
}

function* entries(record: Buffer): Generator<LogEntry> {
  const stream = STREAMS[record[0]!]!;
  const time = rfc3339(record.readBigUInt64LE(1));
  const attributes = recordAttributes(record);
  const text = recordText(record);
  for (let start = 0; start < text.length;) {
    const end = text.indexOf(NEWLINE, start) + 1 || text.length;
    const bytes = text.subarray(start, end);
    start = end;
    const line = bytes.toString('utf8');
    yield { time, stream, text: line, ...(line.includes('\ufffd') && { bytes }), ...attributes };
  }
}

function recordText(record: Buffer): Buffer {
  return record.subarray(FIXED + record.readUInt16LE(FIXED - 2));
}

function recordAttributes(record: Buffer): { attributes?: Record<string, string> } {
  const length = record.readUInt16LE(FIXED - 2);
  if (length === 0) return {};
  try {
    return { attributes: JSON.parse(record.toString('utf8', FIXED, FIXED + length)) as Record<string, string> };
  } catch {
    return {};
  }
}

function lineCount(text: Buffer): number {
  let lines = 0;
  for (let at = text.indexOf(NEWLINE); at !== -1; at = text.indexOf(NEWLINE, at + 1)) lines++;
  return lines + (text.length > 0 && text[text.length - 1] !== NEWLINE ? 1 : 0);
}

function readExactly(file: number, length: number, at: number): Buffer {
  const bytes = Buffer.alloc(length);
  if (readSync(file, bytes, 0, length, at) !== length) throw damaged();
  return bytes;
}

function damaged(): HuskError {
  return new HuskError('the log is damaged: a record contradicts itself', { kind: 'corrupt' });
}

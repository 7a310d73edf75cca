/**
 * Docker's json-file format: one object per line, `{"log":…,"stream":…,"attrs":…,"time":…}` (moby
 * daemon/logger/jsonfilelog/jsonlog). Bytes that are not UTF-8 are replaced, as in Docker. The encoder makes one pass
 * over the bytes with a table; a line costs one copy of what stands between two texts, and makes no string.
 */
import { isUtf8 } from 'node:buffer';
import { readSync } from 'node:fs';
import { rfc3339 } from '../state/time.ts';
import type { Batch, LogDecoder, LogFormat } from './format.ts';
import { MAX_ENTRY, NEWLINE, type Piece } from './pieces.ts';
import type { LogEntry, Stream } from './sink.ts';

/** how a byte is written inside a JSON string, RFC 8259 § 7 */
const PLAIN = 0;
const CONTROL = 1;
const QUOTED = 2;
const LINE_END = 3;
const KINDS = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === NEWLINE ? LINE_END : byte === 0x22 || byte === 0x5c ? QUOTED : byte < 0x20 ? CONTROL : PLAIN,
);
const BACKSLASH = 0x5c;
const HEX = Buffer.from('0123456789abcdef');
/** bytes of `\u00XX`, the longest form of a byte */
const LONGEST = 6;
/** bytes that are checked at once */
const WORD = 4;

const HEAD = Buffer.from('{"log":"');
/** bytes read at once when a file is searched backwards */
const BLOCK = 64 * 1024;
/**
 * limit of bytes of a line; readers skip a longer one. An entry has MAX_ENTRY bytes of text, six times that when all of
 * it is escaped, and attributes.
 */
const MAX_LINE = 256 * 1024;

export class JsonFormat implements LogFormat {
  readonly header = Buffer.alloc(0);
  readonly #attributes: string;
  #stamped: { time: bigint; stdout: Buffer; stderr: Buffer } | undefined;

  /** @param attributes labels, env and tag, which every entry gets */
  constructor(attributes: Record<string, string> = {}) {
    const sorted = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
    this.#attributes = sorted.length === 0 ? '' : `"attrs":${JSON.stringify(Object.fromEntries(sorted))},`;
  }

  encode({ bytes, whole }: Piece, stream: Stream, batch: Batch): void {
    const text = isUtf8(bytes) ? bytes : Buffer.from(bytes.toString('utf8'));
    const foot = this.#foot(stream, batch.time);
    const most = HEAD.length + LONGEST * text.length + foot.length;
    if (whole) return encodeLines(text, foot, batch);
    batch.reserve(most);
    const at = append(HEAD, batch.buffer, batch.length);
    // The foot of a whole line begins with `\n`, which a part of a line does not have.
    batch.length = append(foot.subarray(2), batch.buffer, escape(text, 0, text.length, batch.buffer, at));
  }

  /**
   * @returns what follows a line's text up to the end of its entry: `\n","stream":"stdout","time":"…"}` and a newline
   */
  #foot(stream: Stream, time: bigint): Buffer {
    if (this.#stamped?.time !== time) {
      const text = rfc3339(time);
      const foot = (name: Stream) => Buffer.from(`\\n","stream":"${name}",${this.#attributes}"time":"${text}"}\n`);
      this.#stamped = { time, stdout: foot('stdout'), stderr: foot('stderr') };
    }
    return this.#stamped[stream];
  }

  divide(bytes: Buffer, room: number): number {
    if (bytes.length <= room) return bytes.length;
    return room <= 0 ? 0 : bytes.lastIndexOf(NEWLINE, room - 1) + 1;
  }

  /** Finds the last newline, because an entry that was cut off by a kill has none. */
  wholeLength(file: number, size: number): number {
    const block = Buffer.allocUnsafe(BLOCK);
    for (let end = size; end > 0;) {
      const start = Math.max(0, end - BLOCK);
      const length = readSync(file, block, 0, end - start, start);
      const newline = block.subarray(0, length).lastIndexOf(NEWLINE);
      if (newline !== -1) return start + newline + 1;
      end = start;
    }
    return 0;
  }

  tail(file: number, size: number, count: number): { offset: number; lines: number } {
    if (count <= 0) return { offset: size, lines: 0 };
    const block = Buffer.allocUnsafe(BLOCK);
    let lines = 0;
    for (let end = size; end > 0;) {
      const start = Math.max(0, end - BLOCK);
      const length = readSync(file, block, 0, end - start, start);
      const view = block.subarray(0, length);
      for (let at = view.lastIndexOf(NEWLINE); at !== -1; at = at === 0 ? -1 : view.lastIndexOf(NEWLINE, at - 1)) {
        if (start + at === size - 1) continue;
        if (++lines === count) return { offset: start + at + 1, lines };
      }
      end = start;
    }
    return { offset: 0, lines: size === 0 ? 0 : lines + 1 };
  }

  decoder(): LogDecoder {
    return new JsonDecoder();
  }
}

/**
 * Makes an entry of each line of a run. A line is at most MAX_ENTRY and its newline, so room is reserved line by line.
 * Four bytes are checked and copied at once as long as none of them is a newline or needs escaping: DataView's accesses
 * are single instructions at any alignment.
 */
function encodeLines(text: Buffer, foot: Buffer, batch: Batch): void {
  // The replacement of a byte that is not UTF-8 has three bytes, all plain, which is less than LONGEST too.
  const most = HEAD.length + LONGEST * (MAX_ENTRY + 1) + foot.length;
  // the end of one entry and the beginning of the next
  const seam = Buffer.concat([foot, HEAD]);
  const source = new DataView(text.buffer, text.byteOffset, text.length);
  const lastWord = text.length - WORD;
  let from = 0;
  while (from < text.length) {
    batch.reserve(most);
    const { buffer } = batch;
    const target = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    // The limit is compared before a line's foot is written, so it leaves room for that too.
    const limit = buffer.length - most - foot.length;
    let at = append(HEAD, buffer, batch.length);
    // The inner loop takes as many lines as certainly fit; the speed of the log is the speed of this loop.
    for (;;) {
      while (from <= lastWord) {
        const word = source.getInt32(from, true);
        if (isSpecial(word)) break;
        target.setInt32(at, word, true);
        from += WORD;
        at += WORD;
      }
      // Single bytes are handled up to and including the special one, or to the end of the text.
      let kind = PLAIN;
      while (kind === PLAIN) {
        const byte = text[from++]!;
        kind = KINDS[byte]!;
        if (kind === PLAIN) buffer[at++] = byte;
        else if (kind !== LINE_END) at = escapeByte(byte, kind, buffer, at);
      }
      if (kind !== LINE_END) continue;
      if (from === text.length || at > limit) break;
      at = append(seam, buffer, at);
    }
    batch.length = append(foot, buffer, at);
  }
}

/**
 * @returns whether one of the four bytes is below 0x20, a quote or a backslash. A byte next to such a one may be
 * reported too, which costs only speed.
 */
function isSpecial(word: number): boolean {
  const quote = word ^ 0x22222222;
  const backslash = word ^ 0x5c5c5c5c;
  return (
    ((((word - 0x20202020) & ~word) | ((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash)) &
      0x80808080) !==
    0
  );
}

function escape(text: Buffer, from: number, to: number, target: Buffer, at: number): number {
  for (let index = from; index < to; index++) {
    const byte = text[index]!;
    const kind = KINDS[byte]!;
    if (kind === PLAIN) target[at++] = byte;
    else at = escapeByte(byte, kind, target, at);
  }
  return at;
}

function escapeByte(byte: number, kind: number, target: Buffer, at: number): number {
  target[at++] = BACKSLASH;
  if (kind === QUOTED) {
    target[at++] = byte;
    return at;
  }
  target[at++] = 0x75;
  target[at++] = HEX[0]!;
  target[at++] = HEX[0]!;
  target[at++] = HEX[byte >> 4]!;
  target[at++] = HEX[byte & 0xf]!;
  return at;
}

function append(bytes: Buffer, target: Buffer, at: number): number {
  target.set(bytes, at);
  return at + bytes.length;
}

class JsonDecoder implements LogDecoder {
  #held: Buffer[] = [];
  #heldBytes = 0;

  get pending(): number {
    return this.#heldBytes;
  }

  *push(block: Buffer): Generator<LogEntry> {
    let rest = block;
    for (let newline = rest.indexOf(NEWLINE); newline !== -1; newline = rest.indexOf(NEWLINE)) {
      const line =
        this.#heldBytes + newline > MAX_LINE
          ? undefined
          : this.#held.length === 0
            ? rest.subarray(0, newline)
            : Buffer.concat([...this.#held, rest.subarray(0, newline)]);
      rest = rest.subarray(newline + 1);
      this.#held = [];
      this.#heldBytes = 0;
      const entry = line && parseEntry(line);
      if (entry) yield entry;
    }
    this.#heldBytes += rest.length;
    // Only the length is kept of a line that will be skipped.
    if (this.#heldBytes > MAX_LINE) this.#held = [];
    else this.#held.push(rest);
  }
}

/** @returns undefined for a line that is no entry */
export function parseEntry(line: Buffer): LogEntry | undefined {
  let value: { log?: unknown; stream?: unknown; time?: unknown; attrs?: unknown };
  try {
    value = JSON.parse(line.toString('utf8')) as typeof value;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || typeof value.log !== 'string' || typeof value.time !== 'string')
    return undefined;
  const attributes =
    typeof value.attrs === 'object' && value.attrs !== null
      ? { attributes: value.attrs as Record<string, string> }
      : {};
  return { text: value.log, time: value.time, stream: value.stream === 'stderr' ? 'stderr' : 'stdout', ...attributes };
}

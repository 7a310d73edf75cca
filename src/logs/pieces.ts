/**
 * Cuts a stream of bytes into pieces for a log: runs of whole lines, as long as they come, and pieces of lines that are
 * longer than an entry may be, as Docker splits them. Work is done for each chunk, not for each line. Holds back at
 * most MAX_ENTRY bytes.
 */

/** bytes of one entry's text, its \n not counted; moby daemon/logger/copier.go: defaultBufSize */
export const MAX_ENTRY = 16 * 1024;

export const NEWLINE = 0x0a;

export interface Piece {
  bytes: Buffer;
  /** one or more lines, each with its \n; else a part of one line */
  whole: boolean;
}

export class PieceCutter {
  #held: Buffer = Buffer.alloc(0);

  /** Pieces share memory with the chunk. */
  *push(chunk: Buffer): Generator<Piece> {
    let rest = chunk;
    if (this.#held.length > 0) {
      const newline = chunk.indexOf(NEWLINE);
      // the line that was begun, by itself: joining it to all of a chunk would copy the chunk
      const joined = newline !== -1 && this.#held.length + newline <= MAX_ENTRY ? newline + 1 : chunk.length;
      rest = Buffer.concat([this.#held, chunk.subarray(0, joined)]);
      if (joined < chunk.length) {
        yield { bytes: rest, whole: true };
        rest = chunk.subarray(joined);
      }
    }
    while (rest.length > 0) {
      const lines = wholeLines(rest);
      if (lines > 0) {
        yield { bytes: rest.subarray(0, lines), whole: true };
        rest = rest.subarray(lines);
      } else if (rest.length > MAX_ENTRY) {
        const cut = wholeCharacters(rest, MAX_ENTRY);
        yield { bytes: rest.subarray(0, cut), whole: false };
        rest = rest.subarray(cut);
      } else break;
    }
    // a copy: the rest of a large chunk must not be kept alive by a few bytes
    this.#held = Buffer.from(rest);
  }

  /** The stream has ended: an unfinished line. */
  *end(): Generator<Piece> {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    if (rest.length > 0) yield { bytes: rest, whole: false };
  }
}

/**
 * How many bytes from the start are lines of at most MAX_ENTRY: found by the last newline in each window of that size.
 */
function wholeLines(bytes: Buffer): number {
  let end = 0;
  while (end < bytes.length) {
    const newline = bytes.lastIndexOf(NEWLINE, end + MAX_ENTRY);
    if (newline < end) break;
    end = newline + 1;
  }
  return end;
}

/**
 * The last position at or before `end` that does not cut a UTF-8 sequence; `end` itself when the bytes are not UTF-8.
 */
function wholeCharacters(bytes: Buffer, end: number): number {
  for (let position = end; position > end - 4; position--) if ((bytes[position]! & 0xc0) !== 0x80) return position;
  return end;
}

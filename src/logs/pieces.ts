/**
 * Cuts a stream of bytes into pieces for a log: runs of whole lines, as long as they come, and pieces of lines that are
 * longer than an entry may be, as Docker splits them. The work is done per chunk, not per line. The cutter holds back
 * at most MAX_ENTRY bytes.
 */

/** limit of bytes of one entry's text without its \n; defaultBufSize of moby daemon/logger/copier.go */
export const MAX_ENTRY = 16 * 1024;

export const NEWLINE = 0x0a;

export interface Piece {
  bytes: Buffer;
  /** whether `bytes` are one or more lines, each with its \n; else they are a part of one line */
  whole: boolean;
}

export class PieceCutter {
  #held: Buffer = Buffer.alloc(0);

  /** Yields the pieces that are complete; they share memory with the chunk. */
  *push(chunk: Buffer): Generator<Piece> {
    let rest = chunk;
    if (this.#held.length > 0) {
      const newline = chunk.indexOf(NEWLINE);
      // The line that was begun is joined with its end alone: joining it with the whole chunk would copy the chunk.
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
    // The rest is copied, because a few bytes must not keep a large chunk alive.
    this.#held = Buffer.from(rest);
  }

  /** Yields the unfinished line, if there is one, at the end of the stream. */
  *end(): Generator<Piece> {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    if (rest.length > 0) yield { bytes: rest, whole: false };
  }
}

/**
 * @returns bytes from the start that are lines of at most MAX_ENTRY; the last newline in each window of that size shows
 * it
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
 * @returns the last position at or before `end` that does not cut a UTF-8 sequence; `end` itself when the bytes are not
 * UTF-8
 */
function wholeCharacters(bytes: Buffer, end: number): number {
  for (let position = end; position > end - 4; position--) if ((bytes[position]! & 0xc0) !== 0x80) return position;
  return end;
}

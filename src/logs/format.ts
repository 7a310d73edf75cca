/**
 * How a log file's bytes are made and read, which json-file and local have in common: the types, and the buffer into
 * which both encode.
 */
import type { LogEntry, Stream } from './sink.ts';
import type { Piece } from './pieces.ts';

export interface LogFormat {
  /** the first bytes of every file */
  readonly header: Buffer;
  /** Appends the entries of a piece to the batch, with the batch's time. */
  encode(piece: Piece, stream: Stream, batch: Batch): void;
  /**
   * @param bytes whole entries
   * @returns how many of the bytes go into a file that has `room` left: whole entries, none when not even one fits
   */
  divide(bytes: Buffer, room: number): number;
  /** @returns bytes of a file that are whole entries: all of it, unless its writer was killed */
  wholeLength(file: number, size: number): number;
  /**
   * @returns where the last `count` lines begin, or a place somewhat before that; then there are more `lines` from
   * there on
   */
  tail(file: number, size: number, count: number): { offset: number; lines: number };
  /** @param fromStart whether the first byte that is pushed is the file's first; else it is an entry's */
  decoder(fromStart: boolean): LogDecoder;
}

/** Makes entries of a file's bytes, which may be cut anywhere. */
export interface LogDecoder {
  /** @throws HuskError `corrupt`, where the format can detect it */
  push(block: Buffer): Generator<LogEntry>;
  /** bytes that have been pushed behind the last whole entry */
  readonly pending: number;
}

/** bytes that are written at once: several times the longest encoded line */
const BATCH = 512 * 1024;

/**
 * Encoded entries on their way to the file. One buffer serves for as long as the log is open, so that output makes no
 * garbage. It grows only for an entry with huge attributes.
 */
export class Batch {
  buffer = Buffer.allocUnsafeSlow(0);
  length = 0;
  /** time of every entry in the batch, ns since the epoch */
  #time: bigint | undefined;
  readonly #now: () => bigint;
  readonly #flush: (bytes: Buffer) => void;

  constructor(options: { now: () => bigint; flush: (bytes: Buffer) => void }) {
    this.#now = options.now;
    this.#flush = options.flush;
  }

  /**
   * @returns when the entries that are added now came; all of one batch share it, so that the clock is not read for
   * each
   */
  get time(): bigint {
    return (this.#time ??= this.#now());
  }

  /** Makes room for `bytes` more, for which it may write everything that is in the batch. */
  reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    this.#write();
    if (bytes > this.buffer.length) this.buffer = Buffer.allocUnsafeSlow(Math.max(bytes, BATCH));
  }

  flush(): void {
    this.#write();
    this.#time = undefined;
  }

  #write(): void {
    if (this.length === 0) return;
    const { length } = this;
    this.length = 0;
    this.#flush(this.buffer.subarray(0, length));
  }
}

/**
 * How a log file's bytes are made and read: what json-file and local have in common. Types, and the buffer both encode
 * into.
 */
import type { LogEntry, Stream } from './sink.ts';
import type { Piece } from './pieces.ts';

export interface LogFormat {
  /** the first bytes of every file */
  readonly header: Buffer;
  /** Appends the entries of a piece to the batch, with its `stamp`. */
  encode(piece: Piece, stream: Stream, batch: Batch): void;
  /**
   * @returns how many of these bytes, which are whole entries, go into a file that has `room` left: whole entries, none
   * when not even one fits
   */
  divide(bytes: Buffer, room: number): number;
  /** how much of a file is whole entries: all of it, unless who wrote it was killed */
  wholeLength(file: number, size: number): number;
  /** @returns where the last `count` lines begin, or somewhat before: then there are more `lines` from there on */
  tail(file: number, size: number, count: number): { offset: number; lines: number };
  /** @param fromStart the first byte pushed is the file's first; else an entry's */
  decoder(fromStart: boolean): LogDecoder;
}

/** Bytes of a file in any cut become entries. */
export interface LogDecoder {
  /** @throws HuskError `corrupt`, where the format can tell */
  push(block: Buffer): Generator<LogEntry>;
  /** bytes behind the last whole entry */
  readonly pending: number;
}

/** bytes that are written at once: several times what the longest line can become */
const BATCH = 512 * 1024;

/**
 * Encoded entries on their way to the file: one buffer for as long as the log is open, so that output makes no garbage.
 * It grows for an entry with huge attributes and for nothing else.
 */
export class Batch {
  buffer = Buffer.allocUnsafeSlow(0);
  length = 0;
  /** ns since the epoch: of everything that is in here */
  #time: bigint | undefined;
  readonly #now: () => bigint;
  readonly #flush: (bytes: Buffer) => void;

  constructor(options: { now: () => bigint; flush: (bytes: Buffer) => void }) {
    this.#now = options.now;
    this.#flush = options.flush;
  }

  /** When what is added now came: entries of one batch share it, the clock is not asked for each. */
  get time(): bigint {
    return (this.#time ??= this.#now());
  }

  /** Makes room for `bytes` more; everything before them may be written by that. */
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

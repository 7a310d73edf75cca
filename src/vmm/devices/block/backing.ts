/**
 * A Backing is what a block device's sectors are made of: byte ranges of files, one after another. A root disk is EROFS
 * metadata followed by layer tars; a writable layer is one file. Reads and writes go by preadv/pwritev between the
 * files and guest memory.
 */
import { closeSync, fdatasync, fstatSync, openSync } from 'node:fs';
import { HuskError } from '../../../errors.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  fallocate,
  IoVector,
} from '../../../host/files/vectored-io.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { Span } from '../virtio/chain.ts';
import { SECTOR } from './config.ts';
import { WrittenChunks } from './written-chunks.ts';

/** A range of a file in bytes, as Rootfs of src/sandbox.ts gives it. */
export interface Part {
  path: string;
  offset: number;
  length: number;
}

interface OpenPart {
  fd: number;
  /** bytes from the start of the disk */
  start: number;
  /** bytes from the start of the file */
  offset: number;
  length: number;
}

export class Backing implements Disposable {
  /** bytes, rounded up to whole sectors; the disk reads as zeroes behind its last part */
  readonly size: number;
  readonly readOnly: boolean;
  readonly #parts: OpenPart[] = [];
  readonly #files = new Map<string, number>();
  readonly #vector = new IoVector();
  #written: WrittenChunks | undefined;

  /** @throws HuskError naming the part that cannot be opened */
  constructor(parts: Part[], options: { readOnly: boolean }) {
    this.readOnly = options.readOnly;
    let start = 0;
    try {
      for (const part of parts) {
        if (!(part.length >= 0) || !(part.offset >= 0) || !Number.isSafeInteger(start + part.length))
          throw new HuskError(`cannot attach ${part.path}: bad range ${part.offset}+${part.length}`, {
            kind: 'internal',
          });
        if (part.length === 0) continue;
        this.#parts.push({ fd: this.#open(part.path), start, offset: part.offset, length: part.length });
        start += part.length;
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    this.size = Math.ceil(start / SECTOR) * SECTOR;
  }

  /** Makes a disk that is one whole file. */
  static file(path: string, options: { readOnly: boolean }): Backing {
    const fd = open(path, 'r');
    try {
      return new Backing([{ path, offset: 0, length: fstatSync(fd).size }], options);
    } finally {
      closeSync(fd);
    }
  }

  #open(path: string): number {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const fd = open(path, this.readOnly ? 'r' : 'r+');
    this.#files.set(path, fd);
    return fd;
  }

  /** Yields the parts under [position, position + length); a binary search finds the first. */
  *#under(position: number, length: number): Generator<{ part: OpenPart; from: number; length: number }> {
    let lowest = 0;
    for (let highest = this.#parts.length; lowest < highest;) {
      const middle = (lowest + highest) >>> 1;
      const part = this.#parts[middle]!;
      if (part.start + part.length <= position) lowest = middle + 1;
      else highest = middle;
    }
    let at = position;
    const end = position + length;
    for (let i = lowest; i < this.#parts.length && at < end; i++) {
      const part = this.#parts[i]!;
      const take = Math.min(end, part.start + part.length) - at;
      yield { part, from: at - part.start + part.offset, length: take };
      at += take;
    }
  }

  /**
   * Fills guest memory from the disk. The caller has checked the range against `size` and the spans against RAM.
   * @throws SyscallError
   */
  read(memory: GuestMemory, spans: Span[], position: number, length: number): void {
    this.#transfer(memory, spans, position, length, (vector, fd, at) => vector.readFrom(fd, at));
  }

  /** Writes guest memory to the disk. @throws SyscallError */
  write(memory: GuestMemory, spans: Span[], position: number, length: number): void {
    this.#written?.add(position, length);
    this.#transfer(memory, spans, position, length, (vector, fd, at) => vector.writeTo(fd, at));
  }

  #transfer(
    memory: GuestMemory,
    spans: Span[],
    position: number,
    length: number,
    move: (vector: IoVector, fd: number, at: number) => number,
  ): void {
    const cursor = new SpanCursor(spans);
    for (const { part, from, length: partLength } of this.#under(position, length)) {
      for (let done = 0; done < partLength;) {
        this.#vector.clear();
        const mark = cursor.mark();
        cursor.fill(memory, this.#vector, partLength - done);
        const moved = move(this.#vector, part.fd, from + done);
        if (moved === 0) {
          // The file is shorter than its part says: the rest reads as zeroes, like the end of a sparse file.
          cursor.rewind(mark, 0);
          cursor.zero(memory, partLength - done);
          break;
        }
        if (moved < this.#vector.length) cursor.rewind(mark, moved);
        done += moved;
      }
    }
    // The padding behind the last part, up to a whole sector, reads as zeroes.
    cursor.zero(memory, Infinity);
  }

  /** Makes a range read as zeroes, and gives its space back when `unmap`. @throws SyscallError */
  zero(position: number, length: number, options: { unmap: boolean }): void {
    this.#written?.add(position, length);
    for (const { part, from, length: partLength } of this.#under(position, length)) {
      const mode = options.unmap
        ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
      fallocate(part.fd, mode, from, partLength);
    }
  }

  /** Notes what is written from now on, also by requests that fail; only the last who asks is told. */
  noteWrites(): WrittenChunks & Disposable {
    const written = new WrittenChunks(this.size);
    this.#written = written;
    return Object.assign(written, {
      [Symbol.dispose]: () => {
        if (this.#written === written) this.#written = undefined;
      },
    });
  }

  /** Syncs every file by fdatasync on libuv's pool. */
  async flush(): Promise<void> {
    await Promise.all(
      [...this.#files.values()].map(
        (fd) =>
          new Promise<void>((resolve, reject) =>
            fdatasync(fd, (error) => (error === null ? resolve() : reject(error))),
          ),
      ),
    );
  }

  [Symbol.dispose](): void {
    for (const fd of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }
}

/** Walks over spans of guest memory. */
class SpanCursor {
  readonly #spans: Span[];
  #span = 0;
  #within = 0;

  constructor(spans: Span[]) {
    this.#spans = spans;
  }

  mark(): [number, number] {
    return [this.#span, this.#within];
  }

  /** Goes back to a mark, then forward by `length` bytes. */
  rewind([span, within]: [number, number], length: number): void {
    this.#span = span;
    this.#within = within;
    this.#take(length, () => true);
  }

  /** Puts the host's addresses of up to `length` bytes into the vector. */
  fill(memory: GuestMemory, vector: IoVector, length: number): void {
    this.#take(length, (address, size) => vector.add(memory.hostAddress(address, size), size));
  }

  zero(memory: GuestMemory, length: number): void {
    this.#take(length, (address, size) => {
      memory.live(address, size).fill(0);
      return true;
    });
  }

  #take(length: number, visit: (address: number, length: number) => boolean): void {
    for (let left = length; left > 0 && this.#span < this.#spans.length;) {
      const span = this.#spans[this.#span]!;
      const size = Math.min(left, span.length - this.#within);
      if (!visit(span.address + this.#within, size)) return;
      left -= size;
      this.#within += size;
      if (this.#within === span.length) {
        this.#span++;
        this.#within = 0;
      }
    }
  }
}

function open(path: string, flags: string): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw new HuskError(`cannot attach the disk ${path}: ${(error as NodeJS.ErrnoException).code}`, {
      kind: 'not-found',
      cause: error,
    });
  }
}

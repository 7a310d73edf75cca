/**
 * Guest RAM in a file that is as long as the RAM, with holes where the RAM is zero. A restored machine maps the file
 * copy-on-write, so the file must never change.
 *
 * Most of it can be written while the machine runs: `begin` writes what is there, and `finish`, for which the machine
 * must stand still, compares the file with the RAM and writes what has changed since. Comparing takes a fraction of
 * writing, and needs nothing of KVM that a monitor which was taken over could use.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { Mapping } from '../../host/memory/mapping.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

/** bytes that are compared and written at once; a smaller hole would save too little */
const PIECE = 64 * 1024;
const ZEROES = Buffer.alloc(PIECE);
/** bytes that are looked at before the machine's devices have their turn */
const TURN_BYTES = 4 << 20;

const isZero = (piece: Uint8Array): boolean => ZEROES.compare(piece, 0, piece.length, 0, piece.length) === 0;

/** Writes the RAM of a paused machine. `path` must not exist. */
export function writeMemory(memory: GuestMemory, path: string): void {
  using file = new MemoryFile(memory, path);
  for (let number = 0; number < file.pieces; number++) file.write(number);
}

export class MemoryFile implements Disposable {
  readonly #memory: GuestMemory;
  readonly #fd: number;
  /** by the number of the piece: 1 where the file has a hole */
  readonly #holes: Uint8Array;

  /** @param path must not exist */
  constructor(memory: GuestMemory, path: string) {
    this.#memory = memory;
    this.#holes = new Uint8Array(Math.ceil(memory.size / PIECE)).fill(1);
    this.#fd = openSync(path, 'wx+', 0o600);
    try {
      ftruncateSync(this.#fd, memory.size);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  get pieces(): number {
    return this.#holes.length;
  }

  #piece(number: number): Uint8Array {
    return this.#memory.bytes.subarray(number * PIECE, Math.min((number + 1) * PIECE, this.#memory.size));
  }

  /** Writes a piece as it is now, unless it is zero and the file has a hole there. */
  write(number: number): void {
    const piece = this.#piece(number);
    if (this.#holes[number] === 1 && isZero(piece)) return;
    this.#holes[number] = 0;
    for (let done = 0; done < piece.length;)
      done += writeSync(this.#fd, piece, done, piece.length - done, number * PIECE + done);
  }

  /** Writes the RAM of a machine that may run on, whose devices have their turns meanwhile. */
  async begin(): Promise<void> {
    for (let number = 0; number < this.pieces; number++) {
      this.write(number);
      if ((number * PIECE) % TURN_BYTES === 0) await new Promise((turn) => setImmediate(turn));
    }
  }

  /** Makes the file what the RAM of the machine is, which stands still now. @returns pieces that had changed */
  finish(): number {
    using written = Mapping.readable(this.#fd, this.#memory.size);
    const before = Buffer.from(written.buffer);
    let changed = 0;
    for (let number = 0; number < this.pieces; number++) {
      const piece = this.#piece(number);
      const at = number * PIECE;
      // Holes are not looked at: each page of one would be made in the page cache.
      if (
        this.#holes[number] === 1 ? isZero(piece) : before.compare(piece, 0, piece.length, at, at + piece.length) === 0
      )
        continue;
      this.write(number);
      changed++;
    }
    return changed;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

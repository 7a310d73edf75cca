/**
 * Guest RAM in a file that is as long as the RAM, with holes where the RAM is zero. A restored machine maps the file
 * copy-on-write, so the file must never change.
 *
 * Most of it can be written while the machine runs: `begin` writes what is there, and `finish`, for which the machine
 * must stand still, compares the file with the RAM and writes what has changed since. Comparing takes a fraction of
 * writing, and needs nothing of KVM that a monitor which was taken over could use. Memory that nobody has written to
 * since the machine was made is not looked at: it is zeroes, or what the machine was made of.
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
  for (const number of file.there()) file.write(number);
}

async function inTurns(pieces: Iterable<number>, work: (number: number) => void): Promise<void> {
  let looked = 0;
  for (const number of pieces) {
    work(number);
    looked += PIECE;
    if (looked % TURN_BYTES === 0) await new Promise((turn) => setImmediate(turn));
  }
}

export class MemoryFile implements Disposable {
  readonly #memory: GuestMemory;
  readonly #fd: number;
  /** by the number of the piece: 1 where the file has a hole */
  readonly #holes: Uint8Array;
  /** by the number of the piece: 1 where it may have been written to before the file was begun */
  readonly #written: Uint8Array;
  /** of the file, once it is begun */
  #mapping: Mapping | undefined;
  #before = Buffer.alloc(0);

  /** @param path must not exist */
  constructor(memory: GuestMemory, path: string) {
    this.#memory = memory;
    this.#holes = new Uint8Array(Math.ceil(memory.size / PIECE)).fill(1);
    this.#written = memory.writtenPieces(PIECE);
    this.#fd = openSync(path, 'wx+', 0o600);
    try {
      ftruncateSync(this.#fd, memory.size);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** @returns the numbers of the pieces that may be anything but zero */
  *there(): Generator<number> {
    const ofFile = this.#memory.filePieces(PIECE);
    for (const [number, written] of this.#written.entries()) if (written === 1 || ofFile[number] === 1) yield number;
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

  /**
   * Writes the RAM of a machine that may run on, whose devices have their turns meanwhile. It is compared once, too:
   * what `finish` reads is mapped by then, and less has changed.
   */
  async begin(): Promise<void> {
    await inTurns(this.there(), (number) => this.write(number));
    this.#mapping = Mapping.readable(this.#fd, this.#memory.size);
    this.#before = Buffer.from(this.#mapping.buffer);
    await inTurns(this.#changeable(), (number) => this.#update(number));
  }

  /** Makes the file what the RAM of the machine is, which stands still now. @returns pieces that had changed */
  finish(): number {
    let changed = 0;
    for (const number of this.#changeable()) if (this.#update(number)) changed++;
    return changed;
  }

  /** @returns the numbers of the pieces that may differ from what the file was begun with */
  *#changeable(): Generator<number> {
    for (const [number, written] of this.#memory.writtenPieces(PIECE).entries())
      if (written === 1 || this.#written[number] === 1) yield number;
  }

  /** Writes a piece that is another one than the file's. @returns whether it is */
  #update(number: number): boolean {
    const piece = this.#piece(number);
    const at = number * PIECE;
    // A hole is not looked at: each page of one would be made in the page cache.
    const isSame =
      this.#holes[number] === 1
        ? isZero(piece)
        : this.#before.compare(piece, 0, piece.length, at, at + piece.length) === 0;
    if (!isSame) this.write(number);
    return !isSame;
  }

  [Symbol.dispose](): void {
    this.#mapping?.[Symbol.dispose]();
    closeSync(this.#fd);
  }
}

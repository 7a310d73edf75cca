/**
 * Memory for a guest: private, zeroed, not counted against overcommit until touched, and behind a SharedArrayBuffer. V8
 * counts an ArrayBuffer over foreign memory as future garbage, and at a guest's size collects the whole heap at once
 * (50 M instructions of every start); it does not count a SharedArrayBuffer of its own.
 *
 * The buffer owns the addresses: they stay valid as long as any view exists, so a view kept by mistake reads zeroes and
 * never foreign memory. Disposal gives the pages back. The last buffer is kept for the next guest of the same size,
 * because V8, which does not count the buffer, hardly ever collects one.
 *
 * V8 asks the host to commit a buffer of its own, which a host refuses when the buffer is about as large as all of its
 * memory; such a guest gets foreign memory, and a slower start.
 */
import { dataExtents } from '../files/holes.ts';
import { koffi, checked } from '../libc.ts';
import { adviseRam, discardPages, mapFileOver, mapOver, Mapping, PAGE_SIZE } from './mapping.ts';
import { openPageMap, ownPieces } from './page-map.ts';

/** bytes of a huge page: guest memory begins at a multiple of it, so that the kernel can use huge pages */
const ALIGNMENT = 2 << 20;

export class RamMapping implements Disposable {
  readonly address: number;
  /** bytes */
  readonly length: number;
  /** bytes from the start of `buffer` to the memory */
  readonly offset: number;
  readonly #buffer: ArrayBufferLike;
  readonly #foreign: Mapping | undefined;
  /** bytes of it that are mapped from a file, lowest first */
  #ofFile: { offset: number; length: number }[] = [];
  #disposed = false;

  /** @param length bytes, whole pages */
  constructor(length: number) {
    this.length = length;
    openPageMap();
    const own = takeSpare(length) ?? ownBuffer(length);
    if (own === undefined) {
      this.#foreign = Mapping.anonymous(length);
      this.#buffer = this.#foreign.buffer;
      this.address = this.#foreign.address;
      this.offset = 0;
      adviseRam(this.address, length);
      return;
    }
    this.#buffer = own;
    const start = Number(koffi().address(new Uint8Array(this.#buffer)));
    this.address = Math.ceil(start / ALIGNMENT) * ALIGNMENT;
    this.offset = this.address - start;
    // Safety: the pages are whole and inside the buffer, which no other code has a view of; the C library unmaps all of
    // it when V8 frees the buffer.
    checked(mapOver(this.address, length), 'mmap', `${length} bytes of memory`);
    adviseRam(this.address, length);
  }

  get buffer(): ArrayBufferLike {
    return this.#buffer;
  }

  /**
   * Maps the data of a file of the same length copy-on-write: a snapshot's memory, which must not change. Where the
   * file has a hole the memory stays what it was, zeroes that belong to nobody. Mapped, each page of a hole would be
   * made in the host's page cache when the guest first writes to it, and a file in a tmpfs would grow by it.
   * @throws SyscallError
   */
  fill(fd: number): void {
    this.#ofFile = [...piecesOf(dataExtents(fd, this.length), this.length)];
    for (const { offset, length } of this.#ofFile)
      // Safety: the pages are whole and inside the memory, of which the constructor says the rest.
      checked(mapFileOver(this.address + offset, length, fd, offset), 'mmap', `${length} bytes of fd ${fd}`);
    adviseRam(this.address, this.length);
  }

  /**
   * Maps a file that holds what this memory is now, with holes for zeroes, in the memory's place, whose own pages go
   * back to the host. After each step the memory reads as before, so one that fails does no harm.
   * @throws SyscallError
   */
  moveInto(fd: number): void {
    let end = 0;
    const pieces = [...piecesOf(dataExtents(fd, this.length), this.length)];
    // all that has been, or is going to be: what a step that fails leaves is counted as the file's
    this.#ofFile.push(...pieces);
    for (const { offset, length } of pieces) {
      this.#empty(end, offset);
      // Safety: as in fill().
      checked(mapFileOver(this.address + offset, length, fd, offset), 'mmap', `${length} bytes of fd ${fd}`);
      end = offset + length;
    }
    this.#empty(end, this.length);
    this.#ofFile = pieces;
    adviseRam(this.address, this.length);
  }

  /**
   * @param size bytes of a piece, whole pages @returns by the number of the piece: 1 where the memory may differ from
   * what it was at first, which is zeroes or the file's
   */
  writtenPieces(size: number): Uint8Array {
    return ownPieces(this.address, this.length, size);
  }

  /** @param size bytes of a piece, whole pages @returns by the number of the piece: 1 where it may be of a file */
  filePieces(size: number): Uint8Array {
    const pieces = new Uint8Array(Math.ceil(this.length / size));
    for (const { offset, length } of this.#ofFile)
      pieces.fill(1, Math.floor(offset / size), Math.ceil((offset + length) / size));
    return pieces;
  }

  /** Safety: the bounds are whole pages of the memory. */
  #empty(start: number, end: number): void {
    if (end > start) checked(mapOver(this.address + start, end - start), 'mmap', `${end - start} bytes of memory`);
  }

  /**
   * Gives pages back to the host; they read as zeroes, or as the file, next time. The caller checks the offsets against
   * the bounds.
   */
  discard(offset: number, length: number): void {
    discardPages(this.address + offset, length);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#foreign) return this.#foreign[Symbol.dispose]();
    this.discard(0, this.length);
    spare = this.#buffer as SharedArrayBuffer;
  }
}

/** of a file at the most: a process may have 65,530 mappings (vm.max_map_count), and a hole is one as well */
const MOST_PIECES = 16_384;

/**
 * @returns the extents, rounded to whole pages; where there may be too many, those together that have only a small hole
 * between them
 */
function* piecesOf(
  extents: Iterable<{ offset: number; length: number }>,
  size: number,
): Generator<{ offset: number; length: number }> {
  const leastHole = size / MOST_PIECES;
  let [start, end] = [0, 0];
  for (const extent of extents) {
    const first = extent.offset - (extent.offset % PAGE_SIZE);
    if (first - end > leastHole || end === 0) {
      if (end > start) yield { offset: start, length: end - start };
      start = first;
    }
    end = Math.ceil((extent.offset + extent.length) / PAGE_SIZE) * PAGE_SIZE;
  }
  if (end > start) yield { offset: start, length: end - start };
}

let spare: SharedArrayBuffer | undefined;

function ownBuffer(length: number): SharedArrayBuffer | undefined {
  try {
    return new SharedArrayBuffer(length + ALIGNMENT);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function takeSpare(length: number): SharedArrayBuffer | undefined {
  if (spare?.byteLength !== length + ALIGNMENT) return undefined;
  const taken = spare;
  spare = undefined;
  return taken;
}

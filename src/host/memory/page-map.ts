/**
 * Which pages of this process's memory are its own, by what the kernel says of each in /proc/self/pagemap
 * (Documentation/admin-guide/mm/pagemap.rst): private memory that nobody has written to is zeroes, or the file's that
 * it is mapped from.
 */
import { openSync, readSync } from 'node:fs';
import { PAGE_SIZE } from './mapping.ts';

/** bytes of a page's entry, a u64 */
const ENTRY_SIZE = 8;
/** in the upper half of an entry: the page is there, is swapped out, is of a file (or the huge page of zeroes) */
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const OF_FILE = 1 << 29;
/** entries that are read at once: of 32 MiB */
const BATCH = 8192;

let descriptor: number | undefined;

/**
 * Opens what `ownPieces` reads. To be called before this process gives up being dumpable: its folder in /proc is root's
 * from then on. The descriptor stays as long as the process.
 */
export function openPageMap(): void {
  try {
    descriptor ??= openSync('/proc/self/pagemap', 'r');
  } catch {
    // a kernel without it, or a process that is not dumpable any more: every page may be its own
  }
}

/**
 * @param address of private memory, in whole pages @param length bytes @param piece bytes, whole pages
 * @returns by the number of the piece: 1 where one of its pages may be this process's own, also one that is swapped out
 */
export function ownPieces(address: number, length: number, piece: number): Uint8Array {
  const own = new Uint8Array(Math.ceil(length / piece));
  if (descriptor === undefined) return own.fill(1);
  const pages = length / PAGE_SIZE;
  const pagesOfPiece = piece / PAGE_SIZE;
  const first = address / PAGE_SIZE;
  const bytes = Buffer.alloc(Math.min(BATCH, pages) * ENTRY_SIZE);
  const halves = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let page = 0; page < pages;) {
    const wanted = Math.min(BATCH, pages - page) * ENTRY_SIZE;
    const read = Math.floor(readSync(descriptor, bytes, 0, wanted, (first + page) * ENTRY_SIZE) / ENTRY_SIZE);
    if (read === 0) return own.fill(1);
    for (let i = 0; i < read; i++) {
      const entry = halves[2 * i + 1]!;
      if ((entry & SWAPPED) !== 0 || (entry & (PRESENT | OF_FILE)) === PRESENT)
        own[Math.floor((page + i) / pagesOfPiece)] = 1;
    }
    page += read;
  }
  return own;
}

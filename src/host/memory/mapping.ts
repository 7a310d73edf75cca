/**
 * Memory mappings as disposables: mmap(2), madvise(2), munmap(2).
 *
 * Disposing detaches the ArrayBuffer first, so that a view kept by mistake reads as empty instead of touching unmapped
 * memory.
 */
import { checked, koffi } from '../libc.ts';
import { systemCall } from '../system-call.ts';

// Addresses are numbers: user space ends at 2^47, and a BigInt costs more than the call.
const mmap = systemCall<
  (address: number, length: number, protection: number, flags: number, fd: number, offset: number) => number
>('int64_t mmap(int64_t address, size_t length, int protection, int flags, int fd, int64_t offset)');
const munmap = systemCall<(address: number, length: number) => number>('int munmap(int64_t address, size_t length)');
const madvise = systemCall<(address: number, length: number, advice: number) => number>(
  'int madvise(int64_t address, size_t length, int advice)',
);

/** include/uapi/asm-generic/mman-common.h and mman.h */
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
const MADV_DONTDUMP = 16;

export const PAGE_SIZE = 4096;

export class Mapping implements Disposable {
  readonly address: number;
  /** bytes */
  readonly length: number;
  #buffer: ArrayBuffer | undefined;

  private constructor(address: number, length: number) {
    this.address = address;
    this.length = length;
  }

  /** Maps private zeroed memory. */
  static anonymous(length: number): Mapping {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    return Mapping.#map({ length, flags, fd: -1, offset: 0 }, `${length} bytes of memory`);
  }

  /** @param offset bytes, a multiple of the page size */
  static shared(fd: number, length: number, offset = 0): Mapping {
    return Mapping.#map({ length, flags: MAP_SHARED, fd, offset }, `${length} bytes of fd ${fd}`);
  }

  /** The file's begin, for what others write: a write by this process ends it (SIGSEGV). */
  static readable(fd: number, length: number): Mapping {
    const what = `${length} bytes of fd ${fd}`;
    return Mapping.#map({ length, flags: MAP_SHARED, fd, offset: 0, protection: PROT_READ }, what);
  }

  static #map(
    {
      length,
      flags,
      fd,
      offset,
      protection = PROT_READ | PROT_WRITE,
    }: { length: number; flags: number; fd: number; offset: number; protection?: number },
    what: string,
  ): Mapping {
    return new Mapping(checked(mmap(0, length, protection, flags, fd, offset), 'mmap', what), length);
  }

  /** the whole mapping, always as the same object; empty after disposal */
  get buffer(): ArrayBuffer {
    // Safety: the address and length are the mapping's own, and disposal detaches the buffer before the unmapping.
    this.#buffer ??= koffi().view(this.address, this.length);
    return this.#buffer;
  }

  [Symbol.dispose](): void {
    if (this.#buffer !== undefined && this.#buffer.byteLength > 0) this.#buffer.transfer(0);
    checked(munmap(this.address, this.length), 'munmap');
  }
}

/**
 * Maps fresh private memory over addresses that the caller owns, as mmap(2) with MAP_FIXED. The memory does not count
 * against overcommit. @returns a negative number on failure
 */
export const mapOver = (address: number, length: number) =>
  mmap(address, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

/**
 * Maps a file's contents from an offset, whole pages, like `mapOver`; written pages become copies. @returns a negative
 * number on failure
 */
export const mapFileOver = (address: number, length: number, fd: number, offset: number) =>
  mmap(address, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd, offset);

/** Gives anonymous pages back to the host; they read as zeroes next time. @throws SyscallError */
export function discardPages(address: number, length: number): void {
  checked(madvise(address, length, MADV_DONTNEED), 'madvise');
}

/**
 * Asks for huge pages where the host has them, and for no core dump of the range. An older or differently configured
 * kernel refuses, and nothing depends on it.
 */
export function adviseRam(address: number, length: number): void {
  madvise(address, length, MADV_HUGEPAGE);
  madvise(address, length, MADV_DONTDUMP);
}

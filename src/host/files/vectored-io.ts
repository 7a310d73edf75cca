/**
 * preadv(2), pwritev2(2) and fallocate(2) on raw addresses: disk data goes between a file and guest memory with no copy
 * in between. The caller is responsible for every address and length; the VMM gets them from GuestMemory's check.
 */
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const preadv = systemCall<(fd: number, vector: Uint8Array, count: number, position: number, high: number) => number>(
  'int64_t preadv(int fd, const void *vector, int count, int64_t position, int64_t high)',
);
const pwritev2 = systemCall<
  (fd: number, vector: Uint8Array, count: number, position: number, high: number, flags: number) => number
>('int64_t pwritev2(int fd, const void *vector, int count, int64_t position, int64_t high, int flags)');
/** fs/read_write.c pos_from_hilo: the upper half of a position counts only on 32-bit machines */
const NO_HIGH_HALF = 0;
/** pwritev2(2): the data goes to the end of the file as it is at that moment, whatever the position is */
const RWF_APPEND = 0x10;
const c_fallocate = systemCall<(fd: number, mode: number, offset: number, length: number) => number>(
  'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
);

/** include/uapi/linux/uio.h UIO_MAXIOV */
export const IOV_MAX = 1024;
/** struct iovec on x86-64: base, length */
const IOVEC_SIZE = 16;

/** include/uapi/linux/falloc.h */
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_ZERO_RANGE = 16;

/** A reusable array of struct iovec. */
export class IoVector {
  readonly #bytes = new Uint8Array(IOV_MAX * IOVEC_SIZE);
  readonly #words = new Uint32Array(this.#bytes.buffer);
  count = 0;
  /** bytes of all parts */
  length = 0;

  clear(): void {
    this.count = this.length = 0;
  }

  /** @returns false when the array is full */
  add(address: number, length: number): boolean {
    if (this.count === IOV_MAX) return false;
    const word = this.count++ * 4;
    this.#words[word] = address % 2 ** 32;
    this.#words[word + 1] = Math.floor(address / 2 ** 32);
    this.#words[word + 2] = length;
    this.#words[word + 3] = 0;
    this.length += length;
    return true;
  }

  /** @returns bytes read; fewer than asked at the end of the file. @throws SyscallError */
  readFrom(fd: number, position: number): number {
    return checked(preadv(fd, this.#bytes, this.count, position, NO_HIGH_HALF), 'preadv');
  }

  /** @returns bytes written. @throws SyscallError */
  writeTo(fd: number, position: number, options: { append: boolean } = { append: false }): number {
    return checked(
      pwritev2(fd, this.#bytes, this.count, position, NO_HIGH_HALF, options.append ? RWF_APPEND : 0),
      'pwritev2',
    );
  }
}

/** @throws SyscallError */
export function fallocate(fd: number, mode: number, offset: number, length: number): void {
  checked(c_fallocate(fd, mode, offset, length), 'fallocate');
}

/** Random bytes from the kernel, random(4), without node:crypto, whose loading costs 5 ms of every command's start. */
import { closeSync, openSync, readSync } from 'node:fs';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const getrandom = systemCall<(bytes: Uint8Array, length: number, flags: number) => number>(
  'int64_t getrandom(void *bytes, size_t length, unsigned int flags)',
);

/** @returns so many bytes as lower-case hex */
export function randomHex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}

/**
 * @returns random hex like `randomHex`, but by getrandom(2), for processes that have no urandom in their /dev, like a
 * jailed supervisor, and that have loaded koffi anyway
 * @param bytes 256 at most, because so many come in one piece
 * @throws SyscallError
 */
export function jailedRandomHex(bytes: number): string {
  const buffer = Buffer.alloc(bytes);
  checked(getrandom(buffer, bytes, 0), 'getrandom'); // safe: the kernel writes `bytes` of a buffer that long
  return buffer.toString('hex');
}

/** @returns an integer in [0, limit), each equally likely; limit is at most 2^32 */
export function randomBelow(limit: number): number {
  // Values above the last whole multiple would favour the small results.
  const most = Math.floor(2 ** 32 / limit) * limit;
  for (;;) {
    const value = randomBytes(4).readUInt32LE(0);
    if (value < most) return value % limit;
  }
}

function randomBytes(length: number): Buffer {
  const buffer = Buffer.alloc(length);
  const fd = openSync('/dev/urandom', 'r');
  try {
    // Up to 256 bytes come in one piece, see random(4).
    readSync(fd, buffer, 0, length, null);
  } finally {
    closeSync(fd);
  }
  return buffer;
}

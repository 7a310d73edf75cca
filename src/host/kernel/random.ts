/** Random bytes from the kernel, random(4), without loading node:crypto: 5 ms of every command's start. */
import { closeSync, openSync, readSync } from 'node:fs';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const getrandom = systemCall<(bytes: Uint8Array, length: number, flags: number) => number>(
  'int64_t getrandom(void *bytes, size_t length, unsigned int flags)',
);

/** @returns that many bytes as lower-case hex */
export function randomHex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}

/**
 * The same by getrandom(2): for processes whose /dev has no urandom, as a jailed supervisor's, and that have loaded
 * koffi anyway.
 * @param bytes 256 at most: so many come whole
 * @throws SyscallError
 */
export function jailedRandomHex(bytes: number): string {
  const buffer = Buffer.alloc(bytes);
  checked(getrandom(buffer, bytes, 0), 'getrandom'); // safe: the kernel writes `bytes` of a buffer that long
  return buffer.toString('hex');
}

/** An integer in [0, limit), every one as likely as another; limit at most 2^32. */
export function randomBelow(limit: number): number {
  // values above the last whole multiple would favour the small ones
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
    // up to 256 bytes come whole, see random(4)
    readSync(fd, buffer, 0, length, null);
  } finally {
    closeSync(fd);
  }
  return buffer;
}

/** Random bytes from the kernel, random(4), without loading node:crypto: 5 ms of every command's start. */
import { closeSync, openSync, readSync } from 'node:fs';

/** @returns that many bytes as lower-case hex */
export function randomHex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
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

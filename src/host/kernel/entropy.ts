/** The kernel's random generator, on a machine that belongs to husk: random(4) § ioctl(2) requests. */
import { closeSync, openSync } from 'node:fs';
import { ioctl, _IO, _IOW } from './ioctl.ts';

/** include/uapi/linux/random.h */
const RANDOM = 'R'.charCodeAt(0);
const RNDADDENTROPY = _IOW(RANDOM, 0x03, 8);
const RNDRESEEDCRNG = _IO(RANDOM, 0x07);
/** struct rand_pool_info: bits of entropy, bytes, then the bytes */
const POOL_HEADER_SIZE = 8;

/**
 * Adds secret random bytes to the kernel's pool, and makes the generator begin anew with them at once: by itself it
 * does so every minute, until when the clones of one snapshot would all read the same.
 * @throws SyscallError
 */
export function reseedKernel(entropy: Uint8Array): void {
  const pool = Buffer.alloc(POOL_HEADER_SIZE + entropy.length);
  pool.writeInt32LE(8 * entropy.length, 0);
  pool.writeInt32LE(entropy.length, 4);
  pool.set(entropy, POOL_HEADER_SIZE);
  const fd = openSync('/dev/urandom', 'r+');
  try {
    // Safety: the kernel reads as many bytes as the header says, which the buffer has.
    ioctl(fd, RNDADDENTROPY, pool, 'add entropy');
    ioctl(fd, RNDRESEEDCRNG, 0, 'make the random generator begin anew');
  } finally {
    closeSync(fd);
  }
}

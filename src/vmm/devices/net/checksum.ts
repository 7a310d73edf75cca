/**
 * The checksum a driver leaves to its device (VIRTIO_NET_F_CSUM, virtio 1.2 §5.1.6.2). Taken for what comes with it: a
 * driver that must sum itself may not send a frame in pieces either, and has to find 64 KiB in one for each long one.
 * Offsets are the guest's: checked here. Pure.
 */

/** struct virtio_net_hdr, §5.1.6: flags, and where to begin and to put the sum */
const FLAGS = 0;
const NEEDS_CSUM = 1;
const CSUM_START = 6;
const CSUM_OFFSET = 8;

/** @returns false for a frame whose checksum would lie outside of it, which is to be dropped */
export function completeChecksum(header: Uint8Array, frame: Uint8Array): boolean {
  if ((header[FLAGS]! & NEEDS_CSUM) === 0) return true;
  const start = u16(header, CSUM_START);
  const at = start + u16(header, CSUM_OFFSET);
  if (at + 2 > frame.length) return false;
  // the field has the sum of the pseudo-header; 0 would say that there is none (RFC 768), and ones' complement has
  // another zero
  const sum = ~internetSum(frame.subarray(start)) & 0xffff || 0xffff;
  frame[at] = sum >> 8;
  frame[at + 1] = sum & 0xff;
  return true;
}

/** little-endian, as all of the header */
const u16 = (bytes: Uint8Array, at: number) => bytes[at]! | (bytes[at + 1]! << 8);

/** RFC 1071: of big-endian words, an odd byte filled up with zero; not complemented */
export function internetSum(bytes: Uint8Array): number {
  const even = bytes.length & ~1;
  let sum = bytes.length > even ? bytes[even]! << 8 : 0;
  if (bytes.byteOffset % 2 === 0) {
    // RFC 1071 §2 (B): the sum of swapped words is the swapped sum; words are faster than bytes
    const words = new Uint16Array(bytes.buffer, bytes.byteOffset, even / 2);
    let swapped = 0;
    for (let i = 0; i < words.length; i++) swapped += words[i]!;
    swapped = fold(swapped);
    sum += ((swapped & 0xff) << 8) | (swapped >> 8);
  } else for (let i = 0; i < even; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  return fold(sum);
}

/** 64 KiB of words fit in 32 bits: 2^15 of less than 2^16 */
function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded >>> 16) + (folded & 0xffff);
  return folded;
}

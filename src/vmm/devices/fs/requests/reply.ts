/** Replies that more than one family of requests gives. */

export const NOTHING = new Uint8Array(0);

/** @returns struct fuse_open_out: fh, open_flags, backing_id */
export function openReply(handle: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(handle), true);
  view.setUint32(8, flags, true);
  return bytes;
}

/** @returns fuse_lseek_out; also fuse_getxattr_out, whose second half is padding */
export function u64Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

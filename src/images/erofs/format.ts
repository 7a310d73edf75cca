/**
 * EROFS on disk, the uncompressed part of it. Source: Linux fs/erofs/erofs_fs.h (6.4 and later, where blocks may have
 * 512 bytes); https://erofs.docs.kernel.org/en/latest/core_ondisk.html. All numbers are little-endian. This module
 * serialises values and decides nothing.
 */

/** bytes of a block; the block size of tar, so that a member's contents are whole blocks of the disk */
export const BLOCK = 512;
const BLOCK_BITS = 9;
/** limit of blocks, 2 TiB: their numbers have 32 bits, and the last number means "hole" */
export const MAX_BLOCKS = 0xffffffff;
/** EROFS_SUPER_OFFSET, bytes */
const SUPER_OFFSET = 1024;
const SUPER_MAGIC = 0xe0f5e1e2;
/** EROFS_FEATURE_COMPAT_SB_CHKSUM and EROFS_FEATURE_COMPAT_MTIME */
const FEATURE_COMPAT = 0x1 | 0x2;
/** EROFS_FEATURE_INCOMPAT_CHUNKED_FILE: sparse files have block maps */
const FEATURE_INCOMPAT = 0x4;
/** first block behind the superblock's; inode numbers count from here */
export const META_BLOCK = 3;
/** bytes of a slot; inode numbers count slots */
export const SLOT = 32;
/** bytes of struct erofs_inode_extended */
export const INODE_SIZE = 64;
/** limit of the root's inode number, which is stored in 16 bits */
export const MAX_ROOT_NID = 0xffff;

/** EROFS_INODE_*: where an inode's data is */
export const LAYOUT_PLAIN = 0;
export const LAYOUT_INLINE = 2;
export const LAYOUT_CHUNKS = 4;
/** EROFS_NULL_ADDR: a chunk map's entry for a hole */
export const HOLE = 0xffffffff;
/** EROFS_CHUNK_FORMAT_BLKBITS_MASK: the chunk size is BLOCK << (these five bits) */
export const MAX_CHUNK_SHIFT = 31;

/** type bits of an inode's mode, linux/stat.h */
export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

/** EROFS_FT_* (linux/fs_types.h), the type of a directory entry, by the mode's type bits */
export const FILE_TYPES: Readonly<Record<number, number>> = {
  [S_IFREG]: 1,
  [S_IFDIR]: 2,
  [S_IFCHR]: 3,
  [S_IFBLK]: 4,
  [S_IFIFO]: 5,
  [S_IFLNK]: 7,
};

export interface SuperBlock {
  rootNid: number;
  inodes: number;
  /** number of blocks of the whole disk, including the tars */
  blocks: number;
  /** block where shared attributes begin */
  xattrBlock: number;
  /** 16 bytes */
  uuid: Uint8Array;
}

/** Writes the superblock and its checksum; its block must be zero. */
export function writeSuperBlock(image: Buffer, value: SuperBlock): void {
  image.writeUInt32LE(SUPER_MAGIC, SUPER_OFFSET);
  image.writeUInt32LE(FEATURE_COMPAT, SUPER_OFFSET + 8);
  image.writeUInt8(BLOCK_BITS, SUPER_OFFSET + 12);
  image.writeUInt16LE(value.rootNid, SUPER_OFFSET + 14);
  image.writeBigUInt64LE(BigInt(value.inodes), SUPER_OFFSET + 16);
  image.writeUInt32LE(value.blocks, SUPER_OFFSET + 36);
  image.writeUInt32LE(META_BLOCK, SUPER_OFFSET + 40);
  image.writeUInt32LE(value.xattrBlock, SUPER_OFFSET + 44);
  image.set(value.uuid.subarray(0, 16), SUPER_OFFSET + 48);
  image.writeUInt32LE(FEATURE_INCOMPAT, SUPER_OFFSET + 80);
  image.writeUInt32LE(crc32c(image.subarray(SUPER_OFFSET, SUPER_OFFSET + BLOCK)), SUPER_OFFSET + 4);
}

export interface InodeRecord {
  layout: number;
  /** bytes of the inline attributes with their header; 0 where there are none */
  xattrSize: number;
  /** type and permission bits */
  mode: number;
  size: number;
  /** first block, device number or chunk format, depending on type and layout */
  union: number;
  ino: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNanoseconds: number;
  links: number;
}

/** Writes a struct erofs_inode_extended. */
export function writeInode(image: Buffer, at: number, inode: InodeRecord): void {
  image.writeUInt16LE(1 | (inode.layout << 1), at);
  image.writeUInt16LE(inode.xattrSize === 0 ? 0 : (inode.xattrSize - XATTR_HEADER_SIZE) / 4 + 1, at + 2);
  image.writeUInt16LE(inode.mode, at + 4);
  write64(image, inode.size, at + 8);
  image.writeUInt32LE(inode.union, at + 16);
  image.writeUInt32LE(inode.ino, at + 20);
  image.writeUInt32LE(inode.uid, at + 24);
  image.writeUInt32LE(inode.gid, at + 28);
  write64(image, inode.mtime, at + 32);
  image.writeUInt32LE(inode.mtimeNanoseconds, at + 40);
  image.writeUInt32LE(inode.links, at + 44);
}

/** Writes a signed or unsigned 64-bit number that JavaScript can hold exactly. */
function write64(image: Buffer, value: number, at: number): void {
  image.writeUInt32LE((value % 2 ** 32) >>> 0, at);
  image.writeInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

/** bytes of struct erofs_dirent */
export const DIRENT_SIZE = 12;

export function writeDirent(image: Buffer, at: number, nid: number, nameOffset: number, type: number): void {
  write64(image, nid, at);
  image.writeUInt16LE(nameOffset, at + 8);
  image.writeUInt8(type, at + 10);
}

/** bytes of struct erofs_xattr_ibody_header: filter, count of shared attributes, reserved */
export const XATTR_HEADER_SIZE = 12;
/** bytes of struct erofs_xattr_entry, which stands before the name */
export const XATTR_ENTRY_SIZE = 4;
/** limit of bytes: i_xattr_icount has 16 bits, and counts words of 4 bytes */
export const MAX_XATTR_BODY = XATTR_HEADER_SIZE + 4 * 0xfffe;

/** Encodes a device number as Linux new_encode_dev does, include/linux/kdev_t.h. */
export const encodeDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;

let table: Uint32Array | undefined;

/**
 * Computes the kernel's crc32c(~0, …): CRC-32C (Castagnoli, reversed polynomial 0x82f63b78) without the final
 * inversion.
 */
export function crc32c(bytes: Uint8Array): number {
  if (!table) {
    table = new Uint32Array(256);
    for (let index = 0; index < 256; index++) {
      let value = index;
      for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
      table[index] = value >>> 0;
    }
  }
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  return crc >>> 0;
}

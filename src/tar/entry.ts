/**
 * What one member of a tar says about itself, and the bounds that apply to every archive from outside. This module has
 * types and numbers only.
 */
import { HuskError } from '../errors.ts';
import type { ByteString } from './byte-string.ts';

/** bytes; POSIX.1-2017 pax, "ustar Interchange Format": everything is in records of 512 bytes */
export const BLOCK = 512;

/**
 * limit of bytes of one pax header or GNU long name: Go's archive/tar (`maxSpecialFileSize`), hence Docker and Podman,
 * have the same bound
 */
export const MAX_META_SIZE = 1 << 20;
/** limit of bytes of a path: Linux PATH_MAX without its NUL, since no container could name a longer path */
export const MAX_PATH = 4095;
/** limit of bytes of a name: Linux NAME_MAX */
export const MAX_COMPONENT = 255;
/** limit of members of one archive: the in-memory tree of a layer stays below about 1 GB */
export const MAX_ENTRIES = 2_000_000;
/** limits of bytes: Linux XATTR_NAME_MAX and XATTR_SIZE_MAX (include/uapi/linux/limits.h) */
export const MAX_XATTR_NAME = 255;
export const MAX_XATTR_VALUE = 65536;
/** limit of bytes of all xattrs of one archive: they stay in memory with the tree */
export const MAX_XATTR_TOTAL = 64 << 20;
/** limits of data segments of one sparse file, and of all sparse files of an archive */
export const MAX_SPARSE_SEGMENTS = 1 << 16;
export const MAX_SPARSE_TOTAL = 1 << 20;

export type TarType = 'file' | 'hardlink' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo';

/** One run of data in a sparse file, in bytes; the gaps between segments read as zeros. */
export interface SparseSegment {
  /** position in the file as a program sees it */
  offset: number;
  length: number;
}

export interface TarEntry {
  type: TarType;
  /** cleaned: no leading or trailing slash, no `.`, `..` or empty component; the archive's root is the empty string */
  path: ByteString;
  /** target of a symlink, verbatim; of a hardlink a cleaned path like `path`; else empty */
  linkname: ByteString;
  /** the twelve permission bits, 0o7777 */
  mode: number;
  uid: number;
  gid: number;
  /** bytes as a program sees them; 0 for any member but files */
  size: number;
  /** whole seconds since 1970, may be negative; `mtimeNanoseconds` adds 0..999 999 999 */
  mtime: number;
  mtimeNanoseconds: number;
  deviceMajor: number;
  deviceMinor: number;
  /** values by name, without the prefix `SCHILY.xattr.` */
  xattrs: ReadonlyMap<ByteString, Buffer> | undefined;
  /**
   * position of the member's contents, bytes from the start of the archive, a multiple of 512 (for GNU sparse 1.0:
   * behind its map)
   */
  dataOffset: number;
  /** bytes of contents in the archive, equal to `size` unless sparse */
  dataSize: number;
  /**
   * segments, ascending and disjoint, together `dataSize` bytes; their data lie one after another from `dataOffset` on;
   * undefined for a file that is not sparse
   */
  sparse: SparseSegment[] | undefined;
}

/** @param offset position of the header in the archive, bytes */
export function corruptTar(offset: number, what: string): HuskError {
  return new HuskError(`invalid tar: header at byte ${offset}: ${what}`, { kind: 'corrupt' });
}

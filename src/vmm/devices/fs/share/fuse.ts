/**
 * The FUSE protocol, version 7.31 (include/uapi/linux/fuse.h): numbers, structure layouts, and the parsing of requests.
 * The parser opens nothing. Guest and host are both little-endian x86-64, and share errno, open flags and mode bits.
 */
import { MAX_NAME } from './config.ts';

export const FUSE_MAJOR = 7;
export const FUSE_MINOR = 31;
export const ROOT_NODE = 1;

export const OP = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  SYNCFS: 50,
  TMPFILE: 51,
} as const;

export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EACCES: 13,
  EINVAL: 22,
  ENFILE: 23,
  EROFS: 30,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENODATA: 61,
  EPROTO: 71,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ESTALE: 116,
} as const;

/** struct fuse_in_header, fuse_out_header: bytes */
export const IN_HEADER = 40;
export const OUT_HEADER = 16;

/** the INIT flags that the server accepts */
export const INIT_FLAGS = {
  ASYNC_READ: 1 << 0,
  ATOMIC_O_TRUNC: 1 << 3,
  BIG_WRITES: 1 << 5,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  PARALLEL_DIROPS: 1 << 18,
  MAX_PAGES: 1 << 22,
  /** the target of a link never changes; a link put in its place is another inode */
  CACHE_SYMLINKS: 1 << 23,
  HANDLE_KILLPRIV_V2: 1 << 28,
} as const;

/** struct fuse_setattr_in: bits of `valid`, offsets */
export const FATTR = {
  MODE: 1,
  UID: 2,
  GID: 4,
  SIZE: 8,
  ATIME: 16,
  MTIME: 32,
  FH: 64,
  ATIME_NOW: 128,
  MTIME_NOW: 256,
  KILL_SUIDGID: 2048,
} as const;
export const SETATTR = {
  valid: 0,
  fh: 8,
  size: 16,
  atime: 32,
  mtime: 40,
  atimeNsec: 56,
  mtimeNsec: 60,
  mode: 68,
  uid: 76,
  gid: 80,
  bytes: 88,
} as const;

/** struct fuse_write_in, fuse_read_in */
export const WRITE_IN = { fh: 0, offset: 8, size: 16, flags: 20, openFlags: 32, bytes: 40 } as const;
/** write_flags: the data comes from the guest's page cache, by any handle that the guest had */
export const WRITE_CACHE = 1;
export const WRITE_KILL_SUIDGID = 4;
export const READ_IN = { fh: 0, offset: 8, size: 16, bytes: 40 } as const;
/** struct fuse_open_in */
export const OPEN_KILL_SUIDGID = 1;
/** struct fuse_open_out: what the guest has of the contents stays; a folder's names may be kept */
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_CACHE_DIR = 1 << 3;

export const ENTRY_OUT = 128;
export const ATTR_OUT = 104;
/** struct fuse_attr inside each of them */
export const ENTRY_ATTR = 40;
export const ATTR_ATTR = 16;

export interface Request {
  /** bytes, as the guest states the length; checked against what the guest sent */
  length: number;
  opcode: number;
  /** identifies the request; the reply carries the same bytes */
  unique: Uint8Array;
  node: number;
  uid: number;
  gid: number;
  /** the bytes that follow the header */
  body: Uint8Array;
}

/**
 * @param bytes a copy of the readable part, up to the bound
 * @param available bytes that the readable part has
 * @returns undefined when the bytes are no request
 */
export function parseRequest(bytes: Uint8Array, available: number): Request | undefined {
  if (bytes.length < IN_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  if (length < IN_HEADER || length > available) return undefined;
  return {
    length,
    opcode: view.getUint32(4, true),
    unique: bytes.subarray(8, 16),
    node: u64(view, 16),
    uid: view.getUint32(24, true),
    gid: view.getUint32(28, true),
    body: bytes.subarray(IN_HEADER, Math.min(length, bytes.length)),
  };
}

/**
 * Reads a u64. Above 2^53 its low bits are lost: such a node or handle does not exist, and the kernel refuses such an
 * offset.
 */
export function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** @returns the fixed part of a request. @throws ProtocolError when the request is cut short */
export function fixed(body: Uint8Array, length: number): DataView {
  if (body.length < length) throw new ProtocolError(ERRNO.EINVAL);
  return new DataView(body.buffer, body.byteOffset, length);
}

/** Says that the request cannot be carried out; its errno is the answer. */
export class ProtocolError extends Error {
  readonly errno: number;
  constructor(errno: number) {
    super(`FUSE request refused: errno ${errno}`);
    this.errno = errno;
  }
}

/**
 * @returns strings that end in NUL, one character for each byte (latin1), as src/host/files/lookup.ts takes them
 * @throws ProtocolError when one has no end
 */
export function strings(body: Uint8Array, offset: number, count: number): string[] {
  const found: string[] = [];
  let at = offset;
  for (let i = 0; i < count; i++) {
    const end = body.indexOf(0, at);
    if (end < 0) throw new ProtocolError(ERRNO.EINVAL);
    found.push(Buffer.from(body.buffer, body.byteOffset + at, end - at).toString('latin1'));
    at = end + 1;
  }
  return found;
}

/** Checks that the name is one component of a path that leads nowhere else. @throws ProtocolError */
export function checkName(name: string): string {
  if (name.length > MAX_NAME) throw new ProtocolError(ERRNO.ENAMETOOLONG);
  if (name === '' || name === '.' || name === '..' || name.includes('/')) throw new ProtocolError(ERRNO.EINVAL);
  return name;
}

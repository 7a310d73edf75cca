/**
 * Calls that need only an inode's descriptor, even one opened with O_PATH: attributes, links, names, extended
 * attributes. They are for servers that hold inodes and must never walk a path again. Names are byte strings as in
 * lookup.ts. Every function throws SyscallError.
 */
import { readlinkSync } from 'node:fs';
import { nameBytes, type Name } from './lookup.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** include/uapi/asm-generic/fcntl.h, include/uapi/linux/fcntl.h */
const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
export const AT_REMOVEDIR = 0x200;
export const O_PATH = 0o10000000;

/** struct statx, include/uapi/linux/stat.h: offsets in bytes */
export const STATX = {
  blksize: 4,
  attributes: 8,
  nlink: 16,
  uid: 20,
  gid: 24,
  mode: 28,
  ino: 32,
  size: 40,
  blocks: 48,
  atime: 64,
  btime: 80,
  ctime: 96,
  mtime: 112,
  rdevMajor: 128,
  rdevMinor: 132,
  devMajor: 136,
  devMinor: 140,
  mount: 144,
} as const;
/** of the attributes: the file or folder is what was mounted; Linux 5.8 and later */
export const STATX_ATTR_MOUNT_ROOT = 0x2000;
const STATX_SIZE = 256;
/** STATX_BASIC_STATS, STATX_BTIME and, since Linux 5.8, STATX_MNT_ID */
const STATX_MASK = 0x1fff;

const openat = systemCall<(directory: number, path: string, flags: number) => number>(
  'int openat(int directory, const char *path, int flags)',
);
const c_renameat2 = systemCall<(from: number, name: Name, to: number, newName: Name, flags: number) => number>(
  'int renameat2(int from, const char *name, int to, const char *new_name, unsigned int flags)',
);
const c_getdents64 = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t getdents64(int fd, void *bytes, size_t length)',
);
const c_statx = systemCall<(directory: number, path: string, flags: number, mask: number, out: Uint8Array) => number>(
  'int statx(int directory, const char *path, int flags, unsigned int mask, void *out)',
);
const c_linkat = systemCall<(from: number, path: string, directory: number, name: Name, flags: number) => number>(
  'int linkat(int from, const char *path, int directory, const char *name, int flags)',
);
const c_unlinkat = systemCall<(directory: number, name: Name, flags: number) => number>(
  'int unlinkat(int directory, const char *name, int flags)',
);
const c_readlinkat = systemCall<(directory: number, name: string, out: Uint8Array, size: number) => number>(
  'int64_t readlinkat(int directory, const char *name, void *out, size_t size)',
);
const c_chmod = systemCall<(path: string, mode: number) => number>('int chmod(const char *path, unsigned int mode)');
const c_fchownat = systemCall<(directory: number, path: string, uid: number, gid: number, flags: number) => number>(
  'int fchownat(int directory, const char *path, unsigned int uid, unsigned int gid, int flags)',
);
const c_utimensat = systemCall<(directory: number, path: string, times: Uint8Array, flags: number) => number>(
  'int utimensat(int directory, const char *path, const void *times, int flags)',
);
const c_lseek = systemCall<(fd: number, offset: number | bigint, whence: number) => number>(
  'int64_t lseek(int fd, int64_t offset, int whence)',
);
const c_fstatfs = systemCall<(fd: number, out: Uint8Array) => number>('int fstatfs(int fd, void *out)');
const c_getxattr = systemCall<(path: string, name: Name, out: Uint8Array, size: number) => number>(
  'int64_t getxattr(const char *path, const char *name, void *out, size_t size)',
);
const c_setxattr = systemCall<(path: string, name: Name, value: Uint8Array, size: number, flags: number) => number>(
  'int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
);
const c_listxattr = systemCall<(path: string, out: Uint8Array, size: number) => number>(
  'int64_t listxattr(const char *path, void *out, size_t size)',
);
const c_flistxattr = systemCall<(fd: number, out: Uint8Array, size: number) => number>(
  'int64_t flistxattr(int fd, void *out, size_t size)',
);
const c_fgetxattr = systemCall<(fd: number, name: Name, out: Uint8Array, size: number) => number>(
  'int64_t fgetxattr(int fd, const char *name, void *out, size_t size)',
);
const c_fremovexattr = systemCall<(fd: number, name: Name) => number>('int fremovexattr(int fd, const char *name)');
const c_removexattr = systemCall<(path: string, name: Name) => number>(
  'int removexattr(const char *path, const char *name)',
);

/** @returns the inode behind a descriptor as a path; needs /proc */
const descriptorPath = (fd: number) => `/proc/self/fd/${fd}`;

/**
 * @returns a descriptor to read or write with, made from an O_PATH one of a regular file or a folder; the inode must
 * never be one whose opening has effects
 */
export const reopen = (fd: number, flags: number): number =>
  checked(openat(AT_FDCWD, descriptorPath(fd), flags), 'open');

/**
 * @returns where the inode is, as this process' root has it, one character for each byte; with ` (deleted)` behind it
 *   when it has no name (proc_pid_fd(5)), which a name may end with as well; undefined when no path is that long
 */
export function pathOfFd(fd: number): string | undefined {
  try {
    return readlinkSync(descriptorPath(fd), 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENAMETOOLONG') return undefined;
    throw error;
  }
}

const statBuffer = new Uint8Array(STATX_SIZE);

/** @returns struct statx of the inode, always in the same buffer */
export function statFd(fd: number): DataView {
  checked(c_statx(fd, '', AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MASK, statBuffer), 'statx');
  return new DataView(statBuffer.buffer);
}

/** Gives the inode a new name. */
export const linkFd = (fd: number, folder: number, name: string): void =>
  void checked(c_linkat(AT_FDCWD, descriptorPath(fd), folder, nameBytes(name), AT_SYMLINK_FOLLOW), 'linkat', name);
export const unlinkAt = (folder: number, name: string, flags = 0): void =>
  void checked(c_unlinkat(folder, nameBytes(name), flags), 'unlinkat', name);
/** @param flags RENAME_* of renameat2(2) */
export const renameAt = (from: number, name: string, to: number, newName: string, flags: number): void =>
  void checked(c_renameat2(from, nameBytes(name), to, nameBytes(newName), flags), 'renameat2', name);
/** Changes the mode of any inode but a symbolic link. */
export const chmodFd = (fd: number, mode: number): void => void checked(c_chmod(descriptorPath(fd), mode), 'chmod');
/** Changes the owner; 0xffffffff keeps an id. */
export const chownFd = (fd: number, uid: number, gid: number): void =>
  void checked(c_fchownat(fd, '', uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW), 'fchownat');
/** @param times two struct timespec. Linux 5.8 and later */
export const utimesFd = (fd: number, times: Uint8Array): void =>
  void checked(c_utimensat(fd, '', times, AT_EMPTY_PATH), 'utimensat');
/** Moves the offset. A folder's offsets use all 63 bits, so they must be passed as BigInt. */
export const lseek = (fd: number, offset: number | bigint, whence: number): number =>
  checked(c_lseek(fd, offset, whence), 'lseek');

/** PATH_MAX */
const TARGET_SIZE = 4096;

/** @returns the target of a symbolic link, by the link's own descriptor */
export function readlinkFd(fd: number): Uint8Array {
  const out = new Uint8Array(TARGET_SIZE);
  return out.subarray(0, checked(c_readlinkat(fd, '', out, out.length), 'readlinkat'));
}

/** Reads struct linux_dirent64 records. @returns bytes of them, 0 at the end */
export const getdents = (fd: number, into: Uint8Array): number =>
  checked(c_getdents64(fd, into, into.length), 'getdents64');

/**
 * @returns struct statfs on x86-64, as 64-bit words: type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen,
 * frsize, flags
 */
export function statfsFd(fd: number): BigUint64Array {
  const out = new BigUint64Array(15);
  checked(c_fstatfs(fd, new Uint8Array(out.buffer)), 'fstatfs');
  return out;
}

/** @returns bytes of the value; with an empty buffer the number of bytes that the value has */
export const getxattrFd = (fd: number, name: string, into: Uint8Array): number =>
  checked(c_getxattr(descriptorPath(fd), nameBytes(name), into, into.length), 'getxattr', name);
export const setxattrFd = (fd: number, name: string, value: Uint8Array, flags: number): void =>
  void checked(c_setxattr(descriptorPath(fd), nameBytes(name), value, value.length, flags), 'setxattr', name);
export const listxattrFd = (fd: number, into: Uint8Array): number =>
  checked(c_listxattr(descriptorPath(fd), into, into.length), 'listxattr');
export const removexattrFd = (fd: number, name: string): void =>
  void checked(c_removexattr(descriptorPath(fd), nameBytes(name)), 'removexattr', name);

/**
 * The same of a descriptor that is open for reading, which needs neither /proc nor a path: a third of the time.
 * @returns bytes of the names, each with its NUL
 */
export const listxattrOf = (fd: number, into: Uint8Array): number =>
  checked(c_flistxattr(fd, into, into.length), 'flistxattr');
export const getxattrOf = (fd: number, name: string, into: Uint8Array): number =>
  checked(c_fgetxattr(fd, nameBytes(name), into, into.length), 'fgetxattr', name);
/** @returns bytes of the value, or the negated errno, for an attribute that most files lack */
export const tryGetxattrOf = (fd: number, name: string, into: Uint8Array): number =>
  c_fgetxattr(fd, nameBytes(name), into, into.length);
export const removexattrOf = (fd: number, name: string): void =>
  void checked(c_fremovexattr(fd, nameBytes(name)), 'fremovexattr', name);

/**
 * Reads what an inode is from its descriptor, which is opened with O_PATH, so that opening waits for nothing and
 * touches no device.
 */
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { getxattrFd, listxattrFd, O_PATH, readlinkFd, STATX, statFd } from '../../host/files/file-at.ts';
import { SyscallError } from '../../host/libc.ts';
import { type ByteString, fromBytes } from '../../tar/byte-string.ts';
import type { TarType } from '../../tar/entry.ts';

/** inode(7) */
const S_IFMT = 0o170000;
const TYPES: Record<number, TarType | 'socket'> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'symlink',
  0o020000: 'char',
  0o060000: 'block',
  0o010000: 'fifo',
  0o140000: 'socket',
};

export interface Facts {
  type: TarType | 'socket';
  /** st_mode: type and permissions */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** seconds since 1970; `mtimeNanoseconds` is added to them */
  mtime: number;
  mtimeNanoseconds: number;
  links: number;
  deviceMajor: number;
  deviceMinor: number;
  /** identifies one inode of this kernel, while a descriptor holds it */
  inode: string;
}

/** @throws SyscallError */
export function factsOf(fd: number): Facts {
  const view = statFd(fd);
  const u32 = (at: number) => view.getUint32(at, true);
  const mode = view.getUint16(STATX.mode, true);
  return {
    type: TYPES[mode & S_IFMT] ?? 'socket',
    mode,
    uid: u32(STATX.uid),
    gid: u32(STATX.gid),
    size: Number(view.getBigUint64(STATX.size, true)),
    mtime: Number(view.getBigInt64(STATX.mtime, true)),
    mtimeNanoseconds: u32(STATX.mtime + 8),
    links: u32(STATX.nlink),
    deviceMajor: u32(STATX.rdevMajor),
    deviceMinor: u32(STATX.rdevMinor),
    inode: `${u32(STATX.devMajor)}:${u32(STATX.devMinor)}:${view.getBigUint64(STATX.ino, true)}`,
  };
}

/**
 * @returns what a name in a folder is now, the symbolic link itself where it is one; undefined when the name is free
 */
export function factsAt(folder: number, name: ByteString): Facts | undefined {
  using found = openName(folder, name);
  return found && factsOf(found.number);
}

/**
 * @returns an O_PATH descriptor of a name, symbolic links not followed; undefined when the name does not exist (any
 * more)
 */
export function openName(folder: number, name: ByteString): Fd | undefined {
  return unlessAbsent(() => new Fd(host.openAt(folder, name, O_PATH)));
}

/** @returns undefined for a name that a running container has deleted or replaced since it was read */
export function unlessAbsent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENXIO') return undefined;
    throw error;
  }
}

export const linkTarget = (fd: number): ByteString => fromBytes(readlinkFd(fd));

/**
 * bytes: XATTR_LIST_MAX and XATTR_SIZE_MAX of include/uapi/linux/limits.h; what is read into this buffer is copied out
 * at once
 */
const xattrBuffer = Buffer.allocUnsafe(65536);

/** @param fd any file but a symbolic link @param wanted chooses attributes by name */
export function xattrsOf(fd: number, wanted: RegExp): Map<ByteString, Buffer> | undefined {
  const read = (call: () => number): Buffer | undefined => {
    try {
      return Buffer.from(xattrBuffer.subarray(0, call()));
    } catch (error) {
      if (error instanceof SyscallError) return undefined; // The file has none, or is gone.
      throw error;
    }
  };
  const names = read(() => listxattrFd(fd, xattrBuffer));
  if (!names || names.length === 0) return undefined;
  const found = new Map<ByteString, Buffer>();
  for (const name of names.toString('latin1', 0, names.length - 1).split('\0')) {
    const value = wanted.test(name) ? read(() => getxattrFd(fd, name, xattrBuffer)) : undefined;
    if (value) found.set(name, value);
  }
  return found.size === 0 ? undefined : found;
}

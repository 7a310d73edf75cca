/** Requests that open files and folders, and requests on the handle of an open one. */
import { lseek, reopen } from '../../../../host/files/file-at.ts';
import { closeFd, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, openAt } from '../../../../host/files/lookup.ts';
import { fallocate } from '../../../../host/files/vectored-io.ts';
import { SyscallError } from '../../../../host/libc.ts';
import { READ, WRITE } from '../share/access.ts';
import {
  checkName,
  ENTRY_OUT,
  ERRNO,
  fixed,
  FOPEN_CACHE_DIR,
  FOPEN_KEEP_CACHE,
  OPEN_KILL_SUIDGID,
  ProtocolError,
  strings,
  u64,
  type Request,
} from '../share/fuse.ts';
import { S_IFDIR, S_IFREG, type Inode } from '../share/inodes.ts';
import { O_ACCMODE, O_TRUNC, OPEN_FLAGS, PERMISSIONS, type Share } from '../share/share.ts';
import { unmake } from './names.ts';
import { NOTHING, openReply, u64Bytes } from './reply.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_TMPFILE = 0o20200000;
/** fallocate(2): KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE */
const FALLOCATE_FLAGS = 1 | 2 | 8 | 16 | 32;
/** lseek(2): SEEK_DATA, SEEK_HOLE; the guest handles the others by itself */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Answers OPEN and OPENDIR. struct fuse_open_in: flags, open_flags */
export function open(share: Share, request: Request): Uint8Array {
  const view = fixed(request.body, 8);
  const flags = view.getUint32(0, true);
  if (share.readOnly && ((flags & 3) !== 0 || (flags & O_TRUNC) !== 0)) throw new ProtocolError(ERRNO.EROFS);
  const inode = share.inodes.get(request.node);
  share.handles.checkRoom();
  share.access.check(inode.fd, accessOf(flags));
  const fd = share.reopen(inode, flags);
  const handle = share.handles.add(fd, inode, flags);
  if ((view.getUint32(4, true) & OPEN_KILL_SUIDGID) !== 0 && (flags & O_TRUNC) !== 0) share.killSetIds(fd);
  return openReply(handle);
}

/** Answers CREATE. struct fuse_create_in: flags, mode, umask, open_flags */
export function create(share: Share, request: Request): Uint8Array {
  const view = fixed(request.body, 16);
  const flags = view.getUint32(0, true);
  const mode = view.getUint32(4, true) & PERMISSIONS;
  const [name] = strings(request.body, 16, 1) as [string];
  checkName(name);
  share.handles.checkRoom();
  const folder = share.folder(request.node);
  share.access.checkMaker(request);
  let fd: number;
  let made = true;
  try {
    fd = openAt(folder.fd, name, (flags & OPEN_FLAGS) | O_CREAT | O_EXCL, mode);
    share.ownName(folder, name);
  } catch (error) {
    // A process on the host made the file first: the request then opens it, unless the guest insists on making it.
    if ((flags & O_EXCL) !== 0 || !(error instanceof SyscallError) || error.code !== 'EEXIST') throw error;
    made = false;
    const inode = share.lookup(folder, name);
    try {
      share.access.check(inode.fd, accessOf(flags));
      share.alsoChanges(inode);
      fd = share.reopen(inode, flags);
    } finally {
      share.inodes.forget(inode.node, 1);
    }
  }
  let inode: Inode;
  try {
    if (made) share.give(fd, folder.fd, request, mode);
    inode = share.inodes.lookup(request.node, name);
  } catch (error) {
    closeFd(fd);
    if (made) unmake(folder.fd, name, S_IFREG);
    throw error;
  }
  const bytes = new Uint8Array(ENTRY_OUT + 16);
  bytes.set(share.entry(inode, folder, made));
  bytes.set(openReply(share.handles.add(fd, inode, flags)), ENTRY_OUT);
  return bytes;
}

/** Answers TMPFILE (O_TMPFILE): struct fuse_create_in, and a name that means nothing. */
export function createTemporary(share: Share, request: Request): Uint8Array {
  const view = fixed(request.body, 16);
  const flags = view.getUint32(0, true);
  const mode = view.getUint32(4, true) & PERMISSIONS;
  share.handles.checkRoom();
  const folder = share.folder(request.node);
  if (folder.kind !== S_IFDIR) throw new ProtocolError(ERRNO.EINVAL);
  share.access.checkMaker(request);
  const fd = openAt(folder.fd, '.', (flags & (OPEN_FLAGS | O_EXCL)) | O_TMPFILE, mode);
  let inode: Inode;
  try {
    share.give(fd, folder.fd, request, mode);
    inode = share.inodes.adopt(fd);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  const bytes = new Uint8Array(ENTRY_OUT + 16);
  bytes.set(share.entry(inode, undefined, true));
  bytes.set(openReply(share.handles.add(fd, inode, flags)), ENTRY_OUT);
  return bytes;
}

export function opendir(share: Share, request: Request): Uint8Array {
  const inode = share.inodes.get(request.node);
  if (inode.kind !== S_IFDIR) throw new ProtocolError(ERRNO.EINVAL);
  share.handles.checkRoom();
  share.access.check(inode.fd, READ);
  const handle = share.handles.add(reopen(inode.fd, O_DIRECTORY | O_CLOEXEC), inode, O_RDONLY);
  return openReply(handle, share.keepsNames(inode) ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : 0);
}

/** Answers RELEASE and RELEASEDIR. struct fuse_release_in begins with fh. */
export function release(share: Share, request: Request): Uint8Array {
  share.release(u64(fixed(request.body, 8), 0));
  return NOTHING;
}

/** Answers FALLOCATE. struct fuse_fallocate_in: fh, offset, length, mode */
export function allocate(share: Share, request: Request): Uint8Array {
  const view = fixed(request.body, 28);
  const mode = view.getUint32(24, true);
  if ((mode & ~FALLOCATE_FLAGS) !== 0) throw new ProtocolError(ERRNO.EINVAL);
  fallocate(share.handles.get(u64(view, 0)), mode, u64(view, 8), u64(view, 16));
  return NOTHING;
}

/** Answers LSEEK. struct fuse_lseek_in: fh, offset, whence */
export function seek(share: Share, request: Request): Uint8Array {
  const view = fixed(request.body, 20);
  const whence = view.getUint32(16, true);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new ProtocolError(ERRNO.EINVAL);
  return u64Bytes(lseek(share.handles.get(u64(view, 0)), u64(view, 8), whence));
}

/** @returns the permissions that a file's mode has to grant for these flags of open(2) */
function accessOf(flags: number): number {
  const mode = flags & O_ACCMODE;
  return (mode === O_WRONLY ? 0 : READ) | (mode !== O_RDONLY || (flags & O_TRUNC) !== 0 ? WRITE : 0);
}

/** Requests that make, remove and move names in a folder. */
import { AT_REMOVEDIR, linkFd, renameAt, unlinkAt } from '../../../../host/files/file-at.ts';
import { makeDirectoryAt, makeNodeAt, symlinkAt } from '../../../../host/files/lookup.ts';
import { SyscallError } from '../../../../host/libc.ts';
import { SEARCH, WRITE } from '../share/access.ts';
import { checkName, ERRNO, fixed, OP, ProtocolError, strings, u64, type Request } from '../share/fuse.ts';
import { S_IFDIR, S_IFMT, S_IFREG, type Inode } from '../share/inodes.ts';
import { PERMISSIONS, type Share } from '../share/share.ts';
import { NOTHING } from './reply.ts';

const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
/** renameat2(2): NOREPLACE, EXCHANGE, WHITEOUT */
const RENAME_EXCHANGE = 2;
const RENAME_FLAGS = 1 | RENAME_EXCHANGE | 4;
/** bytes of struct fuse_rename_in and fuse_rename2_in */
const RENAME_IN = 8;
const RENAME2_IN = 16;

/** Answers LOOKUP. */
export function lookup(share: Share, request: Request): Uint8Array {
  const folder = share.inodes.get(request.node);
  const [name] = strings(request.body, 0, 1) as [string];
  let inode: Inode;
  try {
    inode = share.lookup(folder, name);
  } catch (error) {
    const absent = error instanceof SyscallError && error.code === 'ENOENT' ? share.absent(folder) : undefined;
    if (absent === undefined) throw error;
    return absent;
  }
  return share.entry(inode, folder);
}

/** Makes a name, gives the file to the process that asked, and answers with the entry. */
function makeName(
  share: Share,
  request: Request,
  name: string,
  make: (folder: number) => void,
  mode?: number,
): Uint8Array {
  const folder = share.folder(request.node);
  checkName(name);
  share.access.checkMaker(request);
  make(folder.fd);
  share.ownName(folder, name);
  const inode = share.inodes.lookup(request.node, name);
  try {
    share.give(inode.fd, folder.fd, request, mode);
  } catch (error) {
    share.inodes.forget(inode.node, 1);
    unmake(folder.fd, name, inode.kind);
    throw error;
  }
  return share.entry(inode, folder, true);
}

export function symlink(share: Share, request: Request): Uint8Array {
  const [name, target] = strings(request.body, 0, 2) as [string, string];
  return makeName(share, request, name, (folder) => symlinkAt(target, folder, name));
}

/** Answers MKNOD. struct fuse_mknod_in: mode, rdev, umask */
export function mknod(share: Share, request: Request): Uint8Array {
  const mode = fixed(request.body, 16).getUint32(0, true);
  const [name] = strings(request.body, 16, 1) as [string];
  const kind = mode & S_IFMT;
  // Attack: a device node on the host's file system, which the host's root might open one day.
  if (kind !== S_IFREG && kind !== 0 && kind !== S_IFIFO && kind !== S_IFSOCK) throw new ProtocolError(ERRNO.EPERM);
  return makeName(share, request, name, (folder) => makeNodeAt(folder, name, mode, 0), mode & PERMISSIONS);
}

/** Answers MKDIR. struct fuse_mkdir_in: mode, umask */
export function mkdir(share: Share, request: Request): Uint8Array {
  const mode = fixed(request.body, 8).getUint32(0, true) & PERMISSIONS;
  const [name] = strings(request.body, 8, 1) as [string];
  return makeName(share, request, name, (folder) => makeDirectoryAt(folder, name, mode), mode);
}

/** Answers UNLINK and RMDIR. */
export function unlink(share: Share, request: Request): Uint8Array {
  const [name] = strings(request.body, 0, 1) as [string];
  share.checkSticky(request.node, name);
  const folder = share.folder(request.node);
  unlinkAt(folder.fd, checkName(name), request.opcode === OP.RMDIR ? AT_REMOVEDIR : 0);
  share.ownRemoval(folder, name);
  return NOTHING;
}

/** Answers RENAME and RENAME2. struct fuse_rename2_in: newdir, flags */
export function rename(share: Share, request: Request): Uint8Array {
  const isNew = request.opcode === OP.RENAME2;
  const header = isNew ? RENAME2_IN : RENAME_IN;
  const flags = isNew ? fixed(request.body, header).getUint32(8, true) : 0;
  const to = share.inodes.get(u64(fixed(request.body, header), 0));
  const [name, newName] = strings(request.body, header, 2) as [string, string];
  if ((flags & ~RENAME_FLAGS) !== 0) throw new ProtocolError(ERRNO.EINVAL);
  share.access.check(to.fd, WRITE | SEARCH);
  share.checkSticky(request.node, name);
  share.checkSticky(to.node, newName);
  const from = share.folder(request.node);
  const key = share.inodes.keyAt(from, checkName(name));
  renameAt(from.fd, name, to.fd, checkName(newName), flags);
  share.ownMove({ from, name, to, newName, key, isExchange: (flags & RENAME_EXCHANGE) !== 0 });
  return NOTHING;
}

/** Answers LINK. struct fuse_link_in: oldnodeid */
export function link(share: Share, request: Request): Uint8Array {
  const source = share.inodes.get(u64(fixed(request.body, 8), 0));
  const [name] = strings(request.body, 8, 1) as [string];
  share.access.checkOwn(source.fd);
  const folder = share.folder(request.node);
  linkFd(source.fd, folder.fd, checkName(name));
  share.ownName(folder, name);
  return share.entry(share.inodes.lookup(request.node, name), folder);
}

/** Removes a file that could not be given to its maker; another process on the host may have removed it first. */
export function unmake(folder: number, name: string, kind: number): void {
  try {
    unlinkAt(folder, name, kind === S_IFDIR ? AT_REMOVEDIR : 0);
  } catch {
    // The name is gone, or in use by now.
  }
}

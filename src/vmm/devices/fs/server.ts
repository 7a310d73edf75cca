/**
 * The FUSE server: one shared folder, served by system calls on descriptors. Nothing here knows of virtio; device.ts brings requests and takes replies.
 *
 * What it never does: walk a path, follow a symbolic link, open a device, FIFO or socket, make a device node, or touch anything that is not beneath
 * the shared folder. Permission checks are the guest kernel's (default_permissions) and, below them, the host kernel's on the VMM's own ids.
 */
import { fdatasync, fsync } from 'node:fs';
import { duplicate, openFilesLimit } from '../../../host/descriptors.ts';
import {
  openAt,
  openFolder,
  syncfsInThread,
  makeDirectoryAt,
  makeNodeAt,
  symlinkAt,
  ftruncate,
  closeFd,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_CLOEXEC,
} from '../../../host/files/lookup.ts';
import {
  AT_REMOVEDIR,
  chmodFd,
  chownFd,
  getdents,
  getxattrFd,
  linkFd,
  listxattrFd,
  lseek,
  readlinkFd,
  removexattrFd,
  renameAt,
  reopen,
  setxattrFd,
  statFd,
  statfsFd,
  STATX,
  unlinkAt,
  utimesFd,
} from '../../../host/files/file-at.ts';
import { SyscallError } from '../../../host/libc.ts';
import { fallocate } from '../../../host/files/vectored-io.ts';
import { Access, READ, SEARCH, WRITE } from './access.ts';
import { attributesReply, entryReply, inodeHigh, UNCHANGED, type Freshness, type Ownership } from './attributes.ts';
import { boundsFor, MAX_PAGES, MAX_IO, MAX_XATTR } from './config.ts';
import { entrySize, parseEntries, writeEntry } from './directory.ts';
import {
  checkName,
  ENTRY_OUT,
  ERRNO,
  FATTR,
  fixed,
  FUSE_MAJOR,
  FUSE_MINOR,
  INIT_FLAGS,
  OP,
  OPEN_KILL_SUIDGID,
  ProtocolError,
  SETATTR,
  strings,
  u64,
  type Request,
} from './fuse.ts';
import { Handles } from './handles.ts';
import { Inodes, S_IFDIR, S_IFMT, S_IFREG, type Inode } from './inodes.ts';

/** open flags a guest may choose: access mode, O_TRUNC, O_DSYNC, O_SYNC (asm-generic/fcntl.h); O_APPEND is each write's own affair (device.ts) */
const OPEN_FLAGS = 3 | 0o1000 | 0o10000 | 0o4010000;
const O_ACCMODE = 3;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_TRUNC = 0o1000;
const O_TMPFILE = 0o20200000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o010;
const PERMISSIONS = 0o7777;
/** renameat2(2): NOREPLACE, EXCHANGE, WHITEOUT */
const RENAME_FLAGS = 1 | 2 | 4;
/** fallocate(2): KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE */
const FALLOCATE_FLAGS = 1 | 2 | 8 | 16 | 32;
/** utimensat(2) */
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
const SEEK_SET = 0;
/** lseek(2): SEEK_DATA, SEEK_HOLE; the others are the guest's own business */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const RENAME_IN = 8;
const RENAME2_IN = 16;

const NOTHING = new Uint8Array(0);
const DIRECTORY_BUFFER = 32 * 1024;

export interface ServerOptions {
  /** the folder that is shared; links in its path are followed, once, now */
  path: string;
  readOnly: boolean;
  ownership: Ownership;
  freshness: Freshness;
  /** that this process may have open; @default its limit */
  descriptors?: number | undefined;
  /** the guest remembers a great many inodes: it should let go of those it does not use */
  onCrowded?: (() => void) | undefined;
}

type Reply = Uint8Array | Promise<Uint8Array>;

/** Requests that change something: refused on a read-only share. */
const EROFS = 30;
const WRITING = new Set<number>([
  OP.SETATTR,
  OP.SYMLINK,
  OP.MKNOD,
  OP.MKDIR,
  OP.UNLINK,
  OP.RMDIR,
  OP.RENAME,
  OP.RENAME2,
  OP.LINK,
  OP.WRITE,
  OP.SETXATTR,
  OP.REMOVEXATTR,
  OP.CREATE,
  OP.TMPFILE,
  OP.FALLOCATE,
]);

export class Server implements Disposable {
  readonly handles: Handles;
  readonly #inodes: Inodes;
  readonly #access: Access;
  readonly #options: ServerOptions;
  /** umask(2) of this process: the guest's was applied by its own kernel, ours must not be */
  readonly #umask = process.umask();
  readonly #buffer = new Uint8Array(DIRECTORY_BUFFER);
  #syncing: Promise<Uint8Array> | undefined;
  #nextSync: Promise<Uint8Array> | undefined;

  /** @throws SyscallError when the folder cannot be opened */
  constructor(options: ServerOptions) {
    this.#options = options;
    this.#access = new Access(options.ownership);
    // Opened for reading rather than O_PATH: a share that cannot be listed is refused now, in the open, and not later inside the guest.
    const bounds = boundsFor(options.descriptors ?? openFilesLimit());
    this.handles = new Handles(bounds.handles);
    this.#inodes = new Inodes(openFolder(options.path), bounds, options.onCrowded);
  }

  /** @returns the reply's payload. @throws SyscallError or ProtocolError: its errno is the answer */
  handle(request: Request, replyRoom: number): Reply {
    if (this.#options.readOnly && WRITING.has(request.opcode)) throw new ProtocolError(EROFS);
    switch (request.opcode) {
      case OP.INIT:
        return this.#init(request);
      case OP.LOOKUP:
        return this.#entry(this.#lookup(request.node, strings(request.body, 0, 1)[0]!));
      case OP.GETATTR:
        return this.#attributes(this.#inodes.get(request.node));
      case OP.SETATTR:
        return this.#setattr(request);
      case OP.READLINK:
        return readlinkFd(this.#inodes.get(request.node).fd);
      case OP.SYMLINK: {
        const [name, target] = strings(request.body, 0, 2) as [string, string];
        return this.#make(request, name, (folder) => symlinkAt(target, folder, name));
      }
      case OP.MKNOD:
        return this.#mknod(request);
      case OP.MKDIR: {
        const mode = fixed(request.body, 8).getUint32(0, true) & PERMISSIONS;
        const [name] = strings(request.body, 8, 1) as [string];
        return this.#make(request, name, (folder) => makeDirectoryAt(folder, name, mode), mode);
      }
      case OP.UNLINK:
      case OP.RMDIR: {
        const [name] = strings(request.body, 0, 1) as [string];
        this.#checkSticky(request.node, name);
        unlinkAt(this.#folder(request.node).fd, checkName(name), request.opcode === OP.RMDIR ? AT_REMOVEDIR : 0);
        return NOTHING;
      }
      case OP.RENAME:
        return this.#rename(request, RENAME_IN, 0);
      case OP.RENAME2:
        return this.#rename(request, RENAME2_IN, fixed(request.body, RENAME2_IN).getUint32(8, true));
      case OP.LINK: {
        const source = this.#inodes.get(u64(fixed(request.body, 8), 0));
        const [name] = strings(request.body, 8, 1) as [string];
        this.#access.checkOwn(source.fd);
        linkFd(source.fd, this.#folder(request.node).fd, checkName(name));
        return this.#entry(this.#inodes.lookup(request.node, name));
      }
      case OP.OPEN:
        return this.#open(request);
      case OP.CREATE:
        return this.#create(request);
      case OP.TMPFILE:
        return this.#temporary(request);
      case OP.OPENDIR:
        return this.#opendir(request);
      case OP.READDIR:
      case OP.READDIRPLUS:
        return this.#readdir(request, replyRoom);
      case OP.RELEASE:
      case OP.RELEASEDIR:
        this.handles.release(u64(fixed(request.body, 8), 0));
        return NOTHING;
      case OP.FLUSH:
        this.handles.get(u64(fixed(request.body, 8), 0));
        return NOTHING;
      case OP.FSYNC:
      case OP.FSYNCDIR:
        return this.#sync(request);
      case OP.STATFS:
        return this.#statfs(request);
      case OP.SETXATTR:
        return this.#setxattr(request);
      case OP.GETXATTR:
      case OP.LISTXATTR:
        return this.#getxattr(request);
      case OP.REMOVEXATTR: {
        const { fd } = this.#inodes.get(request.node);
        const [name] = strings(request.body, 0, 1) as [string];
        this.#access.checkAttribute(name);
        this.#access.checkOwn(fd);
        removexattrFd(fd, name);
        return NOTHING;
      }
      case OP.FALLOCATE: {
        const view = fixed(request.body, 28);
        const mode = view.getUint32(24, true);
        if ((mode & ~FALLOCATE_FLAGS) !== 0) throw new ProtocolError(ERRNO.EINVAL);
        fallocate(this.handles.get(u64(view, 0)), mode, u64(view, 8), u64(view, 16));
        return NOTHING;
      }
      case OP.LSEEK: {
        const view = fixed(request.body, 20);
        const whence = view.getUint32(16, true);
        if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new ProtocolError(ERRNO.EINVAL);
        return u64Bytes(lseek(this.handles.get(u64(view, 0)), u64(view, 8), whence));
      }
      case OP.SYNCFS:
        // struct fuse_syncfs_in: nothing but padding
        fixed(request.body, 8);
        return this.#syncOnce();
      case OP.DESTROY:
        this.clear();
        return NOTHING;
      default:
        // locks, ioctl, poll, bmap, copy_file_range, statx: the guest kernel has its own way for each, or says so
        throw new ProtocolError(ERRNO.ENOSYS);
    }
  }

  /** FORGET and BATCH_FORGET have no answer. */
  forget(request: Request): void {
    const { body } = request;
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    if (request.opcode === OP.FORGET) {
      if (body.length >= 8) this.#inodes.forget(request.node, u64(view, 0));
      return;
    }
    if (body.length < 8) return;
    const count = Math.min(view.getUint32(0, true), Math.floor((body.length - 8) / 16));
    for (let i = 0; i < count; i++) this.#inodes.forget(u64(view, 8 + i * 16), u64(view, 16 + i * 16));
  }

  /** struct fuse_init_in, fuse_init_out */
  #init(request: Request): Uint8Array {
    const view = fixed(request.body, 16);
    if (view.getUint32(0, true) !== FUSE_MAJOR || view.getUint32(4, true) < FUSE_MINOR)
      throw new ProtocolError(ERRNO.EPROTO);
    this.clear();
    const wanted = Object.values(INIT_FLAGS).reduce((all, flag) => all | flag, 0);
    const bytes = new Uint8Array(64);
    const reply = new DataView(bytes.buffer);
    reply.setUint32(0, FUSE_MAJOR, true);
    reply.setUint32(4, FUSE_MINOR, true);
    reply.setUint32(8, view.getUint32(8, true), true);
    reply.setUint32(12, (view.getUint32(12, true) & wanted) >>> 0, true);
    // background requests, and where the guest holds back
    reply.setUint16(16, 64, true);
    reply.setUint16(18, 48, true);
    reply.setUint32(20, MAX_IO, true);
    // timestamps to the nanosecond
    reply.setUint32(24, 1, true);
    reply.setUint16(28, MAX_PAGES, true);
    return bytes;
  }

  #entry(inode: Inode): Uint8Array {
    return entryReply(inode, statFd(inode.fd), this.#options.ownership, this.#options.freshness);
  }

  #attributes(inode: Inode): Uint8Array {
    return attributesReply(inode, statFd(inode.fd), this.#options.ownership, this.#options.freshness);
  }

  /** Makes a name, gives it to who asked, and answers with it. */
  #make(request: Request, name: string, make: (folder: number) => void, mode?: number): Uint8Array {
    const folder = this.#folder(request.node);
    checkName(name);
    this.#access.checkMaker(request);
    make(folder.fd);
    const inode = this.#inodes.lookup(request.node, name);
    try {
      this.#give(inode.fd, folder.fd, request, mode);
    } catch (error) {
      this.#inodes.forget(inode.node, 1);
      unmake(folder.fd, name, inode.kind);
      throw error;
    }
    return this.#entry(inode);
  }

  /** Counts one lookup of a name in a folder that may be searched. @throws SyscallError, ProtocolError */
  #lookup(folder: number, name: string): Inode {
    this.#access.check(this.#inodes.get(folder).fd, SEARCH);
    return this.#inodes.lookup(folder, name);
  }

  /** A name that is to be taken away. @throws ProtocolError, SyscallError */
  #checkSticky(folder: number, name: string): void {
    if (!this.#access.isSticky(this.#inodes.get(folder).fd)) return;
    let entry: Inode;
    try {
      entry = this.#inodes.lookup(folder, name);
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENOENT') return;
      throw error;
    }
    try {
      this.#access.checkOwn(entry.fd);
    } finally {
      this.#inodes.forget(entry.node, 1);
    }
  }

  /** A folder whose names are to change. */
  #folder(node: number): Inode {
    const folder = this.#inodes.get(node);
    this.#access.check(folder.fd, WRITE | SEARCH);
    return folder;
  }

  /** A new inode belongs to the process that made it, and has the mode it asked for. */
  #give(fd: number, folder: number, request: Request, mode: number | undefined): void {
    const owner = this.#options.ownership.toHost(request.uid, request.gid);
    // A set-group-ID folder gives its group to what is made in it, and the bit to folders.
    const folderGivesGroup = (statFd(folder).getUint16(STATX.mode, true) & S_ISGID) !== 0;
    const stat = statFd(fd);
    const [uid, gid] = [stat.getUint32(STATX.uid, true), stat.getUint32(STATX.gid, true)];
    const inherited = folderGivesGroup ? stat.getUint16(STATX.mode, true) & S_ISGID : 0;
    const given = owner !== undefined && (owner[0] !== uid || (owner[1] !== gid && !folderGivesGroup));
    if (given) {
      try {
        chownFd(fd, owner[0], folderGivesGroup ? UNCHANGED : owner[1]);
      } catch (error) {
        // an id beyond those that this process has: the answer of a file system in a user namespace
        throw error instanceof SyscallError && error.code === 'EINVAL' ? new ProtocolError(ERRNO.EOVERFLOW) : error;
      }
    }
    // a change of owner takes set-user-ID and set-group-ID off
    const lost = this.#umask | (given ? S_ISUID | S_ISGID : 0);
    const isFolder = (stat.getUint16(STATX.mode, true) & S_IFMT) === S_IFDIR;
    if (mode === undefined) return;
    const wanted = this.#access.modeFor(fd, mode | inherited, isFolder);
    if ((mode & lost) !== 0 || (wanted & S_ISGID) !== ((mode | inherited) & S_ISGID)) chmodFd(fd, wanted);
  }

  /** struct fuse_mknod_in: mode, rdev, umask */
  #mknod(request: Request): Uint8Array {
    const mode = fixed(request.body, 16).getUint32(0, true);
    const [name] = strings(request.body, 16, 1) as [string];
    const kind = mode & S_IFMT;
    // Attack: a device node on the host's file system, which the host's root might open one day.
    if (kind !== S_IFREG && kind !== 0 && kind !== S_IFIFO && kind !== S_IFSOCK) throw new ProtocolError(ERRNO.EPERM);
    return this.#make(request, name, (folder) => makeNodeAt(folder, name, mode, 0), mode & PERMISSIONS);
  }

  #setattr(request: Request): Uint8Array {
    const inode = this.#inodes.get(request.node);
    const view = fixed(request.body, SETATTR.bytes);
    const valid = view.getUint32(SETATTR.valid, true);
    const has = (bit: number) => (valid & bit) !== 0;
    const isTouch = (set: number, now: number) => !has(set) || has(now);
    if (
      has(FATTR.UID | FATTR.GID | FATTR.MODE) ||
      !isTouch(FATTR.ATIME, FATTR.ATIME_NOW) ||
      !isTouch(FATTR.MTIME, FATTR.MTIME_NOW)
    )
      this.#access.checkOwn(inode.fd);
    else if (!has(FATTR.FH)) this.#access.check(inode.fd, WRITE);
    if (has(FATTR.UID | FATTR.GID)) {
      const owner = this.#options.ownership.toHost(
        has(FATTR.UID) ? view.getUint32(SETATTR.uid, true) : UNCHANGED,
        has(FATTR.GID) ? view.getUint32(SETATTR.gid, true) : UNCHANGED,
      );
      if (owner === undefined) throw new ProtocolError(ERRNO.EPERM);
      chownFd(inode.fd, ...owner);
    }
    if (has(FATTR.MODE))
      chmodFd(
        inode.fd,
        this.#access.modeFor(inode.fd, view.getUint32(SETATTR.mode, true) & PERMISSIONS, inode.kind === S_IFDIR),
      );
    if (has(FATTR.SIZE)) {
      const size = u64(view, SETATTR.size);
      if (has(FATTR.FH)) ftruncate(this.handles.get(u64(view, SETATTR.fh)), size);
      else this.#withFile(inode, 1, (fd) => ftruncate(fd, size));
      if (has(FATTR.KILL_SUIDGID)) this.killSetIds(inode.fd);
    }
    if (has(FATTR.ATIME | FATTR.MTIME)) {
      const times = new Uint8Array(32);
      const out = new DataView(times.buffer);
      const put = (at: number, set: number, now: number, seconds: number, nanoseconds: number) => {
        if (!has(set)) out.setUint32(at + 8, UTIME_OMIT, true);
        else if (has(now)) out.setUint32(at + 8, UTIME_NOW, true);
        else {
          out.setBigUint64(at, view.getBigUint64(seconds, true), true);
          out.setUint32(at + 8, Math.min(view.getUint32(nanoseconds, true), 999_999_999), true);
        }
      };
      put(0, FATTR.ATIME, FATTR.ATIME_NOW, SETATTR.atime, SETATTR.atimeNsec);
      put(16, FATTR.MTIME, FATTR.MTIME_NOW, SETATTR.mtime, SETATTR.mtimeNsec);
      utimesFd(inode.fd, times);
    }
    return this.#attributes(inode);
  }

  /** Opens an inode for a moment. Only regular files: opening anything else has effects. */
  #withFile(inode: Inode, flags: number, use: (fd: number) => void): void {
    const fd = this.#reopen(inode, flags);
    try {
      use(fd);
    } finally {
      closeFd(fd);
    }
  }

  #reopen(inode: Inode, flags: number): number {
    if (inode.kind !== S_IFREG) throw new ProtocolError(ERRNO.EINVAL);
    return reopen(inode.fd, (flags & OPEN_FLAGS) | O_CLOEXEC);
  }

  /** What writing does to set-user-ID and set-group-ID bits (FUSE_HANDLE_KILLPRIV_V2); capabilities are the host kernel's to drop. */
  killSetIds(fd: number): void {
    const mode = statFd(fd).getUint16(STATX.mode, true);
    const kept = mode & ~S_ISUID & ~((mode & S_IXGRP) === 0 ? 0 : S_ISGID);
    if (kept !== mode) chmodFd(fd, kept & PERMISSIONS);
  }

  #rename(request: Request, header: number, flags: number): Uint8Array {
    const to = this.#inodes.get(u64(fixed(request.body, header), 0));
    const [name, newName] = strings(request.body, header, 2) as [string, string];
    if ((flags & ~RENAME_FLAGS) !== 0) throw new ProtocolError(ERRNO.EINVAL);
    this.#access.check(to.fd, WRITE | SEARCH);
    this.#checkSticky(request.node, name);
    this.#checkSticky(to.node, newName);
    renameAt(this.#folder(request.node).fd, checkName(name), to.fd, checkName(newName), flags);
    return NOTHING;
  }

  /** struct fuse_open_in: flags, open_flags */
  #open(request: Request): Uint8Array {
    const view = fixed(request.body, 8);
    const flags = view.getUint32(0, true);
    if (this.#options.readOnly && ((flags & 3) !== 0 || (flags & O_TRUNC) !== 0)) throw new ProtocolError(EROFS);
    const inode = this.#inodes.get(request.node);
    this.handles.checkRoom();
    this.#access.check(inode.fd, accessOf(flags));
    const fd = this.#reopen(inode, flags);
    const handle = this.handles.add(fd);
    if ((view.getUint32(4, true) & OPEN_KILL_SUIDGID) !== 0 && (flags & O_TRUNC) !== 0) this.killSetIds(fd);
    return openReply(handle);
  }

  /** struct fuse_create_in: flags, mode, umask, open_flags */
  #create(request: Request): Uint8Array {
    const view = fixed(request.body, 16);
    const flags = view.getUint32(0, true);
    const mode = view.getUint32(4, true) & PERMISSIONS;
    const [name] = strings(request.body, 16, 1) as [string];
    checkName(name);
    this.handles.checkRoom();
    const folder = this.#folder(request.node).fd;
    this.#access.checkMaker(request);
    let fd: number;
    let made = true;
    try {
      fd = openAt(folder, name, (flags & OPEN_FLAGS) | O_CREAT | O_EXCL, mode);
    } catch (error) {
      // Somebody on the host was first: then it is an open, unless the guest insists.
      if ((flags & O_EXCL) !== 0 || !(error instanceof SyscallError) || error.code !== 'EEXIST') throw error;
      made = false;
      const inode = this.#lookup(request.node, name);
      try {
        this.#access.check(inode.fd, accessOf(flags));
        fd = this.#reopen(inode, flags);
      } finally {
        this.#inodes.forget(inode.node, 1);
      }
    }
    let inode: Inode;
    try {
      if (made) this.#give(fd, folder, request, mode);
      inode = this.#inodes.lookup(request.node, name);
    } catch (error) {
      closeFd(fd);
      if (made) unmake(folder, name, S_IFREG);
      throw error;
    }
    const bytes = new Uint8Array(ENTRY_OUT + 16);
    bytes.set(this.#entry(inode));
    bytes.set(openReply(this.handles.add(fd)), ENTRY_OUT);
    return bytes;
  }

  /** O_TMPFILE: struct fuse_create_in, and a name that means nothing. */
  #temporary(request: Request): Uint8Array {
    const view = fixed(request.body, 16);
    const flags = view.getUint32(0, true);
    const mode = view.getUint32(4, true) & PERMISSIONS;
    this.handles.checkRoom();
    const folder = this.#folder(request.node);
    if (folder.kind !== S_IFDIR) throw new ProtocolError(ERRNO.EINVAL);
    this.#access.checkMaker(request);
    const fd = openAt(folder.fd, '.', (flags & (OPEN_FLAGS | O_EXCL)) | O_TMPFILE, mode);
    let inode: Inode;
    try {
      this.#give(fd, folder.fd, request, mode);
      inode = this.#inodes.adopt(fd);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    const bytes = new Uint8Array(ENTRY_OUT + 16);
    bytes.set(this.#entry(inode));
    bytes.set(openReply(this.handles.add(fd)), ENTRY_OUT);
    return bytes;
  }

  #opendir(request: Request): Uint8Array {
    const inode = this.#inodes.get(request.node);
    if (inode.kind !== S_IFDIR) throw new ProtocolError(ERRNO.EINVAL);
    this.handles.checkRoom();
    this.#access.check(inode.fd, READ);
    return openReply(this.handles.add(reopen(inode.fd, O_DIRECTORY | O_CLOEXEC)));
  }

  /** struct fuse_read_in. Entries that do not fit are read again next time, from the offset of the last that did. */
  #readdir(request: Request, replyRoom: number): Uint8Array {
    const view = fixed(request.body, 20);
    const fd = this.handles.get(u64(view, 0));
    const room = Math.min(view.getUint32(16, true), replyRoom, DIRECTORY_BUFFER);
    const plus = request.opcode === OP.READDIRPLUS;
    lseek(fd, view.getBigInt64(8, true), SEEK_SET);
    const { device } = this.#inodes.get(request.node);
    const out = new Uint8Array(room);
    let used = 0;
    const count = getdents(fd, this.#buffer);
    for (const entry of parseEntries(this.#buffer.subarray(0, count))) {
      if (used + entrySize(entry, plus ? ENTRY_OUT : 0) > room) break;
      if (device > 0) entry.ino = ofDevice(entry.ino, device);
      used = writeEntry(out, used, entry, plus ? this.#plus(request.node, entry.name) : NOTHING);
    }
    return out.subarray(0, used);
  }

  /** A lookup that comes with the listing; an all-zero one says nothing of the entry. */
  #plus(folder: number, name: string): Uint8Array {
    if (name === '.' || name === '..') return new Uint8Array(ENTRY_OUT);
    try {
      return this.#entry(this.#lookup(folder, name));
    } catch {
      // gone in the meantime, or too many: the guest asks again if it cares
      return new Uint8Array(ENTRY_OUT);
    }
  }

  /** struct fuse_fsync_in: fh, flags (1: data only) */
  #sync(request: Request): Promise<Uint8Array> {
    const view = fixed(request.body, 12);
    const fd = this.handles.get(u64(view, 0));
    // A copy: the guest may release the handle while a thread of the pool has not got to it, and the number become another file's.
    const copy = duplicate(fd);
    const call = (view.getUint32(8, true) & 1) !== 0 && request.opcode === OP.FSYNC ? fdatasync : fsync;
    return new Promise((resolve, reject) =>
      call(copy, (error) => {
        closeFd(copy);
        if (error === null) resolve(NOTHING);
        else reject(new SyscallError('fsync', Math.abs(error.errno ?? ERRNO.EIO)));
      }),
    );
  }

  /** One at a time, and one more for all who ask meanwhile: a guest that asks without end keeps neither the event loop nor the pool's threads. */
  #syncOnce(): Promise<Uint8Array> {
    if (this.#syncing === undefined) {
      this.#syncing = this.#syncAll().finally(() => (this.#syncing = undefined));
      return this.#syncing;
    }
    this.#nextSync ??= this.#syncing
      .catch(() => {})
      .then(() => {
        this.#nextSync = undefined;
        return this.#syncOnce();
      });
    return this.#nextSync;
  }

  /**
   * SYNCFS names only the root of what the guest takes for one file system. All are opened first: while one is waited for the guest may forget an inode, and
   * its descriptor's number become another file's.
   */
  async #syncAll(): Promise<Uint8Array> {
    const files: number[] = [];
    try {
      for (const { fd, kind } of this.#inodes.onePerDevice())
        files.push(reopen(fd, (kind === S_IFDIR ? O_DIRECTORY : 0) | O_CLOEXEC));
      for (const file of files) if ((await syncfsInThread(file)) < 0) throw new ProtocolError(ERRNO.EIO);
    } finally {
      for (const file of files) closeFd(file);
    }
    return NOTHING;
  }

  /** struct fuse_kstatfs */
  #statfs(request: Request): Uint8Array {
    const stat = statfsFd(this.#inodes.get(request.node).fd);
    const bytes = new Uint8Array(80);
    const out = new DataView(bytes.buffer);
    for (let i = 0; i < 5; i++) out.setBigUint64(i * 8, stat[2 + i]!, true);
    out.setUint32(40, Number(stat[1]! & 0xffff_ffffn), true);
    out.setUint32(44, Number(stat[8]! & 0xffff_ffffn), true);
    out.setUint32(48, Number(stat[9]! & 0xffff_ffffn), true);
    return bytes;
  }

  /** struct fuse_setxattr_in without FUSE_SETXATTR_EXT: size, flags */
  #setxattr(request: Request): Uint8Array {
    const view = fixed(request.body, 8);
    const size = view.getUint32(0, true);
    const [name] = strings(request.body, 8, 1) as [string];
    const value = request.body.subarray(8 + name.length + 1);
    if (size > MAX_XATTR || size > value.length) throw new ProtocolError(ERRNO.EINVAL);
    const { fd } = this.#inodes.get(request.node);
    this.#access.checkAttribute(name);
    this.#access.checkOwn(fd);
    setxattrFd(fd, name, value.subarray(0, size), view.getUint32(4, true) & 3);
    return NOTHING;
  }

  /** struct fuse_getxattr_in: size; 0 asks how large */
  #getxattr(request: Request): Uint8Array {
    const size = Math.min(fixed(request.body, 8).getUint32(0, true), MAX_XATTR);
    const { fd } = this.#inodes.get(request.node);
    const into = new Uint8Array(size);
    if (request.opcode === OP.LISTXATTR) {
      const length = listxattrFd(fd, into);
      return size === 0 ? u64Bytes(length) : this.#access.attributeNames(into.subarray(0, length));
    }
    const [name] = strings(request.body, 8, 1) as [string];
    this.#access.checkAttribute(name);
    this.#access.check(fd, READ);
    const length = getxattrFd(fd, name, into);
    return size === 0 ? u64Bytes(length) : into.subarray(0, length);
  }

  get readOnly(): boolean {
    return this.#options.readOnly;
  }

  /** The guest has unmounted, or its driver is gone: everything it held is let go. */
  clear(): void {
    this.handles.clear();
    this.#inodes.clear();
  }

  get figures(): { inodes: number; handles: number } {
    return { inodes: this.#inodes.size, handles: this.handles.size };
  }

  [Symbol.dispose](): void {
    this.handles.clear();
    this.#inodes[Symbol.dispose]();
  }
}

/** What a file's mode has to grant for these flags of open(2). */
function accessOf(flags: number): number {
  const mode = flags & O_ACCMODE;
  return (mode === O_WRONLY ? 0 : READ) | (mode !== O_RDONLY || (flags & O_TRUNC) !== 0 ? WRITE : 0);
}

/** Takes back what could not be given to its maker; somebody on the host may have been faster. */
function unmake(folder: number, name: string, kind: number): void {
  try {
    unlinkAt(folder, name, kind === S_IFDIR ? AT_REMOVEDIR : 0);
  } catch {
    // gone, or in use by then
  }
}

/** The number of an inode as getdents has it → as attributes have it. */
function ofDevice(ino: Uint8Array, device: number): Uint8Array {
  const bytes = ino.slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(4, inodeHigh(view.getUint32(4, true), device), true);
  return bytes;
}

/** struct fuse_open_out: fh, open_flags, backing_id */
function openReply(handle: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(handle), true);
  return bytes;
}

/** fuse_lseek_out; also fuse_getxattr_out, whose second half is padding */
function u64Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/**
 * What all requests on a shared folder act on: the inodes the guest knows, its open files, and what it may do to them.
 * The checks that more than one family of requests makes are here; the requests themselves are in requests/.
 */
import { openFilesLimit } from '../../../../host/descriptors.ts';
import { chmodFd, chownFd, reopen, statFd, STATX } from '../../../../host/files/file-at.ts';
import { closeFd, O_CLOEXEC, openFolder } from '../../../../host/files/lookup.ts';
import { SyscallError } from '../../../../host/libc.ts';
import { Access, SEARCH, WRITE } from './access.ts';
import { attributesReply, entryReply, UNCHANGED, type Freshness, type Ownership } from './attributes.ts';
import { boundsFor } from './config.ts';
import { ERRNO, ProtocolError, type Request } from './fuse.ts';
import { Handles } from './handles.ts';
import { Inodes, S_IFDIR, S_IFMT, S_IFREG, type Inode } from './inodes.ts';

/**
 * open flags a guest may choose: access mode, O_TRUNC, O_DSYNC, O_SYNC (asm-generic/fcntl.h); O_APPEND is each write's
 * own affair (device.ts)
 */
export const OPEN_FLAGS = 3 | 0o1000 | 0o10000 | 0o4010000;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o010;
export const PERMISSIONS = 0o7777;

export interface ShareOptions {
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

export class Share implements Disposable {
  readonly readOnly: boolean;
  readonly ownership: Ownership;
  readonly inodes: Inodes;
  readonly handles: Handles;
  readonly access: Access;
  readonly #freshness: Freshness;
  /** umask(2) of this process: the guest's was applied by its own kernel, ours must not be */
  readonly #umask = process.umask();

  /** @throws SyscallError when the folder cannot be opened */
  constructor({ path, readOnly, ownership, freshness, descriptors = openFilesLimit(), onCrowded }: ShareOptions) {
    this.readOnly = readOnly;
    this.ownership = ownership;
    this.#freshness = freshness;
    this.access = new Access(ownership);
    const bounds = boundsFor(descriptors);
    this.handles = new Handles(bounds.handles);
    // Opened for reading rather than O_PATH: a share that cannot be listed is refused now, in the open, and not later
    // inside the guest.
    this.inodes = new Inodes(openFolder(path), bounds, onCrowded);
  }

  entry(inode: Inode): Uint8Array {
    return entryReply(inode, statFd(inode.fd), this.ownership, this.#freshness);
  }

  attributes(inode: Inode): Uint8Array {
    return attributesReply(inode, statFd(inode.fd), this.ownership, this.#freshness);
  }

  /** Counts one lookup of a name in a folder that may be searched. @throws SyscallError, ProtocolError */
  lookup(folder: number, name: string): Inode {
    this.access.check(this.inodes.get(folder).fd, SEARCH);
    return this.inodes.lookup(folder, name);
  }

  /** A name that is to be taken away. @throws ProtocolError, SyscallError */
  checkSticky(folder: number, name: string): void {
    if (!this.access.isSticky(this.inodes.get(folder).fd)) return;
    let entry: Inode;
    try {
      entry = this.inodes.lookup(folder, name);
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENOENT') return;
      throw error;
    }
    try {
      this.access.checkOwn(entry.fd);
    } finally {
      this.inodes.forget(entry.node, 1);
    }
  }

  /** A folder whose names are to change. */
  folder(node: number): Inode {
    const folder = this.inodes.get(node);
    this.access.check(folder.fd, WRITE | SEARCH);
    return folder;
  }

  /** A new inode belongs to the process that made it, and has the mode it asked for. */
  give(fd: number, folder: number, request: Request, mode: number | undefined): void {
    const owner = this.ownership.toHost(request.uid, request.gid);
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
    const wanted = this.access.modeFor(fd, mode | inherited, isFolder);
    if ((mode & lost) !== 0 || (wanted & S_ISGID) !== ((mode | inherited) & S_ISGID)) chmodFd(fd, wanted);
  }

  /** Opens an inode for a moment. Only regular files: opening anything else has effects. */
  withFile(inode: Inode, flags: number, use: (fd: number) => void): void {
    const fd = this.reopen(inode, flags);
    try {
      use(fd);
    } finally {
      closeFd(fd);
    }
  }

  reopen(inode: Inode, flags: number): number {
    if (inode.kind !== S_IFREG) throw new ProtocolError(ERRNO.EINVAL);
    return reopen(inode.fd, (flags & OPEN_FLAGS) | O_CLOEXEC);
  }

  /**
   * What writing does to set-user-ID and set-group-ID bits (FUSE_HANDLE_KILLPRIV_V2); capabilities are the host
   * kernel's to drop.
   */
  killSetIds(fd: number): void {
    const mode = statFd(fd).getUint16(STATX.mode, true);
    const kept = mode & ~S_ISUID & ~((mode & S_IXGRP) === 0 ? 0 : S_ISGID);
    if (kept !== mode) chmodFd(fd, kept & PERMISSIONS);
  }

  /** The guest has unmounted, or its driver is gone: everything it held is let go. */
  clear(): void {
    this.handles.clear();
    this.inodes.clear();
  }

  [Symbol.dispose](): void {
    this.handles.clear();
    this.inodes[Symbol.dispose]();
  }
}

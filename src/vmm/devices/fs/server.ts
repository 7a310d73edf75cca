/**
 * The FUSE server: it serves one shared folder by system calls on descriptors. Nothing here knows of virtio; device.ts
 * brings requests and takes replies.
 *
 * The server never walks a path, follows a symbolic link, opens a device, FIFO or socket, makes a device node, or
 * touches anything that is not beneath the shared folder. Permission checks are the guest kernel's
 * (default_permissions) and, below them, the host kernel's on the VMM's own ids.
 */
import { readlinkFd } from '../../../host/files/file-at.ts';
import { TELLING_GID } from '../../../agent-protocol.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { MAX_IO, MAX_PAGES } from './share/config.ts';
import {
  ERRNO,
  fixed,
  FUSE_MAJOR,
  FUSE_MINOR,
  INIT_FLAGS,
  OP,
  ProtocolError,
  u64,
  type Request,
} from './share/fuse.ts';
import type { Handles } from './share/handles.ts';
import { setAttributes, statfs } from './requests/attributes.ts';
import { answerTelling } from './requests/changes.ts';
import { list } from './requests/listing.ts';
import { link, lookup, mkdir, mknod, rename, symlink, unlink } from './requests/names.ts';
import { allocate, create, createTemporary, open, opendir, release, seek } from './requests/open.ts';
import { NOTHING } from './requests/reply.ts';
import { FolderSync, syncFile } from './requests/sync.ts';
import { getXattr, removeXattr, setXattr } from './requests/xattrs.ts';
import type { ChangesState } from './share/lifetimes.ts';
import { O_ACCMODE, O_TRUNC, Share, type SavedShare, type ShareOptions } from './share/share.ts';

type Reply = Uint8Array | Promise<Uint8Array>;

/** requests that change something, which a read-only share refuses */
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

/** struct fuse_open_in: flags; struct fuse_release_in: flags behind the handle */
const OPEN_FLAGS_AT = 0;
const RELEASE_FLAGS_AT = 8;

/** @returns whether the host's kernel may tell of what the request does */
function changesSomething({ opcode, body }: Request): boolean {
  if (WRITING.has(opcode)) return true;
  if (opcode === OP.OPEN && body.length >= 8) return (fixed(body, 8).getUint32(OPEN_FLAGS_AT, true) & O_TRUNC) !== 0;
  if (opcode === OP.RELEASE && body.length >= 12)
    return (fixed(body, 12).getUint32(RELEASE_FLAGS_AT, true) & O_ACCMODE) !== 0;
  return false;
}

export class Server implements Disposable {
  readonly #share: Share;
  readonly #folderSync: FolderSync;
  /** whether the guest has the folder mounted */
  #isMounted = false;

  /** @throws SyscallError when the folder cannot be opened */
  constructor(options: ShareOptions) {
    this.#share = new Share(options);
    this.#folderSync = new FolderSync(this.#share);
  }

  /** @returns the reply's payload. @throws SyscallError or ProtocolError, whose errno is the answer */
  handle(request: Request, replyRoom: number): Reply {
    const share = this.#share;
    if (!changesSomething(request)) return this.#handle(request, replyRoom);
    share.beginChange(request.node);
    try {
      return this.#handle(request, replyRoom);
    } finally {
      share.endChange();
    }
  }

  #handle(request: Request, replyRoom: number): Reply {
    const share = this.#share;
    share.begin();
    if (request.gid === TELLING_GID) return answerTelling(share, request);
    if (share.readOnly && WRITING.has(request.opcode)) throw new ProtocolError(ERRNO.EROFS);
    switch (request.opcode) {
      case OP.INIT:
        return this.#init(request);
      case OP.LOOKUP:
        return lookup(share, request);
      case OP.GETATTR:
        return share.attributes(share.inodes.get(request.node));
      case OP.SETATTR:
        return setAttributes(share, request);
      case OP.READLINK:
        return readlinkFd(share.inodes.get(request.node).fd);
      case OP.SYMLINK:
        return symlink(share, request);
      case OP.MKNOD:
        return mknod(share, request);
      case OP.MKDIR:
        return mkdir(share, request);
      case OP.UNLINK:
      case OP.RMDIR:
        return unlink(share, request);
      case OP.RENAME:
      case OP.RENAME2:
        return rename(share, request);
      case OP.LINK:
        return link(share, request);
      case OP.OPEN:
        return open(share, request);
      case OP.CREATE:
        return create(share, request);
      case OP.TMPFILE:
        return createTemporary(share, request);
      case OP.OPENDIR:
        return opendir(share, request);
      case OP.READDIR:
      case OP.READDIRPLUS:
        return list(share, request, replyRoom);
      case OP.RELEASE:
      case OP.RELEASEDIR:
        return release(share, request);
      case OP.FSYNC:
      case OP.FSYNCDIR:
        return syncFile(share, request);
      case OP.STATFS:
        return statfs(share, request);
      case OP.SETXATTR:
        return setXattr(share, request);
      case OP.GETXATTR:
      case OP.LISTXATTR:
        return getXattr(share, request);
      case OP.REMOVEXATTR:
        return removeXattr(share, request);
      case OP.FALLOCATE:
        return allocate(share, request);
      case OP.LSEEK:
        return seek(share, request);
      case OP.SYNCFS:
        // struct fuse_syncfs_in is nothing but padding.
        fixed(request.body, 8);
        return this.#folderSync.syncAll();
      case OP.DESTROY:
        this.clear();
        return NOTHING;
      default:
        // FLUSH (close(2)): nothing is held back here that could be flushed, and after this answer the guest's kernel
        // asks no more. Locks, ioctl, poll, bmap, copy_file_range and statx: the guest kernel does without each, or
        // says so to its programs.
        throw new ProtocolError(ERRNO.ENOSYS);
    }
  }

  /** Handles FORGET and BATCH_FORGET, which have no answer. */
  forget(request: Request): void {
    const { body } = request;
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    if (request.opcode === OP.FORGET) {
      if (body.length >= 8) this.#share.inodes.forget(request.node, u64(view, 0));
      return;
    }
    if (body.length < 8) return;
    const count = Math.min(view.getUint32(0, true), Math.floor((body.length - 8) / 16));
    for (let i = 0; i < count; i++) this.#share.inodes.forget(u64(view, 8 + i * 16), u64(view, 16 + i * 16));
  }

  /** Answers INIT: struct fuse_init_in gives struct fuse_init_out. */
  #init(request: Request): Uint8Array {
    const view = fixed(request.body, 16);
    if (view.getUint32(0, true) !== FUSE_MAJOR || view.getUint32(4, true) < FUSE_MINOR)
      throw new ProtocolError(ERRNO.EPROTO);
    this.#share.clear();
    this.#isMounted = true;
    const wanted = Object.values(INIT_FLAGS).reduce((all, flag) => all | flag, 0);
    const bytes = new Uint8Array(64);
    const reply = new DataView(bytes.buffer);
    reply.setUint32(0, FUSE_MAJOR, true);
    reply.setUint32(4, FUSE_MINOR, true);
    reply.setUint32(8, view.getUint32(8, true), true);
    reply.setUint32(12, (view.getUint32(12, true) & wanted) >>> 0, true);
    // most background requests of the guest, and the number from which it throttles them
    reply.setUint16(16, 64, true);
    reply.setUint16(18, 48, true);
    reply.setUint32(20, MAX_IO, true);
    // granularity of timestamps: one nanosecond
    reply.setUint32(24, 1, true);
    reply.setUint16(28, MAX_PAGES, true);
    return bytes;
  }

  get handles(): Handles {
    return this.#share.handles;
  }

  /** The guest keeps names and attributes until the host changes them; see Share. @throws GuestFault */
  countChanges(memory: GuestMemory, state: ChangesState): void {
    this.#share.countChanges(memory, state);
  }

  stopCounting(): void {
    this.#share.stopCounting();
  }

  /** Tells the guest of every change on the host until now. */
  settle(): void {
    this.#share.settle();
  }

  /** the descriptor that is readable when the host has changed something; undefined when nothing is watched */
  get changesFd(): number | undefined {
    return this.#share.changesFd;
  }

  get readOnly(): boolean {
    return this.#share.readOnly;
  }

  /** Writes to a node for the guest. @param request.gid of the request @throws ProtocolError */
  writing<T>({ node, gid }: Pick<Request, 'node' | 'gid'>, write: () => T): T {
    if (gid === TELLING_GID) throw new ProtocolError(ERRNO.EPERM);
    this.#share.beginChange(node);
    try {
      return write();
    } finally {
      this.#share.endChange();
    }
  }

  /** The guest has just written to the node, and takes its size and times for stale by itself. */
  ownWrite(node: number): void {
    this.#share.ownWrite(node);
  }

  /** Clears the set-user-ID and set-group-ID bits that writing clears. */
  killSetIds(fd: number): void {
    this.#share.killSetIds(fd);
  }

  /** Releases all that the guest held, after it has unmounted or its driver is gone. */
  clear(): void {
    this.#isMounted = false;
    this.#share.clear();
  }

  /** @returns what the guest knows; undefined when it has nothing mounted */
  save(): SavedShare | undefined {
    return this.#isMounted ? this.#share.save() : undefined;
  }

  restore(saved: SavedShare): void {
    this.#isMounted = true;
    this.#share.restore(saved);
  }

  get figures(): { inodes: number; handles: number; watches: number } {
    const { inodes, handles, watches } = this.#share;
    return { inodes: inodes.size, handles: handles.size, watches };
  }

  [Symbol.dispose](): void {
    this.#share[Symbol.dispose]();
  }
}

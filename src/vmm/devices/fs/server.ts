/**
 * The FUSE server: one shared folder, served by system calls on descriptors. Nothing here knows of virtio; device.ts
 * brings requests and takes replies.
 *
 * What it never does: walk a path, follow a symbolic link, open a device, FIFO or socket, make a device node, or touch
 * anything that is not beneath the shared folder. Permission checks are the guest kernel's (default_permissions) and,
 * below them, the host kernel's on the VMM's own ids.
 */
import { readlinkFd } from '../../../host/files/file-at.ts';
import { MAX_IO, MAX_PAGES } from './share/config.ts';
import {
  ERRNO,
  fixed,
  FUSE_MAJOR,
  FUSE_MINOR,
  INIT_FLAGS,
  OP,
  ProtocolError,
  strings,
  u64,
  type Request,
} from './share/fuse.ts';
import type { Handles } from './share/handles.ts';
import { setAttributes, statfs } from './requests/attributes.ts';
import { list } from './requests/listing.ts';
import { link, mkdir, mknod, rename, symlink, unlink } from './requests/names.ts';
import { allocate, create, createTemporary, flush, open, opendir, release, seek } from './requests/open.ts';
import { NOTHING } from './requests/reply.ts';
import { FolderSync, syncFile } from './requests/sync.ts';
import { getXattr, removeXattr, setXattr } from './requests/xattrs.ts';
import { Share, type ShareOptions } from './share/share.ts';

type Reply = Uint8Array | Promise<Uint8Array>;

/** Requests that change something: refused on a read-only share. */
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
  readonly #share: Share;
  readonly #folderSync: FolderSync;

  /** @throws SyscallError when the folder cannot be opened */
  constructor(options: ShareOptions) {
    this.#share = new Share(options);
    this.#folderSync = new FolderSync(this.#share);
  }

  /** @returns the reply's payload. @throws SyscallError or ProtocolError: its errno is the answer */
  handle(request: Request, replyRoom: number): Reply {
    const share = this.#share;
    if (share.readOnly && WRITING.has(request.opcode)) throw new ProtocolError(ERRNO.EROFS);
    switch (request.opcode) {
      case OP.INIT:
        return this.#init(request);
      case OP.LOOKUP:
        return share.entry(share.lookup(request.node, strings(request.body, 0, 1)[0]!));
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
      case OP.FLUSH:
        return flush(share, request);
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
        // struct fuse_syncfs_in: nothing but padding
        fixed(request.body, 8);
        return this.#folderSync.syncAll();
      case OP.DESTROY:
        share.clear();
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
      if (body.length >= 8) this.#share.inodes.forget(request.node, u64(view, 0));
      return;
    }
    if (body.length < 8) return;
    const count = Math.min(view.getUint32(0, true), Math.floor((body.length - 8) / 16));
    for (let i = 0; i < count; i++) this.#share.inodes.forget(u64(view, 8 + i * 16), u64(view, 16 + i * 16));
  }

  /** struct fuse_init_in, fuse_init_out */
  #init(request: Request): Uint8Array {
    const view = fixed(request.body, 16);
    if (view.getUint32(0, true) !== FUSE_MAJOR || view.getUint32(4, true) < FUSE_MINOR)
      throw new ProtocolError(ERRNO.EPROTO);
    this.#share.clear();
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

  get handles(): Handles {
    return this.#share.handles;
  }

  get readOnly(): boolean {
    return this.#share.readOnly;
  }

  /** What writing does to set-user-ID and set-group-ID bits. */
  killSetIds(fd: number): void {
    this.#share.killSetIds(fd);
  }

  /** The guest has unmounted, or its driver is gone: everything it held is let go. */
  clear(): void {
    this.#share.clear();
  }

  get figures(): { inodes: number; handles: number } {
    return { inodes: this.#share.inodes.size, handles: this.#share.handles.size };
  }

  [Symbol.dispose](): void {
    this.#share[Symbol.dispose]();
  }
}

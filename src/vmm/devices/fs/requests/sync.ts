/** Requests that wait for the disk: FSYNC and FSYNCDIR of an open file, SYNCFS of everything that is shared. */
import { fdatasync, fsync } from 'node:fs';
import { duplicate } from '../../../../host/descriptors.ts';
import { reopen } from '../../../../host/files/file-at.ts';
import { closeFd, O_CLOEXEC, O_DIRECTORY, syncfsInThread } from '../../../../host/files/lookup.ts';
import { SyscallError } from '../../../../host/libc.ts';
import { ERRNO, fixed, OP, ProtocolError, u64, type Request } from '../share/fuse.ts';
import { S_IFDIR } from '../share/inodes.ts';
import type { Share } from '../share/share.ts';
import { NOTHING } from './reply.ts';

/** Answers FSYNC and FSYNCDIR. struct fuse_fsync_in: fh, flags (1: data only) */
export function syncFile(share: Share, request: Request): Promise<Uint8Array> {
  const view = fixed(request.body, 12);
  const fd = share.handles.get(u64(view, 0));
  // The sync gets a copy of the descriptor: the guest may release the handle before a thread of the pool begins, and
  // the descriptor's number may then be another file's.
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

/** The SYNCFS requests of one share. */
export class FolderSync {
  readonly #share: Share;
  #running: Promise<Uint8Array> | undefined;
  #next: Promise<Uint8Array> | undefined;

  constructor(share: Share) {
    this.#share = share;
  }

  /**
   * Runs one sync at a time, and one more for all requests that arrive meanwhile: a guest that asks without end blocks
   * neither the event loop nor the pool's threads.
   */
  syncAll(): Promise<Uint8Array> {
    if (this.#running === undefined) {
      this.#running = this.#run().finally(() => (this.#running = undefined));
      return this.#running;
    }
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.syncAll();
      });
    return this.#next;
  }

  /**
   * Syncs every file system that the guest has met, because SYNCFS names only the root of what the guest takes for one
   * file system. All files are opened first: while one sync runs, the guest may forget an inode, and its descriptor's
   * number may become another file's.
   */
  async #run(): Promise<Uint8Array> {
    const files: number[] = [];
    try {
      for (const { fd, kind } of this.#share.inodes.onePerDevice())
        files.push(reopen(fd, (kind === S_IFDIR ? O_DIRECTORY : 0) | O_CLOEXEC));
      for (const file of files) if ((await syncfsInThread(file)) < 0) throw new ProtocolError(ERRNO.EIO);
    } finally {
      for (const file of files) closeFd(file);
    }
    return NOTHING;
  }
}

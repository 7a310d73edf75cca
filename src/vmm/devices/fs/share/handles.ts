/** The guest's open files and folders by handle number. Their number is bounded. */
import { closeFd } from '../../../../host/files/lookup.ts';
import { ERRNO, ProtocolError } from './fuse.ts';
import type { Inode } from './inodes.ts';

interface Handle {
  fd: number;
  inode: Inode;
}

export class Handles {
  readonly #open = new Map<number, Handle>();
  readonly #most: number;
  #next = 1;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param fd a descriptor that the handles own from here on @returns the handle */
  add(fd: number, inode: Inode): number {
    const handle = this.#next++;
    this.#open.set(handle, { fd, inode });
    inode.handles++;
    return handle;
  }

  /** Called before a file is opened. @throws ProtocolError when no further file can be kept */
  checkRoom(): void {
    if (this.#open.size >= this.#most) throw new ProtocolError(ERRNO.ENFILE);
  }

  /** @throws ProtocolError for a handle that is not open */
  get(handle: number): number {
    return this.#get(handle).fd;
  }

  #get(handle: number): Handle {
    const found = this.#open.get(handle);
    if (found === undefined) throw new ProtocolError(ERRNO.EBADF);
    return found;
  }

  /** @returns the inode that was open. @throws ProtocolError */
  release(handle: number): Inode {
    const { fd, inode } = this.#get(handle);
    this.#open.delete(handle);
    closeFd(fd);
    inode.handles--;
    return inode;
  }

  get size(): number {
    return this.#open.size;
  }

  clear(): void {
    for (const handle of this.#open.keys()) this.release(handle);
    this.#open.clear();
  }
}

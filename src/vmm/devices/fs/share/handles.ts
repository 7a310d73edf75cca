/** The guest's open files and folders by handle number. Their number is bounded. */
import { closeFd } from '../../../../host/files/lookup.ts';
import { ERRNO, ProtocolError } from './fuse.ts';
import { NO_FD, NOT_NAMED, type Inode } from './inodes.ts';

interface Handle {
  /** NO_FD when the file could not be opened again in a machine that goes on from a saved one */
  fd: number;
  inode: Inode;
  /** of open(2), as the guest gave them */
  flags: number;
}

export interface SavedHandles {
  /** the number of the next one */
  next: number;
  open: { handle: number; node: number; flags: number }[];
}

export class Handles {
  readonly #open = new Map<number, Handle>();
  readonly #most: number;
  #next = 1;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param fd a descriptor that the handles own from here on @returns the handle */
  add(fd: number, inode: Inode, flags: number): number {
    const handle = this.#next++;
    this.#set(handle, { fd, inode, flags });
    return handle;
  }

  #set(handle: number, opened: Handle): void {
    this.#open.set(handle, opened);
    opened.inode.handles++;
    // What is read and written by it changes the times.
    opened.inode.namedIn = NOT_NAMED;
  }

  save(): SavedHandles {
    const open = [...this.#open].map(([handle, { inode, flags }]) => ({ handle, node: inode.node, flags }));
    return { next: this.#next, open };
  }

  /**
   * @param find the inode of a node; undefined for one that the guest has forgotten while it had it open, which no
   *   kernel does
   * @param reopen gives a descriptor, or NO_FD
   */
  restore(
    { next, open }: SavedHandles,
    { find, reopen }: { find(node: number): Inode | undefined; reopen(inode: Inode, flags: number): number },
  ): void {
    this.#next = next;
    for (const { handle, node, flags } of open) {
      const inode = find(node);
      if (inode === undefined) continue;
      this.#set(handle, { fd: this.#open.size < this.#most ? reopen(inode, flags) : NO_FD, inode, flags });
    }
  }

  /** Called before a file is opened. @throws ProtocolError when no further file can be kept */
  checkRoom(): void {
    if (this.#open.size >= this.#most) throw new ProtocolError(ERRNO.ENFILE);
  }

  /** @throws ProtocolError for a handle that is not open */
  get(handle: number): number {
    const { fd } = this.#get(handle);
    if (fd === NO_FD) throw new ProtocolError(ERRNO.ESTALE);
    return fd;
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
    if (fd !== NO_FD) closeFd(fd);
    inode.handles--;
    inode.namedIn = NOT_NAMED;
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

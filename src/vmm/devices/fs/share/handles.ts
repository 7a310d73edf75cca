/** The guest's open files and folders by handle number. Their number is bounded. */
import { closeFd } from '../../../../host/files/lookup.ts';
import { ERRNO, ProtocolError } from './fuse.ts';

export class Handles {
  readonly #open = new Map<number, number>();
  readonly #most: number;
  #next = 1;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param fd a descriptor that the handles own from here on @returns the handle */
  add(fd: number): number {
    const handle = this.#next++;
    this.#open.set(handle, fd);
    return handle;
  }

  /** Called before a file is opened. @throws ProtocolError when no further file can be kept */
  checkRoom(): void {
    if (this.#open.size >= this.#most) throw new ProtocolError(ERRNO.ENFILE);
  }

  /** @throws ProtocolError for a handle that is not open */
  get(handle: number): number {
    const fd = this.#open.get(handle);
    if (fd === undefined) throw new ProtocolError(ERRNO.EBADF);
    return fd;
  }

  release(handle: number): void {
    const fd = this.get(handle);
    this.#open.delete(handle);
    closeFd(fd);
  }

  get size(): number {
    return this.#open.size;
  }

  clear(): void {
    for (const fd of this.#open.values()) closeFd(fd);
    this.#open.clear();
  }
}

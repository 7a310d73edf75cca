/** Open files and folders of the guest, by handle number; bounded. */
import { closeFd } from '../../../../host/files/lookup.ts';
import { ERRNO, ProtocolError } from './fuse.ts';

export class Handles {
  readonly #open = new Map<number, number>();
  readonly #most: number;
  #next = 1;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param fd owned from here on @returns the handle */
  add(fd: number): number {
    const handle = this.#next++;
    this.#open.set(handle, fd);
    return handle;
  }

  /** @throws ProtocolError before a file is opened that could not be kept */
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

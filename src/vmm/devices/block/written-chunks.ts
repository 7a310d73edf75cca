/** Which parts of a disk have been written since a moment, for who copies the disk meanwhile. */

/** bytes */
const CHUNK = 1 << 20;

export class WrittenChunks {
  /** by number: 1 where something was written */
  readonly #written: Uint8Array;
  readonly #size: number;

  /** @param size bytes of the disk */
  constructor(size: number) {
    this.#size = size;
    this.#written = new Uint8Array(Math.ceil(size / CHUNK));
  }

  /** The range lies inside the disk. */
  add(position: number, length: number): void {
    if (length > 0) this.#written.fill(1, Math.floor(position / CHUNK), Math.ceil((position + length) / CHUNK));
  }

  /** Yields what was written, rounded to chunks, each once. */
  *ranges(): Generator<{ offset: number; length: number }> {
    for (let start = this.#written.indexOf(1); start >= 0;) {
      const next = this.#written.indexOf(0, start);
      const end = next < 0 ? this.#written.length : next;
      yield { offset: start * CHUNK, length: Math.min(end * CHUNK, this.#size) - start * CHUNK };
      start = this.#written.indexOf(1, end);
    }
  }
}

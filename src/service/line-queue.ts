/**
 * A queue between a source that cannot be held back and a client that reads as slowly as it likes. It is bounded: what
 * does not fit is left out, and its place is marked once the client reads again.
 */

/** bytes that wait for a slow client */
const MOST_WAITING = 1 << 20;

interface Entry<T> {
  value: T;
  size: number;
}

export class LineQueue<T> implements AsyncIterable<T> {
  readonly #entries: Entry<T>[] = [];
  readonly #clipped: () => T;
  #waiting = 0;
  #isClipping = false;
  #ended = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  /** @param clipped makes the line that stands for those that were left out */
  constructor(clipped: () => T) {
    this.#clipped = clipped;
  }

  /**
   * @param size about how many bytes the value has
   * @param options.keep whether it is taken though there is no space: of what a client must know, and there is little
   * of
   */
  push(value: T, size: number, { keep = false } = {}): void {
    if (this.#ended) return;
    if (!keep && this.#waiting + size > MOST_WAITING) {
      if (!this.#isClipping) this.#add(this.#clipped(), 0);
      this.#isClipping = true;
      return;
    }
    if (!keep) this.#isClipping = false;
    this.#add(value, size);
  }

  #add(value: T, size: number): void {
    this.#entries.push({ value, size });
    this.#waiting += size;
    this.#wake?.();
  }

  /** @param error thrown to the reader behind what is in the queue */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const entry = this.#entries.shift();
      if (entry) {
        this.#waiting -= entry.size;
        yield entry.value;
      } else if (this.#ended) {
        if (this.#error !== undefined) throw this.#error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}

/**
 * Members of a tar on a stream, one after another, each with its contents as a stream; `load` reads archives with it.
 * It keeps one chunk in memory, and writes nothing.
 */
import { BLOCK, type TarEntry } from '../../tar/entry.ts';
import { TarParser } from '../../tar/parser.ts';

export class Members {
  #source: AsyncIterator<Buffer>;
  #parser: TarParser;
  #chunk: Buffer = Buffer.alloc(0);
  #found: TarEntry | undefined;
  /** bytes of the current member's contents that have not been read; its padding follows */
  #left = 0;

  /** @param source uncompressed bytes */
  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
    this.#parser = new TarParser((entry) => (this.#found = entry));
  }

  /**
   * Reads up to the next member, and skips what is left of the current one's contents.
   * @returns undefined at the end of the archive
   * @throws HuskError `corrupt`; whatever the source throws
   */
  async next(): Promise<TarEntry | undefined> {
    const parser = this.#parser;
    this.#left = 0;
    this.#found = undefined;
    while (!this.#found && !parser.ended) {
      if (this.#chunk.length === 0 && !(await this.#read())) {
        parser.end();
        return undefined;
      }
      if (parser.skippable > 0) {
        const length = Math.min(parser.skippable, this.#chunk.length);
        parser.skip(length);
        this.#chunk = this.#chunk.subarray(length);
        continue;
      }
      // The parser gets one block at a time, because contents must not be pushed into it.
      const length = Math.min(BLOCK - (parser.position % BLOCK), this.#chunk.length);
      parser.push(this.#chunk.subarray(0, length));
      this.#chunk = this.#chunk.subarray(length);
    }
    const found = this.#found as TarEntry | undefined;
    this.#left = found?.dataSize ?? 0;
    return found;
  }

  /** Reads the current member's contents; they can be read once, before the next call of `next`. */
  async *contents(): AsyncGenerator<Buffer, void, void> {
    while (this.#left > 0) {
      if (this.#chunk.length === 0 && !(await this.#read())) return this.#parser.end();
      const piece = this.#chunk.subarray(0, this.#left);
      this.#chunk = this.#chunk.subarray(piece.length);
      this.#left -= piece.length;
      this.#parser.skip(piece.length);
      yield piece;
    }
  }

  /** Reads the source to its end: a program that writes into the pipe must not get EPIPE behind the end mark. */
  async drain(): Promise<void> {
    while (await this.#read());
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #read(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    this.#chunk = done ? Buffer.alloc(0) : value;
    return !done;
  }
}

/**
 * One file of a log, open for reading: plain or compressed. It is known by its inode, or where compression gave it
 * another by the one it had. Never writes.
 */
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { causeOf, HuskError } from '../errors.ts';
import type { LogDecoder, LogFormat } from './format.ts';
import { identityOf, packedIdentity } from './packed.ts';
import type { LogEntry } from './sink.ts';
import { COMPRESSED } from './rotating-file.ts';

/** bytes */
const BLOCK = 256 * 1024;

export class LogFile implements Disposable {
  readonly path: string;
  /** bytes when it was opened */
  readonly size: number;
  /** ms since the epoch */
  readonly changedAt: number;
  readonly #fd: number;
  readonly #inode: number;
  readonly #compressed: boolean;

  private constructor(path: string, fd: number) {
    const { ino, size, mtimeMs } = fstatSync(fd);
    this.path = path;
    this.#fd = fd;
    this.#inode = ino;
    this.size = size;
    this.changedAt = Math.floor(mtimeMs);
    this.#compressed = path.endsWith(COMPRESSED);
  }

  /** @returns undefined when it is not there */
  static open(path: string): LogFile | undefined {
    try {
      return new LogFile(path, openSync(path, 'r'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  is(other: LogFile): boolean {
    if (this.#compressed === other.#compressed) return this.#inode === other.#inode;
    const [packed, plain] = this.#compressed ? [this, other] : [other, this];
    return packedIdentity(packed.#fd) === identityOf(plain.#fd);
  }

  /** It may grow: no rotation has made it what it is. */
  get live(): boolean {
    return !this.#compressed;
  }

  /** Entries from an offset up to what the file had when it was opened. */
  async *entries(format: LogFormat, offset = 0): AsyncGenerator<LogEntry[]> {
    const decoder = format.decoder(offset === 0);
    for await (const block of this.#compressed ? this.#unpacked() : this.blocks(offset, this.size))
      yield this.decode(decoder, block);
  }

  /** @throws HuskError naming the file */
  decode(decoder: LogDecoder, block: Buffer): LogEntry[] {
    try {
      return [...decoder.push(block)];
    } catch (error) {
      if (error instanceof HuskError)
        throw new HuskError(`cannot read ${this.path}: ${error.message}`, { kind: error.kind, cause: error });
      throw error;
    }
  }

  *blocks(from: number, to = Number.POSITIVE_INFINITY): Generator<Buffer> {
    for (let at = from; at < to;) {
      const block = Buffer.allocUnsafe(BLOCK);
      const count = readSync(this.#fd, block, 0, Math.min(BLOCK, to - at), at);
      if (count === 0) return;
      at += count;
      yield block.subarray(0, count);
    }
  }

  async *#unpacked(): AsyncGenerator<Buffer> {
    const { createGunzip } = await import('node:zlib');
    const packed = createReadStream('', { fd: this.#fd, autoClose: false, start: 0 });
    const plain = packed.pipe(createGunzip());
    packed.once('error', (error) => plain.destroy(error));
    try {
      yield* plain as AsyncIterable<Buffer>;
    } catch (error) {
      throw new HuskError(`cannot read ${this.path}: ${causeOf(error)}`, { kind: 'corrupt', cause: error });
    }
  }

  /** @returns where its last lines begin, or somewhat before, and how many there are from there on */
  async tail(format: LogFormat, count: number): Promise<{ offset: number; lines: number }> {
    if (!this.#compressed) return format.tail(this.#fd, this.size, count);
    let lines = 0;
    for await (const entries of this.entries(format)) lines += entries.length;
    return { offset: 0, lines };
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** The files of a log, oldest first, each once, while a writer may rotate them. */
export function openFiles(path: string): LogFile[] {
  const files: LogFile[] = [];
  // the newest first: what is renamed meanwhile is then met again, and known, instead of missed
  for (let index = 0, missing = 0; missing < 2; index++) {
    const plain = index === 0 ? path : `${path}.${index}`;
    const file = LogFile.open(plain) ?? (index === 0 ? undefined : LogFile.open(`${plain}${COMPRESSED}`));
    // one may be missing for a moment in the middle of a rotation
    missing = file ? 0 : missing + 1;
    if (!file) continue;
    if (files.some((known) => known.is(file))) file[Symbol.dispose]();
    else files.unshift(file);
  }
  return files;
}

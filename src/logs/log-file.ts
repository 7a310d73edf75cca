/**
 * One file of a log, open for reading, plain or compressed. A file is identified by its inode; a compressed one is also
 * known by the plain file that it was made of. This class never writes.
 */
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { causeOf, HuskError } from '../errors.ts';
import type { LogDecoder, LogFormat } from './format.ts';
import { identityOf, packedIdentity } from './packed.ts';
import type { LogEntry } from './sink.ts';
import { COMPRESSED } from './rotating-file.ts';

/** bytes read at once */
const BLOCK = 256 * 1024;

export class LogFile implements Disposable {
  readonly path: string;
  /** bytes that the file had when it was opened */
  readonly size: number;
  /** time of the last change, ms since the epoch */
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

  /** @returns undefined when the file is not there */
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

  /** Whether the file may still grow; a compressed one never does. */
  get live(): boolean {
    return !this.#compressed;
  }

  /** Yields the entries from an offset up to the size that the file had when it was opened. */
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

  /** @returns where the last lines begin, or a place somewhat before that, and how many lines follow from there */
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

/** Opens the files of a log, oldest first, each once, while a writer may rotate them. */
export function openFiles(path: string): LogFile[] {
  const files: LogFile[] = [];
  // The newest file is opened first: a file that is renamed meanwhile is then met again, and recognized, instead of
  // missed.
  for (let index = 0, missing = 0; missing < 2; index++) {
    const plain = index === 0 ? path : `${path}.${index}`;
    const file = LogFile.open(plain) ?? (index === 0 ? undefined : LogFile.open(`${plain}${COMPRESSED}`));
    // A file may be missing for a moment in the middle of a rotation.
    missing = file ? 0 : missing + 1;
    if (!file) continue;
    if (files.some((known) => known.is(file))) file[Symbol.dispose]();
    else files.unshift(file);
  }
  return files;
}

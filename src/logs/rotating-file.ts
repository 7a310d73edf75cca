/**
 * The files of a log: one that grows, and at its maximal size becomes file.1, file.2 …, which are Docker's names;
 * entries are appended whole. A full disk loses entries, never a part of one: the part that a failed write left is cut
 * off again, and what a killed writer left is cut off at the start. Compression (file.1.gz …) runs beside the writing,
 * one file at a time, and never delays it: a file that is rotated meanwhile stays plain.
 */
import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { errnoName } from '../host/libc.ts';
import { within } from '../long-timer.ts';
import type { LogFormat } from './format.ts';
import { identityMember } from './packed.ts';

export interface RotatingFileOptions {
  format: LogFormat;
  /** limit of bytes of one file */
  maxSize: number;
  maxFile: number;
  compress: boolean;
  /** Called with one line each time that entries begin to be lost. */
  onTrouble(message: string): void;
}

/** mode of a log file, as in Docker */
const MODE = 0o640;
export const COMPRESSED = '.gz';
const HALF_MADE = '.gz.new';
/** ms that the end of a log waits for a compression; an unfinished one is dropped, and its file stays plain */
const COMPRESSION_GRACE_MS = 1000;

/** A compression under way; every rotation moves its file on by one. */
interface Job {
  index: number;
  done: Promise<void>;
  cancel: AbortController;
}

export class RotatingFile {
  readonly #path: string;
  readonly #options: RotatingFileOptions;
  #fd: number;
  #size: number;
  #job: Job | undefined;
  #losing = false;

  /** @throws the system's error when the file cannot be opened */
  constructor(path: string, options: RotatingFileOptions) {
    this.#path = path;
    this.#options = options;
    rmSync(`${path}${HALF_MADE}`, { force: true });
    // The file is opened for reading as well, because its end is checked.
    this.#fd = openSync(path, 'a+', MODE);
    this.#size = fstatSync(this.#fd).size;
    const whole = this.#size === 0 ? 0 : options.format.wholeLength(this.#fd, this.#size);
    if (whole < this.#size) ftruncateSync(this.#fd, (this.#size = whole));
  }

  /** Appends entries, and rotates the file when it is full. @param bytes whole entries */
  append(bytes: Buffer): void {
    for (let rest = bytes; rest.length > 0;) {
      const { format, maxSize } = this.#options;
      if (this.#size === 0 && !this.#write(format.header)) return;
      let count = format.divide(rest, maxSize - this.#size);
      if (count === 0 && this.#size > format.header.length) {
        if (!this.#rotate()) return;
        continue;
      }
      // A single entry may be larger than a file.
      if (count === 0) count = firstEntry(format, rest);
      this.#write(rest.subarray(0, count));
      rest = rest.subarray(count);
    }
  }

  async close(): Promise<void> {
    closeSync(this.#fd);
    const job = this.#job;
    if (!job) return;
    if ((await within(job.done, COMPRESSION_GRACE_MS)) !== 'late') return;
    job.cancel.abort();
    await job.done;
  }

  #write(bytes: Buffer): boolean {
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written);
    } catch (error) {
      this.#lose(error, written);
      return false;
    }
    this.#size += bytes.length;
    this.#losing = false;
    return true;
  }

  /** Drops what could not be written; the container continues without its log, as under Docker. */
  #lose(error: unknown, written: number): void {
    try {
      if (written > 0) ftruncateSync(this.#fd, this.#size);
    } catch {
      // The next start cuts it off.
    }
    if (this.#losing) return;
    this.#losing = true;
    const { code, errno } = error as NodeJS.ErrnoException;
    this.#options.onTrouble(
      `cannot write the log ${this.#path}: ${code ?? (errno === undefined ? String(error) : errnoName(-errno))}; output is lost until it can be written again`,
    );
  }

  /** Renames file → file.1 → file.2 … */
  #rotate(): boolean {
    const { maxFile, compress } = this.#options;
    try {
      if (maxFile === 1) rmSync(this.#path, { force: true });
      else this.#shift(maxFile);
      closeSync(this.#fd);
      this.#fd = openSync(this.#path, 'a+', MODE);
      this.#size = fstatSync(this.#fd).size;
    } catch (error) {
      this.#lose(error, 0);
      return false;
    }
    if (compress && !this.#job) this.#compress(1);
    return true;
  }

  #shift(maxFile: number): void {
    for (const end of ['', COMPRESSED]) rmSync(`${this.#path}.${maxFile - 1}${end}`, { force: true });
    for (let index = maxFile - 2; index >= 1; index--)
      for (const end of ['', COMPRESSED])
        if (existsSync(`${this.#path}.${index}${end}`))
          renameSync(`${this.#path}.${index}${end}`, `${this.#path}.${index + 1}${end}`);
    renameSync(this.#path, `${this.#path}.1`);
    if (this.#job) this.#job.index++;
  }

  #compress(index: number): void {
    const job: Job = { index, done: Promise.resolve(), cancel: new AbortController() };
    this.#job = job;
    job.done = this.#pack(job).finally(() => {
      this.#job = undefined;
    });
  }

  /**
   * Compresses a rotated file. Readers look for the plain file first, so there is always one whole copy. A failure
   * leaves the file plain.
   */
  async #pack(job: Job): Promise<void> {
    const half = `${this.#path}${HALF_MADE}`;
    try {
      const file = openSync(`${this.#path}.${job.index}`, 'r');
      const origin = identityMember(fstatSync(file, { bigint: true }));
      const [{ pipeline }, { createGzip, constants }] = await Promise.all([
        import('node:stream/promises'),
        import('node:zlib'),
      ]);
      writeFileSync(half, origin, { mode: MODE });
      await pipeline(
        createReadStream('', { fd: file, start: 0 }),
        createGzip({ level: constants.Z_BEST_SPEED }),
        createWriteStream(half, { flags: 'a' }),
        { signal: job.cancel.signal },
      );
      const plain = `${this.#path}.${job.index}`;
      // The file may have been rotated away meanwhile.
      if (!existsSync(plain)) return rmSync(half, { force: true });
      renameSync(half, `${plain}${COMPRESSED}`);
      rmSync(plain);
    } catch {
      rmSync(half, { force: true });
    }
  }
}

function firstEntry(format: LogFormat, bytes: Buffer): number {
  let room = 1;
  while (format.divide(bytes, room) === 0 && room < bytes.length) room *= 2;
  return format.divide(bytes, Math.min(room, bytes.length));
}

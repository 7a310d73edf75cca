/**
 * Writes a container's output as Docker's json-file log: one JSON object a line, `{"log":…,"stream":…,"time":…}`. A line of output
 * longer than 16 KiB becomes several entries of which only the last ends in \n, as Docker splits it. Never reads the log.
 */
import { closeSync, fstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { HuskError } from '../errors.ts';
import { rfc3339 } from '../state/time.ts';

/** bytes of one entry's text; moby daemon/logger/copier.go: defaultBufSize */
export const MAX_ENTRY = 16 * 1024;

const NEWLINE = 0x0a;

export interface LogOptions {
  /** `json-file` and `local` write a file, `none` nothing */
  driver: string;
  /** `max-size` (bytes, k/m/g), `max-file` */
  options: Record<string, string>;
}

export interface LogSink {
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void;
  /** the stream has ended: an unfinished line is written as it is */
  end(): void;
}

/** @throws HuskError `invalid` on an unknown driver or option value, in Docker's words where it has some */
export function checkLogOptions(log: LogOptions): { maxSize: number; maxFile: number } {
  if (!['json-file', 'local', 'none'].includes(log.driver)) throw new HuskError(`logger: no log driver named '${log.driver}' is registered`, { kind: 'invalid', fix: 'husk has json-file, local and none' });
  let maxSize = Number.POSITIVE_INFINITY;
  let maxFile = 1;
  for (const [key, value] of Object.entries(log.options)) {
    if (key === 'max-size') maxSize = value === '-1' ? Number.POSITIVE_INFINITY : parseSize(value);
    else if (key === 'max-file') {
      maxFile = Number(value);
      if (!Number.isInteger(maxFile) || maxFile < 1) throw new HuskError(`max-file cannot be less than 1`, { kind: 'invalid' });
    } else if (!['mode', 'max-buffer-size', 'compress', 'labels', 'labels-regex', 'env', 'env-regex', 'tag'].includes(key)) {
      throw new HuskError(`unknown log opt '${key}' for ${log.driver} log driver`, { kind: 'invalid' });
    }
  }
  if (maxFile > 1 && maxSize === Number.POSITIVE_INFINITY && log.driver === 'json-file') throw new HuskError('max-file cannot be greater than 1 when max-size is not set', { kind: 'invalid', fix: 'add --log-opt max-size=10m' });
  return { maxSize, maxFile };
}

function parseSize(text: string): number {
  const match = /^(\d{1,12})\s*([kmg]?)i?b?$/i.exec(text);
  if (!match) throw new HuskError(`invalid max-size "${text}"`, { kind: 'invalid', fix: 'a number with k, m or g, e.g. 10m' });
  return Number(match[1]) * { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[match[2]!.toLowerCase() as '' | 'k' | 'm' | 'g'];
}

export function openLog(file: string, log: LogOptions): LogSink {
  const bounds = checkLogOptions(log);
  if (log.driver === 'none') return { write: () => {}, end: () => {} };
  return new JsonFileLog(file, bounds);
}

class JsonFileLog implements LogSink {
  readonly #file: string;
  readonly #maxSize: number;
  readonly #maxFile: number;
  #fd: number;
  #size: number;
  readonly #unfinished = { stdout: new LineSplitter(), stderr: new LineSplitter() };

  constructor(file: string, bounds: { maxSize: number; maxFile: number }) {
    this.#file = file;
    this.#maxSize = bounds.maxSize;
    this.#maxFile = bounds.maxFile;
    this.#fd = openSync(file, 'a', 0o640);
    this.#size = fstatSync(this.#fd).size;
  }

  write(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this.#append(stream, this.#unfinished[stream].push(chunk));
  }

  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) this.#append(stream, this.#unfinished[stream].end());
    closeSync(this.#fd);
  }

  #append(stream: string, entries: string[]): void {
    if (entries.length === 0) return;
    const time = rfc3339();
    // one write for all entries of a chunk: a reader sees whole lines, but for a crash in the middle of write(2)
    const bytes = Buffer.from(entries.map((log) => `${JSON.stringify({ log, stream, time })}\n`).join(''));
    if (this.#size > 0 && this.#size + bytes.length > this.#maxSize) this.#rotate();
    for (let written = 0; written < bytes.length; ) written += writeSync(this.#fd, bytes, written);
    this.#size += bytes.length;
  }

  /** file → file.1 → file.2 …, as Docker names them */
  #rotate(): void {
    closeSync(this.#fd);
    rmSync(this.#maxFile > 1 ? `${this.#file}.${this.#maxFile - 1}` : this.#file, { force: true });
    for (let index = this.#maxFile - 2; index >= 0; index--) {
      try {
        renameSync(index === 0 ? this.#file : `${this.#file}.${index}`, `${this.#file}.${index + 1}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    this.#fd = openSync(this.#file, 'a', 0o640);
    this.#size = 0;
  }
}

/** Cuts a byte stream into log entries; holds back at most MAX_ENTRY bytes. */
export class LineSplitter {
  #held: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): string[] {
    const entries: string[] = [];
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const newline = rest.indexOf(NEWLINE);
      // Docker counts the text without its \n against the bound
      if (newline !== -1 && newline <= MAX_ENTRY) {
        entries.push(rest.toString('utf8', 0, newline + 1));
        rest = rest.subarray(newline + 1);
      } else if (rest.length > MAX_ENTRY) {
        const cut = wholeCharacters(rest, MAX_ENTRY);
        entries.push(rest.toString('utf8', 0, cut));
        rest = rest.subarray(cut);
      } else break;
    }
    // a copy: the rest of a large chunk must not be kept alive by a few bytes
    this.#held = Buffer.from(rest);
    return entries;
  }

  end(): string[] {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest.length === 0 ? [] : [rest.toString('utf8')];
  }
}

/** The last position at or before `end` that does not cut a UTF-8 sequence; `end` itself when the bytes are not UTF-8. */
function wholeCharacters(bytes: Buffer, end: number): number {
  for (let position = end; position > end - 4; position--) if ((bytes[position]! & 0xc0) !== 0x80) return position;
  return end;
}

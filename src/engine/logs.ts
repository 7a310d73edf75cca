/**
 * Reads json-file logs: `logs` with tail, since, until and follow. The container wrote the text, so a line may be anything: a line over
 * the bound, or one that is not JSON (torn by a crash), is skipped. Memory stays bounded however long the log. Never writes.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, watch } from 'node:fs';
import { HuskError } from '../errors.ts';
import { parseRfc3339 } from '../state/time.ts';
import type { EngineContext } from './context.ts';
import type { LogLine, LogOptions } from './contract.ts';
import { isRunning, reread } from './control.ts';
import { resolve } from './truth.ts';

/** One entry holds 16 KiB of text, six times that when all of it is escaped, and the other keys. */
const MAX_LINE = 256 * 1024;
const BLOCK = 64 * 1024;
const NEWLINE = 0x0a;
/** A follower looks again after so long (ms) even when no notice came: inotify watches may run out. */
const POLL_MS = 250;

export async function* logs(context: EngineContext, reference: string, options: LogOptions = {}): AsyncGenerator<LogLine> {
  const container = resolve(context, reference);
  const driver = container.config.options.logDriver;
  if (driver === 'none') throw new HuskError('configured logging driver does not support reading', { kind: 'unsupported' });
  const file = logFile(context, container.id);
  const since = options.since === undefined ? undefined : BigInt(Math.trunc(options.since)) * 1_000_000n;
  const until = options.until === undefined ? undefined : BigInt(Math.trunc(options.until)) * 1_000_000n;
  const isAlive = () => {
    const now = reread(context, container.id);
    return now !== undefined && isRunning(now);
  };
  for await (const line of read(file, options, isAlive)) {
    const entry = parseEntry(line);
    if (!entry) continue;
    const time = since === undefined && until === undefined ? 0n : (parseRfc3339(entry.time) ?? 0n);
    if (since !== undefined && time < since) continue;
    if (until !== undefined && time > until) return;
    yield entry;
  }
}

/** Docker's path and name of it */
export function logFile(context: Pick<EngineContext, 'paths'>, id: string): string {
  return `${context.paths.container(id)}/${id}-json.log`;
}

/** @returns undefined for what is no entry */
export function parseEntry(line: Buffer): LogLine | undefined {
  let value: { log?: unknown; stream?: unknown; time?: unknown };
  try {
    value = JSON.parse(line.toString('utf8')) as typeof value;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || typeof value.log !== 'string' || typeof value.time !== 'string') return undefined;
  return { text: value.log, time: value.time, stream: value.stream === 'stderr' ? 'stderr' : 'stdout' };
}

async function* read(file: string, options: LogOptions, isAlive: () => boolean): AsyncGenerator<Buffer> {
  const all = [...rotated(file), file];
  let first = 0;
  let offset = 0;
  if (options.tail !== undefined) ({ first, offset } = tailPosition(all, options.tail));
  for (let index = first; index < all.length - 1; index++) {
    using old = openLog(all[index]!);
    if (old) yield* old.lines(index === first ? offset : 0);
  }
  if (!options.follow) {
    using current = openLog(file);
    if (current) yield* current.lines(first === all.length - 1 ? offset : 0);
    return;
  }
  yield* follow(file, first === all.length - 1 ? offset : 0, { isAlive, signal: options.signal });
}

/** file.3, file.2, file.1: oldest first */
function rotated(file: string): string[] {
  const found: string[] = [];
  while (existsSync(`${file}.${found.length + 1}`)) found.push(`${file}.${found.length + 1}`);
  return found.reverse();
}

async function* follow(file: string, start: number, options: { isAlive: () => boolean; signal?: AbortSignal }): AsyncGenerator<Buffer> {
  let offset = start;
  while (!options.signal?.aborted) {
    // asked before the read: what is written before the exit is in the file by then
    const alive = options.isAlive();
    using log = openLog(file);
    if (log) {
      for (const line of log.lines(offset)) {
        yield line;
        if (options.signal?.aborted) return;
      }
      offset = log.position;
    }
    if (!alive) return;
    while (!options.signal?.aborted) {
      await changed(file, options.signal);
      const now = sizeOf(file);
      // rotated: what was appended to the old file since is read from it first
      if (log && now && now.inode !== log.inode) {
        yield* log.lines(offset);
        offset = 0;
        break;
      }
      if (now && now.size > offset) break;
      if (!options.isAlive()) break;
    }
  }
}

function changed(file: string, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolveNow) => {
    let watcher: ReturnType<typeof watch> | undefined;
    const done = () => {
      clearTimeout(timer);
      watcher?.close();
      signal?.removeEventListener('abort', done);
      resolveNow();
    };
    const timer = setTimeout(done, POLL_MS);
    signal?.addEventListener('abort', done);
    try {
      watcher = watch(file, done);
      watcher.on('error', () => {});
    } catch {
      // no watches left, or no file yet: the timer does
    }
  });
}

function sizeOf(file: string): { size: number; inode: number } | undefined {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat && { size: stat.size, inode: stat.ino };
}

/** Where the last `count` lines of all files begin, found from the end. */
function tailPosition(files: string[], count: number): { first: number; offset: number } {
  let left = count;
  for (let index = files.length - 1; index >= 0; index--) {
    using log = openLog(files[index]!);
    if (!log) continue;
    const { offset, lines } = log.fromEnd(left);
    left -= lines;
    if (left <= 0) return { first: index, offset };
  }
  return { first: 0, offset: 0 };
}

class LogReader implements Disposable {
  readonly #fd: number;
  readonly inode: number;
  /** behind the last whole line read */
  position = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.inode = fstatSync(fd).ino;
  }

  /** whole lines from an offset on, without their \n; an unfinished last line is left for the next read */
  *lines(offset: number): Generator<Buffer> {
    this.position = offset;
    let held: Buffer[] = [];
    let heldBytes = 0;
    for (let at = offset; ; ) {
      const block = Buffer.allocUnsafe(BLOCK);
      const count = readSync(this.#fd, block, 0, BLOCK, at);
      if (count === 0) return;
      at += count;
      let rest = block.subarray(0, count);
      for (let newline = rest.indexOf(NEWLINE); newline !== -1; newline = rest.indexOf(NEWLINE)) {
        const tooLong = heldBytes + newline > MAX_LINE;
        const line = tooLong ? undefined : Buffer.concat([...held, rest.subarray(0, newline)]);
        this.position += heldBytes + newline + 1;
        rest = rest.subarray(newline + 1);
        held = [];
        heldBytes = 0;
        if (line) yield line;
      }
      heldBytes += rest.length;
      // of a line that will be skipped only the length is kept
      if (heldBytes > MAX_LINE) held = [];
      else held.push(rest);
    }
  }

  /** @returns where the last `count` lines begin, and how many there are */
  fromEnd(count: number): { offset: number; lines: number } {
    const { size } = fstatSync(this.#fd);
    if (count <= 0) return { offset: size, lines: 0 };
    const block = Buffer.allocUnsafe(BLOCK);
    let lines = 0;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - BLOCK);
      const length = readSync(this.#fd, block, 0, end - start, start);
      for (let index = length - 1; index >= 0; index--) {
        if (block[index] !== NEWLINE || start + index === size - 1) continue;
        if (++lines === count) return { offset: start + index + 1, lines };
      }
      end = start;
    }
    return { offset: 0, lines: size === 0 ? 0 : lines + 1 };
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function openLog(file: string): LogReader | undefined {
  try {
    return new LogReader(openSync(file, 'r'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

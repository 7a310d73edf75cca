/**
 * Reads the files of a log: tail, since, until, and following what is written, over rotations, while a writer continues
 * at full speed. A reader never holds the writer up: when it is slower than the rotation, it misses what is gone, in
 * whole entries. Memory stays bounded however long the log is. This module never writes.
 */
import { statSync, watch } from 'node:fs';
import { startTimer } from '../long-timer.ts';
import { msAfter, nanoseconds, parseRfc3339 } from '../state/time.ts';
import type { LogFormat } from './format.ts';
import { LogFile, openFiles } from './log-file.ts';
import type { LogEntry } from './sink.ts';

/** ms after which a follower checks again even without a notice, because inotify watches may run out */
const POLL_MS = 250;

export interface ReadOptions {
  format: LogFormat;
  /** number of last lines; absent for all */
  tail?: number;
  /** time, ms since the epoch, or ns as a bigint */
  since?: number | bigint;
  until?: number | bigint;
  /** Follow the log until this returns true: nobody writes to it any more. */
  follow?: () => boolean;
  signal?: AbortSignal;
}

/** Yields entries as they come, many at once. @throws HuskError `corrupt` */
export async function* readLog(path: string, options: ReadOptions): AsyncGenerator<LogEntry[]> {
  const within = timeWindow(options);
  for await (const entries of entriesOf(path, options)) {
    const { shown, over } = within(entries);
    if (shown.length > 0) yield shown;
    if (over || options.signal?.aborted) return;
  }
}

/** Picks entries by their times. `over` tells that an entry after `until` has come. */
export function timeWindow({
  since,
  until,
}: Pick<ReadOptions, 'since' | 'until'>): (entries: LogEntry[]) => { shown: LogEntry[]; over: boolean } {
  if (since === undefined && until === undefined) return (entries) => ({ shown: entries, over: false });
  const [from, to] = [since, until].map((moment) => (moment === undefined ? undefined : nanoseconds(moment)));
  return (entries) => {
    const shown: LogEntry[] = [];
    for (const entry of entries) {
      const time = parseRfc3339(entry.time) ?? 0n;
      if (to !== undefined && time > to) return { shown, over: true };
      if (from === undefined || time >= from) shown.push(entry);
    }
    return { shown, over: false };
  };
}

async function* entriesOf(path: string, options: ReadOptions): AsyncGenerator<LogEntry[]> {
  const { format, signal } = options;
  const endsAt = options.until === undefined ? Infinity : msAfter(nanoseconds(options.until));
  // The question is asked before the read, so that whatever was written before the exit is in the file by then.
  let written = options.follow?.() ?? false;
  let files = openFiles(path);
  try {
    let { index, offset, drop } = await tailStart(files, options);
    const take = (entries: LogEntry[]) => {
      const taken = drop === 0 ? entries : entries.slice(drop);
      drop = Math.max(0, drop - entries.length);
      return taken;
    };
    for (;;) {
      const live = files.at(-1)?.live ? files.at(-1) : undefined;
      for (; index < files.length - (live ? 1 : 0); index++, offset = 0) {
        if (
          options.tail === undefined &&
          options.since !== undefined &&
          files[index]!.changedAt < msAfter(nanoseconds(options.since)) - 1
        )
          continue;
        for await (const entries of files[index]!.entries(format, offset)) yield take(entries);
      }
      const decoder = format.decoder(offset === 0);
      for (let next: LogFile[] | undefined; !next;) {
        for (const block of live?.blocks(offset, options.follow ? undefined : live.size) ?? []) {
          offset += block.length;
          yield take(live!.decode(decoder, block));
          if (signal?.aborted) return;
        }
        if (!options.follow) return;
        next = following(path, files.at(-1));
        if (next) {
          // Entries that came between the last read and the rotation are read first.
          for (const block of live?.blocks(offset) ?? []) yield take(live!.decode(decoder, block));
          close(files);
          files = next;
        } else {
          if (!written || signal?.aborted || Date.now() > endsAt) return;
          await changed(path, signal);
          written = options.follow();
        }
      }
      index = offset = 0;
    }
  } finally {
    close(files);
  }
}

function close(files: LogFile[]): void {
  for (const file of files.splice(0)) file[Symbol.dispose]();
}

/**
 * @returns the file and offset at which to begin for the last `tail` lines, and how many lines from there on to drop
 */
async function tailStart(
  files: LogFile[],
  { format, tail }: Pick<ReadOptions, 'format' | 'tail'>,
): Promise<{ index: number; offset: number; drop: number }> {
  if (tail === undefined) return { index: 0, offset: 0, drop: 0 };
  let found = 0;
  for (let index = files.length - 1; index >= 0; index--) {
    const { offset, lines } = await files[index]!.tail(format, tail - found);
    found += lines;
    if (found >= tail) return { index, offset, drop: found - tail };
  }
  return { index: 0, offset: 0, drop: 0 };
}

/** @returns the files after this one, oldest first; undefined while it is still the newest */
function following(path: string, current: LogFile | undefined): LogFile[] | undefined {
  const newest = LogFile.open(path);
  if (!newest) return undefined;
  const same = current?.is(newest) === true;
  newest[Symbol.dispose]();
  if (same) return undefined;
  const files = openFiles(path);
  const at = current ? files.findIndex((file) => file.is(current)) : -1;
  // A file that is not among them has been rotated away; all files that are left come after it.
  close(files.splice(0, at + 1));
  return files.length === 0 ? undefined : files;
}

function changed(file: string, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolveNow) => {
    const before = statSync(file, { throwIfNoEntry: false })?.size;
    let watcher: ReturnType<typeof watch> | undefined;
    const done = () => {
      cancel();
      watcher?.close();
      signal?.removeEventListener('abort', done);
      resolveNow();
    };
    const cancel = startTimer(POLL_MS, done);
    signal?.addEventListener('abort', done);
    try {
      watcher = watch(file, done);
      watcher.on('error', () => {});
      // The change came before the watch was set up.
      if (statSync(file, { throwIfNoEntry: false })?.size !== before) done();
    } catch {
      // There are no watches left, or no file yet: the timer takes over.
    }
  });
}

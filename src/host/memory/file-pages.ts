/**
 * Releases this process's pages of program text: pages that are mapped from files and unchanged no longer count as its
 * memory, and are read again from the page cache when next touched (a minor fault). Node idles at some 40 MB, of which
 * 32 are its own executable.
 */
import { readFileSync } from 'node:fs';
import { systemCall } from '../system-call.ts';

/** mman.h */
const MADV_DONTNEED = 4;

// Only called on whole file-backed mappings without a changed page, so dropping their pages loses nothing.
const madvise = systemCall<(address: number, length: number, advice: number) => number>(
  'int madvise(int64_t address, size_t length, int advice)',
);

/**
 * A mapping's first line, with an inode and a path, and the lines of its counts. The parser is one expression, because
 * the garbage of a line-by-line reader would become a part of the memory that is to be released.
 */
const FILE_READ_ONLY = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d*\s+\/.*\n((?:[A-Z]\w*:.*\n?)+)/gm;
const CHANGED = /^(?:Anonymous|Swap|Locked):\s+[1-9]/m;

export interface FileMapping {
  start: number;
  /** bytes */
  length: number;
}

/**
 * @returns mappings of /proc/PID/smaps (proc_pid_smaps(5)) that may be dropped: private, not writable, from a file,
 * without anonymous pages. A relocated data segment is read-only too, but has anonymous pages, and dropping those would
 * be fatal. A dirty page belongs to the file, like every page of a tmpfs, and stays with it.
 */
export function droppable(smaps: string): FileMapping[] {
  return [...smaps.matchAll(FILE_READ_ONLY)].flatMap(([, from, to, counts]) => {
    if (CHANGED.test(counts!) || !counts!.includes('VmFlags:')) return [];
    const start = Number.parseInt(from!, 16);
    return { start, length: Number.parseInt(to!, 16) - start };
  });
}

/** Best effort: a process that keeps its pages is only larger. */
export function releaseFilePages(): void {
  for (const { start, length } of droppable(readFileSync('/proc/self/smaps', 'latin1')))
    madvise(start, length, MADV_DONTNEED);
}

/**
 * Gives back this process's pages of program text: what is mapped from files and unchanged is dropped from memory's account, and
 * read again from the page cache when next touched (a minor fault). Node idles at some 40 MB, of which 32 are its own executable.
 */
import { readFileSync } from 'node:fs';
import { foreign } from './libc.ts';

/** mman.h */
const MADV_DONTNEED = 4;

// only ever called on whole file-backed mappings without a single changed page: nothing can be lost by forgetting them
const madvise = foreign<(address: number, length: number, advice: number) => number>('int madvise(int64_t address, size_t length, int advice)');

export interface FileMapping {
  start: number;
  /** bytes */
  length: number;
}

/**
 * Mappings of /proc/PID/smaps (proc_pid_smaps(5)) that may be dropped: private, not writable, from a file, no anonymous page. A relocated data segment is
 * read-only too, but has anonymous pages, and forgetting those would be fatal. A dirty page is the file's own, as all of a tmpfs's are, and stays with it.
 */
export function droppable(smaps: string): FileMapping[] {
  const found: FileMapping[] = [];
  let current: (FileMapping & { clean: boolean }) | undefined;
  for (const line of smaps.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)\s*(\/.*)?$/.exec(line);
    if (head) {
      const start = Number.parseInt(head[1]!, 16);
      current = { start, length: Number.parseInt(head[2]!, 16) - start, clean: /^r-[x-]p$/.test(head[3]!) && head[4] !== '0' && head[5] !== undefined };
      continue;
    }
    if (!current) continue;
    const count = /^(Anonymous|Swap|Locked):\s+(\d+) kB/.exec(line);
    if (count && count[2] !== '0') current.clean = false;
    // the last line of every mapping
    if (line.startsWith('VmFlags:')) {
      if (current.clean) found.push({ start: current.start, length: current.length });
      current = undefined;
    }
  }
  return found;
}

/** Best effort: a process that keeps its pages is only larger. */
export function releaseFilePages(): void {
  for (const { start, length } of droppable(readFileSync('/proc/self/smaps', 'latin1'))) madvise(start, length, MADV_DONTNEED);
}

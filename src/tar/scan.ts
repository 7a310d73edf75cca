/**
 * Reads the members of a tar that lies in a file: only the headers are read, contents are skipped. The scan is
 * synchronous; it is meant for husk's own files (a verified layer.tar, an archive spooled into tmp/), whose bytes may
 * still be hostile.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { TarEntry } from './entry.ts';
import { type ParserOptions, TarParser } from './parser.ts';

/** bytes that are read at once: small members lie close together, so one read usually has several headers */
const WINDOW = 32 << 10;

/** @throws HuskError `corrupt` for what the parser refuses; Node's errors for those of the file system */
export function scanTar(file: string | number, onEntry: (entry: TarEntry) => void, options: ParserOptions = {}): void {
  const fd = typeof file === 'number' ? file : openSync(file, 'r');
  try {
    const parser = new TarParser(onEntry, options);
    const window = Buffer.allocUnsafe(WINDOW);
    let start = 0;
    let length = 0;
    while (!parser.ended) {
      if (parser.skippable > 0) parser.skip(parser.skippable);
      if (parser.position >= start + length || parser.position < start) {
        start = parser.position;
        length = readSync(fd, window, 0, WINDOW, start);
        if (length === 0) break;
      }
      // The parser gets one block at a time, so that contents can be skipped without being read.
      const from = parser.position - start;
      parser.push(window.subarray(from, Math.min(length, from + 512)));
    }
    parser.end();
  } finally {
    if (typeof file !== 'number') closeSync(fd);
  }
}

/**
 * Copies of records as files beside what they are of, for the day the database is damaged (`system check`). The
 * database is what counts: a copy that cannot be written, or is older than its record, harms nothing.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeWholeFile } from '../whole-file.ts';

/** bytes of a copy that is read; a record has its environment (execve(2) takes 6 MiB) and labels several times */
const MAX_COPY = 64 << 20;

/** Whole or not at all. Never throws: a full disk is told by the record's own write. */
export function writeCopy(file: string, value: unknown): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o711 });
    writeWholeFile(file, JSON.stringify(value), { mode: 0o600 });
  } catch {
    // the record itself is in the database
  }
}

/** @returns undefined when there is none, or it is no JSON */
export function readCopy(file: string): unknown {
  try {
    const text = readFileSync(file, 'utf8');
    return text.length > MAX_COPY ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

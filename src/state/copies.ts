/**
 * Copies of records as files beside what they describe, in case the database is damaged (`system check`). The database
 * decides: a copy that cannot be written, or is older than its record, does no harm.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeWholeFile } from '../whole-file.ts';

/**
 * limit of characters of a copy that is parsed; a record has its environment (execve(2) takes 6 MiB) and labels several
 * times
 */
const MAX_COPY = 64 << 20;

/** Writes a copy, whole or not at all. It never throws: a full disk is reported when the record itself is written. */
export function writeCopy(file: string, value: unknown): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o711 });
    writeWholeFile(file, JSON.stringify(value), { mode: 0o600 });
  } catch {
    // The record itself is in the database.
  }
}

/** @returns undefined when there is no copy, or it is not JSON */
export function readCopy(file: string): unknown {
  try {
    const text = readFileSync(file, 'utf8');
    return text.length > MAX_COPY ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

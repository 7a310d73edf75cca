/** A file that may be absent, or not this user's to read. */
import { readFileSync } from 'node:fs';

/** @returns its text; undefined when it cannot be read, for whatever reason */
export function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

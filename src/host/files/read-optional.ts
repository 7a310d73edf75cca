/** Reads a file that may be missing, or that this user may not read. */
import { readFileSync } from 'node:fs';

/** @returns the file's text; undefined when it cannot be read, for whatever reason */
export function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

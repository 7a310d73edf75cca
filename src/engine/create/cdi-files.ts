/**
 * Reads this host's CDI specifications, and what a container's `--device vendor/class=name` brings of them. Reads
 * only, within bounds.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cdiEdits, parseCdi, type CdiEdits, type CdiSpecification } from './spec/cdi.ts';

/** container-device-interface SPEC.md § Overview; the second wins */
export const CDI_FOLDERS: readonly string[] = ['/etc/cdi', '/var/run/cdi'];
/** bytes of a file, and files of a folder */
const MAX_FILE = 1 << 20;
const MAX_FILES = 256;

/**
 * @param names `vendor/class=name`
 * @returns of every one, in order. @throws HuskError `invalid` for one that there is not, or a file
 * that is wrong
 */
export function cdiDevices(names: readonly string[], folders: readonly string[] = CDI_FOLDERS): CdiEdits[] {
  if (names.length === 0) return [];
  const specifications: CdiSpecification[] = [];
  const unread: string[] = [];
  for (const file of folders.flatMap(filesIn)) {
    if (/\.ya?ml$/.test(file)) unread.push(file);
    else if (file.endsWith('.json') && (statSync(file, { throwIfNoEntry: false })?.size ?? Infinity) <= MAX_FILE)
      specifications.push(parseCdi(readFileSync(file, 'utf8'), file));
  }
  return names.map((name) => cdiEdits(name, specifications, unread));
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .sort()
      .slice(0, MAX_FILES)
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

/** `--checkpoint-dir`, as four commands have it. */
import { resolve } from 'node:path';
import type { FlagSet } from './grammar/flag-set.ts';

/** @returns an absolute path; undefined: a folder of husk's */
export function checkpointFolder(flags: FlagSet): string | undefined {
  const typed = flags.string('checkpoint-dir');
  return typed === '' ? undefined : resolve(typed);
}

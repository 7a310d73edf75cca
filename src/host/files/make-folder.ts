/**
 * Makes folders and files that a container's root, or any user in it, must reach, with exactly the given mode: mkdir(2)
 * and open(2) apply the caller's umask, which may be 077. These functions are only for what husk makes for itself and
 * for containers, never for files that a user asked for.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeMissingFolders } from '../../missing-folders.ts';

/** Makes a folder and those above it; existing folders stay as they are. @param path absolute and normal */
export function makeFolder(path: string, mode: number): void {
  const first = makeMissingFolders(path, mode);
  if (first === undefined) return;
  for (let at = path; at.length >= first.length; at = dirname(at)) chmodSync(at, mode);
}

export function writeFileOfMode(path: string, content: string, mode: number): void {
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
}

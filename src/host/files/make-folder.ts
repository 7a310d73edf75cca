/**
 * Folders and files that a container's root, or any user in it, must reach: with exactly the mode that is said.
 * mkdir(2) and open(2) take the caller's umask off, and people have 077. Only for what husk makes for itself and for
 * containers, never for what a person asked to have written.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeMissingFolders } from '../../missing-folders.ts';

/** mkdir -p; folders that are there stay as they are. @param path absolute and normal */
export function makeFolder(path: string, mode: number): void {
  const first = makeMissingFolders(path, mode);
  if (first === undefined) return;
  for (let at = path; at.length >= first.length; at = dirname(at)) chmodSync(at, mode);
}

export function writeFileOfMode(path: string, content: string, mode: number): void {
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
}

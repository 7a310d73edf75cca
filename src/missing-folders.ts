/**
 * Makes a folder and the missing folders above it, for paths that come from outside (flags, environment, config).
 * `mkdir` of node:fs with `recursive` cannot be used: in an existing folder that refuses new ones (`/proc`) it retries
 * for ever, at full speed (Node 24).
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder unless it is there.
 * @param mode mode of each folder that is made, less the umask
 * @returns the topmost folder that was made; undefined when all were there
 * @throws the error of mkdir(2) for the folder that could not be made
 */
export function makeMissingFolders(path: string, mode: number): string | undefined {
  let first = path;
  try {
    mkdirSync(path, { mode });
    return path;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && isFolder(path)) return undefined;
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path || isFolder(parent)) throw error;
    first = makeMissingFolders(parent, mode) ?? path;
  }
  // This is the second and last try: another process may have made the folder meanwhile.
  try {
    mkdirSync(path, { mode });
    return first;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && isFolder(path)) return undefined;
    throw error;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

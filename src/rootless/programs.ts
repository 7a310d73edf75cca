/** Finds the host's programs that husk needs: newuidmap, pasta, fuse-overlayfs. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** Finds a program as the shell does, except that an empty or relative entry of PATH is skipped. */
export function findProgram(name: string, path: string): string | undefined {
  for (const folder of path.split(':')) {
    if (!folder.startsWith('/')) continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // This folder does not have the program.
    }
  }
  return undefined;
}

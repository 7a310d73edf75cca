/** Finding the host's programs that husk leans on: newuidmap, pasta, fuse-overlayfs. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** As the shell finds a program; an empty or relative entry of PATH is passed over. */
export function findProgram(name: string, path: string): string | undefined {
  for (const folder of path.split(':')) {
    if (!folder.startsWith('/')) continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not here
    }
  }
  return undefined;
}

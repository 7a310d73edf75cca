/**
 * Closes the data root to everybody else on the host. Images and containers have set-user-ID programs in it, made by
 * whoever wrote the image, and volumes have names that can be guessed: another local user who can pass through the
 * folder runs the first as its owner and reads the second (the class of CVE-2021-41091 and CVE-2024-25621). Everything
 * below relies on this one folder; nothing else in the data root is a wall.
 */
import { chmodSync, chownSync, statSync } from 'node:fs';
import { makeMissingFolders } from './missing-folders.ts';

/** inode(7): what the group and others may do */
const OF_OTHERS = 0o077;
const GROUP_MAY_PASS = 0o010;

/**
 * Makes the folder where it is missing, and puts right what an earlier husk left open.
 * @param passingGroup of husk run by root: the gid that the containers' root has on the host. It passes through on its
 * way to its own root file system and volumes, and nobody who can log in is in that group.
 */
export function closeDataRoot(folder: string, passingGroup?: number): void {
  makeMissingFolders(folder, 0o700);
  const { uid, gid, mode } = statSync(folder);
  // somebody else's folder is theirs to close
  if (uid !== process.geteuid!()) return;
  const wanted = (mode & 0o7777 & ~OF_OTHERS) | (passingGroup === undefined ? 0 : GROUP_MAY_PASS);
  try {
    // closed first: the old group must not pass for a moment
    if (passingGroup !== undefined && gid !== passingGroup) {
      chmodSync(folder, wanted & ~OF_OTHERS);
      chownSync(folder, -1, passingGroup);
      chmodSync(folder, wanted);
    } else if ((mode & 0o7777) !== wanted) chmodSync(folder, wanted);
  } catch (error) {
    // looking must still work on a disk that has become read-only
    if ((error as NodeJS.ErrnoException).code !== 'EROFS') throw error;
  }
}

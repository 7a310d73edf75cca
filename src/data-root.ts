/**
 * Closes the data root to all other users of the host. Images and containers have set-user-ID programs in it, made by
 * the image's author, and volumes have names that can be guessed: another local user who can pass through the folder
 * could run the first as their owner and read the second (the class of CVE-2021-41091 and CVE-2024-25621). All data
 * below it relies on this one folder; nothing else in the data root keeps other users out.
 */
import { chmodSync, chownSync, statSync } from 'node:fs';
import { makeMissingFolders } from './missing-folders.ts';

/** permission bits of the group and of others, inode(7) */
const OF_OTHERS = 0o077;
const GROUP_MAY_PASS = 0o010;

/**
 * Makes the folder where it is missing, and removes permissions that earlier versions of husk left.
 * @param passingGroup where root runs husk, the gid that the containers' root has on the host. That root passes through
 * the folder to its own root file system and volumes; no user who can log in is in the group.
 */
export function closeDataRoot(folder: string, passingGroup?: number): void {
  makeMissingFolders(folder, 0o700);
  const { uid, gid, mode } = statSync(folder);
  // The permissions of another user's folder are up to that user.
  if (uid !== process.geteuid!()) return;
  const wanted = (mode & 0o7777 & ~OF_OTHERS) | (passingGroup === undefined ? 0 : GROUP_MAY_PASS);
  try {
    // The folder is closed first, so that the old group cannot pass for a moment.
    if (passingGroup !== undefined && gid !== passingGroup) {
      chmodSync(folder, wanted & ~OF_OTHERS);
      chownSync(folder, -1, passingGroup);
      chmodSync(folder, wanted);
    } else if ((mode & 0o7777) !== wanted) chmodSync(folder, wanted);
  } catch (error) {
    // Commands that only read must still work on a disk that has become read-only.
    if ((error as NodeJS.ErrnoException).code !== 'EROFS') throw error;
  }
}

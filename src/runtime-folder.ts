/**
 * The folder of the supervisors' sockets, and how a socket in it is named. A process that could put a socket there
 * would get what a user types into `exec`, and its answers would be believed: so the folder must be a real folder,
 * which belongs to this user and which no other user may enter. This module opens no socket itself.
 */
import { closeSync, constants, lstatSync, openSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HuskError } from './errors.ts';
import { makeMissingFolders } from './missing-folders.ts';

/** bytes of sun_path with its NUL, linux/un.h */
const SUN_PATH = 108;
/** permission bits, inode(7) */
const OF_OTHERS = 0o077;
const OTHERS_MAY_WRITE = 0o022;
const STICKY = 0o1000;

/** Makes the folder when it is missing. @throws HuskError `unsupported` when other users may enter it */
export function makeRuntimeFolder(folder: string): void {
  makeMissingFolders(folder, 0o700);
  checkRuntimeFolder(folder);
}

/** Checks the folder; one that is not there yet is right. @throws HuskError `unsupported` */
export function checkRuntimeFolder(folder: string): void {
  // A link is not followed, because its target may change.
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const refuse = (what: string, fix: string) =>
    new HuskError(`cannot use the runtime folder ${folder}: ${what}`, { kind: 'unsupported', exitCode: 125, fix });
  const elsewhere = 'set XDG_RUNTIME_DIR to a folder of your own';
  if (!stat.isDirectory()) throw refuse('it is not a folder', elsewhere);
  const uid = process.geteuid!();
  if (stat.uid !== uid) throw refuse(`it belongs to uid ${stat.uid}, not to you (${uid})`, elsewhere);
  const mode = stat.mode & 0o777;
  if ((mode & OF_OTHERS) !== 0) throw refuse(`others may use it (mode ${mode.toString(8)})`, `chmod 700 ${folder}`);
}

/**
 * @returns whether only this user and root can replace the folder by another: every folder above it belongs to one of
 * the two, and others may not write there, or (as in /tmp) may not rename what belongs to another. Where that holds,
 * the kernel's report on the listener (SO_PEERCRED) adds nothing.
 */
export function isHeldInPlace(folder: string): boolean {
  const uid = process.geteuid!();
  for (let at = dirname(folder); ; at = dirname(at)) {
    const stat = statSync(at, { throwIfNoEntry: false });
    if (!stat || (stat.uid !== 0 && stat.uid !== uid)) return false;
    if ((stat.mode & OTHERS_MAY_WRITE) !== 0 && (stat.mode & STICKY) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/**
 * Calls `use` with a name of the socket that fits into a socket address, however long the folder's path is: a long one
 * is reached through a descriptor of its folder.
 * @returns what `use` returned, and a function that closes the descriptor once the name is not needed any more
 */
export function nameSocket<T>(path: string, use: (name: string) => T): { used: T; release(): void } {
  if (Buffer.byteLength(path) < SUN_PATH) return { used: use(path), release: () => {} };
  const folder = openSync(dirname(path), constants.O_DIRECTORY | constants.O_RDONLY);
  const release = () => closeSync(folder);
  try {
    return { used: use(join(`/proc/self/fd/${folder}`, basename(path))), release };
  } catch (error) {
    release();
    throw error;
  }
}

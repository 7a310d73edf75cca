/**
 * The host's changes in the shares, told to whoever watches them in the guest. Linux raises an inotify event where a
 * system call has done something; so each change is done once more, under a group by which the device of the shares
 * knows that it was done already, and only says yes (src/vmm/devices/fs/requests/changes.ts). A name that has come is
 * made, one that has gone is removed, and times are set: that of the modification alone is IN_MODIFY, both are
 * IN_ATTRIB (fsnotify_change() of include/linux/fsnotify.h).
 */
import { statSync } from 'node:fs';
import { TELLING_GID, type FileChange } from '../agent-protocol.ts';
import { AT_REMOVEDIR, O_PATH, unlinkAt, utimesFd } from '../host/files/file-at.ts';
import { asFileGroup, openNode } from '../host/files/file-handle.ts';
import {
  closeFd,
  makeDirectoryAt,
  makeNodeAt,
  O_NOFOLLOW,
  openAt,
  openBeneath,
  openFolder,
  symlinkAt,
} from '../host/files/lookup.ts';
import { SyscallError } from '../host/libc.ts';
import { watchedNodes } from './watchers.ts';

/** include/uapi/linux/stat.h */
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
/** utimensat(2) */
const UTIME_OMIT = 0x3ffffffe;

/** two struct timespec, access and modification: the device takes no time from them */
const BOTH_TIMES = new Uint8Array(32);
const MODIFICATION = new Uint8Array(32);
new DataView(MODIFICATION.buffer).setUint32(8, UTIME_OMIT, true);

/** @param folder where the shares are mounted @returns whether anybody watches anything in them */
export function tellChanges(folder: string, changes: readonly FileChange[]): boolean {
  const nodes = watchedNodes(statSync(folder).dev);
  if (nodes.size === 0) return false;
  const mount = openFolder(folder);
  try {
    asFileGroup(TELLING_GID, () => {
      for (const change of changes) if (change.name === undefined || nodes.has(change.node)) tell(mount, change);
    });
  } finally {
    closeFd(mount);
  }
  return true;
}

/**
 * A node is reached by its path, so that whoever watches the folder that it is in hears of it. What has no path any
 * more is reached by its handle: the kernel forgets the name that it had with it, and a file without links ends.
 *
 * A node that the kernel has forgotten, or a name that has changed once more, has nobody who must be told of this.
 */
function tell(mount: number, { node, path, name, what, kind }: FileChange): void {
  try {
    using inode = descriptor(
      path === undefined ? openNode(mount, node) : openBeneath(mount, path, O_PATH | O_NOFOLLOW),
    );
    if (name === undefined) return utimesFd(inode.fd, what === 'modified' ? MODIFICATION : BOTH_TIMES);
    if (what === 'created' && make(inode.fd, name, kind ?? 0)) return;
    if (what === 'gone') return unlinkAt(inode.fd, name, kind === S_IFDIR ? AT_REMOVEDIR : 0);
    using file = descriptor(openAt(inode.fd, name, O_PATH));
    utimesFd(file.fd, what === 'modified' ? MODIFICATION : BOTH_TIMES);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
}

/** @returns false when the guest knows the name already */
function make(folder: number, name: string, kind: number): boolean {
  try {
    if (kind === S_IFDIR) makeDirectoryAt(folder, name, 0o700);
    else if (kind === S_IFLNK) symlinkAt('.', folder, name);
    else makeNodeAt(folder, name, kind | 0o600, 0);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'EEXIST') return false;
    throw error;
  }
}

const descriptor = (fd: number) => ({ fd, [Symbol.dispose]: () => closeFd(fd) });

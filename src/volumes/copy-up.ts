/**
 * `husk --internal volume-copy-up JSON`: runs as root of the user namespace, fills empty volumes with what an image has
 * at their place, and gives folders to the image's user (the option `U`). The image is hostile, and so is a volume that
 * a running container has mounted: the container may put a symbolic link in the place of a folder while files are being
 * copied. So no path is looked up in either: the image is packed and the volume filled by descriptors
 * (src/container/files/), each name in a folder that is held open. No program of the host (cp, chown) touches them.
 */
import { factsOf, openName, unlessAbsent, xattrsOf } from '../container/files/facts.ts';
import { namesIn } from '../container/files/names.ts';
import { packTree } from '../container/files/pack.ts';
import { hostPlace } from '../container/files/places.ts';
import { Unpacker } from '../container/files/unpack.ts';
import { userOf } from '../container/files/user.ts';
import { HuskError } from '../errors.ts';
import { Fd, open } from '../host/fd.ts';
import { chownFd, O_PATH, renameAt, reopen, STATX, statFd } from '../host/files/file-at.ts';
import * as host from '../host/files/lookup.ts';
import { errnoText, SyscallError } from '../host/libc.ts';
import { fromText } from '../tar/byte-string.ts';

/** A folder of a volume. */
export interface VolumeFolder {
  /** path of the folder on the host */
  folder: string;
  /** a path below `folder`, in which no link may lead out of the folder; @default the folder itself */
  subpath?: string;
}

export interface CopyUpJob {
  root: string;
  copies: (VolumeFolder & { destination: string; /** an empty folder that no container sees */ stage: string })[];
  /** `name|uid[:group|gid]` in the form of `--user`, and the folders that are given to that user */
  owner?: { user: string; folders: VolumeFolder[] };
}

const FOLDER = O_PATH | host.O_DIRECTORY;
/** flag of renameat2(2) */
const RENAME_NOREPLACE = 1;
/** xattrs of a folder that are copied; src/container/files/pack.ts has the same for files */
const KEPT_XATTRS = /^user\.(?!overlay\.|fuseoverlayfs\.|containers\.)/;

/** @returns the exit code */
export async function main(args: string[]): Promise<number> {
  process.umask(0);
  const job = JSON.parse(args[0] ?? '') as CopyUpJob;
  using root = new Fd(host.openFolder(job.root));
  let at = '';
  try {
    for (const copy of job.copies) {
      at = copy.destination;
      fill(root.number, copy);
    }
    at = '';
    if (job.owner) give(root.number, job.owner);
    return 0;
  } catch (error) {
    if (!(error instanceof HuskError || error instanceof SyscallError)) throw error;
    const text = error instanceof HuskError ? error.message : `${error.syscall}: ${errnoText(error.errno)}`;
    process.stderr.write(`${at === '' ? '' : `${at}: `}${text}\n`);
    return 1;
  }
}

function openTarget({ folder, subpath }: VolumeFolder): Fd | undefined {
  using whole = new Fd(host.openFolder(folder));
  try {
    return new Fd(host.openWithin(whole.number, subpath === undefined ? '.' : fromText(subpath), FOLDER));
  } catch (error) {
    // A subpath that is missing, is no folder or leads out of the volume is reported when it is mounted.
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV'].includes((error as { code: string }).code)) return undefined;
    throw error;
  }
}

/**
 * Copies a folder of the image into a volume. Docker's rule: the source must be a folder, and the volume's folder
 * empty.
 */
function fill(root: number, copy: CopyUpJob['copies'][number]): void {
  const found = unlessAbsent(() => host.openInRoot(root, fromText(copy.destination), FOLDER));
  if (found === undefined) return;
  using source = new Fd(found);
  using target = openTarget(copy);
  if (target === undefined || namesIn(target.number).length > 0) return;
  using stage = new Fd(host.openFolder(copy.stage));
  // A whole tree appears at once, by a rename. A volume on another file system or mount is filled in place.
  if (mountOf(stage.number) !== mountOf(target.number)) copyTree(source.number, target.number, copy.folder);
  else {
    copyTree(source.number, stage.number, copy.stage);
    moveAll(stage.number, target.number);
  }
  copyAttributes(source.number, target.number);
}

/** @returns STATX_MNT_ID, Linux 5.8: a rename is possible within one mount only */
const mountOf = (fd: number): bigint => statFd(fd).getBigUint64(STATX.mount, true);

function copyTree(from: number, to: number, shown: string): void {
  const unpacker = new Unpacker(hostPlace(to, shown), { owner: 'keep', specialBits: true, xattrs: true, holes: true });
  try {
    for (const piece of packTree(from, '')) unpacker.push(piece);
    unpacker.end();
  } finally {
    unpacker.close();
  }
}

/** Moves all names; a name that a container has written to the target meanwhile stays. */
function moveAll(from: number, to: number): void {
  for (const name of namesIn(from)) {
    try {
      renameAt(from, name, to, name, RENAME_NOREPLACE);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    }
  }
}

function copyAttributes(from: number, to: number): void {
  const { uid, gid, mode, mtime, mtimeNanoseconds } = factsOf(from);
  using folder = new Fd(reopen(to, host.O_RDONLY | host.O_DIRECTORY | host.O_CLOEXEC));
  host.fchown(folder.number, uid, gid);
  host.fchmod(folder.number, mode & 0o7777);
  // An attribute that this file system cannot have is left out, as where layers are unpacked.
  for (const [name, value] of xattrsOf(from, KEPT_XATTRS) ?? []) host.trySetXattr(folder.number, name, value);
  host.setTimesOf(folder.number, mtime, mtimeNanoseconds);
}

function give(root: number, { user, folders }: NonNullable<CopyUpJob['owner']>): void {
  const owner = userOf(root, /^(:|$)/.test(user) ? `0${user}` : user);
  for (const place of folders) {
    // A bind mount may be a single file, and a link at its end is given away instead of what it leads to.
    using given = place.subpath === undefined ? open(place.folder, O_PATH | host.O_NOFOLLOW) : openTarget(place);
    if (given === undefined) continue;
    if (factsOf(given.number).type === 'directory') giveTree(given.number, owner);
    else chownFd(given.number, owner.uid, owner.gid);
  }
}

/**
 * Does what chown -R does, but follows no link: every inode is changed by its own descriptor. A folder's names are read
 * before the next folder is entered, so few folders are open at once.
 */
function giveTree(top: number, { uid, gid }: { uid: number; gid: number }): void {
  const levels = [{ fd: top, names: namesIn(top) }];
  chownFd(top, uid, gid);
  try {
    for (let level = levels.at(-1); level; level = levels.at(-1)) {
      const name = level.names.pop();
      if (name === undefined) {
        levels.pop();
        if (level.fd !== top) host.closeFd(level.fd);
        continue;
      }
      const fd = openName(level.fd, name)?.release();
      if (fd === undefined) continue;
      levels.push({ fd, names: [] });
      if (factsOf(fd).type === 'directory') levels.at(-1)!.names = namesIn(fd);
      chownFd(fd, uid, gid);
    }
  } finally {
    for (const { fd } of levels.splice(0)) if (fd !== top) host.closeFd(fd);
  }
}

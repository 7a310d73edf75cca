/**
 * Decides what a guest may do to the host's files where this process is host root, whose kernel would allow everything.
 * The guest's root is root over what the container's id ranges own, and an unprivileged user of the rest, as in a user
 * namespace. Where the VMM is in a user namespace of its own, the host's kernel decides all of this, and nothing here
 * refuses anything.
 *
 * The checks read attributes of open descriptors only; they never open, follow or change anything.
 */
import { statFd, STATX } from '../../../../host/files/file-at.ts';
import type { Ownership } from './attributes.ts';
import { ERRNO, ProtocolError } from './fuse.ts';

/** inode(7): rwx of "others"; the group's bits are three bits higher */
export const READ = 4;
export const WRITE = 2;
export const SEARCH = 1;
const GROUP_SHIFT = 3;
const S_ISGID = 0o2000;
const S_ISVTX = 0o1000;
/** xattr(7): the only namespace whose names mean nothing to any kernel */
const USER_NAMESPACE = 'user.';

export class Access {
  readonly #ownership: Ownership;

  constructor(ownership: Ownership) {
    this.#ownership = ownership;
  }

  /**
   * Refuses a maker whose ids the host cannot express. Attack: a file with set-user-ID and the guest's content that
   * belongs to host root, because its maker has no id there. @throws ProtocolError
   */
  checkMaker({ uid, gid }: { uid: number; gid: number }): void {
    const { holds, toHost } = this.#ownership;
    if (holds !== undefined && toHost(uid, gid) === undefined) throw new ProtocolError(ERRNO.EOVERFLOW);
  }

  /** Checks what only an owner may do. @throws ProtocolError */
  checkOwn(fd: number): void {
    const { holds } = this.#ownership;
    if (holds !== undefined && !holds.user(statFd(fd).getUint32(STATX.uid, true))) throw new ProtocolError(ERRNO.EPERM);
  }

  /**
   * Checks what the mode decides. The guest's root can take any of the container's ids, so any permission that one of
   * them has counts. @throws ProtocolError
   */
  check(fd: number, wanted: number): void {
    const { holds } = this.#ownership;
    if (holds === undefined) return;
    const stat = statFd(fd);
    if (holds.user(stat.getUint32(STATX.uid, true))) return;
    const mode = stat.getUint16(STATX.mode, true);
    const granted = mode | (holds.group(stat.getUint32(STATX.gid, true)) ? mode >> GROUP_SHIFT : 0);
    if ((granted & wanted) !== wanted) throw new ProtocolError(ERRNO.EACCES);
  }

  /** @returns whether the folder is another owner's and in it each user may remove only their own files, as in /tmp */
  isSticky(folder: number): boolean {
    const { holds } = this.#ownership;
    if (holds === undefined) return false;
    const stat = statFd(folder);
    return !holds.user(stat.getUint32(STATX.uid, true)) && (stat.getUint16(STATX.mode, true) & S_ISVTX) !== 0;
  }

  /**
   * Attack: a program of the guest's that has set-group-ID and a group of the host's, because a folder of that group
   * hands the group down.
   * @returns the mode without set-group-ID where that could happen; on a folder the bit gives no right and stays
   */
  modeFor(fd: number, mode: number, isFolder: boolean): number {
    const { holds } = this.#ownership;
    if (holds === undefined || isFolder || (mode & S_ISGID) === 0) return mode;
    return holds.group(statFd(fd).getUint32(STATX.gid, true)) ? mode : mode & ~S_ISGID;
  }

  /**
   * @returns whether the guest may have this attribute. Attack: `security.capability` set by a process of the initial
   * user namespace gives each user who runs the file a right on the whole host; `trusted.*` and `system.*` belong to
   * the host's file systems. Within a user namespace the kernel binds capabilities to the namespace's root (version 3,
   * capabilities(7)).
   */
  hasAttribute(name: string): boolean {
    return (
      this.#ownership.holds === undefined || (name.startsWith(USER_NAMESPACE) && name.length > USER_NAMESPACE.length)
    );
  }

  /** @throws ProtocolError */
  checkAttribute(name: string): void {
    if (!this.hasAttribute(name)) throw new ProtocolError(ERRNO.EOPNOTSUPP);
  }

  /** @param list names as listxattr(2) gives them, each with a zero byte @returns those that the guest may see */
  attributeNames(list: Uint8Array): Uint8Array {
    if (this.#ownership.holds === undefined) return list;
    const names = Buffer.from(list.buffer, list.byteOffset, list.length).toString('latin1').split('\0').slice(0, -1);
    return Buffer.from(
      names
        .filter((name) => this.hasAttribute(name))
        .map((name) => `${name}\0`)
        .join(''),
      'latin1',
    );
  }
}

/**
 * What a guest may do to the host's files where this process is host root and its kernel would allow everything: the
 * guest's root is root of what the container's id ranges own, and anybody to the rest, as in a user namespace. Where
 * the VMM is in a user namespace of its own the host's kernel decides all of this, and nothing here refuses anything.
 *
 * Looks at attributes of open descriptors only; never opens, follows or changes anything.
 */
import { statFd, STATX } from '../../../../host/files/file-at.ts';
import type { Ownership } from './attributes.ts';
import { ERRNO, ProtocolError } from './fuse.ts';

/** inode(7): rwx of "others"; three bits further up, of the group */
export const READ = 4;
export const WRITE = 2;
export const SEARCH = 1;
const GROUP_SHIFT = 3;
const S_ISGID = 0o2000;
const S_ISVTX = 0o1000;
/** xattr(7): the one namespace whose names mean nothing to any kernel */
const USER_NAMESPACE = 'user.';

export class Access {
  readonly #ownership: Ownership;

  constructor(ownership: Ownership) {
    this.#ownership = ownership;
  }

  /**
   * Attack: a file that belongs to host root because its maker has no id there, with set-user-ID and the guest's
   * content. @throws ProtocolError
   */
  checkMaker({ uid, gid }: { uid: number; gid: number }): void {
    const { holds, toHost } = this.#ownership;
    if (holds !== undefined && toHost(uid, gid) === undefined) throw new ProtocolError(ERRNO.EOVERFLOW);
  }

  /** For what only an owner may do. @throws ProtocolError */
  checkOwn(fd: number): void {
    const { holds } = this.#ownership;
    if (holds !== undefined && !holds.user(statFd(fd).getUint32(STATX.uid, true))) throw new ProtocolError(ERRNO.EPERM);
  }

  /**
   * For what the mode decides. The guest's root can take any of the container's ids, so any bit that is theirs
   * counts. @throws ProtocolError
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

  /** @returns a folder of somebody else's where everybody may take away only what is theirs: /tmp */
  isSticky(folder: number): boolean {
    const { holds } = this.#ownership;
    if (holds === undefined) return false;
    const stat = statFd(folder);
    return !holds.user(stat.getUint32(STATX.uid, true)) && (stat.getUint16(STATX.mode, true) & S_ISVTX) !== 0;
  }

  /**
   * Attack: a program of the guest's with set-group-ID and a group of the host's, as a folder of that group hands it
   * down.
   * @returns the mode without that bit; on a folder it gives nobody a right
   */
  modeFor(fd: number, mode: number, isFolder: boolean): number {
    const { holds } = this.#ownership;
    if (holds === undefined || isFolder || (mode & S_ISGID) === 0) return mode;
    return holds.group(statFd(fd).getUint32(STATX.gid, true)) ? mode : mode & ~S_ISGID;
  }

  /**
   * Attack: `security.capability` from a process of the initial user namespace is a right on the whole host for whoever
   * runs the file; `trusted.*` and `system.*` are the host's file systems' own. From within a user namespace the kernel
   * binds capabilities to its root (version 3, capabilities(7)).
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

  /** @param list names as listxattr(2) has them, each with a zero byte @returns those that there are for the guest */
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

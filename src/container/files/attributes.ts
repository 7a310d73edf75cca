/**
 * Gives a file what the archive says of it: owner, mode, extended attributes and time, in this order, because each of
 * them, set later, would undo a part of those that follow it. Only attributes that the caller has allowed are given
 * (AttributeOptions).
 */
import { constants } from 'node:os';
import { chmodFd, chownFd } from '../../host/files/file-at.ts';
import * as host from '../../host/files/lookup.ts';
import { SyscallError } from '../../host/libc.ts';
import type { ByteString } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';
import { factsOf, openName } from './facts.ts';

/**
 * The pattern leaves out names of include/linux/xattr.h that overlay file systems read as their own, and names that
 * belong to this host.
 */
const XATTR = /^(?:user\.(?!overlay\.|fuseoverlayfs\.|containers\.)|security\.capability$)/;
const { EINVAL, EOPNOTSUPP, EPERM } = constants.errno;

export interface AttributeOptions {
  /** `keep`: the archive's owner; `none`: the user of this process; or one owner for everything */
  owner: 'keep' | 'none' | { uid: number; gid: number };
  /** whether set-user-ID, set-group-ID and sticky bits are set; @default cleared */
  specialBits?: boolean;
  /** whether user.* and file capabilities are set; @default left out */
  xattrs?: boolean;
}

export class Attributes {
  readonly #options: AttributeOptions;

  constructor(options: AttributeOptions) {
    this.#options = options;
  }

  /** Sets the attributes of an open file or folder. */
  set(fd: number, entry: TarEntry): void {
    const owner = this.#owner(entry);
    if (owner) host.fchown(fd, owner.uid, owner.gid);
    host.fchmod(fd, this.#mode(entry));
    if (this.#options.xattrs) {
      for (const [name, value] of entry.xattrs ?? []) {
        if (!XATTR.test(name)) continue;
        const errno = host.trySetXattr(fd, name, value);
        // An attribute that this namespace or file system cannot have is left out, as when layers are unpacked.
        if (errno !== 0 && errno !== EPERM && errno !== EOPNOTSUPP && errno !== EINVAL)
          throw new SyscallError('fsetxattr', errno);
      }
    }
    host.setTimesOf(fd, entry.mtime, entry.mtimeNanoseconds);
  }

  /**
   * Sets the attributes of a node. A container may have put a symbolic link at its name already, which chmod(2) would
   * follow out of the tree: so the node is opened by O_PATH and its type compared first.
   */
  setOfNode(folder: number, name: ByteString, entry: TarEntry): void {
    using node = openName(folder, name);
    if (node === undefined || factsOf(node.number).type !== entry.type) return;
    const owner = this.#owner(entry);
    if (owner) chownFd(node.number, owner.uid, owner.gid);
    chmodFd(node.number, this.#mode(entry));
    host.setTimesAt(folder, name, entry.mtime, entry.mtimeNanoseconds);
  }

  /** Sets the attributes of a symbolic link, which has no mode of its own. */
  setOfLink(folder: number, name: ByteString, entry: TarEntry): void {
    const owner = this.#owner(entry);
    if (owner) host.chownAt(folder, name, owner.uid, owner.gid);
    host.setTimesAt(folder, name, entry.mtime, entry.mtimeNanoseconds);
  }

  #owner(entry: TarEntry): { uid: number; gid: number } | undefined {
    const { owner } = this.#options;
    if (owner === 'none') return undefined;
    return owner === 'keep' ? entry : owner;
  }

  #mode(entry: TarEntry): number {
    return entry.mode & (this.#options.specialBits ? 0o7777 : 0o777);
  }
}

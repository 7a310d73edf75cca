/**
 * The inodes that the guest knows, by node id. Each is an O_PATH descriptor, kept for as long as the guest remembers a
 * lookup of the inode. A node is found again by mount, device and inode number, so that hard links are one node, and
 * what is mounted twice (once read-only) is two. Names are only ever looked up in a folder's descriptor, one component
 * at a time and beneath the folder (openat2), so that no symbolic link, no `..` and no rename on the host leads out of
 * the shared folder.
 */
import { closeFd, openBeneath, O_CLOEXEC, O_NOFOLLOW } from '../../../../host/files/lookup.ts';
import { O_PATH, pathOfFd, reopen, statFd, STATX, STATX_ATTR_MOUNT_ROOT } from '../../../../host/files/file-at.ts';
import { SyscallError } from '../../../../host/libc.ts';
import type { Bounds } from './config.ts';
import { checkName, ERRNO, ProtocolError, ROOT_NODE } from './fuse.ts';

/** include/uapi/linux/stat.h */
export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;

/** value of Inode.watch that is no watch's number */
export const NOT_WATCHED = 0;

/** value of Inode.namedIn that is no node */
export const NOT_NAMED = 0;

/** value of Inode.fd for one that is gone from the host */
export const NO_FD = -1;

/** most file systems that the upper 16 bits of an inode number tell apart */
const MAX_DEVICES = 0xffff;

export interface Inode {
  node: number;
  /** a descriptor of O_PATH; NO_FD when the inode is gone from the host */
  fd: number;
  /** S_IFMT bits; they never change */
  kind: number;
  /**
   * the number of the host's file system that the inode is on, counted in the order in which the file systems were met:
   * the guest sees a single file system, where an inode number must name one file
   */
  device: number;
  /** how often the guest was given the inode and has not yet forgotten it */
  lookups: number;
  key: string;
  /** number of the watch that tells of the host's changes, see Watches */
  watch: number;
  /** number of the guest's handles of it */
  handles: number;
  /** whether it had no name when that was last looked at */
  unlinked: boolean;
  /** what the guest was last told of a file's contents, see contentsMark() */
  told: readonly number[] | undefined;
  /**
   * node of the folder in which the guest was last told a name of the inode together with attributes that it may keep;
   * NOT_NAMED when it was not, or when its own kernel has changed the attributes since and asks for them again
   */
  namedIn: number;
  /** number of the last change before that, see Lifetimes */
  namedAt: number;
}

/** An inode of a machine that is saved. */
interface SavedInode {
  node: number;
  kind: number;
  lookups: number;
  /** see identityOf() */
  identity: string;
  /** beneath the shared folder, one character for each byte; undefined when it has no name there */
  path: string | undefined;
}

export interface SavedInodes {
  /** the node that the next new inode gets */
  next: number;
  devices: string[];
  /** without the root */
  inodes: SavedInode[];
}

export interface InodeHooks {
  /** called when the guest should forget what it does not use */
  onCrowded?: (() => void) | undefined;
  /** called with an inode that is about to go */
  onDrop?: ((inode: Inode) => void) | undefined;
}

export class Inodes implements Disposable {
  readonly #byNode = new Map<number, Inode>();
  readonly #byKey = new Map<string, Inode>();
  readonly #devices: string[] = [];
  readonly #bounds: Bounds;
  readonly #hooks: InodeHooks;
  #next = ROOT_NODE + 1;
  /** number of inodes that came since there were many */
  #news = 0;

  /** @param root an O_PATH descriptor of the shared folder, which the inodes own from here on */
  constructor(root: number, bounds: Bounds, hooks: InodeHooks = {}) {
    this.#bounds = bounds;
    this.#hooks = hooks;
    const stat = statFd(root);
    this.#add(ROOT_NODE, { fd: root, stat, key: keyOf(stat) });
  }

  #add(
    node: number,
    { fd, stat, key, lookups = 1 }: { fd: number; stat: DataView; key: string; lookups?: number },
  ): Inode {
    const inode = {
      node,
      fd,
      kind: stat.getUint16(STATX.mode, true) & S_IFMT,
      device: node === ROOT_NODE ? 0 : this.#deviceOf(stat),
      lookups,
      key,
      watch: NOT_WATCHED,
      handles: 0,
      unlinked: false,
      told: undefined,
      namedIn: NOT_NAMED,
      namedAt: 0,
    };
    this.#byNode.set(node, inode);
    this.#byKey.set(inode.key, inode);
    return inode;
  }

  /** @throws ProtocolError for a node that the guest was never given or has forgotten, or that is gone from the host */
  get(node: number): Inode {
    const inode = this.#byNode.get(node);
    if (inode === undefined) throw new ProtocolError(ERRNO.ENOENT);
    if (inode.fd === NO_FD) throw new ProtocolError(ERRNO.ESTALE);
    return inode;
  }

  /** @returns undefined for a node that the guest was never given, or has forgotten */
  find(node: number): Inode | undefined {
    return this.#byNode.get(node);
  }

  /** @returns the key of the inode behind a name; undefined when there is no such name */
  keyAt(folder: Inode, name: string): string | undefined {
    return this.lookAt(folder, name)?.key;
  }

  /** @returns the key of the inode behind a name, and its S_IFMT bits; undefined when there is no such name */
  lookAt(folder: Inode, name: string): { key: string; kind: number } | undefined {
    return lookBeneath(folder.fd, checkName(name));
  }

  /** @returns the inode that the guest knows on the folder's own mount and file system by this number */
  beside(folder: Inode, ino: bigint): Inode | undefined {
    return this.#byKey.get(`${folder.key.slice(0, folder.key.lastIndexOf(':'))}:${ino}`);
  }

  /** @returns the inode that the guest knows by this key */
  withKey(key: string | undefined): Inode | undefined {
    return key === undefined ? undefined : this.#byKey.get(key);
  }

  /** Counts one lookup of a name. @throws SyscallError, ProtocolError */
  lookup(parent: number, name: string): Inode {
    const folder = this.get(parent);
    return this.#remember(openBeneath(folder.fd, checkName(name), O_PATH | O_NOFOLLOW));
  }

  /**
   * Counts one lookup of a file that has no name yet. @param file an open descriptor of it, which stays the caller's
   */
  adopt(file: number): Inode {
    return this.#remember(reopen(file, O_PATH | O_CLOEXEC));
  }

  #remember(fd: number): Inode {
    // statFd() has one buffer: nothing looks at another file before #add has read this one's.
    const stat = statFd(fd);
    const key = keyOf(stat);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      closeFd(fd);
      known.lookups++;
      return known;
    }
    const { inodes, crowded, step } = this.#bounds;
    if (this.#byNode.size >= crowded && this.#news++ % step === 0) this.#hooks.onCrowded?.();
    if (this.#byNode.size >= inodes) {
      closeFd(fd);
      throw new ProtocolError(ERRNO.ENFILE);
    }
    return this.#add(this.#next++, { fd, stat, key });
  }

  /** Takes away lookups that the guest has forgotten; the root stays. */
  forget(node: number, lookups: number): void {
    const inode = this.#byNode.get(node);
    if (inode === undefined || node === ROOT_NODE) return;
    inode.lookups -= lookups;
    if (inode.lookups <= 0) this.#drop(inode);
  }

  /**
   * Counts one lookup of an inode that the host does not have: what had a name that is gone, for a guest that is to
   * remove the name. @throws ProtocolError
   */
  addGone(kind: number): Inode {
    if (this.#byNode.size >= this.#bounds.inodes) throw new ProtocolError(ERRNO.ENFILE);
    const gone = goneFromHost({ node: this.#next++, kind, lookups: 1 });
    this.#byNode.set(gone.node, gone);
    return gone;
  }

  /** @returns the folders that the guest knows */
  folders(): Inode[] {
    return [...this.#byNode.values()].filter(({ kind, fd }) => kind === S_IFDIR && fd !== NO_FD);
  }

  /** @returns the folders among them that the host has removed since this was last asked */
  removedFolders(): Inode[] {
    const isRemoved = ({ fd }: Inode) => statFd(fd).getUint32(STATX.nlink, true) === 0;
    const removed = this.folders().filter((inode) => !inode.unlinked && isRemoved(inode));
    for (const inode of removed) inode.unlinked = true;
    return removed;
  }

  #deviceOf(stat: DataView): number {
    const device = deviceOf(stat);
    const known = this.#devices.indexOf(device);
    // File systems beyond the bound share the last number: inode numbers may collide there, and nothing worse happens.
    return known >= 0 ? known : Math.min(this.#devices.push(device) - 1, MAX_DEVICES);
  }

  #drop(inode: Inode): void {
    this.#byNode.delete(inode.node);
    this.#close(inode);
  }

  #close(inode: Inode): void {
    if (inode.fd === NO_FD) return;
    this.#hooks.onDrop?.(inode);
    // Without the descriptor the host may give the inode's number to another file.
    this.#byKey.delete(inode.key);
    closeFd(inode.fd);
    inode.fd = NO_FD;
  }

  /**
   * Lets go of a file that the host has removed, if the guest does not have it open: its descriptor keeps the file's
   * space on the host's disk for as long as the guest remembers the inode, which may be forever. A single file that was
   * shared stays: the container has it mounted, and mounting is no opening.
   */
  letGo(inode: Inode): void {
    if (inode.kind !== S_IFREG || inode.fd === NO_FD) return;
    const stat = statFd(inode.fd);
    const isMounted = (stat.getUint32(STATX.attributes, true) & STATX_ATTR_MOUNT_ROOT) !== 0;
    inode.unlinked = !isMounted && stat.getUint32(STATX.nlink, true) === 0;
    if (inode.unlinked && inode.handles === 0) this.#close(inode);
  }

  get size(): number {
    return this.#byNode.size;
  }

  /** @returns one folder or file on each file system that the guest has met */
  onePerDevice(): Inode[] {
    const found = [...this.#byNode.values()].filter(
      ({ kind, fd }) => fd !== NO_FD && (kind === S_IFDIR || kind === S_IFREG),
    );
    return [...new Map(found.map((inode) => [inode.device, inode])).values()];
  }

  /** Says where all inodes are now. An inode that another process moves meanwhile may be found nowhere. */
  save(): SavedInodes {
    const above = pathOfFd(this.get(ROOT_NODE).fd)?.replace(/\/?$/, '/');
    const inodes = [];
    for (const { node, fd, kind, lookups } of this.#byNode.values()) {
      if (node === ROOT_NODE) continue;
      const path = fd === NO_FD ? undefined : pathOfFd(fd);
      inodes.push({
        node,
        kind,
        lookups,
        identity: fd === NO_FD ? '' : identityOf(statFd(fd)),
        path: above !== undefined && path?.startsWith(above) ? path.slice(above.length) : undefined,
      });
    }
    return { next: this.#next, devices: [...this.#devices], inodes };
  }

  /**
   * @returns where the inode is beneath the shared folder, one character for each byte; `.` for the folder itself;
   *   undefined when it is not there, or was moved while this looked
   */
  pathOf(inode: Inode): string | undefined {
    if (inode.node === ROOT_NODE) return '.';
    if (inode.fd === NO_FD) return undefined;
    const root = this.get(ROOT_NODE).fd;
    const above = pathOfFd(root)?.replace(/\/?$/, '/');
    const path = pathOfFd(inode.fd);
    if (above === undefined || !path?.startsWith(above)) return undefined;
    const beneath = path.slice(above.length);
    return lookBeneath(root, beneath)?.key === inode.key ? beneath : undefined;
  }

  /**
   * Finds the inodes of a saved machine again, in a folder of which the guest knows nothing yet. One that is not where
   * it was, or is another one now, is gone, as is what a process on the host has removed: the guest gets ESTALE, and
   * looks up its path again.
   */
  restore({ next, devices, inodes }: SavedInodes): void {
    const root = this.get(ROOT_NODE);
    this.#devices.splice(0, Infinity, ...devices);
    this.#next = next;
    for (const saved of inodes) {
      const fd = this.#byNode.size < this.#bounds.inodes ? openSaved(root.fd, saved) : NO_FD;
      if (fd === NO_FD) {
        this.#byNode.set(saved.node, goneFromHost(saved));
        continue;
      }
      const stat = statFd(fd);
      this.#add(saved.node, { fd, stat, key: keyOf(stat), lookups: saved.lookups });
    }
  }

  /** Forgets every inode but the root, after the guest has unmounted or is gone. */
  clear(): void {
    for (const inode of this.#byNode.values()) if (inode.node !== ROOT_NODE) this.#drop(inode);
  }

  [Symbol.dispose](): void {
    for (const inode of this.#byNode.values()) this.#drop(inode);
  }
}

/** @returns the key and the kind of what is at a path; undefined when nothing is */
function lookBeneath(folder: number, path: string): { key: string; kind: number } | undefined {
  let fd: number;
  try {
    fd = openBeneath(folder, path, O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
  try {
    const stat = statFd(fd);
    return { key: keyOf(stat), kind: stat.getUint16(STATX.mode, true) & S_IFMT };
  } finally {
    closeFd(fd);
  }
}

/** @returns what a file's attributes say of its contents: size, blocks, and the times of the last two changes */
export function contentsMark(stat: DataView): readonly number[] {
  return [STATX.size, STATX.size + 4, STATX.blocks, STATX.mtime, STATX.mtime + 8, STATX.ctime, STATX.ctime + 8].map(
    (at) => stat.getUint32(at, true),
  );
}

/** @returns a descriptor of O_PATH; NO_FD when the inode is not there */
function openSaved(root: number, { path, identity }: SavedInode): number {
  if (path === undefined) return NO_FD;
  let fd: number;
  try {
    fd = openBeneath(root, path, O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (error instanceof SyscallError) return NO_FD;
    throw error;
  }
  if (identityOf(statFd(fd)) === identity) return fd;
  closeFd(fd);
  return NO_FD;
}

const goneFromHost = ({ node, kind, lookups }: Pick<SavedInode, 'node' | 'kind' | 'lookups'>): Inode => ({
  node,
  fd: NO_FD,
  kind,
  device: 0,
  lookups,
  key: '',
  watch: NOT_WATCHED,
  handles: 0,
  unlinked: true,
  told: undefined,
  namedIn: NOT_NAMED,
  namedAt: 0,
});

/**
 * @returns what tells an inode from all others of this host, whatever it is mounted as: file system, number, kind, and
 *   when it was made, because numbers are given again
 */
function identityOf(stat: DataView): string {
  const made = [stat.getBigInt64(STATX.btime, true), stat.getUint32(STATX.btime + 8, true)];
  return [deviceOf(stat), stat.getBigUint64(STATX.ino, true), stat.getUint16(STATX.mode, true) & S_IFMT, ...made].join(
    ':',
  );
}

const deviceOf = (stat: DataView): string =>
  `${stat.getUint32(STATX.devMajor, true)}:${stat.getUint32(STATX.devMinor, true)}`;

function keyOf(stat: DataView): string {
  return `${stat.getBigUint64(STATX.mount, true)}:${deviceOf(stat)}:${stat.getBigUint64(STATX.ino, true)}`;
}

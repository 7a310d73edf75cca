/**
 * A Share is what all requests on a shared folder act on: the inodes that the guest knows, its open files, and what it
 * may do to them. Checks that more than one family of requests makes are here; the requests themselves are in
 * requests/.
 */
import { openFilesLimit } from '../../../../host/descriptors.ts';
import { chmodFd, chownFd, reopen, statFd, STATX } from '../../../../host/files/file-at.ts';
import { IN } from '../../../../host/files/inotify.ts';
import { closeFd, O_CLOEXEC, O_DIRECTORY, openFolder } from '../../../../host/files/lookup.ts';
import { SyscallError } from '../../../../host/libc.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { Access, SEARCH, WRITE } from './access.ts';
import { Announcements } from './announcements.ts';
import {
  absentReply,
  attributesReply,
  entryReply,
  goneAttributesReply,
  markWithoutCapabilities,
  UNCHANGED,
  type Ownership,
} from './attributes.ts';
import { boundsFor } from './config.ts';
import { ERRNO, ProtocolError, type Request } from './fuse.ts';
import { Handles, type SavedHandles } from './handles.ts';
import {
  contentsMark,
  Inodes,
  NO_FD,
  NOT_NAMED,
  NOT_WATCHED,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Inode,
  type SavedInodes,
} from './inodes.ts';
import { Lifetimes, NO_LIFETIME, type ChangesState, type Lifetime } from './lifetimes.ts';
import type { TellNews } from './news.ts';
import { watchLimit, Watches, type OwnChange } from './watches.ts';

/**
 * the open flags that a guest may choose: access mode, O_TRUNC, O_DSYNC, O_SYNC (asm-generic/fcntl.h); O_APPEND is
 * decided for each write (device.ts)
 */
export const OPEN_FLAGS = 3 | 0o1000 | 0o10000 | 0o4010000;
/** open(2): the mask of the access mode */
export const O_ACCMODE = 3;
export const O_TRUNC = 0o1000;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o010;
export const PERMISSIONS = 0o7777;

export interface ShareOptions {
  /** the folder that is shared; symbolic links in its path are followed once, when the share is made */
  path: string;
  readOnly: boolean;
  ownership: Ownership;
  /** number of descriptors that this process may have open; @default its limit */
  descriptors?: number | undefined;
  /** number of inodes that may be watched; @default this machine's share of its user's, see watchLimit() */
  watches?: number | undefined;
  /** called when the guest remembers a great many inodes and should forget those that it does not use */
  onCrowded?: (() => void) | undefined;
  /** tells the guest's programs that watch of the host's changes; @default nobody does */
  onNews?: TellNews | undefined;
}

/** What the guest knows of the folder, in a machine that is saved: plain data. */
export interface SavedShare {
  inodes: SavedInodes;
  handles: SavedHandles;
}

/** A name that the guest has moved. */
interface OwnMove {
  from: Inode;
  name: string;
  to: Inode;
  newName: string;
  /** of the inode that had the name just before */
  key: string | undefined;
  isExchange: boolean;
}

export class Share implements Disposable {
  readonly readOnly: boolean;
  readonly ownership: Ownership;
  readonly inodes: Inodes;
  readonly handles: Handles;
  readonly access: Access;
  readonly #lifetimes = new Lifetimes();
  readonly #mostWatches: number;
  #watches: Watches | undefined;
  /** inodes whose last name the host may have removed */
  readonly #perhapsGone = new Set<Inode>();
  #isOwnRemoval = false;
  readonly #announcements: Announcements | undefined;
  /** the lifetime of what the current request looks at */
  #lifetime: Lifetime = NO_LIFETIME;
  /** number of the last change before the current request */
  #lastChange = 0;
  /** umask(2) of this process: the guest's kernel has applied the guest's umask, and this one must not apply as well */
  readonly #umask = process.umask();

  /** @throws SyscallError when the folder cannot be opened */
  constructor({
    path,
    readOnly,
    ownership,
    descriptors = openFilesLimit(),
    watches = watchLimit(),
    onCrowded,
    onNews,
  }: ShareOptions) {
    this.readOnly = readOnly;
    this.ownership = ownership;
    this.access = new Access(ownership);
    const bounds = boundsFor(descriptors);
    this.handles = new Handles(bounds.handles);
    // The folder is opened for reading rather than with O_PATH: a folder that cannot be listed is refused now, where
    // the user sees the error, and not later inside the guest.
    this.inodes = new Inodes(openFolder(path), bounds, { onCrowded, onDrop: (inode) => this.#watches?.drop(inode) });
    this.#mostWatches = Math.min(bounds.inodes, watches);
    if (onNews !== undefined)
      this.#announcements = new Announcements(onNews, this.inodes, ({ node }) => this.#lifetimes.changed(node));
  }

  /**
   * Gives names and attributes lifetimes that end with the host's changes, which the guest is told of in its memory.
   * @throws GuestFault for an address that cannot be
   */
  countChanges(memory: GuestMemory, state: ChangesState): void {
    this.stopCounting();
    this.#lifetimes.attach(memory, state);
    try {
      const announcements = this.#announcements;
      this.#watches = new Watches(
        this.#mostWatches,
        (inode, mask) => {
          if (inode === undefined) return this.#lifetimes.allChanged();
          this.#lifetimes.changed(inode.node);
          if ((mask & IN.ATTRIB) !== 0 && !this.#isOwnRemoval) this.#perhapsGone.add(inode);
        },
        announcements && ((inode, mask, name) => announcements.hear(inode, mask, name)),
      );
    } catch (error) {
      // The user has no inotify instance left. Nothing gets a lifetime then: the guest asks each time.
      if (!(error instanceof SyscallError)) throw error;
    }
  }

  /** @returns what the guest's agent is to find at a name; undefined: what is there */
  announced(folder: Inode, name: string): ReturnType<Announcements['at']> {
    return this.#announcements?.at(folder, name);
  }

  /** The guest has been told of the name: from here on its agent finds what is there. */
  announcedTo(folder: Inode, name: string): void {
    this.#announcements?.end(folder, name);
  }

  /** Begins a request that changes what is shared. It may change the inode itself, and names as `own…` say. */
  beginChange(node: number): void {
    this.#watches?.begin(this.inodes.find(node));
  }

  /** The request changes this inode as well. */
  alsoChanges(inode: Inode): void {
    this.#watches?.also(inode);
  }

  endChange(): void {
    this.#watches?.end();
  }

  /** number of inodes that are watched */
  get watches(): number {
    return this.#watches?.size ?? 0;
  }

  stopCounting(): void {
    this.#lifetimes.detach();
    this.#watches?.[Symbol.dispose]();
    this.#watches = undefined;
  }

  /** Tells the guest of every change on the host until now. Never called while a request is carried out. */
  settle(): void {
    this.#watches?.settle();
    this.#letGo();
  }

  /** A removed file's descriptor is closed between requests: during one it may be in use. */
  #letGo(): void {
    if (this.#perhapsGone.size === 0) return;
    for (const inode of this.#perhapsGone) this.inodes.letGo(inode);
    this.#perhapsGone.clear();
  }

  /** The guest has closed a file. */
  release(handle: number): void {
    const inode = this.handles.release(handle);
    if (inode.unlinked) this.#perhapsGone.add(inode);
  }

  /** the descriptor that is readable when the host has changed something; undefined when nothing is watched */
  get changesFd(): number | undefined {
    return this.#watches?.fd;
  }

  /**
   * Begins a request. What it looks at may be kept until a change that comes after this moment: a change while it looks
   * ends the lifetime that its answer gives.
   */
  begin(): void {
    this.#lifetime = this.#lifetimes.untilChanged();
    this.#lastChange = this.#lifetimes.lastChange;
  }

  /** The guest has just made this name itself, and needs no word of it. */
  ownName(folder: Inode, name: string): void {
    this.#watches?.settle({ inode: folder, mask: IN.CREATE, name });
  }

  /** The same for a name that it has removed. */
  ownRemoval(folder: Inode, name: string): void {
    // The guest forgets a file without a name by itself, as soon as nobody there has it any more.
    this.#isOwnRemoval = true;
    this.#watches?.settle({ inode: folder, mask: IN.DELETE, name });
    this.#isOwnRemoval = false;
  }

  /**
   * The same for attributes that it has set. They must be read after this call: the kernel makes one event of its
   * change and of another process's like it.
   */
  ownAttributes(inode: Inode): void {
    this.#watches?.settle({ inode, mask: IN.ATTRIB | IN.MODIFY, name: '' });
  }

  /**
   * The same for what it has written to a file: its kernel asks for size and times again, so that another process's
   * write that the kernel made one event of with this one is in what it then reads.
   */
  ownWrite(node: number): void {
    const inode = this.inodes.find(node);
    if (inode !== undefined) this.#watches?.settle({ inode, mask: IN.MODIFY, name: '' });
  }

  /**
   * The guest has moved a name, which keeps its lifetime in the other folder. The lifetime ends now if nobody tells of
   * changes to that folder, or if what is there is not what was moved: a process on the host may have moved another
   * file there since, and the kernel makes one event of two moves to one name.
   */
  ownMove({ from, name, to, newName, key, isExchange }: OwnMove): void {
    const watches = this.#watches;
    if (watches === undefined) return;
    const isTold = watches.watch(to) && watches.watch(from);
    const own: OwnChange[] = [
      { inode: from, mask: IN.MOVED_FROM, name },
      { inode: to, mask: IN.MOVED_TO, name: newName },
    ];
    const inode = this.inodes.withKey(key);
    if (inode !== undefined) own.push({ inode, mask: IN.MOVE_SELF, name: '' });
    this.#isOwnRemoval = true;
    if (isExchange) for (const { inode, name } of own) watches.act({ inode, mask: 0, name });
    watches.settle(...(isExchange ? [] : own));
    this.#isOwnRemoval = false;
    if (isTold && key !== undefined && (isExchange || this.inodes.keyAt(to, newName) === key)) return;
    this.#lifetimes.changed(from.node);
    this.#lifetimes.changed(to.node);
  }

  /**
   * @param folder where the inode was looked up by name; undefined when it has none
   * @param isNew whether it was made by this request
   */
  entry(inode: Inode, folder: Inode | undefined, isNew = false): Uint8Array {
    const lifetimes = { name: this.#nameLifetime(folder), attributes: this.#attributesLifetime(inode) };
    const stat = this.#stat(inode, lifetimes.attributes);
    const isKept = folder !== undefined && lifetimes.name !== NO_LIFETIME && lifetimes.attributes !== NO_LIFETIME;
    inode.namedIn = isKept ? folder.node : NOT_NAMED;
    inode.namedAt = this.#lastChange;
    const bytes = entryReply(inode, stat, this.ownership, lifetimes);
    if (isNew && lifetimes.attributes !== NO_LIFETIME) markWithoutCapabilities(bytes);
    return bytes;
  }

  /**
   * @returns whether the guest already has a name of this inode in the folder, and its attributes, and may still keep
   * both; it may have forgotten them
   */
  isKnownIn(folder: Inode, inode: Inode): boolean {
    const { namedIn, namedAt } = inode;
    const isKept = (node: number) => this.#lifetimes.isKept(node, namedAt);
    return namedIn === folder.node && isKept(folder.node) && isKept(inode.node);
  }

  /** @returns the answer for a name that the folder does not have, when the guest may remember that */
  absent(folder: Inode): Uint8Array | undefined {
    const lifetime = this.#nameLifetime(folder);
    return lifetime === NO_LIFETIME ? undefined : absentReply(lifetime);
  }

  attributes(inode: Inode): Uint8Array {
    const lifetime = this.#attributesLifetime(inode);
    return attributesReply(inode, this.#stat(inode, lifetime), this.ownership, lifetime);
  }

  /** @returns the attributes of a node that may be gone from the host. @throws ProtocolError, SyscallError */
  attributesOrGone(node: number): Uint8Array {
    const inode = this.inodes.find(node);
    return inode?.fd === NO_FD ? goneAttributesReply(inode) : this.attributes(this.inodes.get(node));
  }

  /** @returns attributes that the guest is told now, and may keep */
  #stat(inode: Inode, lifetime: Lifetime): DataView {
    const stat = statFd(inode.fd);
    if (lifetime !== NO_LIFETIME && inode.kind === S_IFREG) inode.told = contentsMark(stat);
    return stat;
  }

  /** @returns whether the guest may keep the folder's names from one opening to the next, until they change */
  keepsNames(folder: Inode): boolean {
    return this.#watches?.watch(folder) === true;
  }

  /** The folder has been watched since before the lookup, or it is not. */
  #nameLifetime(folder: Inode | undefined): Lifetime {
    // While the guest's agent is told of the folder's names, nobody's look at them is kept.
    if (folder === undefined || this.#announcements?.isTelling(folder)) return NO_LIFETIME;
    return folder.watch > NOT_WATCHED ? this.#lifetime : NO_LIFETIME;
  }

  #attributesLifetime(inode: Inode): Lifetime {
    return this.#watches?.watch(inode) === true ? this.#lifetime : NO_LIFETIME;
  }

  /** Counts one lookup of a name in a folder that the guest may search. @throws SyscallError, ProtocolError */
  lookup(folder: Inode, name: string): Inode {
    this.access.check(folder.fd, SEARCH);
    this.#watches?.watch(folder);
    return this.inodes.lookup(folder.node, name);
  }

  /** Checks that the guest may remove a name from a sticky folder. @throws ProtocolError, SyscallError */
  checkSticky(folder: number, name: string): void {
    if (!this.access.isSticky(this.inodes.get(folder).fd)) return;
    let entry: Inode;
    try {
      entry = this.inodes.lookup(folder, name);
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENOENT') return;
      throw error;
    }
    try {
      this.access.checkOwn(entry.fd);
    } finally {
      this.inodes.forget(entry.node, 1);
    }
  }

  /** @returns a folder whose names are to change, after checking that the guest may change them */
  folder(node: number): Inode {
    const folder = this.inodes.get(node);
    this.access.check(folder.fd, WRITE | SEARCH);
    this.#watches?.watch(folder);
    // A name that comes or goes changes the folder's times, which the guest's kernel then asks for again.
    folder.namedIn = NOT_NAMED;
    return folder;
  }

  /** Gives a new inode to the process that made it, with the mode that the process asked for. */
  give(fd: number, folder: number, request: Request, mode: number | undefined): void {
    const owner = this.ownership.toHost(request.uid, request.gid);
    // A set-group-ID folder gives its group to every new file in it, and the bit to new folders.
    const folderGivesGroup = (statFd(folder).getUint16(STATX.mode, true) & S_ISGID) !== 0;
    const stat = statFd(fd);
    const [uid, gid] = [stat.getUint32(STATX.uid, true), stat.getUint32(STATX.gid, true)];
    const inherited = folderGivesGroup ? stat.getUint16(STATX.mode, true) & S_ISGID : 0;
    const given = owner !== undefined && (owner[0] !== uid || (owner[1] !== gid && !folderGivesGroup));
    if (given) {
      try {
        chownFd(fd, owner[0], folderGivesGroup ? UNCHANGED : owner[1]);
      } catch (error) {
        // This process does not have the id: a file system in a user namespace gives the same answer.
        throw error instanceof SyscallError && error.code === 'EINVAL' ? new ProtocolError(ERRNO.EOVERFLOW) : error;
      }
    }
    // A change of owner clears set-user-ID and set-group-ID.
    const lost = this.#umask | (given ? S_ISUID | S_ISGID : 0);
    const isFolder = (stat.getUint16(STATX.mode, true) & S_IFMT) === S_IFDIR;
    if (mode === undefined) return;
    const wanted = this.access.modeFor(fd, mode | inherited, isFolder);
    if ((mode & lost) !== 0 || (wanted & S_ISGID) !== ((mode | inherited) & S_ISGID)) chmodFd(fd, wanted);
  }

  /** Opens an inode for a moment. It must be a regular file, because opening anything else has effects. */
  withFile(inode: Inode, flags: number, use: (fd: number) => void): void {
    const fd = this.reopen(inode, flags);
    try {
      use(fd);
    } finally {
      closeFd(fd);
    }
  }

  reopen(inode: Inode, flags: number): number {
    if (inode.kind !== S_IFREG) throw new ProtocolError(ERRNO.EINVAL);
    return reopen(inode.fd, (flags & OPEN_FLAGS) | O_CLOEXEC);
  }

  /**
   * Clears the set-user-ID and set-group-ID bits that writing clears (FUSE_HANDLE_KILLPRIV_V2); the host kernel drops
   * capabilities by itself.
   */
  killSetIds(fd: number): void {
    const mode = statFd(fd).getUint16(STATX.mode, true);
    const kept = mode & ~S_ISUID & ~((mode & S_IXGRP) === 0 ? 0 : S_ISGID);
    if (kept !== mode) chmodFd(fd, kept & PERMISSIONS);
  }

  save(): SavedShare {
    return { inodes: this.inodes.save(), handles: this.handles.save() };
  }

  /** The guest of a saved machine goes on with the folder as it is now. */
  restore({ inodes, handles }: SavedShare): void {
    this.inodes.restore(inodes);
    this.handles.restore(handles, {
      find: (node) => this.inodes.find(node),
      reopen: (inode, flags) => this.#reopenSaved(inode, flags),
    });
  }

  /** A file is opened with what this process may do now: it may have been made unwritable after it was opened. */
  #reopenSaved(inode: Inode, flags: number): number {
    if (inode.fd === NO_FD || (this.readOnly && (flags & O_ACCMODE) !== 0)) return NO_FD;
    try {
      return inode.kind === S_IFDIR ? reopen(inode.fd, O_DIRECTORY | O_CLOEXEC) : this.reopen(inode, flags & ~O_TRUNC);
    } catch (error) {
      if (error instanceof SyscallError || error instanceof ProtocolError) return NO_FD;
      throw error;
    }
  }

  /** Releases all that the guest held, after it has unmounted or its driver is gone. */
  clear(): void {
    this.#announcements?.clear();
    this.handles.clear();
    this.inodes.clear();
  }

  [Symbol.dispose](): void {
    this.#announcements?.[Symbol.dispose]();
    this.stopCounting();
    this.handles.clear();
    this.inodes[Symbol.dispose]();
  }
}

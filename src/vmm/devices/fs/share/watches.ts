/**
 * Watches tell which of the inodes that the guest knows have been changed on the host: inotify on each of them, files
 * too, because a file may be changed by any of its names and by descriptors whose name is gone.
 *
 * An event is queued within the system call that makes the change. So whoever reads the queue before he passes on a
 * word of another process has every change that the other can have made before.
 */
import { readFileSync } from 'node:fs';
import { statfsFd, statFd } from '../../../../host/files/file-at.ts';
import { IN, Inotify, type InotifyEvent } from '../../../../host/files/inotify.ts';
import { SyscallError } from '../../../../host/libc.ts';
import { contentsMark, NOT_WATCHED, S_IFDIR, S_IFREG, type Inode } from './inodes.ts';

/**
 * statfs(2), include/uapi/linux/magic.h: file systems that only this host's kernel changes. Of others (NFS, SMB, FUSE,
 * 9p, overlay) changes are made elsewhere, and nobody tells.
 */
const TOLD = new Set([
  0xef53n, // ext2, ext3, ext4
  0x58465342n, // xfs
  0x9123683en, // btrfs
  0xca451a4en, // bcachefs
  0xf2f52010n, // f2fs
  0x2fc12fc1n, // zfs
  0x01021994n, // tmpfs
]);

/** changes to a folder's names */
const NAMES = IN.CREATE | IN.DELETE | IN.MOVED_FROM | IN.MOVED_TO;
/** a file in a folder, of which the guest knows nothing, was closed after writing: see `onNews` */
const NEW_CONTENTS = IN.CLOSE_WRITE;
/** a link count, an owner, a mode, times or an extended attribute; a new name changes the time of the last change */
const ITSELF = IN.ATTRIB | IN.MOVE_SELF;
/** what a shared mapping has written is told when the file is closed */
const CONTENTS = IN.MODIFY | IN.CLOSE_WRITE;

/** value of Inode.watch for one that cannot be watched */
const UNWATCHABLE = -1;

/**
 * Attack: a guest that takes all watches of its user's, so that no other program of the user's hears of changes. A
 * machine has this share of them (fs.inotify.max_user_watches), and no more than the inodes that it may remember.
 */
const WATCH_SHARE = 1 / 4;
/** the limit before Linux 5.11, taken where it cannot be read */
const FEW_WATCHES = 8192;
/**
 * A host that makes events faster than they are read must not hold the event loop: after so many reads all is stale.
 */
const MOST_READS = 64;

/** A change that was just made for the guest, which knows of it. */
export interface OwnChange {
  inode: Inode;
  /** IN bits of the events that it makes */
  mask: number;
  /** the name in the folder; empty for the inode itself */
  name: string;
}

export class Watches implements Disposable {
  readonly #inotify = new Inotify();
  readonly #most: number;
  readonly #watched = new Map<number, Inode[]>();
  /** whether changes are told, by mount and device */
  readonly #told = new Map<string, boolean>();
  readonly #onChange: (inode: Inode | undefined, mask: number) => void;
  readonly #onNews: ((inode: Inode | undefined, mask: number, name: string) => void) | undefined;
  /** what the guest's request that is carried out does: no news to the guest */
  #act: { inodes: (Inode | undefined)[]; own: OwnChange[] } | undefined;

  /**
   * @param most number of watches
   * @param onChange called for each change with its IN bits; without an inode when any may have been changed
   * @param onNews called as well for what was certainly not done by the guest itself, with a name in the folder, or
   *   none when the inode itself was changed
   * @throws SyscallError
   */
  constructor(
    most: number,
    onChange: (inode: Inode | undefined, mask: number) => void,
    onNews?: (inode: Inode | undefined, mask: number, name: string) => void,
  ) {
    this.#most = most;
    this.#onChange = onChange;
    this.#onNews = onNews;
  }

  /** readable while there are events */
  get fd(): number {
    return this.#inotify.fd;
  }

  get size(): number {
    return this.#watched.size;
  }

  /**
   * Watches an inode from here on, if that can be done. It must be asked before the inode is looked at.
   * @returns whether changes to it are told
   */
  watch(inode: Inode): boolean {
    if (inode.watch === NOT_WATCHED) inode.watch = this.#add(inode);
    return inode.watch > 0;
  }

  #add(inode: Inode): number {
    if (this.#watched.size >= this.#most || !this.#isTold(inode)) return UNWATCHABLE;
    const names = this.#onNews === undefined ? NAMES : NAMES | NEW_CONTENTS;
    const mask = inode.kind === S_IFDIR ? ITSELF | names : inode.kind === S_IFREG ? ITSELF | CONTENTS : ITSELF;
    try {
      const watch = this.#inotify.add(inode.fd, mask);
      // What is mounted twice is two inodes of the guest's, and one of the host's.
      const others = this.#watched.get(watch);
      if (others === undefined) this.#watched.set(watch, [inode]);
      else others.push(inode);
      return watch;
    } catch (error) {
      // It may not be read, or the user has no watch left: the guest asks each time.
      if (error instanceof SyscallError) return UNWATCHABLE;
      throw error;
    }
  }

  #isTold({ key, fd }: Inode): boolean {
    const place = key.slice(0, key.lastIndexOf(':'));
    let told = this.#told.get(place);
    if (told === undefined) this.#told.set(place, (told = TOLD.has(statfsFd(fd)[0]!)));
    return told;
  }

  /** Ends the watch of an inode that the guest has forgotten. */
  drop(inode: Inode): void {
    const { watch } = inode;
    if (watch <= 0) return;
    inode.watch = NOT_WATCHED;
    const inodes = this.#watched.get(watch)!;
    if (inodes.length > 1) return void inodes.splice(inodes.indexOf(inode), 1);
    this.#watched.delete(watch);
    this.#inotify.remove(watch);
  }

  /**
   * Begins what a request of the guest's does to an inode: what the kernel tells until `end` is no news to the guest
   * where it is of this inode itself, of a name in `settle`'s own changes, or an attribute that such a change brings
   * with it (a link count).
   */
  begin(inode: Inode | undefined): void {
    if (this.#onNews === undefined) return;
    this.settle();
    this.#act = { inodes: [inode], own: [] };
  }

  /** The request does something to this inode as well. */
  also(inode: Inode): void {
    this.#act?.inodes.push(inode);
  }

  /** The request does this, which is a change to what the guest knows all the same. */
  act(own: OwnChange): void {
    this.#act?.own.push(own);
  }

  end(): void {
    if (this.#act === undefined) return;
    this.settle();
    this.#act = undefined;
  }

  /** Tells of every change that has been made. @param own those that the guest need not be told of */
  settle(...own: OwnChange[]): void {
    this.#act?.own.push(...own);
    for (let reads = 0; reads < MOST_READS; reads++) {
      const { events, more } = this.#inotify.read();
      for (const [i, event] of events.entries()) this.#tell(event, own, events[i + 1]);
      if (!more) return;
    }
    this.#any();
  }

  #any(): void {
    this.#onChange(undefined, 0);
    this.#onNews?.(undefined, 0, '');
  }

  #tell({ watch, mask, name }: InotifyEvent, own: OwnChange[], next: InotifyEvent | undefined): void {
    if ((mask & IN.Q_OVERFLOW) !== 0) return this.#any();
    const inodes = this.#watched.get(watch);
    // The guest has forgotten the inode since.
    if (inodes === undefined) return;
    if ((mask & IN.IGNORED) !== 0) {
      this.#watched.delete(watch);
      for (const inode of inodes) inode.watch = UNWATCHABLE;
    } else if (name !== '' && (mask & NAMES) === 0) {
      // A file's attributes or contents: its own watch tells of them, by the event that follows, if it has one.
      const isWatched = next?.name === '' && next.mask === mask && this.#watched.has(next.watch);
      const isOwn = this.#act?.inodes.some((inode) => inode !== undefined && inode.watch <= NOT_WATCHED);
      if (mask === IN.CLOSE_WRITE && !isWatched && !isOwn)
        for (const inode of inodes) this.#onNews?.(inode, mask, name);
      return;
    } else if (
      inodes.length === 1 &&
      own.some((each) => inodes[0] === each.inode && name === each.name && (mask & ~IN.ISDIR & ~each.mask) === 0)
    )
      return;
    for (const inode of inodes) {
      if (mask === IN.CLOSE_WRITE && this.#isAsTold(inode)) continue;
      this.#onChange(inode, mask);
      if ((mask & IN.IGNORED) === 0 && !this.#isAct(inode, mask, name)) this.#onNews?.(inode, mask, name);
    }
  }

  /** @returns whether the request that is carried out has made this event */
  #isAct(inode: Inode, mask: number, name: string): boolean {
    if (this.#act === undefined) return false;
    const { inodes, own } = this.#act;
    if (own.some((each) => each.inode === inode && each.name === name)) return true;
    return name === '' && (inodes.includes(inode) || (mask & ~(IN.ATTRIB | IN.MOVE_SELF | IN.ISDIR)) === 0);
  }

  /**
   * A file that was open for writing is closed, most often by the guest itself. Only what was written by a shared
   * mapping has made no event of its own, and is a change if the file's attributes are no longer those that the guest
   * was told.
   */
  #isAsTold({ fd, told }: Inode): boolean {
    if (told === undefined) return false;
    const now = contentsMark(statFd(fd));
    return told.every((each, i) => each === now[i]);
  }

  [Symbol.dispose](): void {
    this.#inotify[Symbol.dispose]();
    for (const inodes of this.#watched.values()) for (const inode of inodes) inode.watch = NOT_WATCHED;
    this.#watched.clear();
  }
}

/** @returns the number of watches that one machine may have */
export function watchLimit(): number {
  try {
    const limit = Number(readFileSync('/proc/sys/fs/inotify/max_user_watches', 'latin1'));
    if (Number.isSafeInteger(limit) && limit > 0) return Math.floor(limit * WATCH_SHARE);
  } catch {
    // There is no /proc/sys where the supervisor is.
  }
  return Math.floor(FEW_WATCHES * WATCH_SHARE);
}

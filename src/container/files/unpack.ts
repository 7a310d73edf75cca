/**
 * A tar, as it streams in, becomes files below one folder. The archive is hostile: it may come from a container that
 * knows where it is being unpacked, and the folder may be changed by somebody else meanwhile. So every name is made by
 * the descriptor of its folder, exclusively and without following a link at its end; what stood there is unlinked,
 * never written through; and how a folder is reached is the place's decision (places.ts): a path that leads out,
 * absolute names and `..` cannot be said at all. Devices, set-user-ID bits and owners are made only where the place
 * allows them.
 */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { HuskError, systemError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { AT_REMOVEDIR, chmodFd, chownFd, O_PATH, reopen, unlinkAt } from '../../host/files/file-at.ts';
import { SyscallError } from '../../host/libc.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { BLOCK, type TarEntry } from '../../tar/entry.ts';
import { TarParser } from '../../tar/parser.ts';
import { factsAt, factsOf, openName, type Facts } from './facts.ts';
import { namesIn } from './names.ts';
import type { Place } from './places.ts';

/** include/linux/xattr.h names overlay file systems read as their own, and what belongs to this host */
const XATTR = /^(?:user\.(?!overlay\.|fuseoverlayfs\.|containers\.)|security\.capability$)/;
const { EINVAL, EOPNOTSUPP, EPERM } = constants.errno;
const S_IFBLK = 0o060000;
/** a name that somebody makes again and again while it is being replaced */
const MAX_TRIES = 16;

export interface UnpackOptions {
  /** a folder may take the place of a file, and a file that of a folder; @default refused, with Docker's words */
  replaceKinds?: boolean;
  /** `keep`: the archive's; `none`: whoever runs this; or one for everything */
  owner: 'keep' | 'none' | { uid: number; gid: number };
  /** device nodes are made; @default left out */
  devices?: boolean;
  /** set-user-ID, set-group-ID and sticky bits; @default taken away */
  specialBits?: boolean;
  /** user.* and file capabilities; @default left out */
  xattrs?: boolean;
  /** of folders that are there already: mode, owner and time become the archive's; @default they stay */
  existingFolders?: boolean;
  /** the member's place below the folder; undefined refuses it */
  rename?: (path: ByteString) => ByteString | undefined;
  /**
   * pieces of zeros become holes: for what is packed here, whose holes a tar does not tell of; @default written as they
   * are
   */
  holes?: boolean;
  /** what was left out */
  onLeftOut?: (path: ByteString, why: string) => void;
}

/** A folder of the archive gets its attributes when everything in it is there. */
interface Finish {
  path: ByteString;
  entry: TarEntry;
}

export class Unpacker {
  readonly #place: Place;
  readonly #options: UnpackOptions;
  readonly #parser: TarParser;
  readonly #folders: Finish[] = [];
  /** bytes of the current member's contents still to come */
  #left = 0;
  #file: { fd: number; entry: TarEntry; path: ByteString; written: number } | undefined;
  #parent: { path: ByteString; fd: number } | undefined;

  constructor(place: Place, options: UnpackOptions) {
    this.#place = place;
    this.#options = options;
    this.#parser = new TarParser((entry) => this.#entry(entry));
  }

  /** @throws HuskError `corrupt`, `invalid`; what is there by then stays */
  push(chunk: Buffer): void {
    const parser = this.#parser;
    for (let at = 0; at < chunk.length;) {
      const rest = chunk.length - at;
      if (this.#left > 0) {
        const length = Math.min(this.#left, rest);
        this.#contents(chunk.subarray(at, at + length));
        at += length;
      } else if (parser.skippable > 0) {
        const length = Math.min(parser.skippable, rest);
        parser.skip(length);
        at += length;
      } else {
        // block by block: contents must not be pushed
        const length = Math.min(BLOCK - (parser.position % BLOCK), rest);
        parser.push(chunk.subarray(at, at + length));
        at += length;
      }
    }
  }

  /** No more comes. @throws HuskError `corrupt` when the archive is cut short */
  end(): void {
    this.#parser.end();
    for (const { path, entry } of this.#folders.reverse()) this.#named(path, () => this.#finishFolder(path, entry));
    this.#folders.length = 0;
  }

  /** Gives back what is open; also after a failure. */
  close(): void {
    if (this.#file) host.closeFd(this.#file.fd);
    this.#file = undefined;
    if (this.#parent) host.closeFd(this.#parent.fd);
    this.#parent = undefined;
  }

  #entry(entry: TarEntry): void {
    const path = this.#options.rename ? this.#options.rename(entry.path) : entry.path;
    if (path === undefined)
      throw new HuskError(`invalid copy source content: "${display(entry.path)}" was not asked for`, {
        kind: 'corrupt',
      });
    this.#left = entry.dataSize;
    // the folder itself
    if (path === '') {
      if (entry.type !== 'directory')
        throw new HuskError('invalid copy source content: the topmost folder is no folder', { kind: 'corrupt' });
      return;
    }
    const slash = path.lastIndexOf('/');
    const [folder, name] = [slash === -1 ? '' : path.slice(0, slash), path.slice(slash + 1)];
    this.#named(path, () => this.#make(entry, this.#folder(folder), name, path));
  }

  /** Errors of the system name what was being made. */
  #named(path: ByteString, work: () => void): void {
    try {
      work();
    } catch (error) {
      const refused = systemError(error);
      if (!refused) throw error;
      const { code, text } = refused;
      if (code === 'EROFS') throw new HuskError(this.#place.readOnlyText(path), { kind: 'invalid', cause: error });
      const kind = code === 'ENOSPC' || code === 'EDQUOT' ? 'limit' : 'invalid';
      throw new HuskError(`cannot write ${this.#place.shown(path)}: ${text}`, { kind, cause: error });
    }
  }

  /** The folder of a path, made when missing: the last one is kept, because members of one folder follow each other. */
  #folder(path: ByteString): number {
    if (this.#parent?.path === path) return this.#parent.fd;
    const fd = this.#place.folder(path, { create: true })!;
    if (this.#parent) host.closeFd(this.#parent.fd);
    this.#parent = { path, fd };
    return fd;
  }

  #make(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    if (entry.type === 'directory') return this.#directory(entry, folder, name, path);
    const isDevice = entry.type === 'char' || entry.type === 'block';
    if (isDevice && !this.#options.devices) return this.#options.onLeftOut?.(path, 'it is a device');
    this.#replace(folder, name, path);
    switch (entry.type) {
      case 'file': {
        const fd = host.openAt(folder, name, host.O_WRONLY | host.O_CREAT | host.O_EXCL, 0o600);
        this.#file = { fd, entry, path, written: 0 };
        this.#place.made?.(path, factsOf(fd));
        if (entry.size !== entry.dataSize || this.#options.holes) host.ftruncate(fd, entry.size);
        if (this.#left === 0) this.#finishFile();
        return;
      }
      case 'symlink':
        host.symlinkAt(entry.linkname, folder, name);
        return this.#finishAt(entry, folder, name);
      case 'hardlink':
        return this.#hardlink(entry, folder, name, path);
      default: {
        const kind = entry.type === 'fifo' ? host.S_IFIFO : entry.type === 'char' ? host.S_IFCHR : S_IFBLK;
        host.makeNodeAt(folder, name, kind | 0o600, isDevice ? makeDevice(entry.deviceMajor, entry.deviceMinor) : 0);
        return this.#finishNode(entry, folder, name);
      }
    }
  }

  #directory(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    const there = factsAt(folder, name);
    if (there?.type === 'directory') {
      if (this.#options.existingFolders) this.#folders.push({ path, entry });
      return;
    }
    if (there) {
      if (!this.#options.replaceKinds)
        throw new HuskError(
          `cannot overwrite non-directory "${this.#place.shown(path)}" with directory "${this.#place.shown('')}"`,
          { kind: 'invalid' },
        );
      unlinkAt(folder, name);
    }
    // ours alone until everything is in it
    host.makeDirectoryAt(folder, name, 0o700);
    this.#folders.push({ path, entry });
  }

  /** Takes away what stands at the name, so that nothing is ever written through it. */
  #replace(folder: number, name: ByteString, path: ByteString): void {
    for (let tries = 0; ; tries++) {
      const there = factsAt(folder, name);
      if (!there) return;
      if (tries === MAX_TRIES)
        throw new HuskError(`cannot write ${this.#place.shown(path)}: somebody else makes it again and again`, {
          kind: 'conflict',
        });
      if (there.type === 'directory') {
        if (!this.#options.replaceKinds)
          throw new HuskError(
            `cannot overwrite directory "${this.#place.shown(path)}" with non-directory "${this.#place.shown('')}"`,
            { kind: 'invalid' },
          );
        removeTreeAt(folder, name);
      } else unlinkAt(folder, name);
    }
  }

  #hardlink(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    const target = this.#options.rename ? this.#options.rename(entry.linkname) : entry.linkname;
    const refuse = (why: string) =>
      new HuskError(`invalid hard link "${display(entry.path)}" -> "${display(entry.linkname)}": ${why}`, {
        kind: 'corrupt',
      });
    if (target === undefined || target === '') throw refuse('it leads elsewhere');
    const slash = target.lastIndexOf('/');
    const found = this.#place.folder(slash === -1 ? '' : target.slice(0, slash), { create: false });
    if (found === undefined) throw refuse('there is no such file');
    using parent = new Fd(found);
    const there = factsAt(parent.number, target.slice(slash + 1));
    if (!there || there.type === 'directory') throw refuse('there is no such file');
    // a file that was in the folder before must not get a second name, by which a later member would change it
    if (this.#place.mayLink && !this.#place.mayLink(target, there)) throw refuse('the archive did not bring that file');
    host.linkAt(parent.number, target.slice(slash + 1), folder, name);
    this.#place.made?.(path, there);
  }

  #contents(bytes: Buffer): void {
    this.#parser.skip(bytes.length);
    this.#left -= bytes.length;
    const file = this.#file;
    if (!file) return;
    this.#named(file.path, () => {
      writePieces(file, bytes, { holes: this.#options.holes === true });
      if (this.#left === 0) this.#finishFile();
    });
  }

  /** After the contents: writing would take set-user-ID bits and file capabilities away, and set the time. */
  #finishFile(): void {
    const { fd, entry } = this.#file!;
    this.#file = undefined;
    try {
      this.#finish(entry, fd);
    } finally {
      host.closeFd(fd);
    }
  }

  #finish(entry: TarEntry, fd: number): void {
    const owner = this.#owner(entry);
    if (owner) host.fchown(fd, owner.uid, owner.gid);
    host.fchmod(fd, this.#mode(entry));
    if (this.#options.xattrs) {
      for (const [name, value] of entry.xattrs ?? []) {
        if (!XATTR.test(name)) continue;
        const errno = host.trySetXattr(fd, name, value);
        // as when layers are unpacked: what this namespace or file system cannot have is left out
        if (errno !== 0 && errno !== EPERM && errno !== EOPNOTSUPP && errno !== EINVAL)
          throw new SyscallError('fsetxattr', errno);
      }
    }
    host.setTimesOf(fd, entry.mtime, entry.mtimeNanoseconds);
  }

  /**
   * A container may have put a symbolic link at the name already, which chmod(2) would follow out of it: the node is
   * held, and looked at.
   */
  #finishNode(entry: TarEntry, folder: number, name: ByteString): void {
    using node = openName(folder, name);
    if (node === undefined || factsOf(node.number).type !== entry.type) return;
    const owner = this.#owner(entry);
    if (owner) chownFd(node.number, owner.uid, owner.gid);
    chmodFd(node.number, this.#mode(entry));
    host.setTimesAt(folder, name, entry.mtime, entry.mtimeNanoseconds);
  }

  #finishAt(entry: TarEntry, folder: number, name: ByteString): void {
    this.#ownAt(entry, folder, name);
    host.setTimesAt(folder, name, entry.mtime, entry.mtimeNanoseconds);
  }

  #finishFolder(path: ByteString, entry: TarEntry): void {
    const opened = this.#place.folder(path, { create: false });
    // somebody has put something else there meanwhile
    if (opened === undefined) return;
    using held = new Fd(opened);
    using folder = new Fd(reopen(held.number, host.O_RDONLY | host.O_DIRECTORY | host.O_CLOEXEC));
    this.#finish(entry, folder.number);
  }

  #ownAt(entry: TarEntry, folder: number, name: ByteString): void {
    const owner = this.#owner(entry);
    if (owner) host.chownAt(folder, name, owner.uid, owner.gid);
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

/** Contents go where the member's map of data says, which is everywhere for most. */
function writePieces(
  file: { fd: number; entry: TarEntry; written: number },
  bytes: Buffer,
  options: { holes: boolean },
): void {
  const { fd, entry } = file;
  for (let at = 0; at < bytes.length;) {
    const { offset, length } = pieceAt(entry, file.written);
    const piece = Math.min(length, bytes.length - at);
    const wrote =
      options.holes && isHole(bytes.subarray(at, at + piece)) ? piece : writeSync(fd, bytes, at, piece, offset);
    at += wrote;
    file.written += wrote;
  }
}

/** bytes: a block of most file systems; what is smaller saves nothing */
const LEAST_HOLE = 4096;
const ZEROS = Buffer.alloc(256 << 10);

const isHole = (bytes: Buffer): boolean =>
  bytes.length >= LEAST_HOLE && bytes.length <= ZEROS.length && ZEROS.subarray(0, bytes.length).equals(bytes);

/** where the contents' byte `done` belongs in the file, and how many follow it there */
function pieceAt(entry: TarEntry, done: number): { offset: number; length: number } {
  if (!entry.sparse) return { offset: done, length: entry.dataSize - done };
  let before = 0;
  for (const segment of entry.sparse) {
    if (done < before + segment.length)
      return { offset: segment.offset + done - before, length: before + segment.length - done };
    before += segment.length;
  }
  throw new Error('contents behind the last segment of a sparse file');
}

/** gnu_dev_makedev of sys/sysmacros.h; the parser bounds both */
function makeDevice(major: number, minor: number): number {
  return (minor & 0xff) + ((major & 0xfff) << 8) + (minor >>> 8) * 2 ** 20;
}

/** folders within folders that are taken away for a file */
const MAX_DEPTH = 1024;

/** Deletes a folder and all in it by descriptors: links are not followed. */
function removeTreeAt(folder: number, name: ByteString, depth = 0): void {
  if (depth > MAX_DEPTH)
    throw new HuskError(`cannot replace "${display(name)}": folders are nested deeper than ${MAX_DEPTH}`, {
      kind: 'limit',
    });
  using held = openName(folder, name);
  if (held === undefined) return;
  using inside = new Fd(host.openBeneath(held.number, '.', O_PATH | host.O_DIRECTORY));
  for (const child of namesIn(inside.number)) {
    if (isFolder(factsAt(inside.number, child))) removeTreeAt(inside.number, child, depth + 1);
    else unlinkAt(inside.number, child);
  }
  unlinkAt(folder, name, AT_REMOVEDIR);
}

const isFolder = (facts: Facts | undefined): boolean => facts?.type === 'directory';

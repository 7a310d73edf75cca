/**
 * Makes a layer of overlay's upper folder when nothing runs in it any more: in one walk the folder becomes a tree that
 * is exactly what its tar says, and the tar is yielded. What no layer can have goes: sockets, names of whiteouts,
 * device nodes, attributes that belong to this host. The same tree gives the same bytes, whatever it was mounted
 * over.
 *
 * The tree is hostile but holds still: its makers are dead. So the kind of an entry may be taken from its folder, and a
 * regular file may be opened without a look first. No link is followed, and nothing outside the folder is touched.
 */
import { readSync } from 'node:fs';
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { getdents, getxattrOf, listxattrOf, O_PATH, removexattrOf, unlinkAt } from '../../host/files/file-at.ts';
import { dataExtents } from '../../host/files/holes.ts';
import { SyscallError } from '../../host/libc.ts';
import { HuskError, systemError } from '../../errors.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { MAX_PATH, type TarType } from '../../tar/entry.ts';
import { paddingOf, TAR_END, tarHeader } from '../../tar/write.ts';
import { factsOf, linkTarget, openName, type Facts } from './facts.ts';
import { removeTreeAt } from './remove.ts';
import { OPAQUE, WHITEOUT } from './upper.ts';

/** What the program that seals (src/images/layers/seal-main.ts) is asked, one line of JSON. */
export interface SealJob {
  /** the upper folder of an overlay that is not mounted any more */
  upper: string;
  /** the tar to make; nothing is there yet */
  tar: string;
  /** the folders below it, topmost first */
  lower: readonly string[];
  /** seconds since 1970: nothing is younger */
  epoch?: number;
}

export interface Sealed {
  diffId: string;
  /** bytes */
  size: number;
  leftOut: string[];
}

export interface SealOptions {
  /** descriptors of the folders below, topmost first */
  lower: () => readonly number[];
  epoch?: number;
  /** called for each thing that was left out, with a line about it */
  onLeftOut?: (line: string) => void;
}

/** bytes that are gathered before they are yielded, and bytes of a file that are read at once */
const CHUNK = 256 << 10;
/** What is yielded for a hole of a file: pieces of this one buffer, which need not be written. */
const ZEROS = Buffer.alloc(CHUNK);
/** open(2) with this flag waits for no FIFO, were one to be there. */
const O_NONBLOCK = 0o4000;
/** bytes: a file from this size on is yielded while it is read, and its holes are looked for */
const LARGE = 1 << 20;

/** struct linux_dirent64, getdents64(2): u64 ino, s64 off, u16 reclen, u8 type, name; offsets in bytes */
const RECORD_LENGTH = 16;
const RECORD_TYPE = 18;
const RECORD_NAME = 19;
/** dirent.h */
const KINDS: Record<number, TarType | 'socket'> = {
  1: 'fifo',
  2: 'char',
  4: 'directory',
  6: 'block',
  8: 'file',
  10: 'symlink',
  12: 'socket',
};

/** attributes that belong to a file, on any machine; what pack.ts keeps too */
const KEPT = /^(?:user\.(?!overlay\.|fuseoverlayfs\.|containers\.)|security\.capability$)/;
const OPAQUE_XATTR = 'user.overlay.opaque';
/**
 * overlay's own notes about an upper folder, which mean nothing in a lower one:
 * Documentation/filesystems/overlayfs.rst
 */
const OVERLAY_NOTES = /^user\.overlay\.(?:opaque|origin|impure|uuid|nlink)$/;

/** @returns whether the piece is of a hole */
export const isHole = (piece: Buffer): boolean => piece.buffer === ZEROS.buffer;

interface Entry {
  name: ByteString;
  kind: TarType | 'socket' | undefined;
}

/** An open folder on the way down. */
interface Level {
  fd: number;
  path: ByteString;
  entries: Entry[];
  next: number;
  /** nothing of the layers below shows through here */
  isNew: boolean;
  mtime: number;
  mtimeNanoseconds: number;
  /** its time on the disk is not that of its header any more */
  isTouched: boolean;
}

/** @param upper a folder that is open for reading, which the caller closes */
export function* sealUpper(upper: number, options: SealOptions): Generator<Buffer, void, void> {
  const sealer = new Sealer(options);
  try {
    yield* sealer.seal(upper);
  } finally {
    sealer.close();
  }
}

/** A large file whose bytes are still to be written. */
interface Contents {
  file: Fd;
  path: ByteString;
  facts: Facts;
  isClamped: boolean;
}

class Sealer {
  readonly #options: SealOptions;
  readonly #levels: Level[] = [];
  /** the first name of each inode that has several */
  readonly #links = new Map<string, ByteString>();
  /** chunks to be yielded, and the one that is being filled */
  #full: Buffer[] = [];
  #chunk = newChunk();
  #length = 0;

  constructor(options: SealOptions) {
    this.#options = options;
  }

  *seal(upper: number): Generator<Buffer, void, void> {
    this.#xattrs(upper, '');
    this.#enter(host.openBeneath(upper, '.', host.O_RDONLY | host.O_DIRECTORY), '', {
      isNew: false,
      mtime: 0,
      mtimeNanoseconds: 0,
      isTouched: true,
    });
    // No layer says what / is: a container's is like this, whatever a step did to it.
    host.fchown(upper, 0, 0);
    host.fchmod(upper, 0o755);
    for (let level = this.#levels.at(-1); level; level = this.#levels.at(-1)) {
      const entry = level.entries[level.next++];
      if (!entry) this.#leave(level);
      else {
        const contents = this.#entry(level, entry);
        if (contents) yield* this.#contents(contents);
        if (this.#full.length > 0) yield* this.#full.splice(0);
      }
    }
    this.#put(TAR_END);
    this.#flush();
    yield* this.#full;
  }

  close(): void {
    for (const { fd } of this.#levels.splice(0)) host.closeFd(fd);
  }

  #enter(fd: number, path: ByteString, about: Pick<Level, 'isNew' | 'mtime' | 'mtimeNanoseconds' | 'isTouched'>): void {
    // The level owns the descriptor from here on.
    const level: Level = { fd, path, entries: [], next: 0, ...about };
    this.#levels.push(level);
    level.entries = this.#named(path, () => entriesIn(fd));
  }

  #leave({ fd, isTouched, mtime, mtimeNanoseconds, path }: Level): void {
    this.#levels.pop();
    try {
      if (isTouched) this.#named(path, () => host.setTimesOf(fd, mtime, mtimeNanoseconds));
    } finally {
      host.closeFd(fd);
    }
  }

  /** @returns what is still to be written of a large file */
  #entry(level: Level, { name, kind }: Entry): Contents | undefined {
    const path = level.path === '' ? name : `${level.path}/${name}`;
    if (path.length > MAX_PATH)
      throw new HuskError(
        `cannot make a layer with a path of ${path.length} bytes below /${display(path.slice(0, 200))}: no tar may have one longer than ${MAX_PATH}`,
        { kind: 'unsupported' },
      );
    if (name.startsWith(WHITEOUT)) this.#leaveOut(level, path, name, 'its name means a deletion in a layer');
    else if (kind === 'directory') this.#directory(level, name, path);
    else if (kind === 'file') return this.#file(level, name, path);
    else return this.#other(level, name, path);
    return undefined;
  }

  #other(level: Level, name: ByteString, path: ByteString): Contents | undefined {
    using found = this.#named(path, () => openName(level.fd, name));
    if (found === undefined) return undefined;
    const facts = factsOf(found.number);
    switch (facts.type) {
      // An old file system does not tell in its folders what is in them.
      case 'directory':
        this.#directory(level, name, path);
        return undefined;
      case 'file':
        return this.#file(level, name, path);
      case 'socket':
        this.#leaveOut(level, path, name, 'a socket is no file that lasts');
        return undefined;
      case 'char':
      case 'block':
        if (facts.type === 'char' && facts.deviceMajor === 0 && facts.deviceMinor === 0)
          this.#put(
            tarHeader({ type: 'file', path: path.slice(0, path.length - name.length) + WHITEOUT + name, mode: 0 }),
          );
        else this.#leaveOut(level, path, name, 'a device node belongs to one machine');
        return undefined;
      default:
    }
    if (this.#link(path, facts)) return undefined;
    const linkname = facts.type === 'symlink' ? linkTarget(found.number) : undefined;
    if (this.#clamp(facts)) host.setTimesAt(level.fd, name, facts.mtime, facts.mtimeNanoseconds);
    this.#header(path, facts, facts.type, linkname === undefined ? {} : { linkname });
    return undefined;
  }

  /** Writes a further name of an inode. @returns whether it was one */
  #link(path: ByteString, facts: Facts): boolean {
    if (facts.links < 2) return false;
    const first = this.#links.get(facts.inode);
    if (first === undefined) {
      this.#links.set(facts.inode, path);
      return false;
    }
    this.#clamp(facts);
    this.#header(path, facts, 'hardlink', { linkname: first });
    return true;
  }

  #directory(level: Level, name: ByteString, path: ByteString): void {
    const flags = host.O_RDONLY | host.O_DIRECTORY | O_NONBLOCK;
    using opened = this.#named(path, () => new Fd(host.openAt(level.fd, name, flags)));
    const fd = opened.number;
    const facts = factsOf(fd);
    const isTouched = this.#clamp(facts);
    const found = this.#xattrs(fd, path);
    this.#header(path, facts, 'directory', found);
    // The kernel marks nearly every new folder as opaque, but only over a folder of the layers below does that mean
    // something: elsewhere the mark would make two layers of one.
    const isOpaque = found.isOpaque && !level.isNew && this.#isFolderBelow(path);
    if (isOpaque) this.#put(tarHeader({ type: 'file', path: `${path}/${OPAQUE}`, mode: 0 }));
    else if (found.isOpaque) this.#named(path, () => removexattrOf(fd, OPAQUE_XATTR));
    const { mtime, mtimeNanoseconds } = facts;
    this.#enter(opened.release(), path, { isNew: level.isNew || found.isOpaque, mtime, mtimeNanoseconds, isTouched });
  }

  #isFolderBelow(path: ByteString): boolean {
    return this.#options.lower().some((folder) => {
      try {
        host.closeFd(host.openBeneath(folder, path, O_PATH | host.O_DIRECTORY));
        return true;
      } catch (error) {
        if (error instanceof SyscallError) return false;
        throw error;
      }
    });
  }

  #file(level: Level, name: ByteString, path: ByteString): Contents | undefined {
    using opened = this.#named(path, () => new Fd(host.openAt(level.fd, name, host.O_RDONLY | O_NONBLOCK)));
    const fd = opened.number;
    const facts = factsOf(fd);
    if (this.#link(path, facts)) return undefined;
    const { size } = facts;
    const isClamped = this.#clamp(facts);
    this.#header(path, facts, 'file', { size, ...this.#xattrs(fd, path) });
    if (size >= LARGE) return { file: new Fd(opened.release()), path, facts, isClamped };
    for (let done = 0; done < size;) done += this.#read(fd, path, size - done, null);
    this.#finishFile(fd, facts, isClamped);
    return undefined;
  }

  #finishFile(fd: number, { size, mtime, mtimeNanoseconds }: Facts, isClamped: boolean): void {
    this.#put(paddingOf(size));
    if (isClamped) host.setTimesOf(fd, mtime, mtimeNanoseconds);
  }

  *#contents({ file, path, facts, isClamped }: Contents): Generator<Buffer, void, void> {
    using _file = file;
    const { size } = facts;
    let at = 0;
    for (const { offset, length } of dataExtents(file.number, size)) {
      yield* this.#hole(offset - at);
      at = offset;
      for (const end = Math.min(offset + length, size); at < end;) {
        at += this.#read(file.number, path, end - at, at);
        if (this.#full.length > 0) yield* this.#full.splice(0);
      }
    }
    yield* this.#hole(size - at);
    this.#finishFile(file.number, facts, isClamped);
  }

  *#hole(length: number): Generator<Buffer, void, void> {
    if (length <= 0) return;
    this.#flush();
    yield* this.#full.splice(0);
    for (let done = 0; done < length; done += CHUNK) yield ZEROS.subarray(0, Math.min(CHUNK, length - done));
  }

  /** Reads at most as much as there is room for in the chunk. @returns bytes */
  #read(fd: number, path: ByteString, most: number, at: number | null): number {
    const length = Math.min(most, CHUNK - this.#length);
    const read = this.#named(path, () => readSync(fd, this.#chunk, this.#length, length, at));
    if (read === 0) throw new HuskError(`cannot read /${display(path)}: it has become shorter`, { kind: 'internal' });
    this.#length += read;
    if (this.#length === CHUNK) this.#flush();
    return read;
  }

  /**
   * Reads the attributes that a layer has, and takes away those that it cannot have.
   * @param fd is open for reading
   */
  #xattrs(fd: number, path: ByteString): { xattrs?: Map<ByteString, Buffer>; isOpaque: boolean } {
    const names = this.#named(path, () => xattrNames(fd));
    let xattrs: Map<ByteString, Buffer> | undefined;
    let isOpaque = false;
    for (const name of names) {
      if (KEPT.test(name)) (xattrs ??= new Map()).set(name, Buffer.from(this.#named(path, () => xattrValue(fd, name))));
      else if (name === OPAQUE_XATTR) isOpaque = xattrValue(fd, name).toString('latin1') === 'y';
      else if (!OVERLAY_NOTES.test(name)) discard(fd, name);
    }
    return xattrs ? { xattrs, isOpaque } : { isOpaque };
  }

  /** Makes the time of what is younger than it may be. @returns whether it was */
  #clamp(facts: Facts): boolean {
    const { epoch } = this.#options;
    if (epoch === undefined || facts.mtime < epoch || (facts.mtime === epoch && facts.mtimeNanoseconds === 0))
      return false;
    facts.mtime = epoch;
    facts.mtimeNanoseconds = 0;
    return true;
  }

  #leaveOut(level: Level, path: ByteString, name: ByteString, why: string): void {
    this.#named(path, () => {
      using found = openName(level.fd, name);
      if (found === undefined) return;
      if (factsOf(found.number).type === 'directory') removeTreeAt(level.fd, name);
      else unlinkAt(level.fd, name);
    });
    level.isTouched = true;
    this.#options.onLeftOut?.(`/${display(path)} is left out: ${why}`);
  }

  #header(
    path: ByteString,
    { mode, uid, gid, mtime, mtimeNanoseconds }: Facts,
    type: TarType,
    { size, linkname, xattrs }: { size?: number; linkname?: ByteString; xattrs?: Map<ByteString, Buffer> },
  ): void {
    this.#put(
      tarHeader({
        type,
        path: type === 'directory' ? `${path}/` : path,
        mode: mode & 0o7777,
        uid,
        gid,
        mtime,
        mtimeNanoseconds,
        ...(size !== undefined && { size }),
        ...(linkname !== undefined && { linkname }),
        ...(xattrs && { xattrs }),
      }),
    );
  }

  #named<T>(path: ByteString, call: () => T): T {
    try {
      return call();
    } catch (error) {
      const refused = systemError(error);
      if (refused === undefined) throw error;
      throw new HuskError(`cannot make a layer: /${display(path)}: ${refused.text}`, { kind: 'invalid', cause: error });
    }
  }

  #put(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const copied = bytes.copy(this.#chunk, this.#length, at);
      at += copied;
      this.#length += copied;
      if (this.#length === CHUNK) this.#flush();
    }
  }

  #flush(): void {
    if (this.#length === 0) return;
    this.#full.push(this.#chunk.subarray(0, this.#length));
    this.#chunk = newChunk();
    this.#length = 0;
  }
}

/** A chunk is its reader's from the moment that it is yielded. */
const newChunk = (): Buffer => Buffer.allocUnsafeSlow(CHUNK);

/** bytes of folder entries that are read at once */
const entryBuffer = Buffer.allocUnsafe(64 << 10);

/** In byte order. */
function entriesIn(fd: number): Entry[] {
  const entries: Entry[] = [];
  const read = () => getdents(fd, entryBuffer);
  for (let length = read(); length > 0; length = read()) {
    for (let at = 0; at < length; at += entryBuffer.readUInt16LE(at + RECORD_LENGTH)) {
      const name = entryBuffer.toString('latin1', at + RECORD_NAME, entryBuffer.indexOf(0, at + RECORD_NAME));
      if (name !== '.' && name !== '..') entries.push({ name, kind: KINDS[entryBuffer[at + RECORD_TYPE]!] });
    }
  }
  return entries.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** bytes: XATTR_LIST_MAX and XATTR_SIZE_MAX of include/uapi/linux/limits.h */
const xattrBuffer = Buffer.allocUnsafe(65536);
const NO_NAMES: readonly string[] = [];

function xattrNames(fd: number): readonly ByteString[] {
  const length = listxattrOf(fd, xattrBuffer);
  return length === 0 ? NO_NAMES : xattrBuffer.toString('latin1', 0, length - 1).split('\0');
}

/** @returns a view that the next call overwrites */
const xattrValue = (fd: number, name: ByteString): Buffer => xattrBuffer.subarray(0, getxattrOf(fd, name, xattrBuffer));

/** Labels of security modules stay: no process may take them away, and no layer gets them. */
function discard(fd: number, name: ByteString): void {
  try {
    removexattrOf(fd, name);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
}

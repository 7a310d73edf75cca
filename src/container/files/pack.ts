/**
 * Packs a tree into a tar: names in byte order, owners as this process sees them, hard links, xattrs, device nodes;
 * sockets are left out. The same tree gives the same bytes. The packer yields pieces, so that the reader sets the pace.
 *
 * The tree may change meanwhile: every name is opened by its folder's descriptor without following links, so nothing
 * outside the tree is ever read. A file is never waited for, and has as many bytes in the archive as its header said.
 * The packer never executes and never writes.
 *
 * A file that cannot be read ends the archive with an error that names it: an archive without it would look complete.
 */
import { readSync } from 'node:fs';
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { O_PATH, reopen, statfsFd } from '../../host/files/file-at.ts';
import { HuskError, systemError } from '../../errors.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { MAX_PATH, type TarType } from '../../tar/entry.ts';
import { paddingOf, TAR_END, tarHeader } from '../../tar/write.ts';
import { factsOf, linkTarget, openName, unlessAbsent, xattrsOf, type Facts } from './facts.ts';
import { namesIn } from './names.ts';
import { OPAQUE, WHITEOUT, type UpperLayer } from './upper.ts';

/** bytes that are gathered before they are yielded, and bytes of a file that are read at once */
const CHUNK = 256 << 10;
/**
 * statfs(2), include/uapi/linux/magic.h: proc, sysfs, cgroup2, cgroup, debugfs, tracefs, securityfs, configfs. The
 * kernel generates the files of these file systems, and many cannot be read. Below another folder their contents are
 * left out; a path in them that the request names is copied.
 */
const MADE_UP = new Set([
  0x9fa0n,
  0x62656572n,
  0x63677270n,
  0x27e0ebn,
  0x64626720n,
  0x74726163n,
  0x73636673n,
  0x62656570n,
]);
/** most bytes of a generated file: its size is known only after reading it, and the header comes first */
const MAX_MADE_UP = 16 << 20;
/** open(2) with this flag does not wait when a FIFO has taken the place of a file. */
const O_NONBLOCK = 0o4000;
/**
 * xattrs that belong to the file; the others belong to the host or to overlay file systems, or mean nothing on another
 * machine
 */
const KEPT = /^(?:user\.(?!overlay\.|fuseoverlayfs\.|containers\.)|security\.capability$)/;

export interface PackOptions {
  /** owner of every member; @default the tree's own owners */
  owner?: { uid: number; gid: number };
  /**
   * reads the tree as overlay's upper: what it hides is written as whiteouts of an OCI layer (OCI image-spec layer.md §
   * Whiteouts)
   */
  layer?: UpperLayer;
  /** whether xattrs are packed; those that may not be read are left out without a message */
  xattrs?: boolean;
  /** a member's path in messages; @default an absolute path of the container */
  shown?: (path: ByteString) => string;
}

/** An open folder on the way down. */
interface Level {
  fd: number;
  path: ByteString;
  names: ByteString[];
  next: number;
}

/**
 * @param top an O_PATH descriptor, which the caller closes
 * @param name of the topmost member; '' packs only the contents of a folder
 */
export function* packTree(top: number, name: ByteString, options: PackOptions = {}): Generator<Buffer, void, void> {
  const packer = new Packer(options);
  try {
    yield* packer.tree(top, name);
    yield* packer.end();
  } finally {
    packer.close();
  }
}

class Packer {
  readonly #options: PackOptions;
  #pending: Buffer[] = [];
  #length = 0;
  readonly #levels: Level[] = [];
  /** the first name of each inode that has several */
  readonly #links = new Map<string, ByteString>();
  /** by device number: whether the kernel generates the files there */
  readonly #madeUp = new Map<string, boolean>();

  constructor(options: PackOptions) {
    this.#options = options;
  }

  *tree(top: number, name: ByteString): Generator<Buffer, void, void> {
    const facts = this.#reading(name, () => factsOf(top));
    if (name === '' && facts.type === 'directory') this.#enter(top, '');
    else yield* this.#member(top, name, facts);
    for (let level = this.#levels.at(-1); level; level = this.#levels.at(-1)) {
      const child = level.names[level.next++];
      if (child === undefined) {
        this.#levels.pop();
        host.closeFd(level.fd);
        continue;
      }
      yield* this.#child(level, child);
    }
  }

  *#child(level: Level, name: ByteString): Generator<Buffer, void, void> {
    const { layer } = this.#options;
    const path = level.path === '' ? name : `${level.path}/${name}`;
    using opened = this.#reading(path, () => openName(level.fd, name));
    if (opened === undefined) return;
    const fd = opened.number;
    const facts = this.#reading(path, () => factsOf(fd));
    if (path.length > MAX_PATH)
      throw new HuskError(
        `cannot archive a path of ${path.length} bytes below /${display(path.slice(0, 200))}: no tar may have one longer than ${MAX_PATH}`,
        { kind: 'unsupported' },
      );
    if (layer?.isOwn(path, fd, facts)) return;
    const hidden = layer?.hidden(name, facts);
    if (hidden !== undefined) {
      // A hidden name that cannot be written in a layer is left out.
      if (hidden !== '')
        yield* this.#write(
          tarHeader({ type: 'file', path: path.slice(0, path.length - name.length) + WHITEOUT + hidden, mode: 0 }),
        );
    } else yield* this.#member(fd, path, facts);
  }

  *#member(fd: number, path: ByteString, facts: Facts): Generator<Buffer, void, void> {
    const { type } = facts;
    if (type === 'socket') return;
    if (type === 'directory') return yield* this.#directory(fd, path, facts);
    if (facts.links > 1) {
      const first = this.#links.get(facts.inode);
      if (first !== undefined) return yield* this.#write(this.#header(path, facts, 'hardlink', { linkname: first }));
    }
    if (type === 'file') {
      if (!(yield* this.#file(fd, path))) return;
    } else if (type === 'symlink') {
      const linkname = this.#readingMadeUp(fd, path, () => linkTarget(fd));
      if (linkname === undefined) return;
      yield* this.#write(this.#header(path, facts, type, { linkname }));
    } else yield* this.#write(this.#header(path, facts, type, { xattrs: this.#xattrs(fd) }));
    if (facts.links > 1) this.#links.set(facts.inode, path);
  }

  *#directory(fd: number, path: ByteString, facts: Facts): Generator<Buffer, void, void> {
    yield* this.#write(this.#header(path, facts, 'directory', { xattrs: this.#xattrs(fd) }));
    if (this.#options.layer?.isOpaque(fd))
      yield* this.#write(tarHeader({ type: 'file', path: `${path}/${OPAQUE}`, mode: 0 }));
    this.#enter(fd, path);
  }

  #enter(fd: number, path: ByteString): void {
    const folder = this.#reading(path, () =>
      unlessAbsent(() => reopen(fd, O_PATH | host.O_DIRECTORY | host.O_CLOEXEC)),
    );
    if (folder === undefined) return;
    const isBelow = this.#levels.length > 0;
    // The level owns the descriptor from here on.
    const level: Level = { fd: folder, path, names: [], next: 0 };
    this.#levels.push(level);
    if (isBelow && MADE_UP.has(statfsFd(folder)[0]!)) return;
    level.names = this.#readingMadeUp(folder, path, () => unlessAbsent(() => namesIn(folder)), !isBelow) ?? [];
  }

  /** @returns false when the file is gone */
  *#file(pathFd: number, path: ByteString): Generator<Buffer, boolean, void> {
    const isAskedFor = this.#levels.length === 0;
    using opened = this.#opened(pathFd, path, isAskedFor);
    if (opened === undefined) return false;
    const fd = opened.number;
    const facts = this.#reading(path, () => factsOf(fd));
    if (this.#isMadeUp(fd, facts)) return yield* this.#madeUpFile(fd, path, facts, isAskedFor);
    const { size } = facts;
    yield* this.#write(this.#header(path, facts, 'file', { size, xattrs: this.#xattrs(fd) }));
    let done = 0;
    while (done < size) {
      const piece = Buffer.allocUnsafe(Math.min(CHUNK, size - done));
      const read = this.#reading(path, () => readSync(fd, piece, 0, piece.length, null));
      if (read === 0) break;
      done += read;
      yield* this.#write(piece.subarray(0, read));
    }
    // The file has become shorter: zeroes fill the archive up to the size in the header.
    for (; done < size; done += Math.min(CHUNK, size - done))
      yield* this.#write(Buffer.alloc(Math.min(CHUNK, size - done)));
    yield* this.#write(paddingOf(size));
    return true;
  }

  /** @returns undefined when the file is gone, or the kernel generates it and does not let it be read */
  #opened(pathFd: number, path: ByteString, isAskedFor: boolean): Fd | undefined {
    const open = () => unlessAbsent(() => new Fd(reopen(pathFd, host.O_RDONLY | O_NONBLOCK | host.O_CLOEXEC)));
    return this.#readingMadeUp(pathFd, path, open, isAskedFor);
  }

  /**
   * Packs a generated file. A file of /proc states a size of 0 bytes, one of /sys the size of a page, so the bytes are
   * read before the header is written.
   * @returns false when the file lies below a packed folder and cannot be read, like much of /proc
   */
  *#madeUpFile(fd: number, path: ByteString, facts: Facts, isAskedFor: boolean): Generator<Buffer, boolean, void> {
    const pieces: Buffer[] = [];
    let size = 0;
    try {
      for (;;) {
        const piece = Buffer.allocUnsafe(CHUNK);
        const read = readSync(fd, piece, 0, piece.length, null);
        if (read === 0) break;
        pieces.push(piece.subarray(0, read));
        size += read;
        if (size > MAX_MADE_UP)
          throw new HuskError(
            `cannot read ${this.#shown(path)}: the kernel gives more than ${MAX_MADE_UP} bytes of it`,
            { kind: 'limit' },
          );
      }
    } catch (error) {
      if (!isAskedFor) return false;
      throw this.#fault(path, error);
    }
    yield* this.#write(this.#header(path, facts, 'file', { size, xattrs: this.#xattrs(fd) }));
    for (const piece of pieces) yield* this.#write(piece);
    yield* this.#write(paddingOf(size));
    return true;
  }

  #isMadeUp(fd: number, { inode }: Facts): boolean {
    const device = inode.slice(0, inode.lastIndexOf(':'));
    let known = this.#madeUp.get(device);
    if (known === undefined) this.#madeUp.set(device, (known = MADE_UP.has(statfsFd(fd)[0]!)));
    return known;
  }

  /**
   * @returns undefined for a generated file that cannot be read, like much of /proc; a path that the request names
   * fails instead
   */
  #readingMadeUp<T>(
    fd: number,
    path: ByteString,
    read: () => T,
    isAskedFor = this.#levels.length === 0,
  ): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!isAskedFor && this.#isMadeUp(fd, factsOf(fd))) return undefined;
      throw this.#fault(path, error);
    }
  }

  #reading<T>(path: ByteString, read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw this.#fault(path, error);
    }
  }

  #fault(path: ByteString, error: unknown): unknown {
    const refused = systemError(error);
    return refused === undefined
      ? error
      : new HuskError(`cannot read ${this.#shown(path)}: ${refused.text}`, { kind: 'invalid', cause: error });
  }

  #shown(path: ByteString): string {
    return this.#options.shown?.(path) ?? `/${display(path)}`;
  }

  #xattrs(fd: number): Map<ByteString, Buffer> | undefined {
    return this.#options.xattrs === false ? undefined : xattrsOf(fd, KEPT);
  }

  #header(
    path: ByteString,
    facts: Facts,
    type: TarType,
    extra: { size?: number; linkname?: ByteString; xattrs?: Map<ByteString, Buffer> },
  ): Buffer {
    const isDevice = type === 'char' || type === 'block';
    const { uid, gid } = this.#options.owner ?? facts;
    return tarHeader({
      type,
      path: type === 'directory' ? `${path}/` : path,
      mode: facts.mode & 0o7777,
      uid,
      gid,
      mtime: facts.mtime,
      mtimeNanoseconds: facts.mtimeNanoseconds,
      ...(isDevice ? { deviceMajor: facts.deviceMajor, deviceMinor: facts.deviceMinor } : {}),
      ...extra,
    });
  }

  *#write(bytes: Buffer): Generator<Buffer, void, void> {
    if (bytes.length === 0) return;
    this.#pending.push(bytes);
    this.#length += bytes.length;
    if (this.#length >= CHUNK) yield* this.#flush();
  }

  *#flush(): Generator<Buffer, void, void> {
    const whole = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#length = 0;
    if (whole.length > 0) yield whole;
  }

  *end(): Generator<Buffer, void, void> {
    yield* this.#write(TAR_END);
    yield* this.#flush();
  }

  close(): void {
    for (const { fd } of this.#levels.splice(0)) host.closeFd(fd);
  }
}

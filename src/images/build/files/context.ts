/**
 * A build's context: a folder of the host, read as the caller, by descriptors beneath the one of the folder. Names are
 * looked at as they are asked for; what is ignored is never opened, a link is never followed by the kernel, and no file
 * but a regular one is opened. A context shows the owner 0:0, and of xattrs a file's capabilities.
 */
import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { hash } from 'node:crypto';
import { HuskError, systemError } from '../../../errors.ts';
import { getdents, O_PATH, tryGetxattrOf } from '../../../host/files/file-at.ts';
import { FactsTable } from '../../../host/files/facts.ts';
import { dataExtents } from '../../../host/files/holes.ts';
import { closeFd, O_DIRECTORY, O_RDONLY, openAt, openBeneath, openWithin } from '../../../host/files/lookup.ts';
import { type ByteString, display, fromBytes, fromText, toBytes } from '../../../tar/byte-string.ts';
import { MAX_SPARSE_SEGMENTS, type SparseSegment } from '../../../tar/entry.ts';
import type { ContextIndex } from './context-index.ts';
import { Ignore, type Ignored } from './ignore.ts';
import { hashContents } from './layer-file.ts';
import { asText } from './match.ts';
import { SeenWalks, type WalkedNode } from './seen-walks.ts';
import type { Contents, SourceNode, SourceTree } from './source.ts';

/** bytes that are read at once; files up to this size are hashed in one call */
const PIECE = 256 << 10;
/** bytes of a file that are kept between the hash and the copy, and of all such files */
const MAX_KEPT = 64 << 10;
const MAX_ALL_KEPT = 32 << 20;
/** bytes that are allocated at once for such files: a piece of memory for each would be dear */
const SLAB = 1 << 20;
/** bytes of holes that are worth a sparse member in a tar, which not every program reads */
const WORTHWHILE_HOLES = 1 << 20;
/** st_blocks counts these, stat(2) */
const STAT_BLOCK = 512;
/** bytes of vfs_ns_cap_data, include/uapi/linux/capability.h; more cannot be a capability */
const MAX_CAPABILITY = 64;
const CAPABILITY = 'security.capability';
const NOT_ASCII = /[^\x01-\x7f]/;
/** struct linux_dirent64, getdents64(2): d_ino, d_off, d_reclen, d_type, d_name and a NUL */
const DIRENT_LENGTH = 16;
const DIRENT_NAME = 19;
/** bytes of such records that are read at once */
const DIRENTS = 32 << 10;
const OPEN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface ContextNode extends WalkedNode {
  /** path below the context */
  path: ByteString;
  /** row of the context's facts: what was there when it was looked at, by which a change is noticed */
  row: number;
  ignored: Ignored;
  digest: string | undefined;
  /** undefined while it was not looked for, null where there is none */
  capability: Buffer | null | undefined;
  bytes: Buffer | undefined;
  /** names of a folder that were looked up */
  children: Map<ByteString, ContextNode | undefined> | undefined;
  names: readonly ByteString[] | undefined;
}

export interface ContextOptions {
  /** @default nothing is ignored */
  ignore?: Ignore;
  /** digests of earlier builds */
  index?: ContextIndex;
  /** is told of names that are left out, and why. @default nobody is */
  note?: (text: string) => void;
}

/** Opens a context. @throws HuskError `not-found`, `invalid` when it is no folder that the caller may read */
export function openContext(folder: string, options: ContextOptions = {}): Context {
  let fd: number;
  try {
    fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw new HuskError(`cannot open the context ${folder}: ${systemError(error)?.text ?? String(error)}`, {
      kind: (error as { code?: string }).code === 'ENOENT' ? 'not-found' : 'invalid',
      cause: error,
    });
  }
  return new Context(fd, options);
}

export class Context implements SourceTree<ContextNode>, Disposable {
  readonly origin = 'context';
  readonly root: ContextNode;
  readonly answers: SeenWalks | undefined;
  readonly #fd: number;
  readonly #ignore: Ignore;
  readonly #index: ContextIndex | undefined;
  readonly #note: (text: string) => void;
  /** the folder that was opened last: files are read a folder at a time */
  #folder: { path: ByteString; fd: number } | undefined;
  readonly #facts = new FactsTable();
  /** whether inodes alone have decided what was found so far (seen-walks.ts) */
  #isPlain = true;
  #kept = 0;
  #slab = Buffer.alloc(0);
  /** what folders have, as they are read */
  #dirents: Buffer | undefined;
  /** bytes of files that are hashed and not kept */
  #scratch: Buffer | undefined;

  /** @param fd of the folder, which the context closes */
  constructor(fd: number, { ignore = new Ignore([], ''), index, note = () => {} }: ContextOptions) {
    this.#fd = fd;
    this.#ignore = ignore;
    this.#index = index;
    this.#note = note;
    this.root = this.#node('', this.#facts.addOf(fd), ignore.top);
    if (index !== undefined)
      this.answers = new SeenWalks({
        root: this.root,
        facts: this.#facts,
        index,
        rules: ignore.text,
        isPlain: () => this.#isPlain,
        open: (path) => this.#open(path),
      });
  }

  child(folder: ContextNode, name: ByteString): ContextNode | undefined {
    const found = this.#child(folder, name);
    const walk = this.answers?.current ?? 0;
    if (found === undefined) folder.listed = walk;
    else found.walk = walk;
    return found;
  }

  #child(folder: ContextNode, name: ByteString): ContextNode | undefined {
    const children = (folder.children ??= new Map());
    if (children.has(name)) return children.get(name);
    const node = this.#look(folder, name);
    const shown = node !== undefined && this.#isShown(node) ? node : undefined;
    children.set(name, shown);
    return shown;
  }

  names(folder: ContextNode): readonly ByteString[] {
    folder.listed = this.answers?.current ?? 0;
    folder.names ??= this.#namesIn(folder)
      .filter((name) => this.#child(folder, name) !== undefined)
      .sort();
    return folder.names;
  }

  xattrs(node: ContextNode): ReadonlyMap<ByteString, Buffer> | undefined {
    if (node.type !== 'file') return undefined;
    if (node.capability === undefined) this.#withFile(node, (fd) => (node.capability = capabilityOf(fd)));
    return node.capability ? new Map([[CAPABILITY, node.capability]]) : undefined;
  }

  digest(node: ContextNode): string | Promise<string> {
    if (node.digest !== undefined) return node.digest;
    const known = this.#index?.find(node.path, this.#facts, node.row);
    if (known !== undefined) {
      node.digest = known.digest;
      node.capability = known.capability;
      return known.digest;
    }
    if (node.size > PIECE) return this.#digestLarge(node);
    const digest = this.#withFile(node, (fd) => {
      node.capability = capabilityOf(fd);
      return hash('sha256', this.#readWhole(node, fd), 'hex');
    });
    return this.#digested(node, digest);
  }

  async #digestLarge(node: ContextNode): Promise<string> {
    this.xattrs(node);
    return this.#digested(node, await hashContents({ ...this.contents(node), sparse: this.#holes(node) }));
  }

  #digested(node: ContextNode, digest: string): string {
    node.digest = digest;
    this.#index?.record(node.path, this.#facts, node.row, { digest, capability: node.capability ?? null });
    return digest;
  }

  contents(node: ContextNode): Contents {
    const sparse = this.#holes(node);
    return { size: node.size, sparse, pieces: () => this.#pieces(node, sparse) };
  }

  whyMissing(path: ByteString): string | undefined {
    let above = this.#ignore.top;
    let at: ByteString = '';
    for (const name of path.split('/')) {
      at = at === '' ? name : `${at}/${name}`;
      above = this.#ignore.look(asText(at), above);
      const reason = this.#ignore.reason(above);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  /**
   * Reads a file of the context that is not subject to its ignore file: a Dockerfile, the ignore file itself. Links may
   * be followed, but none that leads out.
   * @returns undefined where there is none
   * @throws HuskError `invalid` when it is no regular file, leads out, or is longer than `limit` bytes
   */
  readFile(path: string, limit: number): Buffer | undefined {
    const refuse = (why: string, cause?: unknown) =>
      new HuskError(`cannot read ${path} in the context: ${why}`, { kind: 'invalid', cause });
    let fd: number;
    try {
      fd = openWithin(this.#fd, fromText(path), OPEN_FILE & ~constants.O_NOFOLLOW);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'ENOENT') return undefined;
      throw refuse(
        code === 'EXDEV' ? 'it is a link that leads out' : (systemError(error)?.text ?? String(error)),
        error,
      );
    }
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw refuse('it is no regular file');
      if (stat.size > limit) throw refuse(`it has ${stat.size} bytes, more than ${limit}`);
      const bytes = Buffer.alloc(stat.size);
      return bytes.subarray(0, readFully(fd, bytes));
    } finally {
      closeFd(fd);
    }
  }

  [Symbol.dispose](): void {
    if (this.#folder !== undefined) closeFd(this.#folder.fd);
    this.#folder = undefined;
    closeSync(this.#fd);
  }

  #look(folder: ContextNode, name: ByteString): ContextNode | undefined {
    const path = folder.path === '' ? name : `${folder.path}/${name}`;
    const fd = this.#open(folder.path);
    const row = this.#reading(path, () => this.#facts.add(fd, name));
    if (row === undefined) return undefined;
    const ignored = this.#ignore.isEmpty ? this.#ignore.top : this.#ignore.look(asText(path), folder.ignored);
    const node = this.#node(path, row, ignored);
    if (node.type === 'symlink' && !ignored.isIgnored)
      node.linkname = this.#reading(path, () => fromBytes(readlinkSync(pathIn(fd, name), { encoding: 'buffer' })));
    return node;
  }

  #node(path: ByteString, row: number, ignored: Ignored): ContextNode {
    const facts = this.#facts;
    const mode = facts.mode(row);
    const type = typeOf(mode);
    return {
      type,
      mode: mode & 0o7777,
      uid: 0,
      gid: 0,
      size: type === 'file' ? facts.size(row) : 0,
      // Docker's layers have whole seconds here; fractions would cost a header more for each file.
      mtime: facts.mtime(row),
      mtimeNanoseconds: 0,
      linkname: '',
      deviceMajor: 0,
      deviceMinor: 0,
      inode: type !== 'directory' && facts.nlink(row) > 1 ? facts.inode(row) : undefined,
      path,
      row,
      ignored,
      digest: undefined,
      capability: undefined,
      bytes: undefined,
      walk: -1,
      listed: -1,
      children: undefined,
      names: undefined,
    };
  }

  /** An ignored folder is there when something below it is let in again. */
  #isShown(node: ContextNode): boolean {
    if (node.ignored.isIgnored) {
      if (node.type !== 'directory' || !this.#ignore.mayLetInBelow(asText(node.path), node.ignored)) return false;
      const isShown = this.names(node).length > 0;
      if (!isShown) this.#isPlain = false;
      return isShown;
    }
    if (node.type === 'socket') {
      this.#isPlain = false;
      this.#note(`the socket ${display(node.path)} is left out of the build`);
      return false;
    }
    return true;
  }

  /** @returns names of a folder, in the order that the file system has them in */
  #namesIn({ path }: ContextNode): ByteString[] {
    const folder = this.#open(path);
    return this.#reading(path, () => {
      const fd = openBeneath(folder, '.', O_RDONLY | O_DIRECTORY);
      try {
        return namesOf(fd, (this.#dirents ??= Buffer.allocUnsafeSlow(DIRENTS)));
      } finally {
        closeFd(fd);
      }
    });
  }

  /** @returns a descriptor of a folder, good until the next call; no link is followed on the way to it */
  #open(path: ByteString): number {
    if (path === '') return this.#fd;
    if (this.#folder?.path !== path) {
      const fd = this.#reading(path, () => openBeneath(this.#fd, path, O_PATH | O_DIRECTORY));
      if (this.#folder !== undefined) closeFd(this.#folder.fd);
      this.#folder = { path, fd };
    }
    return this.#folder.fd;
  }

  /** Opens a regular file that was looked at before. */
  #withFile<T>(node: ContextNode, use: (fd: number) => T): T {
    const fd = this.#openFile(node);
    try {
      return this.#reading(node.path, () => use(fd));
    } finally {
      closeFd(fd);
    }
  }

  #openFile({ path, row }: ContextNode): number {
    const slash = path.lastIndexOf('/');
    const folder = this.#open(slash === -1 ? '' : path.slice(0, slash));
    const fd = this.#reading(path, () => openAt(folder, path.slice(slash + 1), OPEN_FILE));
    try {
      if (!this.#facts.isStill(row, fd)) throw changed(path);
      return fd;
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  #readWhole(node: ContextNode, fd: number): Buffer {
    const { size } = node;
    const isKept = size <= MAX_KEPT && this.#kept + size <= MAX_ALL_KEPT;
    const bytes = isKept ? this.#room(size) : (this.#scratch ??= Buffer.allocUnsafeSlow(PIECE)).subarray(0, size);
    if (readFully(fd, bytes) !== size) throw changed(node.path);
    if (isKept) {
      this.#kept += size;
      node.bytes = bytes;
    }
    return bytes;
  }

  #room(size: number): Buffer {
    if (this.#slab.length < size) this.#slab = Buffer.allocUnsafeSlow(SLAB);
    const room = this.#slab.subarray(0, size);
    this.#slab = this.#slab.subarray(size);
    return room;
  }

  *#pieces(node: ContextNode, sparse: SparseSegment[] | undefined): Generator<Uint8Array, void, void> {
    if (node.bytes !== undefined) return yield node.bytes;
    if (node.size === 0) return;
    const fd = this.#openFile(node);
    try {
      const buffer = Buffer.allocUnsafe(Math.min(PIECE, node.size));
      for (const { offset, length } of sparse ?? [{ offset: 0, length: node.size }]) {
        for (let done = 0; done < length;) {
          const piece = buffer.subarray(0, Math.min(buffer.length, length - done));
          const read = this.#reading(node.path, () => readSync(fd, piece, 0, piece.length, offset + done));
          if (read === 0) throw changed(node.path);
          done += read;
          yield piece.subarray(0, read);
        }
      }
      if (!this.#facts.isStill(node.row, fd)) throw changed(node.path);
    } finally {
      closeFd(fd);
    }
  }

  /** @returns where the data are, for a file with so many holes that they are worth keeping */
  #holes(node: ContextNode): SparseSegment[] | undefined {
    if (node.type !== 'file' || this.#facts.blocks(node.row) * STAT_BLOCK > node.size - WORTHWHILE_HOLES)
      return undefined;
    const segments: SparseSegment[] = [];
    return this.#withFile(node, (fd) => {
      for (const segment of dataExtents(fd, node.size)) {
        if (segments.length >= MAX_SPARSE_SEGMENTS) return undefined;
        segments.push({ offset: segment.offset, length: Math.min(segment.length, node.size - segment.offset) });
      }
      return segments;
    });
  }

  #reading<T>(path: ByteString, read: () => T): T {
    try {
      return read();
    } catch (error) {
      const refused = systemError(error);
      if (refused === undefined) throw error;
      if (refused.code === 'ELOOP' || refused.code === 'ENOTDIR' || refused.code === 'ENXIO') throw changed(path);
      throw new HuskError(`cannot read ${display(path) || '.'} in the context: ${refused.text}`, {
        kind: 'invalid',
        cause: error,
      });
    }
  }
}

const TYPES: Readonly<Record<number, SourceNode['type']>> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'directory',
  [constants.S_IFLNK]: 'symlink',
  [constants.S_IFIFO]: 'fifo',
  [constants.S_IFSOCK]: 'socket',
  [constants.S_IFBLK]: 'block',
  [constants.S_IFCHR]: 'char',
};

const typeOf = (mode: number): SourceNode['type'] => TYPES[mode & constants.S_IFMT]!;

/** @param records where what the folder has is read to */
function namesOf(fd: number, records: Buffer): ByteString[] {
  const names: ByteString[] = [];
  for (let length = getdents(fd, records); length > 0; length = getdents(fd, records)) {
    const text = records.toString('latin1', 0, length);
    for (let at = 0; at < length; at += records.readUInt16LE(at + DIRENT_LENGTH)) {
      const name = text.slice(at + DIRENT_NAME, text.indexOf('\0', at + DIRENT_NAME));
      if (name !== '.' && name !== '..') names.push(name);
    }
  }
  return names;
}

/** @returns a path to one name in an open folder, which no renaming on the way leads elsewhere */
function pathIn(folder: number, name: ByteString): string | Buffer {
  const path = `/proc/self/fd/${folder}/${name}`;
  return NOT_ASCII.test(name) ? toBytes(path) : path;
}

function readFully(fd: number, bytes: Buffer): number {
  let done = 0;
  while (done < bytes.length) {
    const read = readSync(fd, bytes, done, bytes.length - done, done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

function changed(path: ByteString): HuskError {
  return new HuskError(`${display(path)} changed in the context while it was read`, {
    kind: 'conflict',
    fix: 'build again when nothing writes to the context',
  });
}

const capabilityBuffer = Buffer.alloc(MAX_CAPABILITY);

function capabilityOf(fd: number): Buffer | null {
  const length = tryGetxattrOf(fd, CAPABILITY, capabilityBuffer);
  // Most files have none; some file systems know of none.
  return length < 0 ? null : Buffer.from(capabilityBuffer.subarray(0, length));
}

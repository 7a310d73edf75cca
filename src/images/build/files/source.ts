/**
 * What COPY and ADD read from: a tree of names, whether it is a build's context on the disk or the merged layers of a
 * stage. This module has types only.
 */
import type { ByteString } from '../../../tar/byte-string.ts';
import type { SparseSegment, TarType } from '../../../tar/entry.ts';

/** What a name in a tree is. Names that are hard links of each other have the same `inode`. */
export interface SourceNode {
  type: Exclude<TarType, 'hardlink'> | 'socket';
  /** the twelve permission bits, 0o7777 */
  mode: number;
  uid: number;
  gid: number;
  /** bytes as a program sees them; 0 for all but files */
  size: number;
  /** seconds since 1970; `mtimeNanoseconds` adds to them */
  mtime: number;
  mtimeNanoseconds: number;
  /** target of a symbolic link, else empty */
  linkname: ByteString;
  deviceMajor: number;
  deviceMinor: number;
  /** undefined for an inode with one name */
  inode: unknown;
}

/** The bytes of a file, whose reader reads each of them once. */
export interface Contents {
  size: number;
  /** runs of data where the file has holes worth keeping; undefined for a file that is written whole */
  sparse: SparseSegment[] | undefined;
  /**
   * Reads what the file holds, in order, without its holes: all bytes of `sparse`, or else `size` bytes. A piece is
   * good until the next one is asked for.
   */
  pieces(): Iterable<Uint8Array>;
}

/** Answers that were found by looking at a tree, and count while everything that was looked at is as it was. */
export interface Answers {
  /** @returns what a build found earlier, if it would surely find the same now */
  known(question: string): string | undefined;
  /** Begins to note what is looked at. @returns what keeps the answer; one question is asked at a time */
  begin(question: string): (answer: string) => void;
}

/** A tree of which a part at a time is looked at. Paths are byte strings without a leading slash; the root is ''. */
export interface SourceTree<N extends SourceNode = SourceNode> {
  readonly root: N;
  /** a context is the caller's own folder, layers may be a stranger's */
  readonly origin: 'context' | 'layers';
  /** @returns undefined for a name that is not there; the link itself for a symbolic link */
  child(folder: N, name: ByteString): N | undefined;
  /** @returns the names of a folder, in byte order */
  names(folder: N): readonly ByteString[];
  /** @returns xattrs that a copy keeps */
  xattrs(node: N): ReadonlyMap<ByteString, Buffer> | undefined;
  /** @returns SHA-256 of a file's bytes, holes read as zeros, as hex; a promise where it takes some time */
  digest(file: N): string | Promise<string>;
  contents(file: N): Contents;
  /** @returns why a path that a person may see is not in the tree: what left it out, for the end of a message */
  whyMissing(path: ByteString): string | undefined;
  /** keeps what was found by looking at the tree, for a later build; undefined where a look costs little */
  readonly answers?: Answers | undefined;
}

/**
 * The tar parser: bytes are pushed in, members come out. The parser reads v7, ustar, star, GNU and pax archives as Go's
 * archive/tar does, which every other container tool uses. It bounds everything, keeps no contents, and never opens a
 * file.
 */
import type { ByteString } from './byte-string.ts';
import { display } from './byte-string.ts';
import {
  BLOCK,
  corruptTar,
  MAX_ENTRIES,
  MAX_META_SIZE,
  MAX_SPARSE_TOTAL,
  MAX_XATTR_TOTAL,
  type SparseSegment,
  type TarEntry,
  type TarType,
} from './entry.ts';
import { isZeroBlock, parseHeader, type RawHeader } from './header.ts';
import { cleanPath } from './names.ts';
import { type PaxRecords, parsePax, parsePaxNumber, parsePaxTime, SPARSE_MAP } from './pax.ts';
import { checkSegments, oldGnuRealSize, parseOldGnuSegments, parseSparseList, parseSparseText } from './sparse.ts';

const TYPES: Readonly<Record<string, TarType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file', // contiguous file
  S: 'file', // old GNU sparse
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};
/** limit of owners: uid_t and gid_t are 32 bits, and the all-ones value means "no change" to chown(2) */
const MAX_ID = 0xfffffffe;
/** limits of device numbers: Linux has 20 minor bits (MINORBITS) and 12 major bits (include/linux/kdev_t.h) */
const MAX_DEVICE_MAJOR = 0xfff;
const MAX_DEVICE_MINOR = 0xfffff;

/** The meaning of the next block of the archive. */
type Expect =
  | { state: 'header' }
  /** the body of a pax or GNU long-name header */
  | { state: 'meta'; flag: string; size: number; offset: number }
  /** further blocks of an old GNU sparse map */
  | { state: 'old-sparse'; entry: TarEntry; segments: SparseSegment[]; offset: number }
  /** the map at the start of a pax 1.0 sparse file's contents */
  | { state: 'sparse-text'; entry: TarEntry; blocks: Buffer[]; length: number; offset: number }
  | { state: 'second-zero-block' }
  | { state: 'end' };

export interface ParserOptions {
  /**
   * Whether a path that would lead out of the archive stays in its root, as `ADD` of Docker has it; else it is refused,
   * because no layer has one. @default false
   */
  clamp?: boolean;
}

export class TarParser {
  /** bytes that have been pushed or skipped */
  position = 0;
  /** members that have been seen */
  entries = 0;
  readonly #onEntry: (entry: TarEntry) => void;
  #expect: Expect = { state: 'header' };
  /** bytes of contents and padding that are still to be skipped */
  #skip = 0;
  /** the beginning of a header or meta body whose end is in a later chunk */
  #partial: Buffer[] = [];
  #partialLength = 0;
  #pax: PaxRecords | undefined;
  #longName: ByteString | undefined;
  #longLink: ByteString | undefined;
  #xattrBytes = 0;
  #sparseSegments = 0;
  readonly #prefix: string;

  /**
   * @param onEntry called for each member when its header is complete, before its contents; the callee may keep the
   * entry
   */
  constructor(onEntry: (entry: TarEntry) => void, options: ParserOptions = {}) {
    this.#onEntry = onEntry;
    // An absolute path cannot rise above its root.
    this.#prefix = options.clamp ? '/' : '';
  }

  /** Bytes that may be skipped with `skip` instead of being pushed. */
  get skippable(): number {
    return this.#expect.state === 'end' ? Number.POSITIVE_INFINITY : this.#skip;
  }

  /** Whether the end-of-archive mark was seen; all bytes behind it are ignored, as in Docker. */
  get ended(): boolean {
    return this.#expect.state === 'end';
  }

  skip(length: number): void {
    this.position += length;
    this.#skip = Math.max(0, this.#skip - length);
  }

  /** @throws HuskError `corrupt`; the parser is of no use afterwards */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0 || this.#expect.state === 'end') {
        const length = Math.min(this.skippable, chunk.length - at);
        this.skip(length);
        at += length;
        continue;
      }
      const wanted = this.#wanted();
      const available = chunk.length - at;
      if (this.#partialLength === 0 && available >= wanted) {
        this.position += wanted;
        this.#block(chunk, at, wanted);
        at += wanted;
        continue;
      }
      const take = Math.min(wanted - this.#partialLength, available);
      // The bytes are copied, because the caller may reuse its chunk.
      this.#partial.push(Buffer.from(chunk.subarray(at, at + take)));
      this.#partialLength += take;
      this.position += take;
      at += take;
      if (this.#partialLength < wanted) return;
      const whole = Buffer.concat(this.#partial);
      this.#partial = [];
      this.#partialLength = 0;
      this.#block(whole, 0, wanted);
    }
  }

  /**
   * Ends the input. An archive may stop without its end mark between two members (Go accepts that), but nowhere else.
   * @throws HuskError `corrupt`
   */
  end(): void {
    const { state } = this.#expect;
    if (state === 'end') return;
    const between =
      state === 'header' &&
      this.#skip === 0 &&
      this.#partialLength === 0 &&
      !this.#pax &&
      this.#longName === undefined &&
      this.#longLink === undefined;
    // The padding behind the last member's contents may be missing.
    const paddingOnly =
      state === 'header' && this.#skip < BLOCK && this.#skip > 0 && this.position >= this.#contentsEnd;
    if (!between && !paddingOnly && state !== 'second-zero-block')
      throw corruptTar(this.position, 'the archive ends in the middle of a member');
  }

  #contentsEnd = 0;

  /** @returns bytes that the next step needs at once; a multiple of 512, at most MAX_META_SIZE rounded up */
  #wanted(): number {
    return this.#expect.state === 'meta' ? roundUp(this.#expect.size) : BLOCK;
  }

  #block(bytes: Buffer, at: number, length: number): void {
    const expect = this.#expect;
    switch (expect.state) {
      case 'header':
        return this.#header(bytes, at);
      case 'second-zero-block':
        if (!isZeroBlock(bytes, at))
          throw corruptTar(this.position - BLOCK, 'a single block of zeros stands between members');
        this.#expect = { state: 'end' };
        return;
      case 'meta':
        this.#expect = { state: 'header' };
        return this.#meta(expect.flag, bytes.subarray(at, at + Math.min(length, expect.size)), expect.offset);
      case 'old-sparse':
        return this.#oldSparse(expect, bytes, at);
      case 'sparse-text':
        return this.#sparseText(expect, bytes, at);
      default:
        throw new Error(`a block in state ${expect.state}`);
    }
  }

  #header(bytes: Buffer, at: number): void {
    const offset = this.position - BLOCK;
    if (bytes[at] === 0 && isZeroBlock(bytes, at)) {
      this.#expect = { state: 'second-zero-block' };
      return;
    }
    const raw = parseHeader(bytes, at, offset);
    if (raw.flag === 'x' || raw.flag === 'g' || raw.flag === 'L' || raw.flag === 'K') {
      if (raw.size < 0 || raw.size > MAX_META_SIZE)
        throw corruptTar(offset, `an extended header of ${raw.size} bytes is longer than ${MAX_META_SIZE}`);
      if (raw.size === 0) this.#meta(raw.flag, Buffer.alloc(0), offset);
      else this.#expect = { state: 'meta', flag: raw.flag, size: raw.size, offset };
      return;
    }
    if (++this.entries > MAX_ENTRIES) throw corruptTar(offset, `the archive has more than ${MAX_ENTRIES} members`);
    this.#member(raw, bytes, at, offset);
  }

  #meta(flag: string, body: Buffer, offset: number): void {
    switch (flag) {
      case 'x':
        this.#pax = parsePax(body, offset);
        return;
      case 'g':
        parsePax(body, offset);
        return;
      default: {
        const end = body.indexOf(0);
        const name = body.toString('latin1', 0, end === -1 ? body.length : end);
        if (flag === 'L') this.#longName = name;
        else this.#longLink = name;
      }
    }
  }

  #member(raw: RawHeader, bytes: Buffer, at: number, offset: number): void {
    const fail = (what: string) => corruptTar(offset, what);
    const pax = this.#pax?.values;
    const xattrs = this.#pax?.xattrs;
    const value = (key: string) => pax?.get(key) || undefined;
    const numeric = (key: string, other: number) => {
      const text = value(key);
      return text === undefined ? other : parsePaxNumber(text, offset, key);
    };

    let type = TYPES[raw.flag];
    if (!type) throw fail(`unknown type "${display(raw.flag)}"`);
    const rawName = this.#longName || value('path') || raw.name;
    const rawLink = this.#longLink || value('linkpath') || raw.linkname;
    // v7 had no type for folders: a folder was a name with a slash at its end.
    if (raw.flag === '\0' && rawName.endsWith('/')) type = 'directory';

    const time = value('mtime');
    const { seconds, nanoseconds } =
      time === undefined ? { seconds: raw.mtime, nanoseconds: 0 } : parsePaxTime(time, offset);
    const size = numeric('size', raw.size);
    if (size < 0) throw fail('its size is negative');
    const entry: TarEntry = {
      type,
      path: cleanPath(this.#prefix + (value('GNU.sparse.name') ?? rawName), fail),
      linkname: '',
      mode: raw.mode & 0o7777,
      uid: numeric('uid', raw.uid),
      gid: numeric('gid', raw.gid),
      size: type === 'file' ? size : 0,
      mtime: seconds,
      mtimeNanoseconds: nanoseconds,
      deviceMajor: raw.deviceMajor,
      deviceMinor: raw.deviceMinor,
      xattrs,
      dataOffset: this.position,
      // Only files have contents: Go reads no bytes behind other members, whatever their size says.
      dataSize: type === 'file' ? size : 0,
      sparse: undefined,
    };
    if (entry.uid < 0 || entry.uid > MAX_ID || entry.gid < 0 || entry.gid > MAX_ID)
      throw fail(`its owner ${entry.uid}:${entry.gid} is not a user and a group`);
    if (type === 'char' || type === 'block') {
      if (
        entry.deviceMajor < 0 ||
        entry.deviceMajor > MAX_DEVICE_MAJOR ||
        entry.deviceMinor < 0 ||
        entry.deviceMinor > MAX_DEVICE_MINOR
      )
        throw fail(`its device number ${entry.deviceMajor}:${entry.deviceMinor} is impossible`);
    }
    if (type === 'symlink') {
      if (rawLink === '' || rawLink.length > 4095 || rawLink.includes('\0'))
        throw fail('its symbolic link has an impossible target');
      entry.linkname = rawLink;
    } else if (type === 'hardlink') {
      entry.linkname = cleanPath(this.#prefix + rawLink, fail);
    }
    if (xattrs) {
      for (const [name, content] of xattrs) this.#xattrBytes += name.length + content.length;
      if (this.#xattrBytes > MAX_XATTR_TOTAL)
        throw fail(`the archive has more than ${MAX_XATTR_TOTAL} bytes of extended attributes`);
    }
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#contents(entry, raw, pax, bytes, at, offset);
  }

  /** Finds the sparse map, if there is one, then reports the member. */
  #contents(
    entry: TarEntry,
    raw: RawHeader,
    pax: Map<ByteString, ByteString> | undefined,
    bytes: Buffer,
    at: number,
    offset: number,
  ): void {
    if (raw.flag === 'S') {
      entry.size = oldGnuRealSize(bytes, at, offset);
      if (entry.size < 0) throw corruptTar(offset, 'its sparse size is negative');
      const { segments, more } = parseOldGnuSegments(bytes, at, offset, 'header');
      if (more) this.#expect = { state: 'old-sparse', entry, segments, offset };
      else this.#report(entry, segments, offset);
      return;
    }
    if (entry.type !== 'file' || !pax) return this.#report(entry, undefined, offset);
    const realSize = pax.get('GNU.sparse.realsize') || pax.get('GNU.sparse.size');
    const isText = pax.get('GNU.sparse.major') === '1' && pax.get('GNU.sparse.minor') === '0';
    const map = pax.get(SPARSE_MAP);
    if (!isText && map === undefined) return this.#report(entry, undefined, offset);
    if (realSize !== undefined) entry.size = parsePaxNumber(realSize, offset, 'sparse size');
    if (entry.size < 0) throw corruptTar(offset, 'its sparse size is negative');
    if (isText) this.#expect = { state: 'sparse-text', entry, blocks: [], length: 0, offset };
    else this.#report(entry, parseSparseList(map!, offset), offset);
  }

  #oldSparse(expect: Expect & { state: 'old-sparse' }, bytes: Buffer, at: number): void {
    const { segments, more } = parseOldGnuSegments(bytes, at, expect.offset, 'block');
    expect.segments.push(...segments);
    this.#boundSegments(expect.segments.length, expect.offset);
    // An empty block that announces another one could go on for ever.
    if (more && segments.length === 0) throw corruptTar(expect.offset, 'its sparse map has an empty block');
    if (more) return;
    expect.entry.dataOffset = this.position;
    this.#report(expect.entry, expect.segments, expect.offset);
  }

  #sparseText(expect: Expect & { state: 'sparse-text' }, bytes: Buffer, at: number): void {
    const { entry, offset } = expect;
    expect.length += BLOCK;
    if (expect.length > roundUp(entry.dataSize) || expect.length > MAX_META_SIZE)
      throw corruptTar(offset, 'its sparse map is longer than its contents');
    expect.blocks.push(Buffer.from(bytes.subarray(at, at + BLOCK)));
    // The map is parsed only where it can end: a map that arrives in 2048 blocks must not be parsed 2048 times.
    const padding = bytes.indexOf(0, at);
    const padded = padding !== -1 && padding < at + BLOCK;
    if (!padded && bytes[at + BLOCK - 1] !== 0x0a) return;
    const parsed = parseSparseText(Buffer.concat(expect.blocks), offset);
    if (!parsed) {
      if (padded) throw corruptTar(offset, 'its sparse map is cut short');
      return;
    }
    if (parsed.size !== expect.length || parsed.size > entry.dataSize)
      throw corruptTar(offset, 'its sparse map is not padded as it should be');
    entry.dataOffset += parsed.size;
    entry.dataSize -= parsed.size;
    this.#report(entry, parsed.segments, offset);
  }

  #boundSegments(count: number, offset: number): void {
    if (this.#sparseSegments + count > MAX_SPARSE_TOTAL)
      throw corruptTar(offset, `the archive has more than ${MAX_SPARSE_TOTAL} sparse segments`);
  }

  #report(entry: TarEntry, segments: SparseSegment[] | undefined, offset: number): void {
    if (segments) {
      this.#boundSegments(segments.length, offset);
      this.#sparseSegments += segments.length;
      entry.sparse = checkSegments(segments, entry.size, entry.dataSize, offset);
    }
    this.#expect = { state: 'header' };
    this.#contentsEnd = entry.dataOffset + entry.dataSize;
    if (!Number.isSafeInteger(this.#contentsEnd + BLOCK)) throw corruptTar(offset, 'its size is impossible');
    this.#skip = roundUp(entry.dataSize);
    this.#onEntry(entry);
  }
}

function roundUp(length: number): number {
  return Math.ceil(length / BLOCK) * BLOCK;
}

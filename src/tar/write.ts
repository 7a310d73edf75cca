/**
 * Headers of tar members as husk writes them: ustar, and before it a pax header for what ustar has no room for (long
 * names, large numbers, fractions of a second, xattrs). The same member gives the same bytes. The functions are pure;
 * the caller writes the contents.
 *
 * Source: POSIX.1-2017 pax "ustar Interchange Format" and "pax Extended Header"; SCHILY.xattr as star, GNU tar and Go
 * write it.
 */
import type { ByteString } from './byte-string.ts';
import { BLOCK, MAX_META_SIZE, type SparseSegment, type TarType } from './entry.ts';

const FLAGS: Record<TarType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};
/** limits of bytes: the name and linkname fields, and the prefix field */
const NAME = 100;
const PREFIX = 155;
/** largest numbers of seven and of eleven octal digits */
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

export interface NewMember {
  type: TarType;
  /** path without a leading slash; a folder's ends with a slash */
  path: ByteString;
  /** target of a symlink or hard link */
  linkname?: ByteString;
  /** the twelve permission bits. @default 0o644 */
  mode?: number;
  uid?: number;
  gid?: number;
  /** bytes of contents that follow; only files have any */
  size?: number;
  /** seconds since 1970; `mtimeNanoseconds` adds to them */
  mtime?: number;
  mtimeNanoseconds?: number;
  deviceMajor?: number;
  deviceMinor?: number;
  /** Values by name. A name with "=" cannot be written, because pax has no form for it. */
  xattrs?: ReadonlyMap<ByteString, Buffer>;
  /**
   * runs of data of a file with holes, ascending; their bytes follow one after another, then padding for these alone.
   * The member has GNU tar's form 1.0 ("PAX Format, Version 1.0"), which Go's archive/tar reads too.
   */
  sparse?: readonly SparseSegment[];
}

/** the end-of-archive mark: two blocks of zeros */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** @returns the zeros that follow contents of this size */
export const paddingOf = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);

/** @returns whether a map of these segments is as short as a reader may expect it */
export const sparseFits = (segments: readonly SparseSegment[]): boolean =>
  sparseMap(segments).length <= MAX_META_SIZE / 2;

/** A sparse file's map: the number of segments, then each one's offset and length, a line each. */
function sparseMap(segments: readonly SparseSegment[]): Buffer {
  const lines = Buffer.from(
    [segments.length, ...segments.flatMap(({ offset, length }) => [offset, length])]
      .map((line) => `${line}\n`)
      .join(''),
  );
  return Buffer.concat([lines, paddingOf(lines.length)]);
}

/** @returns the blocks that come before the member's contents, a sparse file's map among them */
export function tarHeader(member: NewMember): Buffer {
  if (member.sparse === undefined) return plainHeader(member, []);
  const { path, size = 0, sparse, ...others } = member;
  const map = sparseMap(sparse);
  const data = sparse.reduce((sum, { length }) => sum + length, 0);
  const records = [
    paxRecord('GNU.sparse.major', '1'),
    paxRecord('GNU.sparse.minor', '0'),
    paxRecord('GNU.sparse.name', path),
    paxRecord('GNU.sparse.realsize', String(size)),
  ];
  // A reader that knows no sparse files must not take map and data for the file.
  const stored = `GNUSparseFile.0/${path.slice(path.lastIndexOf('/') + 1)}`.slice(0, NAME);
  return Buffer.concat([plainHeader({ ...others, path: stored, size: map.length + data }, records), map]);
}

/** @param records pax records that come before those of this member's own */
function plainHeader(member: NewMember, records: Buffer[]): Buffer {
  const {
    path,
    linkname = '',
    uid = 0,
    gid = 0,
    size = 0,
    mtime = 0,
    mtimeNanoseconds = 0,
    deviceMajor = 0,
    deviceMinor = 0,
  } = member;
  const name = splitName(path);
  if (!name) records.push(paxRecord('path', path));
  if (linkname.length > NAME) records.push(paxRecord('linkpath', linkname));
  if (size > MAX_OCTAL_11) records.push(paxRecord('size', String(size)));
  if (uid > MAX_OCTAL_7) records.push(paxRecord('uid', String(uid)));
  if (gid > MAX_OCTAL_7) records.push(paxRecord('gid', String(gid)));
  const timeFits = mtime >= 0 && mtime <= MAX_OCTAL_11;
  if (mtimeNanoseconds !== 0 || !timeFits) records.push(paxRecord('mtime', paxTime(mtime, mtimeNanoseconds)));
  for (const [key, value] of [...(member.xattrs ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)))
    if (!key.includes('=')) records.push(paxRecord(`SCHILY.xattr.${key}`, value));
  const header = ustar(FLAGS[member.type], name ?? { prefix: '', name: path.slice(-NAME) }, {
    linkname: linkname.slice(0, NAME),
    mode: member.mode ?? 0o644,
    uid: uid > MAX_OCTAL_7 ? 0 : uid,
    gid: gid > MAX_OCTAL_7 ? 0 : gid,
    size: size > MAX_OCTAL_11 ? 0 : size,
    mtime: timeFits ? mtime : 0,
    deviceMajor,
    deviceMinor,
  });
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const short = path.replace(/\/$/, '');
  const paxName = `PaxHeaders.0/${short.slice(short.lastIndexOf('/') + 1)}`.slice(0, NAME);
  const numbers = {
    linkname: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    mtime: 0,
    deviceMajor: 0,
    deviceMinor: 0,
  };
  return Buffer.concat([ustar('x', { prefix: '', name: paxName }, numbers), body, paddingOf(body.length), header]);
}

/**
 * Splits a long name over the fields. @returns undefined when neither the name nor prefix and name together can hold it
 */
function splitName(path: ByteString): { prefix: string; name: string } | undefined {
  if (path.length <= NAME) return { prefix: '', name: path };
  // The name part may not be empty, so a folder's own slash does not count.
  const slash = path.lastIndexOf('/', Math.min(PREFIX, path.length - 2));
  if (slash <= 0 || path.length - slash - 1 > NAME) return undefined;
  return { prefix: path.slice(0, slash), name: path.slice(slash + 1) };
}

interface Fields {
  linkname: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  deviceMajor: number;
  deviceMinor: number;
}

/** A header without a name, with what most members have: the format's mark, and the device 0:0. */
const EMPTY_HEADER = Buffer.alloc(BLOCK);
EMPTY_HEADER.write('ustar\x0000', 257, 'latin1');
EMPTY_HEADER.write('0000000\x000000000', 329, 'latin1');
const EMPTY_SUM = sumOf(EMPTY_HEADER.toString('latin1'));
/** the sum counts its own field as eight blanks */
const OWN_SUM = 8 * 0x20;

/** A number's octal digits, and the NUL at the end of its field. @param length bytes of the field */
const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;

/** The sum of the bytes of a byte string. */
function sumOf(text: ByteString): number {
  let sum = 0;
  for (let at = 0; at < text.length; at++) sum += text.charCodeAt(at) & 0xff;
  return sum;
}

function ustar(flag: string, { prefix, name }: { prefix: string; name: string }, fields: Fields): Buffer {
  // Memory of Node's pool: thousands of blocks with memory of their own each would keep the garbage collector busy.
  const header = Buffer.allocUnsafe(BLOCK);
  EMPTY_HEADER.copy(header);
  const { mode, uid, gid, size, mtime, linkname, deviceMajor, deviceMinor } = fields;
  // These fields stand one after the other, up to the sum.
  const numbers = octal(mode & 0o7777, 8) + octal(uid, 8) + octal(gid, 8) + octal(size, 12) + octal(mtime, 12);
  let sum = EMPTY_SUM + OWN_SUM + sumOf(name) + sumOf(numbers) + sumOf(flag);
  header.write(name, 0, 'latin1');
  if (linkname !== '') {
    header.write(linkname, 157, 'latin1');
    sum += sumOf(linkname);
  }
  if (prefix !== '') {
    header.write(prefix, 345, 'latin1');
    sum += sumOf(prefix);
  }
  if (deviceMajor !== 0 || deviceMinor !== 0) {
    const device = octal(deviceMajor, 8) + octal(deviceMinor, 8);
    header.write(device, 329, 'latin1');
    sum += sumOf(device) - NO_DEVICE_SUM;
  }
  header.write(`${numbers}${sum.toString(8).padStart(6, '0')}\0 ${flag}`, 100, 'latin1');
  return header;
}

const NO_DEVICE_SUM = sumOf(octal(0, 8) + octal(0, 8));

/** Makes "length key=value\n"; the length counts itself. */
function paxRecord(key: ByteString, value: ByteString | Buffer): Buffer {
  const text = ` ${key}=${typeof value === 'string' ? value : value.toString('latin1')}\n`;
  let length = text.length;
  while (String(length).length + text.length !== length) length = String(length).length + text.length;
  return Buffer.from(`${length}${text}`, 'latin1');
}

/** Writes seconds as a decimal: `-0.5` for the second -1 and 500 000 000 nanoseconds, half a second before 1970. */
function paxTime(seconds: number, nanoseconds: number): string {
  const total = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  const size = total < 0n ? -total : total;
  const fraction = String(size % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${total < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}

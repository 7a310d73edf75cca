/**
 * Headers of tar members as husk writes them: ustar, and before it a pax header for what ustar has no room for (long
 * names, large numbers, fractions of a second, xattrs). The same member gives the same bytes. Pure: contents are the
 * caller's to write.
 *
 * Source: POSIX.1-2017 pax "ustar Interchange Format" and "pax Extended Header"; SCHILY.xattr as star, GNU tar and Go
 * write it.
 */
import type { ByteString } from './byte-string.ts';
import { BLOCK, type TarType } from './entry.ts';

const FLAGS: Record<TarType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};
/** bytes of the name, prefix and linkname fields */
const NAME = 100;
const PREFIX = 155;
/** what seven and eleven octal digits hold */
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

export interface NewMember {
  type: TarType;
  /** no leading slash; a folder's ends with one */
  path: ByteString;
  /** target of symlinks and hard links */
  linkname?: ByteString;
  /** the twelve permission bits. @default 0o644 */
  mode?: number;
  uid?: number;
  gid?: number;
  /** bytes of contents that follow; files only */
  size?: number;
  /** seconds since 1970 and nanoseconds on top */
  mtime?: number;
  mtimeNanoseconds?: number;
  deviceMajor?: number;
  deviceMinor?: number;
  /** an attribute with "=" in its name cannot be written: pax has no way to say it */
  xattrs?: ReadonlyMap<ByteString, Buffer>;
}

/** two blocks of zeros: the end-of-archive mark */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** bytes of zeros that follow contents of this size */
export const paddingOf = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);

/** @returns the blocks that come before the member's contents */
export function tarHeader(member: NewMember): Buffer {
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
  const records: Buffer[] = [];
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

/** undefined: neither the name nor prefix and name together hold it */
function splitName(path: ByteString): { prefix: string; name: string } | undefined {
  if (path.length <= NAME) return { prefix: '', name: path };
  // the name part may not be empty: a folder's own slash does not count
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

function ustar(flag: string, { prefix, name }: { prefix: string; name: string }, fields: Fields): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    header.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  header.write(name, 0, 'latin1');
  octal(fields.mode & 0o7777, 100, 8);
  octal(fields.uid, 108, 8);
  octal(fields.gid, 116, 8);
  octal(fields.size, 124, 12);
  octal(fields.mtime, 136, 12);
  header.fill(' ', 148, 156);
  header.write(flag, 156, 'latin1');
  header.write(fields.linkname, 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  octal(fields.deviceMajor, 329, 8);
  octal(fields.deviceMinor, 337, 8);
  header.write(prefix, 345, 'latin1');
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** "length key=value\n", the length counting itself */
function paxRecord(key: ByteString, value: ByteString | Buffer): Buffer {
  const rest = Buffer.concat([
    Buffer.from(` ${key}=`, 'latin1'),
    typeof value === 'string' ? Buffer.from(value, 'latin1') : value,
    Buffer.from('\n'),
  ]);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** a decimal fraction; before 1970 the seconds count down and the fraction up */
function paxTime(seconds: number, nanoseconds: number): string {
  const total = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  const size = total < 0n ? -total : total;
  const fraction = String(size % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${total < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}

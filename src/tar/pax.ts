/**
 * The records of a pax extended header: `<length> <key>=<value>\n`, repeated. Source: POSIX.1-2017 pax, "pax Extended
 * Header". The rules are those of Go's archive/tar, because every other container tool reads layers with it: an archive
 * must not mean one thing to a scanner and another to husk. In particular global headers are checked and then have no
 * effect.
 */
import type { ByteString } from './byte-string.ts';
import { corruptTar, MAX_XATTR_NAME, MAX_XATTR_VALUE } from './entry.ts';

/** keys of GNU sparse 0.0, which repeat and whose order matters (GNU tar manual, "PAX Format, Version 0.0") */
const SPARSE_OFFSET = 'GNU.sparse.offset';
const SPARSE_LENGTH = 'GNU.sparse.numbytes';
export const SPARSE_MAP = 'GNU.sparse.map';

const SCHILY_XATTR = 'SCHILY.xattr.';
const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.';

export interface PaxRecords {
  values: Map<ByteString, ByteString>;
  xattrs: Map<ByteString, Buffer> | undefined;
}

/**
 * Parses an extended header.
 * @param body the whole header, at most MAX_META_SIZE bytes
 * @param offset position of its tar header, for messages
 * @throws HuskError `corrupt`
 */
export function parsePax(body: Buffer, offset: number): PaxRecords {
  const values = new Map<ByteString, ByteString>();
  let xattrs: Map<ByteString, Buffer> | undefined;
  let fallbackXattrs: Map<ByteString, Buffer> | undefined;
  const sparseMap: ByteString[] = [];
  for (let at = 0; at < body.length;) {
    const { key, start, end } = record(body, at, offset);
    at = end + 1;
    if (key.startsWith(SCHILY_XATTR)) {
      xattrs = setXattr(xattrs, key.slice(SCHILY_XATTR.length), Buffer.from(body.subarray(start, end)), offset);
    } else if (key.startsWith(LIBARCHIVE_XATTR)) {
      // libarchive's own form has the name URL-encoded and the value in base64. It usually stands beside SCHILY's,
      // which wins.
      fallbackXattrs = setXattr(
        fallbackXattrs,
        urlDecode(key.slice(LIBARCHIVE_XATTR.length)),
        Buffer.from(body.toString('latin1', start, end), 'base64'),
        offset,
      );
    } else {
      const value = body.toString('latin1', start, end);
      if (key === SPARSE_OFFSET || key === SPARSE_LENGTH) {
        const wanted = sparseMap.length % 2 === 0 ? SPARSE_OFFSET : SPARSE_LENGTH;
        if (key !== wanted || value.includes(',')) throw corruptTar(offset, 'its sparse map is out of order');
        sparseMap.push(value);
        continue;
      }
      if ((key === 'path' || key === 'linkpath' || key === 'GNU.sparse.name') && value.includes('\0'))
        throw corruptTar(offset, `its ${key} has a NUL byte`);
      values.set(key, value);
    }
  }
  if (sparseMap.length > 0) values.set(SPARSE_MAP, sparseMap.join(','));
  for (const [name, value] of fallbackXattrs ?? [])
    if (!xattrs?.has(name)) xattrs = setXattr(xattrs, name, value, offset);
  return { values, xattrs };
}

/** Parses one record: its length counts itself, the blank, key, equals sign, value and newline. */
function record(body: Buffer, at: number, offset: number): { key: ByteString; start: number; end: number } {
  let length = 0;
  let index = at;
  // Seven digits are enough for MAX_META_SIZE.
  for (; index < body.length && index < at + 8; index++) {
    const digit = body[index]! - 0x30;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  const end = at + length - 1;
  if (index === at || body[index] !== 0x20 || end <= index || end >= body.length || body[end] !== 0x0a)
    throw corruptTar(offset, 'a pax record has a wrong length');
  const equals = body.indexOf(0x3d, index + 1);
  if (equals === -1 || equals >= end || equals === index + 1) throw corruptTar(offset, 'a pax record has no key');
  const key = body.toString('latin1', index + 1, equals);
  if (key.includes('\0')) throw corruptTar(offset, 'a pax key has a NUL byte');
  return { key, start: equals + 1, end };
}

function setXattr(
  xattrs: Map<ByteString, Buffer> | undefined,
  name: ByteString,
  value: Buffer,
  offset: number,
): Map<ByteString, Buffer> {
  if (name === '' || name.length > MAX_XATTR_NAME || name.includes('\0'))
    throw corruptTar(offset, 'an extended attribute has an impossible name');
  if (value.length > MAX_XATTR_VALUE)
    throw corruptTar(offset, `an extended attribute of ${value.length} bytes is longer than ${MAX_XATTR_VALUE}`);
  return (xattrs ?? new Map<ByteString, Buffer>()).set(name, value);
}

function urlDecode(text: ByteString): ByteString {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/**
 * Parses a pax time: decimal seconds with an optional fraction, of either sign.
 * @returns whole seconds rounded down, and the nanoseconds to add; digits beyond nanoseconds are cut off
 */
export function parsePaxTime(value: ByteString, offset: number): { seconds: number; nanoseconds: number } {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value);
  if (!match) throw corruptTar(offset, `its pax time "${value.slice(0, 40)}" is not a number`);
  const seconds = Number(match[2]);
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] !== '-') return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: -seconds || 0, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

/**
 * Parses a pax number: decimal digits. @throws HuskError `corrupt`, also for a number that JavaScript cannot hold
 * exactly
 */
export function parsePaxNumber(value: ByteString, offset: number, what: string): number {
  const parsed = /^-?\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(parsed))
    throw corruptTar(offset, `its pax ${what} "${value.slice(0, 40)}" is not a number`);
  return parsed;
}

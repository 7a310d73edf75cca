/**
 * One 512-byte tar header: its fields, numbers and checksum, for the v7, ustar, star and GNU formats.
 * Sources: POSIX.1-2017 pax "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"; star(5).
 */
import type { ByteString } from './byte-string.ts';
import { corruptTar } from './entry.ts';

/** offset and length of each field, bytes */
const NAME = [0, 100] as const;
const MODE = [100, 8] as const;
const UID = [108, 8] as const;
const GID = [116, 8] as const;
const SIZE = [124, 12] as const;
const MTIME = [136, 12] as const;
const CHECKSUM = [148, 8] as const;
const TYPE = 156;
const LINKNAME = [157, 100] as const;
const MAGIC = [257, 8] as const;
const DEVICE_MAJOR = [329, 8] as const;
const DEVICE_MINOR = [337, 8] as const;
const PREFIX = [345, 155] as const;
/** star's prefix, which is shorter: times of access and change follow it, then "tar\0" at 508 */
const STAR_PREFIX = [345, 131] as const;
const STAR_TRAILER = [508, 4] as const;

type Field = readonly [offset: number, length: number];

type HeaderFormat = 'v7' | 'ustar' | 'star' | 'gnu';

/** Numbers as they stand in the header; only the checksum has been verified. */
export interface RawHeader {
  format: HeaderFormat;
  /** the character of the type flag */
  flag: string;
  name: ByteString;
  linkname: ByteString;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  deviceMajor: number;
  deviceMinor: number;
}

export function isZeroBlock(bytes: Buffer, at: number): boolean {
  for (let index = at; index < at + 512; index++) if (bytes[index] !== 0) return false;
  return true;
}

/**
 * Parses one header.
 * @param bytes holds the 512 bytes of the header from `at` on
 * @param offset position of the header in the archive, for messages
 * @throws HuskError `corrupt`
 */
export function parseHeader(bytes: Buffer, at: number, offset: number): RawHeader {
  verifyChecksum(bytes, at, offset);
  const format = formatOf(bytes, at);
  let name = text(bytes, at, NAME);
  if (format === 'ustar' || format === 'star') {
    const prefix = text(bytes, at, format === 'star' ? STAR_PREFIX : PREFIX);
    if (prefix !== '') name = `${prefix}/${name}`;
  }
  const flag = String.fromCharCode(bytes[at + TYPE]!);
  const isDevice = format !== 'v7' && (flag === '3' || flag === '4');
  return {
    format,
    flag,
    name,
    linkname: text(bytes, at, LINKNAME),
    mode: number(bytes, at, MODE, offset, 'mode'),
    uid: number(bytes, at, UID, offset, 'uid'),
    gid: number(bytes, at, GID, offset, 'gid'),
    size: number(bytes, at, SIZE, offset, 'size'),
    mtime: number(bytes, at, MTIME, offset, 'mtime'),
    deviceMajor: isDevice ? number(bytes, at, DEVICE_MAJOR, offset, 'device major') : 0,
    deviceMinor: isDevice ? number(bytes, at, DEVICE_MINOR, offset, 'device minor') : 0,
  };
}

function formatOf(bytes: Buffer, at: number): HeaderFormat {
  const magic = bytes.toString('latin1', at + MAGIC[0], at + MAGIC[0] + MAGIC[1]);
  if (magic === 'ustar  \0') return 'gnu';
  if (!magic.startsWith('ustar\0')) return 'v7';
  return bytes.toString('latin1', at + STAR_TRAILER[0], at + STAR_TRAILER[0] + STAR_TRAILER[1]) === 'tar\0'
    ? 'star'
    : 'ustar';
}

/**
 * Compares the checksum with the sum of all bytes, in which the checksum field counts as blanks. Some old tars summed
 * signed bytes; both sums are accepted, as in other tar readers.
 */
function verifyChecksum(bytes: Buffer, at: number, offset: number): void {
  let sum = 0;
  let above127 = 0;
  for (let index = at; index < at + 512; index++) {
    const byte = bytes[index]!;
    sum += byte;
    above127 += byte >>> 7;
  }
  const start = at + CHECKSUM[0];
  for (let index = start; index < start + CHECKSUM[1]; index++) {
    const byte = bytes[index]!;
    sum += 0x20 - byte;
    above127 -= byte >>> 7;
  }
  const stored = number(bytes, at, CHECKSUM, offset, 'checksum');
  if (stored !== sum && stored !== sum - 256 * above127)
    throw corruptTar(offset, `its checksum is ${stored}, its bytes give ${sum}`);
}

/** @returns the field up to its first NUL */
function text(bytes: Buffer, at: number, [start, length]: Field): ByteString {
  const from = at + start;
  let end = from;
  while (end < from + length && bytes[end] !== 0) end++;
  return bytes.toString('latin1', from, end);
}

/**
 * Parses a number: octal digits among blanks and NULs; or, when the first byte's top bit is set, a two's complement
 * number in base 256 (GNU, star). An empty field is 0.
 * @throws HuskError `corrupt` for anything else, and for numbers that JavaScript cannot hold exactly
 */
export function number(bytes: Buffer, at: number, [start, length]: Field, offset: number, what: string): number {
  const from = at + start;
  const first = bytes[from]!;
  if (first & 0x80) return base256(bytes, from, length, offset, what);
  let index = from;
  let end = from + length;
  while (index < end && (bytes[index] === 0x20 || bytes[index] === 0)) index++;
  while (end > index && (bytes[end - 1] === 0x20 || bytes[end - 1] === 0)) end--;
  let value = 0;
  for (; index < end; index++) {
    const digit = bytes[index]! - 0x30;
    // Bytes behind a NUL are not part of the number: some writers leave old bytes there.
    if (bytes[index] === 0) break;
    if (digit < 0 || digit > 7) throw corruptTar(offset, `its ${what} is not an octal number`);
    value = value * 8 + digit;
  }
  // Twelve octal digits are 36 bits, which are always exact.
  return value;
}

function base256(bytes: Buffer, from: number, length: number, offset: number, what: string): number {
  const negative = (bytes[from]! & 0x40) !== 0;
  // The marker bit is not part of the value; bit 6 is its sign.
  let value = negative ? (bytes[from]! & 0x7f) - 0x80 : bytes[from]! & 0x7f;
  for (let index = from + 1; index < from + length; index++) {
    value = value * 256 + bytes[index]!;
    if (!Number.isSafeInteger(value)) throw corruptTar(offset, `its ${what} does not fit in 53 bits`);
  }
  return value;
}

/**
 * Which file a compressed log was made of, so that a reader that has the plain file open recognizes it. A gzip file is
 * one or more members (RFC 1952 § 2.2): husk's begins with an empty one, whose extra field has the file's inode and
 * time of change; gunzip and zcat do not show it.
 */
import { fstatSync, readSync, type BigIntStats } from 'node:fs';

/** fixed header fields ID1 ID2 CM FLG(FEXTRA) MTIME XFL OS(Unix), RFC 1952 § 2.3 */
const START = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3]);
/** XLEN, then one subfield: SI1 SI2 LEN and 16 bytes */
const EXTRA = Buffer.from([20, 0, 0x68, 0x6b, 16, 0]);
const IDENTITY = 16;
/** an empty final block (RFC 1951 § 3.2.6), CRC32 and ISIZE of nothing */
const END = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

export function identityMember({ ino, mtimeNs }: Pick<BigIntStats, 'ino' | 'mtimeNs'>): Buffer {
  const identity = Buffer.alloc(IDENTITY);
  identity.writeBigUInt64LE(BigInt.asUintN(64, ino), 0);
  identity.writeBigInt64LE(BigInt.asIntN(64, mtimeNs), 8);
  return Buffer.concat([START, EXTRA, identity, END]);
}

/** @returns the identity of a plain file, as it is now */
export function identityOf(file: number): string {
  const { ino, mtimeNs } = fstatSync(file, { bigint: true });
  return `${ino}:${mtimeNs}`;
}

/** @returns the identity of the file that this one was made of; undefined when it has none */
export function packedIdentity(file: number): string | undefined {
  const head = Buffer.alloc(START.length + EXTRA.length + IDENTITY);
  const count = readSync(file, head, 0, head.length, 0);
  if (count !== head.length || !head.subarray(0, START.length + EXTRA.length).equals(Buffer.concat([START, EXTRA])))
    return undefined;
  const at = START.length + EXTRA.length;
  return `${head.readBigUInt64LE(at)}:${head.readBigInt64LE(at + 8)}`;
}

/**
 * Netlink attributes, the parts of every netlink message: a length, a type, a value, padded to four bytes. Numbers are
 * of include/uapi/linux/netlink.h. Only bytes to values and back: nothing here sends.
 */

/** bytes of struct nlattr: u16 length with itself, u16 type */
const ATTRIBUTE_HEADER = 4;
/** bytes that the length can say */
const MAX_LENGTH = 0xffff;
/** NLA_ALIGNTO: bytes */
const ALIGNMENT = 4;
/** the value is attributes again */
const NLA_F_NESTED = 0x8000;
/** NLA_TYPE_MASK: without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
const NLA_TYPE_MASK = 0x3fff;

/** A length in bytes with its padding. */
export function aligned(length: number): number {
  return (length + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

/**
 * One attribute; of several parts, its value is their bytes in a row. Bytes are stored one by one: rules are some
 * thousand attributes, encoded once in a process, and Buffer's methods cost more than they do.
 */
export function attribute(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = ATTRIBUTE_HEADER;
  for (const part of parts) length += part.length;
  if (length > MAX_LENGTH) throw new RangeError(`a netlink attribute of ${length} bytes`);
  const bytes = new Uint8Array(aligned(length));
  bytes[0] = length & 0xff;
  bytes[1] = length >> 8;
  bytes[2] = type & 0xff;
  bytes[3] = type >> 8;
  let at = ATTRIBUTE_HEADER;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** An attribute made of attributes. */
export function nested(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NLA_F_NESTED, ...parts);
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

/** In the machine's byte order, as rtnetlink has its numbers. */
export function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** In the network's byte order, as netfilter has its numbers. */
export function be32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

export function be64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** A string with its NUL. */
export function cString(text: string): Uint8Array {
  return Buffer.from(`${text}\0`);
}

/** A string as the kernel sends it: up to its NUL. */
export function textOf(value: Buffer): string {
  return value.toString('utf8').replace(/\0.*$/s, '');
}

/**
 * The attributes of a message, by type; of several of one type the last. What breaks its own length ends the list: the
 * kernel does not send such bytes.
 */
export function readAttributes(bytes: Buffer): Map<number, Buffer> {
  return new Map(eachAttribute(bytes));
}

/** The values of attributes that are a list, in their order. */
export function readList(bytes: Buffer): Buffer[] {
  return Array.from(eachAttribute(bytes), ([, value]) => value);
}

function* eachAttribute(bytes: Buffer): Generator<[type: number, value: Buffer]> {
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length;) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) return;
    yield [bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + ATTRIBUTE_HEADER, at + length)];
    at += aligned(length);
  }
}

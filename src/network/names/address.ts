/**
 * IP addresses as text, as bytes, and as the names by which DNS asks for them backwards (RFC 1035 §3.5, RFC 3596
 * §2.5). Pure.
 */
import { isIPv4, isIPv6 } from 'node:net';

/** where a container's name server listens: the address is Docker's, and is written into images */
export const NAME_SERVER = '127.0.0.11';

/** bytes */
const LENGTH_4 = 4;
const LENGTH_6 = 16;

/** @returns 4 or 16 bytes; undefined for what is no address. A zone (`%eth0`) is no part of the bytes. */
export function bytesOfAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text)) return undefined;
  const [address] = text.split('%') as [string];
  // the last 32 bits may be written as an IPv4 address
  const dotted = address.slice(address.lastIndexOf(':') + 1);
  const tail = isIPv4(dotted) ? bytesOfAddress(dotted)! : new Uint8Array();
  const groups = tail.length === 0 ? address : address.slice(0, address.lastIndexOf(':') + 1);
  const [before, after] = groups.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const bytes = new Uint8Array(LENGTH_6);
  const put = (group: string, at: number) => {
    const value = Number.parseInt(group, 16);
    bytes[at] = value >> 8;
    bytes[at + 1] = value & 0xff;
  };
  before!.forEach((group, index) => put(group, 2 * index));
  const end = LENGTH_6 - tail.length;
  after?.forEach((group, index) => put(group, end - 2 * (after.length - index)));
  bytes.set(tail, end);
  return bytes;
}

/** The canonical text (RFC 5952), as the kernel's and everybody's own: lower case, the longest run of zeros as `::`. */
export function addressOfBytes(bytes: Uint8Array): string {
  if (bytes.length === LENGTH_4) return bytes.join('.');
  // ::ffff:a.b.c.d
  if (bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff)
    return `::ffff:${bytes.subarray(12).join('.')}`;
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!);
  let start = 0;
  let length = 0;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  // one group alone is not shortened
  return length < 2 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

const IPV4 = /^((?:\d{1,3}\.){4})in-addr\.arpa$/;
const IPV6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/;

/**
 * The address that a reverse name asks for. @example `2.0.18.172.in-addr.arpa` → `172.18.0.2`
 * @param name lower case, no dot at the end
 */
export function reversedAddress(name: string): string | undefined {
  const four = IPV4.exec(name)?.[1];
  if (four !== undefined) {
    const address = four.slice(0, -1).split('.').reverse().join('.');
    return isIPv4(address) ? address : undefined;
  }
  const six = IPV6.exec(name)?.[1];
  if (six === undefined) return undefined;
  return addressOfBytes(Buffer.from(six.replaceAll('.', '').split('').reverse().join(''), 'hex'));
}

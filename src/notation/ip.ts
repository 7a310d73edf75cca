/**
 * Addresses of the Internet Protocol, subnets and hardware addresses, as text and as numbers. One type serves both
 * families, so that the rooms below need not distinguish them. This module knows no network and no host, and is pure.
 */
import { isIPv6 } from 'node:net';

export type Family = 4 | 6;

export interface IpAddress {
  family: Family;
  value: bigint;
}

/** A block of addresses in CIDR notation: every address whose first `prefix` bits are those of `first`. */
export interface Subnet {
  family: Family;
  /** the lowest address; the bits behind the prefix are 0 */
  first: bigint;
  prefix: number;
}

/** bits of an address, by family */
export const BITS: Record<Family, number> = { 4: 32, 6: 128 };
const GROUPS = 8;
const GROUP_BITS = 16n;
/** prefix of an IPv4 address that is written as one of IPv6, RFC 4291 § 2.5.5.2 */
const MAPPED_PREFIX = 0xffffn;
const IPV4_MASK = 0xffff_ffffn;
/** node:net brings all streams: it is asked only about what may be an address of IPv6 */
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const MAC = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$|^[0-9a-f]{4}(\.[0-9a-f]{4}){2}$/i;

/**
 * Parses `10.0.0.1`, `fd00::1`. An IPv4-mapped IPv6 address becomes that IPv4 address.
 * @returns undefined for a text that is no address
 */
export function parseIp(text: string): IpAddress | undefined {
  if (IPV4.test(text)) return { family: 4, value: ipv4Value(text) };
  // A zone (`fe80::1%eth0`) belongs to one host, and is no part of an address.
  if (!text.includes(':') || text.includes('%') || !isIPv6(text)) return undefined;
  const value = ipv6Value(text);
  return value >> 32n === MAPPED_PREFIX ? { family: 4, value: value & IPV4_MASK } : { family: 6, value };
}

const ipv4Value = (text: string): bigint => text.split('.').reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);

function ipv6Value(text: string): bigint {
  // The last 32 bits may be written as an IPv4 address.
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted ? ipv4Value(dotted[2]!) : 0n;
  const plain = dotted ? `${dotted[1]}${(tail >> GROUP_BITS).toString(16)}:${(tail & 0xffffn).toString(16)}` : text;
  const [left = [], right] = plain.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const zeros = right === undefined ? [] : Array<string>(GROUPS - left.length - right.length).fill('0');
  return [...left, ...zeros, ...(right ?? [])].reduce(
    (value, group) => (value << GROUP_BITS) | BigInt(`0x${group}`),
    0n,
  );
}

/** Writes an address as RFC 5952 does: in lower case, with the longest run of zeros as `::`. */
export function formatIp({ family, value }: IpAddress): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
  const groups = Array.from({ length: GROUPS }, (_, index) =>
    ((value >> (GROUP_BITS * BigInt(GROUPS - 1 - index))) & 0xffffn).toString(16),
  );
  const text = groups.join(':');
  const runs = [...text.matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
  const longest = runs.reduce<RegExpExecArray | undefined>(
    (best, run) => (best === undefined || run[0].length > best[0].length ? run : best),
    undefined,
  );
  if (longest === undefined) return text;
  const [before, after] = [text.slice(0, longest.index), text.slice(longest.index + longest[0].length)];
  return `${before.replace(/:$/, '')}::${after.replace(/^:/, '')}`;
}

/**
 * Parses `10.0.0.7/24`.
 * @returns the address as written, and the subnet in which it lies; undefined for any other text
 */
export function parseCidr(text: string): { address: IpAddress; subnet: Subnet } | undefined {
  const [, ip, bits] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = ip === undefined ? undefined : parseIp(ip);
  if (address === undefined || Number(bits) > BITS[address.family]) return undefined;
  return { address, subnet: subnetOf(address, Number(bits)) };
}

export function subnetOf({ family, value }: IpAddress, prefix: number): Subnet {
  const hostBits = BigInt(BITS[family] - prefix);
  return { family, first: (value >> hostBits) << hostBits, prefix };
}

export const formatSubnet = ({ family, first, prefix }: Subnet): string =>
  `${formatIp({ family, value: first })}/${prefix}`;

/** @returns the number of addresses in a subnet */
export const sizeOf = ({ family, prefix }: Subnet): bigint => 1n << BigInt(BITS[family] - prefix);

export const lastOf = (subnet: Subnet): bigint => subnet.first + sizeOf(subnet) - 1n;

export function contains(subnet: Subnet, { family, value }: IpAddress): boolean {
  return family === subnet.family && value >= subnet.first && value <= lastOf(subnet);
}

/** @returns whether two subnets have an address in common; one of them then contains the other */
export function overlap(one: Subnet, other: Subnet): boolean {
  return one.family === other.family && one.first <= lastOf(other) && other.first <= lastOf(one);
}

/**
 * Parses a hardware address of six bytes in Go's spellings.
 * @returns the address as `02:42:ac:11:00:02`; undefined for any other text
 */
export function parseMac(text: string): string | undefined {
  if (!MAC.test(text)) return undefined;
  return text
    .toLowerCase()
    .replace(/[^0-9a-f]/g, '')
    .replace(/..(?=.)/g, '$&:');
}

/** 127.0.0.0/8, RFC 1122 § 3.2.1.3 (g); ::1, RFC 4291 § 2.5.3 */
const LOOPBACK_BYTE = 127n;
const LOOPBACK = 1n;

/** Whether an address is of a loopback, in whatever form it is written: with a zone, and of IPv4 within IPv6 too. */
export function isLoopback(address: string): boolean {
  const [plain = ''] = address.split('%');
  const ip = parseIp(plain);
  return ip?.family === 4 ? ip.value >> 24n === LOOPBACK_BYTE : ip?.value === LOOPBACK;
}

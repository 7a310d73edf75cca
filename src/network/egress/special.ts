/**
 * Which addresses are of the public Internet: all but those that IANA's registries of special-purpose addresses (RFC
 * 6890) give another meaning. Of IPv6 only 2000::/3 is given out at all. Pure.
 */
import type { Family, IpAddress, Subnet } from '../../notation/ip.ts';
import { isWithin, rangesOf, type AddressRange } from './ranges.ts';

const NOT_PUBLIC_4: readonly [first: bigint, prefix: number][] = [
  [0x0000_0000n, 8], // 0.0.0.0: this network
  [0x0a00_0000n, 8], // 10.0.0.0: private
  [0x6440_0000n, 10], // 100.64.0.0: shared by a provider's customers
  [0x7f00_0000n, 8], // 127.0.0.0: loopback
  [0xa9fe_0000n, 16], // 169.254.0.0: link-local, and clouds' metadata
  [0xac10_0000n, 12], // 172.16.0.0: private
  [0xc000_0000n, 24], // 192.0.0.0: protocols' own
  [0xc000_0200n, 24], // 192.0.2.0: documentation
  [0xc058_6300n, 24], // 192.88.99.0: relays of 6to4
  [0xc0a8_0000n, 16], // 192.168.0.0: private
  [0xc612_0000n, 15], // 198.18.0.0: measurements
  [0xc633_6400n, 24], // 198.51.100.0: documentation
  [0xcb00_7100n, 24], // 203.0.113.0: documentation
  [0xe000_0000n, 3], // 224.0.0.0: multicast, reserved, broadcast
];

/** the first 32 bits of the network, as numbers of IPv6 are long */
const NOT_PUBLIC_6: readonly [high: bigint, prefix: number][] = [
  [0x0000_0000n, 3], // ::, IPv4 addresses in IPv6 ones, NAT64's 64:ff9b::
  [0x2001_0000n, 23], // 2001::: protocols' own, Teredo's with IPv4 addresses in them
  [0x2001_0db8n, 32], // 2001:db8::: documentation
  [0x2002_0000n, 16], // 2002::: 6to4, with IPv4 addresses in them
  [0x3fff_0000n, 20], // 3fff::: documentation
  [0x4000_0000n, 2], // from here on nothing is given out: unique local, link-local, multicast are here
  [0x8000_0000n, 1],
];
const BEHIND_HIGH = 96n;

const SUBNETS: readonly Subnet[] = [
  ...NOT_PUBLIC_4.map(([first, prefix]): Subnet => ({ family: 4, first, prefix })),
  ...NOT_PUBLIC_6.map(([high, prefix]): Subnet => ({ family: 6, first: high << BEHIND_HIGH, prefix })),
];
const RANGES: Record<Family, AddressRange[]> = { 4: rangesOf(SUBNETS, 4), 6: rangesOf(SUBNETS, 6) };

/** @param others what is not to be taken for public either */
export function notPublic(family: Family, others: readonly Subnet[] = []): AddressRange[] {
  return others.length === 0 ? RANGES[family] : rangesOf([...SUBNETS, ...others], family);
}

export function isPublic(address: IpAddress): boolean {
  return !isWithin(RANGES[address.family], address);
}

/**
 * Ranges of addresses: subnets put together so that none meets another, as the kernel's interval sets want them. Pure.
 */
import type { Element } from '../../host/streams/nftables.ts';
import { BITS, lastOf, type Family, type IpAddress, type Subnet } from '../../notation/ip.ts';

/** both are part of it */
export interface AddressRange {
  first: bigint;
  last: bigint;
}

/** What these subnets of one family have, in order; what meets or touches is one range. */
export function rangesOf(subnets: readonly Subnet[], family: Family): AddressRange[] {
  const sorted = subnets
    .filter((subnet) => subnet.family === family)
    .map((subnet) => ({ first: subnet.first, last: lastOf(subnet) }))
    .toSorted((one, other) => (one.first < other.first ? -1 : one.first > other.first ? 1 : 0));
  const ranges: AddressRange[] = [];
  for (const range of sorted) {
    const before = ranges.at(-1);
    if (before === undefined || range.first > before.last + 1n) ranges.push(range);
    else if (range.last > before.last) before.last = range.last;
  }
  return ranges;
}

export function isWithin(ranges: readonly AddressRange[], { value }: Pick<IpAddress, 'value'>): boolean {
  return ranges.some(({ first, last }) => value >= first && value <= last);
}

/** As elements of a set of ranges: a first address, then the first one behind, unless there is none. */
export function rangeElements(ranges: readonly AddressRange[], family: Family): Element[] {
  const end = 1n << BigInt(BITS[family]);
  return ranges.flatMap(({ first, last }): Element[] => {
    const key = bytesOf({ family, value: first });
    return last + 1n === end
      ? [{ key, open: true }]
      : [{ key }, { key: bytesOf({ family, value: last + 1n }), end: true }];
  });
}

/** An address as the wire has it: 4 or 16 bytes. */
export function bytesOf({ family, value }: IpAddress): Uint8Array {
  return Buffer.from(value.toString(16).padStart(BITS[family] / 4, '0'), 'hex');
}

/** 4 or 16 bytes as an address. An IPv4 address in IPv6's dress stays one of IPv6: so it was in the message. */
export function addressOf(bytes: Uint8Array): IpAddress {
  return { family: bytes.length === BITS[4] / 8 ? 4 : 6, value: BigInt(`0x${Buffer.from(bytes).toString('hex')}`) };
}

/**
 * Which address of a network an endpoint gets, and its hardware address. What is taken is told; who takes it at the
 * same moment is the transaction's question (leases.ts). Pure.
 */
import { HuskError } from '../../errors.ts';
import { contains, formatSubnet, lastOf, parseIp, sizeOf, type IpAddress, type Subnet } from '../../notation/ip.ts';

/** One subnet of a network, as values. */
export interface AddressSpace {
  subnet: Subnet;
  /** where addresses that nobody asked for are from. @default the subnet */
  range?: Subnet;
  gateway?: IpAddress;
  /** addresses that are somebody's outside of husk */
  auxiliary: readonly IpAddress[];
}

/** Docker's: locally administered, then the IPv4 address */
const MAC_PREFIX = [0x02, 0x42];

/**
 * The lowest free one, as Docker gives them.
 * @param taken values of addresses that are leased
 * @throws HuskError `limit` in Docker's words
 */
export function nextAddress(space: AddressSpace, taken: ReadonlySet<bigint>): IpAddress {
  const { subnet, range = subnet } = space;
  const kept = reserved(space);
  for (let value = range.first; value <= lastOf(range); value++)
    if (!taken.has(value) && !kept.has(value)) return { family: subnet.family, value };
  throw new HuskError(`no available IPv${subnet.family} addresses on this network's address pools`, {
    kind: 'limit',
    fix: 'remove containers, or make a network with a larger --subnet or --ip-range',
  });
}

/** The gateway of a network that named none: the lowest address of its range. */
export function defaultGateway(space: Omit<AddressSpace, 'gateway'>): IpAddress {
  return nextAddress(space, new Set());
}

/**
 * An address that was asked for.
 * @returns the subnet it lies in. @throws HuskError in Docker's words where it lies in none, or is the network's own
 */
export function spaceOf(spaces: readonly AddressSpace[], text: string): { space: AddressSpace; address: IpAddress } {
  const address = parseIp(text);
  if (address === undefined) throw new HuskError(`invalid IP address: ${text}`, { kind: 'invalid' });
  const space = spaces.find(({ subnet }) => contains(subnet, address));
  if (space === undefined)
    throw new HuskError(`no configured subnet contains IP address ${text}`, {
      kind: 'invalid',
      fix: `its subnets are ${spaces.map(({ subnet }) => formatSubnet(subnet)).join(', ')}`,
    });
  if (reserved(space, { auxiliary: false }).has(address.value)) throw inUse();
  return { space, address };
}

/** Docker's words for an address that has an owner. */
export function inUse(): HuskError {
  return new HuskError('Address already in use', { kind: 'conflict' });
}

/**
 * What nobody gets: the subnet's own name, where there is room for one, IPv4's broadcast address, the gateway; and, of
 * those that are given without being asked for, the auxiliary ones.
 */
function reserved(
  { subnet, gateway, auxiliary }: AddressSpace,
  options: { auxiliary: boolean } = { auxiliary: true },
): Set<bigint> {
  const all = new Set(options.auxiliary ? auxiliary.map(({ value }) => value) : []);
  if (gateway) all.add(gateway.value);
  // RFC 3021: a subnet of two addresses has two hosts
  if (sizeOf(subnet) <= 2n) return all;
  all.add(subnet.first);
  if (subnet.family === 4) all.add(lastOf(subnet));
  return all;
}

/**
 * The hardware address that belongs to an address: who gets a dead container's address gets its MAC too, so that no
 * neighbour's cache is wrong.
 */
export function macOf({ value }: IpAddress): string {
  // the last 32 bits: all of an IPv4 address, the end of the interface's part of IPv6
  const bytes = [24n, 16n, 8n, 0n].map((shift) => Number((value >> shift) & 0xffn));
  return [...MAC_PREFIX, ...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

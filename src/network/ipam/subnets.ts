/**
 * Which subnet a network gets that asked for none: the first free one of a list of pools, as Docker chooses. Knows
 * neither the networks nor the host's routes, which it is told. Pure.
 */
import { HuskError } from '../../errors.ts';
import {
  BITS,
  formatSubnet,
  lastOf,
  overlap,
  parseCidr,
  sizeOf,
  subnetOf,
  type Family,
  type Subnet,
} from '../../notation/ip.ts';

/** A block of addresses that is cut into subnets. */
export interface Pool {
  base: Subnet;
  /** prefix of each subnet, in bits */
  size: number;
}

/** moby's `default-address-pools`: daemon/libnetwork/ipamutils, local scope */
export const DEFAULT_POOLS: readonly Pool[] = [
  ...[17, 18, 19].map((second) => pool(`172.${second}.0.0/16`, 16)),
  ...[20, 24, 28].map((second) => pool(`172.${second}.0.0/14`, 16)),
  pool('192.168.0.0/16', 20),
];

/** RFC 4193: unique local addresses whose 40 bits behind fd are random */
const ULA_PREFIX = 0xfdn;
const ULA_BITS = 64;

/** `default-address-pools` of the config. */
export interface PoolConfig {
  base: string;
  size: number;
}

/** @throws HuskError `invalid` that names the pool */
export function readPools(configured: readonly PoolConfig[] | undefined): readonly Pool[] {
  if (configured === undefined || configured.length === 0) return DEFAULT_POOLS;
  return configured.map(({ base, size }) => {
    const found = parseCidr(base);
    if (found === undefined || found.subnet.first !== found.address.value)
      throw new HuskError(`default-address-pools: the base "${base}" is no subnet`, {
        kind: 'invalid',
        fix: 'write it as 10.100.0.0/16',
      });
    if (size < found.subnet.prefix || size > BITS[found.subnet.family])
      throw new HuskError(
        `default-address-pools: subnets of size ${size} do not fit into ${base}: use ${found.subnet.prefix} to ${BITS[found.subnet.family]}`,
        { kind: 'invalid' },
      );
    return { base: found.subnet, size };
  });
}

/**
 * The lowest subnet of the pools, in their order, that overlaps none of `taken`.
 * @throws HuskError `limit` in Docker's words
 */
export function nextSubnet(pools: readonly Pool[], family: Family, taken: readonly Subnet[]): Subnet {
  for (const { base, size } of pools) {
    if (base.family !== family) continue;
    let candidate = subnetOf({ family, value: base.first }, size);
    while (candidate.first <= lastOf(base)) {
      const found = candidate;
      const inTheWay = taken.find((other) => overlap(other, found));
      if (inTheWay === undefined) return found;
      // behind what is in the way, which may be larger than one subnet
      const behind = lastOf(inTheWay) > lastOf(found) ? lastOf(inTheWay) : lastOf(found);
      const step = sizeOf(found);
      candidate = { family, prefix: size, first: ((behind + step) / step) * step };
    }
  }
  throw new HuskError('all predefined address pools have been fully subnetted', {
    kind: 'limit',
    fix: 'husk network prune, or default-address-pools in the config',
  });
}

/** @param random 40 random bits as hexadecimal digits */
export function uniqueLocalSubnet(random: string): Subnet {
  const value = ((ULA_PREFIX << 40n) | BigInt(`0x${random}`)) << BigInt(BITS[6] - 48);
  return subnetOf({ family: 6, value }, ULA_BITS);
}

/** @throws HuskError `conflict` in Docker's words */
export function checkFree(subnet: Subnet, taken: readonly { subnet: Subnet; name: string }[]): void {
  const other = taken.find((each) => overlap(each.subnet, subnet));
  if (other)
    throw new HuskError(
      `invalid pool request: Pool overlaps with other one on this address space: ${formatSubnet(subnet)} with ${formatSubnet(other.subnet)} of network ${other.name}`,
      { kind: 'conflict' },
    );
}

function pool(base: string, size: number): Pool {
  return { base: parseCidr(base)!.subnet, size };
}

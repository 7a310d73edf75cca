/**
 * The subnets of a network: as they are asked for, checked in Docker's words, and as values that addresses are taken
 * from. Chooses nothing (subnets.ts does). Source of the texts: moby api/types/network/ipam.go. Pure.
 */
import { HuskError } from '../../errors.ts';
import {
  contains,
  formatSubnet,
  overlap,
  parseCidr,
  parseIp,
  type Family,
  type IpAddress,
  type Subnet,
} from '../../notation/ip.ts';
import type { AddressSpace } from './addresses.ts';

/** One subnet of a network, as text: at most one of each family. */
export interface IpamConfig {
  /** `172.18.0.0/16` */
  subnet: string;
  gateway: string;
  /** where addresses that nobody asked for are from. @default the subnet */
  range?: string;
  /** addresses that are somebody's outside of husk, by name */
  auxiliary: Record<string, string>;
}

/** A subnet as it is asked for. */
export interface IpamRequest {
  subnet: string;
  gateway?: string;
  range?: string;
  auxiliary?: Record<string, string>;
}

/** names that a person may give to addresses of others, and their number */
const MAX_AUXILIARY = 1024;

/**
 * What was asked for, checked.
 * @throws HuskError `invalid` in Docker's words
 */
export function readIpam(
  requests: readonly IpamRequest[],
  families: Record<Family, boolean>,
): (Omit<AddressSpace, 'gateway'> & { gateway?: IpAddress; names: string[] })[] {
  const spaces = requests.map((request) => readOne(request, families));
  for (const [index, { subnet }] of spaces.entries()) {
    const before = spaces.slice(0, index);
    if (before.some((other) => overlap(other.subnet, subnet)))
      throw invalid('multiple overlapping subnet configuration is not supported');
    if (before.some((other) => other.subnet.family === subnet.family))
      throw invalid("bridge driver doesn't support multiple subnets");
  }
  return spaces;
}

function readOne(request: IpamRequest, families: Record<Family, boolean>): ReturnType<typeof readIpam>[number] {
  const { subnet } = readBlock('subnet', request.subnet);
  if (!families[subnet.family])
    throw new HuskError(
      `invalid network config: subnet ${request.subnet} is of IPv${subnet.family}, which this network has not`,
      { kind: 'invalid', fix: subnet.family === 6 ? 'use --ipv6' : 'leave out --ipv4=false' },
    );
  const range = request.range === undefined ? undefined : readRange(request.range, subnet);
  const auxiliary = Object.entries(request.auxiliary ?? {});
  if (auxiliary.length > MAX_AUXILIARY) throw invalid(`over ${MAX_AUXILIARY} auxiliary addresses`);
  return {
    subnet,
    ...(range && { range }),
    ...(request.gateway !== undefined && {
      gateway: readAddress(`invalid gateway ${request.gateway}`, request.gateway, subnet),
    }),
    names: auxiliary.map(([name]) => name),
    auxiliary: auxiliary.map(([name, text]) => readAddress(`invalid auxiliary address ${name}`, text, subnet)),
  };
}

function readBlock(what: string, text: string): { subnet: Subnet } {
  const found = parseCidr(text);
  if (found === undefined) throw invalid(`invalid ${what} ${text}: invalid CIDR block notation`);
  if (found.address.value !== found.subnet.first)
    throw invalid(`invalid ${what} ${text}: it should be ${formatSubnet(found.subnet)}`);
  return found;
}

function readRange(text: string, parent: Subnet): Subnet {
  const { subnet } = readBlock('ip-range', text);
  const shown = formatSubnet(parent);
  if (subnet.family !== parent.family)
    throw invalid(`invalid ip-range ${text}: parent subnet is an IPv${parent.family} block`);
  if (subnet.prefix < parent.prefix)
    throw invalid(`invalid ip-range ${text}: CIDR block is bigger than its parent subnet ${shown}`);
  if (!overlap(subnet, parent))
    throw invalid(`invalid ip-range ${text}: parent subnet ${shown} doesn't contain ip-range`);
  return subnet;
}

function readAddress(what: string, text: string, parent: Subnet): IpAddress {
  const address = parseIp(text);
  if (address === undefined) throw invalid(`${what}: invalid address`);
  if (address.family !== parent.family) throw invalid(`${what}: parent subnet is an IPv${parent.family} block`);
  if (!contains(parent, address))
    throw invalid(`${what}: parent subnet ${formatSubnet(parent)} doesn't contain this address`);
  return address;
}

/** What a record has, which was checked when it was written. */
export function addressSpaces(ipam: readonly IpamConfig[]): AddressSpace[] {
  return ipam.map(({ subnet, gateway, range, auxiliary }) => ({
    subnet: parseCidr(subnet)!.subnet,
    gateway: parseIp(gateway)!,
    ...(range !== undefined && { range: parseCidr(range)!.subnet }),
    auxiliary: Object.values(auxiliary).map((text) => parseIp(text)!),
  }));
}

function invalid(problem: string): HuskError {
  return new HuskError(`invalid network config: ${problem}`, { kind: 'invalid' });
}

/**
 * Combines `--subnet --ip-range --gateway --aux-address` of `network create` as Docker's client does: each address
 * belongs to the subnet that contains it. Source: docker/cli cli/command/network/create.go. These functions are pure.
 */
import { HuskError } from '../../errors.ts';
import { contains, parseCidr, parseIp, type Subnet } from '../../notation/ip.ts';

export interface IpamFlags {
  subnets: readonly string[];
  ranges: readonly string[];
  gateways: readonly string[];
  auxiliary: Readonly<Record<string, string>>;
}

interface Request {
  subnet: string;
  gateway?: string;
  range?: string;
  auxiliary?: Record<string, string>;
}

/** @throws HuskError `invalid` in the words of Docker's client */
export function ipamRequests({ subnets, ranges, gateways, auxiliary }: IpamFlags): Request[] {
  if (subnets.length < ranges.length || subnets.length < gateways.length)
    throw invalid('every ip-range or gateway must have a corresponding subnet');
  const requests: Request[] = [];
  for (const subnet of subnets) {
    if (requests.some((other) => covers(other.subnet, subnet) || covers(subnet, other.subnet)))
      throw invalid('multiple overlapping subnet configuration is not supported');
    requests.push({ subnet });
  }
  for (const range of ranges) {
    readBlock(range);
    const request = ownerOf(requests, range, `no matching subnet for range ${range}`);
    if (request.range !== undefined)
      throw invalid(
        `cannot configure multiple ranges (${range}, ${request.range}) on the same subnet (${request.subnet})`,
      );
    request.range = range;
  }
  for (const gateway of gateways) {
    const request = ownerOf(requests, gateway, `no matching subnet for gateway ${gateway}`);
    if (request.gateway !== undefined)
      throw invalid(
        `cannot configure multiple gateways (${gateway}, ${request.gateway}) for the same subnet (${request.subnet})`,
      );
    request.gateway = gateway;
  }
  for (const [name, address] of Object.entries(auxiliary)) {
    const request = ownerOf(requests, address, `no matching subnet for aux-address ${address}`);
    request.auxiliary = { ...request.auxiliary, [name]: address };
  }
  return requests;
}

function ownerOf(requests: readonly Request[], text: string, problem: string): Request {
  const owner = requests.find(({ subnet }) => covers(subnet, text));
  if (!owner) throw invalid(problem);
  return owner;
}

/** @param text an address, or a block, whose address counts as it is written */
function covers(subnet: string, text: string): boolean {
  const address = text.includes('/') ? readBlock(text).address : parseIp(text);
  return address !== undefined && contains(readBlock(subnet, 'invalid subnet: ').subnet, address);
}

function readBlock(text: string, prefix = ''): { address: ReturnType<typeof parseIp>; subnet: Subnet } {
  const found = parseCidr(text);
  if (found === undefined) throw invalid(`${prefix}invalid CIDR address: ${text}`);
  return found;
}

function invalid(message: string): HuskError {
  return new HuskError(message, { kind: 'invalid' });
}

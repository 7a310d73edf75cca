/**
 * Subnets that this host reaches by routes of its own: a network that had the same addresses would hide them from its
 * containers. Parsers of proc(5)'s tables are apart from the reading; nothing is changed.
 */
import { readFileSync } from 'node:fs';
import { BITS, subnetOf, type Subnet } from '../../notation/ip.ts';

/** lines that are read of a table: a router has a million, and none of them is ours to avoid beyond these */
const MAX_ROUTES = 4096;

/** /proc/net/route: numbers in hexadecimal, addresses as this CPU stores them; the default route is of no subnet */
export function routes4(table: string): Subnet[] {
  return lines(table, 1).flatMap((line) => {
    const [, destination = '', , , , , , mask = ''] = line.split('\t').map((field) => field.trim());
    if (!/^[0-9A-F]{8}$/i.test(destination) || !/^[0-9A-F]{8}$/i.test(mask)) return [];
    const bits = reversed(mask).toString(2).replace(/0+$/, '');
    return bits === '' ? [] : [subnetOf({ family: 4, value: reversed(destination) }, bits.length)];
  });
}

const reversed = (hexadecimal: string): bigint =>
  BigInt(`0x${Buffer.from(hexadecimal, 'hex').reverse().toString('hex')}`);

/** /proc/net/ipv6_route: destination, its length in bits, … */
export function routes6(table: string): Subnet[] {
  return lines(table, 0).flatMap((line) => {
    const [destination = '', length = ''] = line.trim().split(/\s+/);
    const prefix = Number.parseInt(length, 16);
    if (!/^[0-9a-f]{32}$/.test(destination) || !(prefix > 0 && prefix <= BITS[6])) return [];
    return [subnetOf({ family: 6, value: BigInt(`0x${destination}`) }, prefix)];
  });
}

function lines(table: string, skip: number): string[] {
  return table.split('\n', MAX_ROUTES).slice(skip);
}

export function hostRoutes(): Subnet[] {
  return [...routes4(read('/proc/net/route')), ...routes6(read('/proc/net/ipv6_route'))];
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    // a kernel without IPv6, or a host without /proc/net
    return '';
  }
}

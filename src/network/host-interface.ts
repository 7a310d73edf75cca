/**
 * The interface by which this host reaches the world, with its addresses and gateways: by it pasta has
 * IPv6. Parsers of proc(5)'s tables are apart from the reading.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';

interface HostAddress {
  address: string;
  /** bits of the network */
  prefix: number;
  /** absent: the default route names no one, as on a point-to-point link */
  gateway?: string;
}

export interface HostInterface {
  name: string;
  ipv4?: HostAddress;
  ipv6?: HostAddress;
}

export interface DefaultRoute {
  name: string;
  gateway?: string;
}

/** include/uapi/linux/route.h */
const RTF_UP = 1;
const RTF_REJECT = 0x200;
const usable = (flags: number) => (flags & RTF_UP) !== 0 && (flags & RTF_REJECT) === 0;

/** /proc/net/route: one line a route, numbers in hexadecimal, addresses as this CPU stores them */
export function defaultRoute4(table: string): DefaultRoute | undefined {
  const routes = table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [name, destination, gateway, flags, , , metric, mask] = line.split('\t').map((field) => field.trim());
      if (
        name === undefined ||
        destination !== '00000000' ||
        mask !== '00000000' ||
        gateway === undefined ||
        !usable(Number.parseInt(flags ?? '', 16))
      )
        return [];
      const bytes = Buffer.from(gateway, 'hex').reverse();
      return [{ name, metric: Number(metric), ...(bytes.some((byte) => byte !== 0) && { gateway: bytes.join('.') }) }];
    });
  return best(routes);
}

/**
 * /proc/net/ipv6_route: destination, its length, source, its length, gateway, metric, references, uses, flags,
 * interface
 */
export function defaultRoute6(table: string): DefaultRoute | undefined {
  const routes = table.split('\n').flatMap((line) => {
    const [destination, length, , , gateway, metric, , , flags, name] = line.trim().split(/\s+/);
    if (
      name === undefined ||
      name === 'lo' ||
      !/^0+$/.test(destination!) ||
      length !== '00' ||
      !usable(Number.parseInt(flags!, 16))
    )
      return [];
    return [
      {
        name,
        metric: Number.parseInt(metric!, 16),
        ...(!/^0+$/.test(gateway!) && { gateway: gateway!.match(/.{4}/g)!.join(':') }),
      },
    ];
  });
  return best(routes);
}

/** The lowest metric, and of those the first, as the kernel takes them. */
function best<T extends DefaultRoute & { metric: number }>(routes: readonly T[]): DefaultRoute | undefined {
  const [first] = routes.toSorted((one, other) => one.metric - other.metric);
  return first && { name: first.name, ...(first.gateway !== undefined && { gateway: first.gateway }) };
}

/**
 * Pure: the two default routes and every interface's addresses → the one to copy. IPv6 only where it leaves by the same
 * interface.
 */
export function chooseInterface(
  routes: { ipv4?: DefaultRoute; ipv6?: DefaultRoute },
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
): HostInterface | undefined {
  const ipv4 = addressOf(routes.ipv4, 'IPv4', interfaces);
  const ipv6 = addressOf(routes.ipv6, 'IPv6', interfaces);
  if (ipv4 !== undefined)
    return {
      name: routes.ipv4!.name,
      ipv4,
      ...(ipv6 !== undefined && routes.ipv6!.name === routes.ipv4!.name && { ipv6 }),
    };
  return ipv6 && { name: routes.ipv6!.name, ipv6 };
}

function addressOf(
  route: DefaultRoute | undefined,
  family: 'IPv4' | 'IPv6',
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
): HostAddress | undefined {
  const found =
    route &&
    interfaces[route.name]?.find(
      (info) => info.family === family && !info.internal && !info.address.startsWith('fe80:'),
    );
  return (
    found && {
      address: found.address,
      prefix: Number(found.cidr!.split('/')[1]),
      ...(route.gateway !== undefined && { gateway: route.gateway }),
    }
  );
}

/**
 * An address of this host by which its containers reach it: that by which it leaves itself, else any that is no
 * loopback's. Containers have no way to the loopback. Pure.
 */
export function chooseHostAddress(
  leaves: HostInterface | undefined,
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
): string | undefined {
  const own = Object.values(interfaces)
    .flatMap((infos) => infos ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
  const first = own.find(({ family }) => family === 'IPv4') ?? own[0];
  return leaves?.ipv4?.address ?? leaves?.ipv6?.address ?? first?.address;
}

export const hostAddress = (): string | undefined => chooseHostAddress(hostInterface(), networkInterfaces());

/** undefined when this host has no way to the world itself */
export function hostInterface(): HostInterface | undefined {
  const routes = { ipv4: defaultRoute4(read('/proc/net/route')), ipv6: defaultRoute6(read('/proc/net/ipv6_route')) };
  return chooseInterface(routes, networkInterfaces());
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return ''; // a kernel without IPv6
  }
}

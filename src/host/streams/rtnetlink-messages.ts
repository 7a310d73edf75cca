/**
 * The messages of rtnetlink(7) that rtnetlink.ts sends and reads: structures in front of attributes. Numbers are of
 * include/uapi/linux/{rtnetlink,if_link,if_addr,if}.h. Pure.
 */
import { AF_INET, AF_INET6, macText } from './address-bytes.ts';
import { attribute, cString, nested, readAttributes } from './netlink-attributes.ts';

/** linux/socket.h */
const AF_UNSPEC = 0;
const IFF_UP = 1;
export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFA_BROADCAST = 4;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
/** bytes of a name with its NUL (linux/if.h) */
const IFNAMSIZ = 16;
/** bytes of struct ifinfomsg, of which answers have attributes behind */
const IFINFOMSG = 16;
/** prefix lengths from which IPv4 has no broadcast address (RFC 3021) */
const POINT_TO_POINT = 31;

export interface LinkInfo {
  index: number;
  name: string;
  /** index of the bridge it is a port of */
  master: number | undefined;
  mac: string | undefined;
  up: boolean;
  /** bytes */
  mtu: number;
}

export type AddressFamily = 4 | 6;

export function kernelFamily(family: AddressFamily): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** @throws RangeError for what the kernel would cut or refuse */
export function interfaceName(name: string): Uint8Array {
  const bytes = cString(name);
  if (bytes.length > IFNAMSIZ || bytes.length < 2) throw new RangeError(`"${name}" is no name for an interface`);
  return bytes;
}

export function linkMessage(index: number, options: { family?: number; up?: boolean } = {}): Uint8Array {
  const message = Buffer.alloc(IFINFOMSG); // struct ifinfomsg: family, padding, type, index, flags, which flags
  message[0] = options.family ?? AF_UNSPEC;
  message.writeInt32LE(index, 4);
  message.writeUInt32LE(options.up ? IFF_UP : 0, 8);
  message.writeUInt32LE(options.up ? IFF_UP : 0, 12);
  return message;
}

export function linkKind(kind: string, data: Uint8Array): Uint8Array {
  return nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, cString(kind)), data);
}

export function routeMessage(
  family: AddressFamily,
  route: { scope: number; type: number; flags?: number; table?: number; protocol?: number },
): Uint8Array {
  const message = Buffer.alloc(12); // struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags
  message[0] = kernelFamily(family);
  message[4] = route.table ?? RT_TABLE_MAIN;
  message[5] = route.protocol ?? RTPROT_BOOT;
  message[6] = route.scope;
  message[7] = route.type;
  message.writeUInt32LE(route.flags ?? 0, 8);
  return message;
}

export function readLink(body: Buffer): LinkInfo {
  const attributes = readAttributes(body.subarray(IFINFOMSG));
  const mac = attributes.get(IFLA_ADDRESS);
  return {
    index: body.readInt32LE(4),
    name: attributes.get(IFLA_IFNAME)?.toString('latin1').replace(/\0.*$/s, '') ?? '',
    master: attributes.get(IFLA_MASTER)?.readUInt32LE(0),
    mac: mac && macText(mac),
    up: (body.readUInt32LE(8) & IFF_UP) !== 0,
    mtu: attributes.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
  };
}

/** As ip(8) does it with `brd +`: every host bit set. */
export function broadcast(address: Uint8Array, prefix: number): Uint8Array[] {
  if (prefix >= POINT_TO_POINT) return [];
  const all = Buffer.from(address);
  all.writeUInt32BE((all.readUInt32BE(0) | (2 ** (32 - prefix) - 1)) >>> 0, 0);
  return [attribute(IFA_BROADCAST, all)];
}

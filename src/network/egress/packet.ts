/**
 * Whose connection a packet is of: addresses, protocol and port out of its first bytes, which a container has written
 * as it liked. Reads no byte that is not there. Pure.
 */
import { addressOfBytes } from '../names/address.ts';

export interface PacketHead {
  source: string;
  destination: string;
  /** `tcp`, `udp`, `icmp`, `icmpv6`, or a number of IANA's */
  protocol: string;
  /** that it is for: of TCP and UDP */
  port?: number;
}

/** RFC 791 §3.1: bytes of a header without options; places in it */
const IPV4_HEADER = 20;
const IPV4 = { protocol: 9, source: 12, destination: 16, fragment: 6 };
/** the part that says where a fragment lies */
const FRAGMENT_OFFSET = 0x1fff;
/** RFC 8200 §3 */
const IPV6_HEADER = 40;
const IPV6 = { next: 6, source: 8, destination: 24 };
/**
 * RFC 8200 §4: hop-by-hop, routing, destination options; each has its length in units of 8 bytes behind the next one's
 * type
 */
const EXTENSIONS = new Set([0, 43, 60]);
const FRAGMENT = 44;
const MOST_EXTENSIONS = 8;
const PROTOCOLS: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };
const HAS_PORTS = new Set([6, 17]);
/** bytes: of both ports (RFC 9293 §3.1, RFC 768) */
const PORTS = 4;

/** @param bytes from the network header on @returns undefined for what is neither IPv4 nor IPv6 */
export function readPacketHead(bytes: Buffer): PacketHead | undefined {
  const version = bytes.length === 0 ? 0 : bytes[0]! >> 4;
  return version === 4 ? readIpv4(bytes) : version === 6 ? readIpv6(bytes) : undefined;
}

function readIpv4(bytes: Buffer): PacketHead | undefined {
  if (bytes.length < IPV4_HEADER) return undefined;
  const isFirst = (bytes.readUInt16BE(IPV4.fragment) & FRAGMENT_OFFSET) === 0;
  return head(bytes, {
    source: bytes.subarray(IPV4.source, IPV4.source + 4),
    destination: bytes.subarray(IPV4.destination, IPV4.destination + 4),
    protocol: bytes[IPV4.protocol]!,
    at: isFirst ? 4 * (bytes[0]! & 0xf) : undefined,
  });
}

function readIpv6(bytes: Buffer): PacketHead | undefined {
  if (bytes.length < IPV6_HEADER) return undefined;
  let protocol = bytes[IPV6.next]!;
  let at: number | undefined = IPV6_HEADER;
  for (let count = 0; count < MOST_EXTENSIONS && at + 8 <= bytes.length; count++) {
    if (protocol === FRAGMENT) {
      protocol = bytes[at]!;
      at = bytes.readUInt16BE(at + 2) >> 3 === 0 ? at + 8 : undefined;
      if (at === undefined) break;
    } else if (EXTENSIONS.has(protocol)) {
      protocol = bytes[at]!;
      at += 8 * (bytes[at + 1]! + 1);
    } else break;
  }
  return head(bytes, {
    source: bytes.subarray(IPV6.source, IPV6.source + 16),
    destination: bytes.subarray(IPV6.destination, IPV6.destination + 16),
    protocol,
    at,
  });
}

/** @param where.at of the transport header; undefined: it is in another fragment */
function head(
  bytes: Buffer,
  where: { source: Buffer; destination: Buffer; protocol: number; at: number | undefined },
): PacketHead {
  const { at, protocol } = where;
  const hasPort = at !== undefined && at >= IPV4_HEADER && HAS_PORTS.has(protocol) && at + PORTS <= bytes.length;
  return {
    source: addressOfBytes(where.source),
    destination: addressOfBytes(where.destination),
    protocol: PROTOCOLS[protocol] ?? String(protocol),
    ...(hasPort && { port: bytes.readUInt16BE(at + 2) }),
  };
}

/**
 * Which frames may leave and reach a machine, before anybody else sees them: the second wall before the rules at its
 * port of the bridge (src/network/rules.ts), which know whose addresses are whose. Attack: the guest's root builds a
 * frame to 127.0.0.1 or ::1 by hand, or to one of the group addresses that a bridge does not pass on but hands to its
 * own port.
 *
 * An allow-list: Ethernet without a VLAN tag, with IPv4, IPv6 or ARP in it, whose headers are whole and hide no second
 * destination. Every fragment carries both addresses and is judged by them. Pure; every offset is checked against the
 * frame's end. It keeps no state, so nothing can fill it.
 */

/** IEEE 802.3: two addresses, a type. A tag of 802.1Q or 802.1ad, or a length, is none of the types below */
const ETHERNET = 14;
const ETHERTYPE = 12;
/** IEEE 802.1Q §8.6.3: 01-80-C2-00-00-00 to -0F are for bridges alone */
const FOR_BRIDGES = [0x01, 0x80, 0xc2, 0x00, 0x00];
const IPV4 = 0x0800;
const ARP = 0x0806;
const IPV6 = 0x86dd;

/** RFC 791 §3.1 */
const IPV4_HEADER = 20;
const IPV4_SOURCE = 12;
const IPV4_DESTINATION = 16;
const OPTION_END = 0;
const OPTION_NOOP = 1;
/** loose and strict source routes: the destination in the header is not the last one */
const SOURCE_ROUTES = new Set([131, 137]);

/** RFC 826 for Ethernet and IPv4: hardware 1, protocol 0x0800, lengths 6 and 4 */
const ARP_SIZE = 28;
const ARP_KIND = [0, 1, 8, 0, 6, 4];
const ARP_SENDER = 14;
const ARP_TARGET = 24;

/** RFC 8200 §3 */
const IPV6_HEADER = 40;
const IPV6_NEXT = 6;
const IPV6_SOURCE = 8;
const IPV6_DESTINATION = 24;
const ADDRESS6 = 16;
/**
 * RFC 8200 §4: headers that stand before the payload; each says its length in units of eight bytes beyond the first
 * eight
 */
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
/** RFC 4302: unlike the others its length is in units of four */
const AUTHENTICATION = 51;
const MAX_EXTENSIONS = 8;
/** bits of the fragment header's third and fourth byte: the offset */
const FRAGMENT_OFFSET = 0xfff8;
const ICMPV6 = 58;
/** RFC 4861 §4.3, §4.4: the address that is asked for or told of lies behind eight bytes */
const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;
const NEIGHBOR_TARGET = 8;

export interface FrameFilter {
  /** of the guest's, on their way out */
  mayLeave(frame: Uint8Array): boolean;
  /** for the guest */
  mayEnter(frame: Uint8Array): boolean;
}

export const frameFilter: FrameFilter = {
  mayLeave: (frame) => isSound(frame) && !FOR_BRIDGES.every((byte, at) => frame[at] === byte),
  mayEnter: isSound,
};

function isSound(frame: Uint8Array): boolean {
  if (frame.length < ETHERNET) return false;
  const packet = frame.subarray(ETHERNET);
  switch (u16(frame, ETHERTYPE)) {
    case IPV4:
      return isSound4(packet);
    case IPV6:
      return isSound6(packet);
    case ARP:
      return isSoundArp(packet);
    default:
      return false;
  }
}

function isSound4(packet: Uint8Array): boolean {
  if (packet.length < IPV4_HEADER || packet[0]! >> 4 !== 4) return false;
  const length = (packet[0]! & 0xf) * 4;
  if (length < IPV4_HEADER || length > packet.length || hasSourceRoute(packet.subarray(IPV4_HEADER, length)))
    return false;
  return !isOwn4(packet, IPV4_SOURCE) && !isOwn4(packet, IPV4_DESTINATION);
}

/** Options that are cut off or have no length hide what is behind them: as bad as a route. */
function hasSourceRoute(options: Uint8Array): boolean {
  for (let at = 0; at < options.length;) {
    const kind = options[at]!;
    if (kind === OPTION_END) return false;
    if (SOURCE_ROUTES.has(kind)) return true;
    const length = kind === OPTION_NOOP ? 1 : (options[at + 1] ?? 0);
    if (length === 0 || (length === 1 && kind !== OPTION_NOOP) || at + length > options.length) return true;
    at += length;
  }
  return false;
}

function isSoundArp(packet: Uint8Array): boolean {
  if (packet.length < ARP_SIZE || ARP_KIND.some((byte, at) => packet[at] !== byte)) return false;
  return !isOwn4(packet, ARP_SENDER) && !isOwn4(packet, ARP_TARGET);
}

function isSound6(packet: Uint8Array): boolean {
  if (packet.length < IPV6_HEADER || packet[0]! >> 4 !== 6) return false;
  if (isOwn6(packet, IPV6_SOURCE) || isOwn6(packet, IPV6_DESTINATION)) return false;
  let next = packet[IPV6_NEXT]!;
  let at = IPV6_HEADER;
  for (let count = 0; isExtension(next); count++) {
    // Whatever its type, a routing header names other destinations. Headers that are cut off hide what is behind them.
    if (next === ROUTING || count === MAX_EXTENSIONS || at + 8 > packet.length) return false;
    if (next === FRAGMENT && (u16(packet, at + 2) & FRAGMENT_OFFSET) !== 0) return packet[at] !== ICMPV6;
    const length =
      next === FRAGMENT ? 8 : next === AUTHENTICATION ? (packet[at + 1]! + 2) * 4 : (packet[at + 1]! + 1) * 8;
    next = packet[at]!;
    at += length;
  }
  return next !== ICMPV6 || isSoundNeighbor(packet, at);
}

const isExtension = (header: number) =>
  header === HOP_BY_HOP ||
  header === ROUTING ||
  header === FRAGMENT ||
  header === DESTINATION_OPTIONS ||
  header === AUTHENTICATION;

/** Of ICMPv6, neighbour discovery names an address of its own. */
function isSoundNeighbor(packet: Uint8Array, at: number): boolean {
  if (at >= packet.length) return false;
  if (packet[at] !== NEIGHBOR_SOLICITATION && packet[at] !== NEIGHBOR_ADVERTISEMENT) return true;
  const target = at + NEIGHBOR_TARGET;
  return target + ADDRESS6 <= packet.length && !isOwn6(packet, target);
}

/** RFC 1122 §3.2.1.3: "this host" and loopback are never on a wire. */
const isOwn4 = (packet: Uint8Array, at: number) => packet[at] === 0 || packet[at] === 127;

/**
 * RFC 4291 §2.5.5: ::, ::1 and all IPv4 addresses in IPv6 form, old (::/96) and new (::ffff:0:0/96, and ::ffff:0:0:0/96
 * of RFC 2765).
 */
function isOwn6(packet: Uint8Array, at: number): boolean {
  for (let i = 0; i < 8; i++) if (packet[at + i] !== 0) return false;
  const [high, low] = [u16(packet, at + 8), u16(packet, at + 10)];
  return (high === 0 && (low === 0 || low === 0xffff)) || (high === 0xffff && low === 0);
}

const u16 = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!;

/**
 * What rules look at in a packet: expressions that load a field, or continue only for packets of a kind. Offsets are in
 * bytes of the named header. Pure.
 */
import { interfaceKey } from './nftables.ts';
import { compare, mask, meta, payload, type Expression } from './nftables-expressions.ts';

/** linux/if_ether.h: ETH_P_* */
const ETHER_TYPES = { ip: 0x0800, arp: 0x0806, ip6: 0x86dd };
/** linux/netfilter.h: NFPROTO_* */
const FAMILIES = { ip: 2, ip6: 10 };
/** linux/in.h, linux/in6.h: IPPROTO_* */
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 };

export type IpVersion = 'ip' | 'ip6';
export type TransportProtocol = keyof typeof PROTOCOLS;

/** struct ethhdr (linux/if_ether.h): destination, source, type */
const ETHER_DESTINATION = { offset: 0, length: 6 };
const ETHER_SOURCE = { offset: 6, length: 6 };
const ETHER_TYPE = { offset: 12, length: 2 };
/** RFC 826, of Ethernet and IPv4: two types and two lengths, operation, sender's MAC and address, target's */
const ARP_HEAD = { offset: 0, length: 6 };
const ARP_OF_ETHERNET_AND_IPV4 = Uint8Array.of(0, 1, 0x08, 0x00, 6, 4);
const ARP_SENDER_MAC = { offset: 8, length: 6 };
const ARP_SENDER_ADDRESS = { offset: 14, length: 4 };
/** RFC 791 §3.1, RFC 8200 §3 */
const ADDRESSES = {
  ip: { source: { offset: 12, length: 4 }, destination: { offset: 16, length: 4 } },
  ip6: { source: { offset: 8, length: 16 }, destination: { offset: 24, length: 16 } },
};
/** RFC 792, RFC 4443 §2.1 */
const ICMP_TYPE = { offset: 0, length: 1 };
/** RFC 4861 §4.3, §4.4: the target address of solicitations and advertisements */
const ND_TARGET = { offset: 8, length: 16 };
/** RFC 768, RFC 9293 §3.1: the same place in both */
const DESTINATION_PORT = { offset: 2, length: 2 };
const SOURCE_PORT = { offset: 0, length: 2 };

/** From this interface, or with `not` from any other. */
export function from(name: string, { not = false } = {}): Expression[] {
  return [meta('iifname'), compare(interfaceKey(name), not ? 'neq' : 'eq')];
}

/** By this interface. */
export function to(name: string): Expression[] {
  return [meta('oifname'), compare(interfaceKey(name))];
}

/**
 * Frames that carry this. It is read from the frame and not from what the kernel makes of it: there a frame with a VLAN
 * tag has the type of what is behind the tag.
 */
export function etherType(type: keyof typeof ETHER_TYPES): Expression[] {
  const bytes = Buffer.alloc(ETHER_TYPE.length);
  bytes.writeUInt16BE(ETHER_TYPES[type]);
  return [payload('link', ETHER_TYPE.offset, ETHER_TYPE.length), compare(bytes)];
}

/** Frames for this MAC address. */
export function etherTo(mac: Uint8Array): Expression[] {
  return [payload('link', ETHER_DESTINATION.offset, ETHER_DESTINATION.length), compare(mac)];
}

/** Loads port and sender's MAC address, as one key. */
export function portAndMac(): Expression[] {
  return afterPort('link', ETHER_SOURCE);
}

/** ARP that speaks of Ethernet and IPv4, the only one there is. */
export function arpOfIpv4(): Expression[] {
  return [payload('network', ARP_HEAD.offset, ARP_HEAD.length), compare(ARP_OF_ETHERNET_AND_IPV4)];
}

/** Loads port and the MAC address that an ARP message is said to come from, as one key. */
export function portAndArpMac(): Expression[] {
  return afterPort('network', ARP_SENDER_MAC);
}

/** The same of the IPv4 address. */
export function portAndArpAddress(): Expression[] {
  return afterPort('network', ARP_SENDER_ADDRESS);
}

/** Loads port and source address, as one key; of packets whose version is known. */
export function portAndSource(version: IpVersion): Expression[] {
  return afterPort('network', ADDRESSES[version].source);
}

/** Loads port and the address that a neighbour discovery message is about, as one key. */
export function portAndNdTarget(): Expression[] {
  return afterPort('transport', ND_TARGET);
}

/** Neighbour discovery about an address of this network. */
export function ndTargetIn(network: Uint8Array, bits: number): Expression[] {
  return inNetwork(payload('transport', ND_TARGET.offset, ND_TARGET.length), network, bits);
}

/** Packets of this IP version, where a table has both. */
export function version(of: IpVersion): Expression[] {
  return [meta('nfproto'), compare(Uint8Array.of(FAMILIES[of]))];
}

/** Loads an address; of packets whose version is known. */
export function address(of: IpVersion, which: 'source' | 'destination'): Expression {
  const { offset, length } = ADDRESSES[of][which];
  return payload('network', offset, length);
}

export function sourceIn(of: IpVersion, network: Uint8Array, bits: number): Expression[] {
  return inNetwork(address(of, 'source'), network, bits);
}

export function transport(protocol: TransportProtocol): Expression[] {
  return [meta('l4proto'), compare(Uint8Array.of(PROTOCOLS[protocol]))];
}

/** Of packets whose protocol is known. */
export function destinationPort(port: number): Expression[] {
  return [loadDestinationPort(), compare(portBytes(port))];
}

export function loadDestinationPort(): Expression {
  return payload('transport', DESTINATION_PORT.offset, DESTINATION_PORT.length);
}

export function sourcePort(port: number): Expression[] {
  return [payload('transport', SOURCE_PORT.offset, SOURCE_PORT.length), compare(portBytes(port))];
}

export function icmpType(protocol: 'icmp' | 'icmpv6', type: number): Expression[] {
  const load = payload('transport', ICMP_TYPE.offset, ICMP_TYPE.length);
  return [...transport(protocol), load, compare(Uint8Array.of(type))];
}

export function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 0xff);
}

function afterPort(base: 'link' | 'network' | 'transport', { offset, length }: { offset: number; length: number }) {
  const name = meta('iifname');
  return [name, payload(base, offset, length, interfaceKey('').length)];
}

function inNetwork(load: Expression, network: Uint8Array, bits: number): Expression[] {
  const ones = network.map((_, index) => {
    const left = Math.min(8, Math.max(0, bits - 8 * index));
    return 0xff & (0xff00 >> left);
  });
  return [load, ...(bits === 8 * network.length ? [] : [mask(ones)]), compare(network)];
}

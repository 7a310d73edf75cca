/**
 * The packet filter of one network's namespace: as whom its members may speak, where they may go, and what reaches the
 * namespace itself. Rules are constant in number; only elements of sets come and go with members. Everything here makes
 * batches and commits none.
 *
 * - `bridge husk`, at the members' ports: MAC, IPv4, IPv6, ARP and neighbour discovery senders are those of the port.
 *   It keeps no state: not every kernel tracks connections in a bridge.
 * - `inet husk`: replies for the forwarder's transparent sockets, what the gateway answers, the way out.
 *
 * Places for rules of single members (egress/filter.ts): the verdict maps `egress` (bridge, by port) and `egress4`,
 * `egress6` (inet, by source), whose elements go to chains that decide, and the maps `log`, `log4` and `log6` of the
 * chain `refused`, which every refusal passes: their elements jump to chains that tell of it and return.
 */
import { addressBytes, macBytes } from '../host/streams/address-bytes.ts';
import {
  concatenate,
  interfaceKey,
  NftablesBatch,
  type Element,
  type Hook,
  type Table,
} from '../host/streams/nftables.ts';
import {
  compare,
  connectionsOver,
  connectionState,
  lookup,
  masquerade,
  meta,
  rejectProhibited,
  rejectWithReset,
  setMark,
  transparentSocket,
  verdict,
  verdictMap,
  type Expression,
} from '../host/streams/nftables-expressions.ts';
import { u32 } from '../host/streams/netlink-attributes.ts';
import { neverElements } from './never.ts';
import {
  address,
  arpOfIpv4,
  destinationPort,
  etherType,
  from,
  icmpType,
  ndTargetIn,
  portAndArpAddress,
  portAndArpMac,
  portAndMac,
  portAndNdTarget,
  portAndSource,
  sourceIn,
  to,
  transport,
  version,
  type IpVersion,
} from '../host/streams/packet-fields.ts';

/** interfaces of a network's namespace */
export const BRIDGE = 'br0';
export const OUT = 'out';
const LOOPBACK = 'lo';
/** of packets for the forwarder's transparent sockets: they are routed to this machine (bridge.ts) */
export const TRANSPARENT_MARK = 1;
/** where pasta takes questions for resolvers on the host's loopback (its --dns-forward) */
const RESOLVER = '169.254.1.1';
const DNS = 53;

/** connections of one member at once that leave the network */
const MOST_FLOWS = 4096;
/** members' addresses that have connections; a bridge has at most 1023 ports */
const MOST_SOURCES = 4096;

/** linux/netfilter_ipv4.h: NF_IP_PRI_*; that of the bridge's is before everything, br_netfilter's hooks too */
const PRIORITY = { first: -300, mangle: -150, filter: 0, sourceNat: 100 };
/** linux/icmp.h; RFC 4443 §4.1; RFC 4861 §4 */
const ECHO_REQUEST = { icmp: 8, icmpv6: 128 } as const;
const ROUTER_ADVERTISEMENT = 134;
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
const REDIRECT = 137;
/** RFC 4291 §2.5.6, §2.5.2: bits */
const LINK_LOCAL = { network: 'fe80::', bits: 10 };
const UNSPECIFIED = { network: '::', bits: 128 };
const METADATA: Record<IpVersion, string> = { ip: '169.254.169.254', ip6: 'fd00:ec2::254' };

export const PORTS: Table = { family: 'bridge', name: 'husk' };
export const ROUTED: Table = { family: 'inet', name: 'husk' };
const VERSIONS = ['ip', 'ip6'] as const;
const OWN: Record<IpVersion, string> = { ip: 'own4', ip6: 'own6' };
const NEVER: Record<IpVersion, string> = { ip: 'never4', ip6: 'never6' };
const FLOWS: Record<IpVersion, string> = { ip: 'flows4', ip6: 'flows6' };
/** maps by a member's address; those by its port are `egress` and `log` */
export const EGRESS: Record<IpVersion, string> = { ip: 'egress4', ip6: 'egress6' };
export const LOG: Record<IpVersion, string> = { ip: 'log4', ip6: 'log6' };
const KEYS = { ip: 'ipv4_addr', ip6: 'ipv6_addr' } as const;

/** Those whose rules are the same for all members, in both tables. */
export const NETWORK_CHAINS: ReadonlySet<string> = new Set(
  'refused neighbours arp discovery ip6 prerouting leaving ports transparent input forward postrouting'.split(' '),
);

export interface NetworkRules {
  /** the IP versions that the network has; isolated: without an address of the gateway, which then answers nothing */
  versions: { readonly [of in IpVersion]?: 'nat' | 'isolated' };
  /** nothing leaves the network */
  internal?: boolean;
  /** what leaves has the address of `out` @default true */
  masquerade?: boolean;
  /** clouds' metadata addresses can be reached */
  metadata?: boolean;
  /** the kernel finds transparent sockets (nft_socket) @default true */
  transparent?: boolean;
}

/** A member of the network, at its port of the bridge. */
export interface EndpointRules {
  port: string;
  mac: string;
  ipv4?: string;
  ipv6?: string;
}

/**
 * All of a network's rules. Over rules that are there already it is a repair, in one step for the packets under way:
 * chains and sets named here become as they should be, and egress maps, chains and sets of members stay as they are.
 * @param endpoints the members there are
 */
export function networkRules(network: NetworkRules, endpoints: readonly EndpointRules[] = []): NftablesBatch {
  const batch = new NftablesBatch();
  addPortTable(batch, network);
  addRoutedTable(batch, network);
  batch.flushSet(PORTS, 'macs');
  for (const of of VERSIONS) batch.flushSet(PORTS, OWN[of]);
  for (const [set, elements] of portElements(endpoints)) batch.addElements(PORTS, set, elements);
  return batch;
}

/** What lets a member speak, as itself; removing it again may be done more than once. */
export function endpointRules(endpoint: EndpointRules, what: 'add' | 'remove'): NftablesBatch {
  const batch = new NftablesBatch();
  for (const [set, elements] of portElements([endpoint]))
    if (what === 'add') batch.addElements(PORTS, set, elements);
    else batch.removeElements(PORTS, set, elements);
  return batch;
}

/** The elements that all sets of a network are to have, over those that they have: the cheap half of a repair. */
export function networkElements(endpoints: readonly EndpointRules[]): NftablesBatch {
  const batch = new NftablesBatch();
  for (const of of VERSIONS) addNever(batch, of);
  for (const [set, elements] of portElements(endpoints)) batch.addElements(PORTS, set, elements);
  return batch;
}

function addNever(batch: NftablesBatch, of: IpVersion): void {
  batch.flushSet(ROUTED, NEVER[of]).addElements(ROUTED, NEVER[of], neverElements(of));
}

function portElements(endpoints: readonly EndpointRules[]): [set: string, Element[]][] {
  const element = (port: string, value: Uint8Array) => ({ key: concatenate(interfaceKey(port), value) });
  const addresses = (of: 'ipv4' | 'ipv6') =>
    endpoints.flatMap(({ port, [of]: own }) => (own === undefined ? [] : [element(port, addressBytes(own))]));
  return [
    ['macs', endpoints.map(({ port, mac }) => element(port, macBytes(mac)))],
    [OWN.ip, addresses('ipv4')],
    [OWN.ip6, addresses('ipv6')],
  ];
}

function addPortTable(batch: NftablesBatch, { versions }: NetworkRules): void {
  batch.table(PORTS).set(PORTS, 'macs', { key: ['ifname', 'ether_addr'] });
  for (const of of VERSIONS) batch.set(PORTS, OWN[of], { key: ['ifname', KEYS[of]] });
  for (const map of ['egress', 'log']) batch.verdictMap(PORTS, map, { key: ['ifname'] });
  const rule = chains(batch, PORTS, {
    refused: undefined,
    neighbours: undefined,
    arp: undefined,
    discovery: undefined,
    ip6: undefined,
    prerouting: { type: 'filter', hook: 'prerouting', priority: PRIORITY.first, policy: 'drop' },
  });
  const refused = verdict({ goto: 'refused' });
  const accept = verdict('accept');
  // the type is looked at again so that nft(8) can say what the offsets behind it are
  const ownSource = (of: IpVersion) => [...etherType(of), ...portAndSource(of), lookup(OWN[of])];
  const source = ({ network, bits }: typeof LINK_LOCAL) => [
    ...etherType('ip6'),
    ...sourceIn('ip6', addressBytes(network), bits),
  ];
  const aboutLinkLocal = ndTargetIn(addressBytes(LINK_LOCAL.network), LINK_LOCAL.bits);
  const aboutOwn = [...portAndNdTarget(), lookup(OWN.ip6)];
  const icmpv6 = (type: number) => icmpType('icmpv6', type);

  rule('refused', meta('iifname'), verdictMap('log'));
  rule('refused', verdict('drop'));

  rule('neighbours', meta('iifname'), verdictMap('egress'));
  rule('neighbours', accept);

  const [arpMac, arpAddress] = [lookup('macs'), lookup(OWN.ip)];
  rule('arp', etherType('arp'), arpOfIpv4(), portAndArpMac(), arpMac, portAndArpAddress(), arpAddress, accept);
  rule('arp', refused);

  // an advertisement must be about the port's own address, or it would turn another's packets its way
  rule('discovery', icmpv6(ADVERTISEMENT), aboutOwn, accept);
  rule('discovery', icmpv6(ADVERTISEMENT), aboutLinkLocal, accept);
  rule('discovery', icmpv6(ADVERTISEMENT), refused);
  rule('discovery', icmpv6(SOLICITATION), accept);
  // the only router is the bridge, and members have its address
  rule('discovery', icmpv6(ROUTER_ADVERTISEMENT), refused);
  rule('discovery', icmpv6(REDIRECT), refused);

  rule('ip6', transport('icmpv6'), ownSource('ip6'), verdict({ jump: 'discovery' }));
  rule('ip6', ownSource('ip6'), verdict({ goto: 'neighbours' }));
  rule('ip6', transport('icmpv6'), source(LINK_LOCAL), verdict({ jump: 'discovery' }));
  // whether an address is free is asked without having one: of the own ones only, or nobody could take his
  rule('ip6', source(UNSPECIFIED), icmpv6(SOLICITATION), aboutOwn, accept);
  rule('ip6', source(UNSPECIFIED), icmpv6(SOLICITATION), aboutLinkLocal, accept);
  // what every system says by itself, to routers and about its multicast groups: no attempt at anything
  rule('ip6', source(LINK_LOCAL), verdict('drop'));
  rule('ip6', source(UNSPECIFIED), verdict('drop'));
  rule('ip6', refused);

  rule('prerouting', portAndMac(), lookup('macs', { absent: true }), refused);
  if (versions.ip) rule('prerouting', etherType('arp'), verdict({ goto: 'arp' }));
  if (versions.ip) rule('prerouting', ownSource('ip'), verdict({ goto: 'neighbours' }));
  if (versions.ip6) rule('prerouting', etherType('ip6'), verdict({ goto: 'ip6' }));
  rule('prerouting', refused);
}

function addRoutedTable(batch: NftablesBatch, network: NetworkRules): void {
  batch.table(ROUTED);
  for (const of of VERSIONS) {
    batch.set(ROUTED, NEVER[of], { key: [KEYS[of]], interval: true });
    addNever(batch, of);
    batch.set(ROUTED, FLOWS[of], { key: [KEYS[of]], dynamic: true, size: MOST_SOURCES });
    for (const map of [EGRESS, LOG]) batch.verdictMap(ROUTED, map[of], { key: [KEYS[of]] });
  }
  const filter = { type: 'filter', priority: PRIORITY.filter, policy: 'drop' } as const;
  const rule = chains(batch, ROUTED, {
    refused: undefined,
    leaving: undefined,
    ports: { type: 'filter', hook: 'prerouting', priority: PRIORITY.first, policy: 'accept' },
    transparent: { type: 'filter', hook: 'prerouting', priority: PRIORITY.mangle, policy: 'accept' },
    input: { ...filter, hook: 'input' },
    forward: { ...filter, hook: 'forward' },
    postrouting: { type: 'nat', hook: 'postrouting', priority: PRIORITY.sourceNat, policy: 'accept' },
  });
  const refused = verdict({ goto: 'refused' });
  const accept = verdict('accept');
  const known = [...connectionState('established', 'related'), accept];
  const destination = (of: IpVersion) => [...version(of), address(of, 'destination')];
  const source = (of: IpVersion) => [...version(of), address(of, 'source')];

  for (const of of VERSIONS) rule('refused', source(of), verdictMap(LOG[of]));
  rule('refused', transport('tcp'), rejectWithReset());
  rule('refused', rejectProhibited());

  // A frame to one of the group addresses that bridges keep for themselves is handed to the port's own IP stack, past
  // the bridge and the filter of its ports: no port is a place where packets come from.
  for (const name of [LOOPBACK, OUT]) rule('ports', from(name), accept);
  rule('ports', from(BRIDGE, { not: true }), verdict('drop'));

  if (network.transparent ?? true) rule('transparent', transparentSocket(), setMark(TRANSPARENT_MARK), accept);

  rule('input', from(LOOPBACK), accept);
  rule('input', known);
  rule('input', meta('mark'), compare(u32(TRANSPARENT_MARK)), accept);
  // pasta asks for neighbours too
  for (const type of [SOLICITATION, ADVERTISEMENT]) rule('input', icmpType('icmpv6', type), accept);
  for (const of of VERSIONS) if (network.versions[of] === 'isolated') rule('input', version(of), refused);
  for (const protocol of ['icmp', 'icmpv6'] as const)
    rule('input', from(BRIDGE), icmpType(protocol, ECHO_REQUEST[protocol]), accept);
  rule('input', refused);

  rule('forward', known);
  rule('forward', connectionState('invalid'), verdict('drop'));
  rule('forward', from(BRIDGE, { not: true }), verdict('drop'));
  for (const protocol of ['udp', 'tcp'] as const)
    rule(
      'forward',
      [...destination('ip'), compare(addressBytes(RESOLVER)), ...transport(protocol)],
      destinationPort(DNS),
      verdict({ goto: 'leaving' }),
    );
  for (const of of VERSIONS) {
    if (network.metadata)
      rule('forward', destination(of), compare(addressBytes(METADATA[of])), verdict({ goto: 'leaving' }));
    rule('forward', destination(of), lookup(NEVER[of]), refused);
  }
  rule('forward', verdict({ goto: 'leaving' }));

  for (const of of VERSIONS) rule('leaving', source(of), connectionsOver(FLOWS[of], MOST_FLOWS), refused);
  for (const of of VERSIONS) rule('leaving', source(of), verdictMap(EGRESS[of]));
  if (!network.internal) rule('leaving', to(OUT), accept);
  rule('leaving', refused);

  if (!network.internal && (network.masquerade ?? true)) rule('postrouting', to(OUT), masquerade());
}

/** Chains, empty. @returns what adds a rule to one of them */
function chains<Name extends string>(
  batch: NftablesBatch,
  table: Table,
  wanted: { readonly [name in Name]: Hook | undefined },
): (chain: Name, ...expressions: readonly (Expression | readonly Expression[])[]) => void {
  const entries = Object.entries(wanted) as [Name, Hook | undefined][];
  // all of them before any is emptied, and those before any rule: rules name chains
  for (const [name, hook] of entries) batch.chain(table, name, hook);
  for (const [name] of entries) batch.flushChain(table, name);
  return (chain, ...expressions) => batch.rule(table, chain, ...expressions);
}

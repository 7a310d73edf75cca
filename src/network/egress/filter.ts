/**
 * The packet filter of one container with `--egress` on one network, in that network's two tables (../rules.ts): chains
 * and sets of its own, to which the network's maps lead by the container's port and addresses. Everything a chain does
 * not accept is refused, and so is everything while it is not whole. Makes batches and commits none.
 *
 * - `inet husk`: what leaves the network, by the addresses that rules name and those that names have been found to
 *   have.
 * - `bridge husk`: what goes to neighbours. It tracks no connections, so replies are told by what they look like: TCP
 *   that is no opening SYN, and echo replies. What a neighbour answers is the neighbour's affair.
 */
import { addressBytes, macBytes } from '../../host/streams/address-bytes.ts';
import { interfaceKey, NftablesBatch, type Element, type SetOptions, type Table } from '../../host/streams/nftables.ts';
import {
  atMost,
  compare,
  logTo,
  lookup,
  mask,
  meta,
  payload,
  verdict,
  type Expression,
} from '../../host/streams/nftables-expressions.ts';
import type { Family, IpAddress } from '../../notation/ip.ts';
import {
  address,
  etherType,
  etherTo,
  icmpType,
  loadDestinationPort,
  portBytes,
  to,
  transport,
  version,
  type IpVersion,
} from '../../host/streams/packet-fields.ts';
import { EGRESS, LOG, OUT, PORTS, ROUTED, type EndpointRules } from '../rules.ts';
import type { Egress, EgressGroup } from './grouping.ts';
import { bytesOf, rangeElements } from './ranges.ts';
import { notPublic } from './special.ts';

/** words by which a packet is logged: ../egress/packet-log.ts reads them */
export const WORDS = { out: 'out', near: 'near', spoofed: 'spoofed' } as const;
/** refusals of one container that are told, a second, and at once */
const LOGGED = { each: 10, burst: 20 };
/** bytes of a packet that are told: its headers */
const LOGGED_BYTES = 96;
/** addresses in one set of names; the kernel counts those whose time is over until it has swept them out */
const PINNED_AT_ONCE = 4096;
/** rules in one batch: a netlink message has an end (net.core.wmem_max) */
const RULES_AT_ONCE = 128;

/** RFC 9293 §3.1: the octet with the flags, and those that an opening segment is told by */
const TCP_FLAGS = 13;
const SYN = 0x02;
const ACK = 0x10;
const IGMP = 2;
/** RFC 792, RFC 4443 §4.2 */
const ECHO_REPLY = { icmp: 0, icmpv6: 129 } as const;

const FAMILIES: Record<IpVersion, Family> = { ip: 4, ip6: 6 };
const VERSIONS = ['ip', 'ip6'] as const;
const KEYS: Record<IpVersion, SetOptions['key']> = { ip: ['ipv4_addr'], ip6: ['ipv6_addr'] };

/** the container's own part of what the filter is about */
export interface EgressMember extends EndpointRules {
  /** of the network's bridge: what goes there leaves the network, or is for its gateway */
  gatewayMac: string;
  /** of the kernel's packet log; absent: refusals are told nobody */
  logGroup?: number;
}

type Kind = 'ranges' | 'names' | 'near' | 'not-public';

/** @param group its place among the groups; the set of what is not public is one for all */
const setName = (port: string, of: IpVersion, kind: Kind, group?: number) =>
  [port, ...(group === undefined ? [] : [group]), kind, of].join('-');

/** of each container in both tables */
export const CHAINS = ['egress', 'log'] as const;
const chainName = (port: string, what: (typeof CHAINS)[number]) => `${port}-${what}`;

/** The port in the name of such a chain or set; undefined: it is none of these. */
export function portOfName(name: string): string | undefined {
  return /^(v\w+)-/.exec(name)?.[1];
}

const OPTIONS: Record<Kind, Omit<SetOptions, 'key'>> = {
  ranges: { interval: true },
  'not-public': { interval: true },
  names: { timeout: 0, size: PINNED_AT_ONCE },
  near: {},
};

interface OwnSet {
  table: Table;
  name: string;
  options: SetOptions;
  elements: Element[];
}

/** The sets of a container, with what is in them at its start; those of names and neighbours begin empty. */
function setsOf(egress: Egress, port: string): OwnSet[] {
  const make = (table: Table, of: IpVersion, kind: Kind, group?: number, elements: Element[] = []): OwnSet => ({
    table,
    name: setName(port, of, kind, group),
    options: { key: KEYS[of], ...OPTIONS[kind] },
    elements,
  });
  return VERSIONS.flatMap((of) => [
    ...egress.groups.flatMap((group, index) => {
      const elements = rangeElements(group.ranges[FAMILIES[of]], FAMILIES[of]);
      return [
        ...(elements.length > 0 ? [ROUTED, PORTS].map((table) => make(table, of, 'ranges', index, elements)) : []),
        ...(group.names.length > 0 ? [make(ROUTED, of, 'names', index)] : []),
        ...(group.neighbours.length > 0 ? [make(PORTS, of, 'near', index)] : []),
      ];
    }),
    ...(egress.groups.some((group) => group.public)
      ? [make(ROUTED, of, 'not-public', undefined, rangeElements(notPublic(FAMILIES[of], egress.host), FAMILIES[of]))]
      : []),
  ]);
}

/**
 * All of it, to be committed in this order: chains that refuse everything are in force from the first batch on. Over
 * what is there already it is a repair; what names were found to be is kept.
 */
export function admitEgress(egress: Egress, member: EgressMember): NftablesBatch[] {
  const first = new NftablesBatch();
  const { port, logGroup } = member;
  for (const table of [ROUTED, PORTS])
    for (const what of CHAINS) first.chain(table, chainName(port, what)).flushChain(table, chainName(port, what));
  for (const { table, name, options, elements } of setsOf(egress, port)) {
    first.set(table, name, options);
    // neighbours may have gone while nobody looked; those that are there come with the next look
    if (options.timeout === undefined) first.flushSet(table, name).addElements(table, name, elements);
  }
  for (const [table, map, elements] of mapElements(member)) first.addElements(table, map, elements);
  const rules = [
    ...(logGroup === undefined ? [] : logRules(port, logGroup)),
    ...outRules(egress, port),
    ...nearRules(egress, member),
  ];
  const batches = [first];
  for (let at = 0; at < rules.length; at += RULES_AT_ONCE) {
    const batch = new NftablesBatch();
    for (const { table, chain, expressions } of rules.slice(at, at + RULES_AT_ONCE))
      batch.rule(table, chain, expressions);
    batches.push(batch);
  }
  return batches;
}

function mapElements({ port, ipv4, ipv6 }: Pick<EgressMember, 'port' | 'ipv4' | 'ipv6'>): [Table, string, Element[]][] {
  const egress = { goto: chainName(port, 'egress') };
  const log = { jump: chainName(port, 'log') };
  const own = { ip: ipv4, ip6: ipv6 };
  return [
    ...VERSIONS.flatMap((of): [Table, string, Element[]][] => {
      const text = own[of];
      if (text === undefined) return [];
      const key = addressBytes(text);
      return [
        [ROUTED, EGRESS[of], [{ key, verdict: egress }]],
        [ROUTED, LOG[of], [{ key, verdict: log }]],
      ];
    }),
    [PORTS, 'egress', [{ key: interfaceKey(port), verdict: egress }]],
    [PORTS, 'log', [{ key: interfaceKey(port), verdict: log }]],
  ];
}

interface OwnRule {
  table: Table;
  chain: string;
  expressions: Expression[];
}

function logRules(port: string, group: number): OwnRule[] {
  const rule = (table: Table, word: string): OwnRule => ({
    table,
    chain: chainName(port, 'log'),
    expressions: [atMost(LOGGED.each, LOGGED.burst), logTo(group, word, LOGGED_BYTES)],
  });
  return [rule(ROUTED, WORDS.out), rule(PORTS, WORDS.spoofed)];
}

function outRules(egress: Egress, port: string): OwnRule[] {
  const rule = (...parts: (Expression | Expression[])[]): OwnRule => ({
    table: ROUTED,
    chain: chainName(port, 'egress'),
    expressions: parts.flat(),
  });
  const accept = verdict('accept');
  const rules: OwnRule[] = [];
  egress.groups.forEach((group, index) => {
    for (const of of VERSIONS) {
      const destination = [...to(OUT), ...version(of), address(of, 'destination')];
      const where = [
        ...(group.ranges[FAMILIES[of]].length > 0 ? [lookup(setName(port, of, 'ranges', index))] : []),
        ...(group.names.length > 0 ? [lookup(setName(port, of, 'names', index))] : []),
        ...(group.public ? [lookup(setName(port, of, 'not-public'), { absent: true })] : []),
      ];
      for (const set of where) for (const what of traffic(group)) rules.push(rule(destination, set, what, accept));
    }
  });
  return [...rules, rule(verdict({ goto: 'refused' }))];
}

function nearRules(egress: Egress, { port, gatewayMac, logGroup }: EgressMember): OwnRule[] {
  const rule = (...parts: (Expression | Expression[])[]): OwnRule => ({
    table: PORTS,
    chain: chainName(port, 'egress'),
    expressions: parts.flat(),
  });
  const accept = verdict('accept');
  const tcpFlags = [payload('transport', TCP_FLAGS, 1), mask(Uint8Array.of(SYN | ACK))];
  const rules = [
    rule(etherTo(macBytes(gatewayMac)), accept),
    rule(transport('tcp'), tcpFlags, compare(Uint8Array.of(SYN), 'neq'), accept),
    rule(etherType('ip'), icmpType('icmp', ECHO_REPLY.icmp), accept),
    rule(etherType('ip6'), icmpType('icmpv6', ECHO_REPLY.icmpv6), accept),
    // which multicast groups a system listens to is said by itself, and is no attempt at anything
    rule(meta('l4proto'), compare(Uint8Array.of(IGMP)), verdict('drop')),
  ];
  egress.groups.forEach((group, index) => {
    for (const of of VERSIONS) {
      const destination = [...etherType(of), address(of, 'destination')];
      const where = [
        ...(group.ranges[FAMILIES[of]].length > 0 ? [lookup(setName(port, of, 'ranges', index))] : []),
        ...(group.neighbours.length > 0 ? [lookup(setName(port, of, 'near', index))] : []),
      ];
      for (const set of where) for (const what of traffic(group)) rules.push(rule(destination, set, what, accept));
    }
  });
  if (logGroup !== undefined)
    rules.push(rule(atMost(LOGGED.each, LOGGED.burst), logTo(logGroup, WORDS.near, LOGGED_BYTES)));
  return [...rules, rule(verdict('drop'))];
}

/** The packets that a group is about, whatever their addresses: each continues for a part of them. */
function traffic({ protocols, ports }: EgressGroup): Expression[][] {
  if (protocols === undefined) return [[]];
  return protocols.flatMap((protocol) =>
    ports.length === 0
      ? [transport(protocol)]
      : ports.map(({ first, last }) => [
          ...transport(protocol),
          loadDestinationPort(),
          ...(first === last
            ? [compare(portBytes(first))]
            : [compare(portBytes(first), 'gte'), compare(portBytes(last), 'lte')]),
        ]),
  );
}

/** The addresses of a name, for the groups that it is of; those that are there live anew. @param timeout ms */
export function pinAddresses(
  port: string,
  pins: readonly { group: number; address: IpAddress; timeout: number }[],
): NftablesBatch {
  const batch = new NftablesBatch();
  for (const { group, address: pinned, timeout } of pins) {
    const set = setName(port, pinned.family === 4 ? 'ip' : 'ip6', 'names', group);
    const key = bytesOf(pinned);
    // older kernels keep the time of an element that is there: it is taken away first
    batch.removeElements(ROUTED, set, [{ key, timeout }]).addElements(ROUTED, set, [{ key, timeout }]);
  }
  return batch;
}

/** What of the neighbours that rules name has come, and what has gone. */
export function changeNeighbours(
  port: string,
  changes: readonly { group: number; address: IpAddress; what: 'add' | 'remove' }[],
): NftablesBatch {
  const batch = new NftablesBatch();
  for (const { group, address: changed, what } of changes) {
    const set = setName(port, changed.family === 4 ? 'ip' : 'ip6', 'near', group);
    const elements = [{ key: bytesOf(changed) }];
    if (what === 'add') batch.addElements(PORTS, set, elements);
    else batch.removeElements(PORTS, set, elements);
  }
  return batch;
}

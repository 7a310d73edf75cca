/**
 * The rules of `--egress` put together as the packet filter has them: those of the same protocol and ports are one
 * group, whose addresses are in sets. So two rules about one address never meet in a set, which the kernel refuses of
 * ranges over several fields, and the number of its rules is that of the different ports, not of the addresses. Pure.
 */
import { isIPv6 } from 'node:net';
import { BITS, parseIp, subnetOf, type Family, type IpAddress, type Subnet } from '../../notation/ip.ts';
import { meansName, type EgressRule, type PortSpan } from '../../notation/egress.ts';
import { isWithin, rangesOf, type AddressRange } from './ranges.ts';
import { isPublic } from './special.ts';

export interface EgressGroup {
  /** absent: every protocol, at every port */
  protocols: readonly ('tcp' | 'udp')[] | undefined;
  /** none: every port of these protocols */
  ports: readonly PortSpan[];
  ranges: Record<Family, AddressRange[]>;
  /** all public addresses but the host's own */
  public: boolean;
  /** names of DNS whose addresses are added as they are asked for */
  names: readonly EgressRule[];
  /** names on the container's networks, lower case */
  neighbours: readonly string[];
}

export interface Egress {
  rules: readonly EgressRule[];
  groups: readonly EgressGroup[];
  /** of this host, when the container was started */
  host: readonly Subnet[];
}

/** @param hostAddresses as the host's interfaces have them, loopback left out */
export function groupRules(rules: readonly EgressRule[], hostAddresses: readonly string[]): Egress {
  const host = hostAddresses.flatMap((text): Subnet[] => {
    const address = parseIp(text.replace(/%.*$/, ''));
    return address && !isLinkLocal(text) ? [subnetOf(address, BITS[address.family])] : [];
  });
  const grouped = new Map<string, EgressRule[]>();
  for (const rule of rules) {
    if (rule.to.kind === 'none') continue;
    const key = `${rule.protocol ?? ''} ${sorted(rule.ports)
      .map(({ first, last }) => `${first}-${last}`)
      .join(',')}`;
    grouped.set(key, [...(grouped.get(key) ?? []), rule]);
  }
  return { rules, groups: Array.from(grouped.values(), (members) => groupOf(members, host)), host };
}

function groupOf(rules: readonly EgressRule[], host: readonly Subnet[]): EgressGroup {
  const [{ protocol, ports }] = rules as [EgressRule];
  const subnets = rules.flatMap(({ to }) => (to.kind === 'subnet' ? [to.subnet] : to.kind === 'host' ? host : []));
  return {
    protocols: protocol ? [protocol] : ports.length > 0 ? ['tcp', 'udp'] : undefined,
    ports: sorted(ports),
    ranges: { 4: rangesOf(subnets, 4), 6: rangesOf(subnets, 6) },
    public: rules.some(({ to }) => to.kind === 'public'),
    names: rules.filter(({ to }) => to.kind === 'name' || to.kind === 'suffix'),
    // a name with dots may be one of a network's as well: `db.backend`
    neighbours: [
      ...new Set(rules.flatMap(({ to }) => (to.kind === 'container' || to.kind === 'name' ? [to.name] : []))),
    ],
  };
}

const sorted = (ports: readonly PortSpan[]): PortSpan[] =>
  ports.toSorted((one, other) => one.first - other.first || one.last - other.last);

/** RFC 4291 §2.5.6: of one link alone, and never routed */
const isLinkLocal = (text: string): boolean => isIPv6(text) && /^fe[89ab]/i.test(text);

/** Whether the container may ask DNS for a name; with `public` it may ask for any. */
export function mayAsk({ rules }: Egress, name: string): boolean {
  return rules.some((rule) => rule.to.kind === 'public' || meansName(rule, name));
}

/** Whether a rule names the address itself: then an answer may have it, wherever it lies. */
export function isNamed({ groups }: Egress, address: IpAddress): boolean {
  return groups.some(({ ranges }) => isWithin(ranges[address.family], address));
}

/**
 * Whether a name of DNS may lead there: never to what only this host, or a network behind it, knows (DNS rebinding).
 */
export function mayBeAnswered({ host }: Pick<Egress, 'host'>, address: IpAddress): boolean {
  return isPublic(address) && !isWithin(rangesOf(host, address.family), address);
}

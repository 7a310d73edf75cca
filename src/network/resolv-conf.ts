/**
 * The resolv.conf of a container on networks of one's own: it names the container's own name server, and in comments
 * those that this one asks. Pure; the default network's is made by etc-files.ts. Source: moby libnetwork's
 * internal/resolvconf, whose output this matches but for its first comment, which names Docker.
 */
import { isIP } from 'node:net';
import { parseResolvConf } from '../container/etc-files.ts';
import { NAME_SERVER } from './names/address.ts';

interface NamedResolver {
  /** with its zone, where it has one */
  address: string;
  /** whose network it is asked from: the host's file means the host's, `--dns` the container's */
  from: 'host' | 'container';
}

export interface OwnResolvConf {
  text: string;
  /** for the container's name server, in order */
  resolvers: NamedResolver[];
  /** `ndots` was set, by the host's file or by `--dns-option` */
  ndotsSet: boolean;
}

const isNdots = (option: string) => /^ndots(:|$)/.test(option);

/**
 * @param host the host's file @param options what the flags name replaces the host's line of that kind
 * @param options.search `.` alone empties the list
 */
export function ownResolvConf(
  host: string,
  { dns, search, options }: { dns: readonly string[]; search: readonly string[]; options: readonly string[] },
): OwnResolvConf {
  const parsed = parseResolvConf(host);
  const from = dns.length > 0 ? 'container' : 'host';
  const named = dns.length > 0 ? dns : parsed.nameservers;
  const addresses = named.filter((address) => isIP(address) !== 0);
  const invalid = named.filter((address) => isIP(address) === 0);
  const domains = search.length > 0 ? search.filter((domain) => domain !== '.') : parsed.search;
  // an `ndots` that is no number is as good as none
  const settings = (options.length > 0 ? options : parsed.options).filter(
    (option) => !isNdots(option) || /^ndots:\d+$/.test(option),
  );
  const ndotsSet = settings.some(isNdots);
  // a name of one label is asked for as it is: it may be a container's
  if (!ndotsSet) settings.push('ndots:0');
  const overrides = [
    ...(dns.length > 0 ? ['nameservers'] : []),
    ...(search.length > 0 ? ['search'] : []),
    ...(options.length > 0 ? ['options'] : []),
  ];
  const shown = addresses.map((address) => (from === 'host' ? `host(${address})` : address));
  const ndotsFrom = ndotsSet ? (options.length > 0 ? 'override' : 'host') : 'internal';
  const lines = [
    `nameserver ${NAME_SERVER}`,
    ...(domains.length > 0 ? [`search ${domains.join(' ')}`] : []),
    `options ${settings.join(' ')}`,
    '',
    "# Based on host file: '/etc/resolv.conf' (internal resolver)",
    shown.length > 0 ? `# ExtServers: [${shown.join(' ')}]` : '# NO EXTERNAL NAMESERVERS DEFINED',
    ...(invalid.length > 0 ? [`# Invalid nameservers: [${invalid.join(' ')}]`] : []),
    `# Overrides: [${overrides.join(' ')}]`,
    `# Option ndots from: ${ndotsFrom}`,
  ];
  // a server that asks itself would never end
  const resolvers = addresses.filter((address) => from === 'host' || address !== NAME_SERVER);
  return {
    text: lines.map((line) => `${line}\n`).join(''),
    resolvers: resolvers.map((address) => ({ address, from })),
    ndotsSet,
  };
}

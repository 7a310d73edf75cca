/**
 * Composes the container's /etc/hosts, /etc/hostname and /etc/resolv.conf. The functions take and return text; the
 * engine writes the files. Source: moby libnetwork's etchosts and resolvconf, whose output these match.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { HOST_GATEWAY, type ExtraHost } from '../notation/extra-hosts.ts';
import { isLoopback } from '../notation/ip.ts';

/** the lines every container starts with. Source: moby libnetwork/etchosts */
const HOSTS_HEAD: readonly [ip: string, names: string][] = [
  ['127.0.0.1', 'localhost'],
  ['::1', 'localhost ip6-localhost ip6-loopback'],
  ['fe00::', 'ip6-localnet'],
  ['ff00::', 'ip6-mcastprefix'],
  ['ff02::1', 'ip6-allnodes'],
  ['ff02::2', 'ip6-allrouters'],
];

/**
 * Replaces `host-gateway` by the host's address.
 * @param gateway asked for only where it is needed; undefined: the host has no such address
 * @throws HuskError `invalid` in Docker's words
 */
export function resolveExtraHost({ name, ip }: ExtraHost, gateway: () => string | undefined): ExtraHost {
  if (ip !== HOST_GATEWAY) return { name, ip };
  const address = gateway();
  if (address === undefined)
    throw new HuskError(`unable to derive the IP value for ${HOST_GATEWAY}`, {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
      fix: '"host-gateway-ip" in the config, or connect this host to a network',
    });
  return { name, ip: address };
}

/** @param options.hostHosts the host's own file, for the host's network: Docker only adds the extra hosts to it */
export function hostsFile(options: {
  hostname?: string;
  domainname?: string;
  address?: string;
  extraHosts: readonly ExtraHost[];
  hostHosts?: string;
}): string {
  const lines = options.extraHosts.map(({ ip, name }) => `${ip}\t${name}`);
  if (options.hostHosts !== undefined) {
    const head =
      options.hostHosts === '' || options.hostHosts.endsWith('\n') ? options.hostHosts : `${options.hostHosts}\n`;
    return head + lines.map((line) => `${line}\n`).join('');
  }
  const all = [...HOSTS_HEAD.map(([ip, names]) => `${ip}\t${names}`), ...lines];
  if (options.address && options.hostname)
    all.push(
      `${options.address}\t${options.domainname ? `${options.hostname}.${options.domainname} ` : ''}${options.hostname}`,
    );
  return all.map((line) => `${line}\n`).join('');
}

export function hostnameFile(hostname: string): string {
  return `${hostname}\n`;
}

/** most bytes of resolv.conf(5) that are read, because the host's file can be of any length */
const MAX_RESOLV_CONF = 64 * 1024;

export interface ResolvConf {
  nameservers: string[];
  search: string[];
  options: string[];
}

export function parseResolvConf(text: string): ResolvConf {
  const result: ResolvConf = { nameservers: [], search: [], options: [] };
  for (const line of text.slice(0, MAX_RESOLV_CONF).split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver' && values[0] !== undefined) result.nameservers.push(values[0]);
    else if (keyword === 'search') result.search = values;
    else if (keyword === 'domain' && values[0] !== undefined) result.search = [values[0]];
    else if (keyword === 'options') result.options.push(...values);
  }
  return result;
}

/**
 * @returns the container's resolv.conf. What the flags name replaces the host's line of that kind. A container with a
 * network of its own cannot reach a resolver on the host's loopback, so such resolvers are left out; when none remains,
 * `fallback` is used (Docker has public resolvers there; husk's networks put their own forwarder here).
 * @param options.search `.` alone empties the list, as in Docker
 */
export function resolvConfFile(
  host: string,
  options: {
    dns: readonly string[];
    search: readonly string[];
    options: readonly string[];
    hostNetwork: boolean;
    fallback: readonly string[];
  },
): string {
  const parsed = parseResolvConf(host);
  const overridden = options.dns.length + options.search.length + options.options.length > 0;
  if (options.hostNetwork && !overridden) return host;
  let nameservers = options.dns.length ? [...options.dns] : parsed.nameservers;
  if (!options.hostNetwork && !options.dns.length) {
    nameservers = nameservers.filter((address) => !isLoopback(address));
    if (nameservers.length === 0) nameservers = [...options.fallback];
  }
  const search = options.search.length ? options.search.filter((domain) => domain !== '.') : parsed.search;
  const settings = options.options.length ? options.options : parsed.options;
  return [
    ...nameservers.map((address) => `nameserver ${address}\n`),
    ...(search.length ? [`search ${search.join(' ')}\n`] : []),
    ...(settings.length ? [`options ${settings.join(' ')}\n`] : []),
  ].join('');
}

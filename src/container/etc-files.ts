/**
 * Contents of the container's /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure: text in, text out; the engine writes them.
 * Source: moby libnetwork's etchosts and resolvconf, whose output these match.
 */
import { isIP } from 'node:net';
import { HuskError } from '../errors.ts';

export interface ExtraHost {
  name: string;
  ip: string;
}

/** Docker's word for the host's address in `--add-host` */
const HOST_GATEWAY = 'host-gateway';

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
 * @param extra `name:ip`, `name=ip`, `name:[v6]`, as `--add-host` takes them
 * @param gateway what `host-gateway` stands for
 * @throws HuskError `invalid` in Docker's words
 */
export function parseExtraHost(extra: string, gateway?: string): ExtraHost {
  const separator = /[=:]/.exec(extra);
  const name = separator ? extra.slice(0, separator.index) : '';
  let ip = separator ? extra.slice(separator.index + 1) : '';
  if (name === '' || /[\s#]/.test(name))
    throw new HuskError(`bad format for add-host: "${extra}"`, { kind: 'invalid' });
  if (ip === HOST_GATEWAY) {
    if (gateway === undefined)
      throw new HuskError(`unable to derive the IP value for ${HOST_GATEWAY}`, { kind: 'invalid' });
    return { name, ip: gateway };
  }
  if (ip.startsWith('[') && ip.endsWith(']')) ip = ip.slice(1, -1);
  if (!isIP(ip)) throw new HuskError(`invalid IP address in add-host: "${ip}"`, { kind: 'invalid' });
  return { name, ip };
}

/** @param options.hostHosts with the host's network: the host's own file, to which Docker only adds the extra hosts */
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

/** resolv.conf(5), bounded: the host's file is not ours */
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
 * The container's resolv.conf. What the flags name replaces the host's line of that kind. With a network of its own the container cannot
 * reach a resolver on the host's loopback, so those are left out; when none remains `fallback` is used (Docker has public ones there;
 * husk's networks put their own forwarder here).
 * @param options.search `.` alone empties the list, as Docker has it
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

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || /^(::1|0:0:0:0:0:0:0:1)(%.*)?$/.test(address);
}

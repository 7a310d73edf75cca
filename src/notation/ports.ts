/**
 * Ports as `--publish` and `--expose` name them, and as lists show them. No port is opened here; these functions are
 * pure.
 */

import { isIP } from 'node:net';

/** one port, or several consecutive ones */
export interface PortRange {
  first: number;
  last: number;
  /** protocol: tcp, udp, sctp */
  protocol: string;
}

export interface PortBinding {
  /** address on the host; '' stands for every address */
  hostIp: string;
  /** port on the host; '' stands for any free one, `8000-8010` for any free one of these */
  hostPort: string;
  /** port and protocol in the container: `80/tcp` */
  container: string;
}

const RANGE = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w*))?$/;

/** Parses `80`, `80/udp`, `8000-8010/tcp`. @returns undefined for a text that names no port */
export function readPorts(text: string): PortRange | undefined {
  const [, first, last, protocol] = RANGE.exec(text) ?? [];
  return first === undefined
    ? undefined
    : { first: Number(first), last: Number(last ?? first), protocol: protocol || 'tcp' };
}

/** Completes `80` to `80/tcp`. */
export function withProtocol(port: string): string {
  return port.includes('/') ? port : `${port}/tcp`;
}

const PROTOCOLS = ['tcp', 'udp', 'sctp'];
const MAX_PORT = 0xffff;

/**
 * Parses `-p [ip:][host:]container[/protocol]`, ranges too, and its long form `target=80,published=8080`.
 * @returns a binding for each port of the container
 * @throws Error in Docker's words
 */
export function parsePublish(text: string): PortBinding[] {
  const plain = text.includes('=') ? fromLongForm(text) : text;
  const parts = plain.split(':');
  const [end = '', host = '', ...before] = parts.reverse();
  const address = before.reverse().join(':');
  const [port = '', typed] = end.split('/', 2);
  const hostIp = hostAddress(address);
  if (port === '') throw new Error(`no port specified: ${plain}<empty>`);
  const container = rangeOf(port);
  if (!container) throw new Error(`invalid containerPort: ${port}`);
  const published = host === '' ? undefined : rangeOf(host);
  if (host !== '' && !published) throw new Error(`invalid hostPort: ${host}`);
  const isRange = container.last > container.first;
  if (published && isRange && published.last - published.first !== container.last - container.first)
    throw new Error(`invalid ranges specified for container and host Ports: ${port} and ${host}`);
  const protocol = (typed || 'tcp').toLowerCase();
  if (!PROTOCOLS.includes(protocol)) throw new Error(`invalid proto: ${typed}`);
  return Array.from({ length: container.last - container.first + 1 }, (_, index) => ({
    hostIp,
    // Several ports of the host for one of the container mean any of them.
    hostPort: !published ? '' : isRange ? String(published.first + index) : rangeText(published),
    container: `${container.first + index}/${protocol}`,
  }));
}

/**
 * Turns the long form into the short one, as convertToStandardNotation of docker/cli does. Keys that it does not know
 * are skipped there, and refused here. The key `mode` means something to services alone.
 */
function fromLongForm(text: string): string {
  const fields: Record<string, string> = { published: '', target: '', protocol: 'tcp', mode: '' };
  for (const field of text.split(',')) {
    const [, key = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(field) ?? [];
    if (key === '' || value === undefined)
      throw new Error(`invalid publish opts format (should be name=value but got '${field}')`);
    if (!Object.hasOwn(fields, key))
      throw new Error(`invalid publish option "${key}": use target, published, protocol, mode`);
    fields[key] = value;
  }
  return `${fields['published']}:${fields['target']}/${fields['protocol']}`;
}

/** Checks a host address. Brackets around an IPv6 address are not part of it. */
function hostAddress(text: string): string {
  if (text.startsWith('[') && !text.includes(']'))
    throw new Error(`invalid IP address ${text}: address ${text}:: missing ']' in address`);
  // Go's net.SplitHostPort reads only a text that begins with a bracket as a bracketed address.
  if (text.startsWith('[') && !text.endsWith(']'))
    throw new Error(`invalid IP address ${text}: address ${text}:: too many colons in address`);
  const ip = text.replace(/^\[(.*)\]$/, '$1');
  // Docker accepts no address with an interface's name (`fe80::1%eth0`).
  if (ip !== '' && (isIP(ip) === 0 || ip.includes('%'))) throw new Error(`invalid IP address: ${ip}`);
  return ip;
}

function rangeOf(text: string): { first: number; last: number } | undefined {
  const [, first, last] = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last ?? first) };
  return first !== undefined && range.first <= range.last && range.last <= MAX_PORT ? range : undefined;
}

const rangeText = ({ first, last }: { first: number; last: number }): string =>
  first === last ? String(first) : `${first}-${last}`;

/** @returns the container's ports of `-p` texts in a record. A list must not fail, so no text is refused. */
export function publishedEnds(texts: readonly string[]): string[] {
  return texts.flatMap((text) => {
    try {
      return parsePublish(text).map(({ container }) => container);
    } catch {
      return [];
    }
  });
}

/**
 * Parses `--expose 80[-90][/protocol]`.
 * @returns every port of the range
 * @throws Error in Docker's words
 */
export function parseExpose(text: string): string[] {
  if (text.includes(':')) throw new Error(`invalid port format for --expose: ${text}`);
  const [range = '', typed] = text.split('/', 2);
  const wrong = (why: string): Error => new Error(`invalid range format for --expose: ${text}, error: ${why}`);
  if (range === '') throw wrong('empty string specified for ports.');
  const [first = 0, last = first] = range.split('-').map((port) => parsePort(port, wrong));
  if (last < first) throw wrong(`invalid range specified for port: ${range}`);
  const protocol = (typed || 'tcp').toLowerCase();
  if (!PROTOCOLS.includes(protocol)) throw new Error(`invalid proto: ${typed}`);
  return eachPort({ first, last, protocol });
}

function parsePort(text: string, wrong: (why: string) => Error): number {
  if (!/^\d+$/.test(text)) throw wrong(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  if (Number(text) > MAX_PORT) throw wrong(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`);
  return Number(text);
}

/** @returns whether two ranges have a port in common */
export function sharePort(one: PortRange, other: PortRange): boolean {
  return one.protocol === other.protocol && one.first <= other.last && other.first <= one.last;
}

/** Expands `90-92/udp` to `90/udp`, `91/udp`, `92/udp`. */
export function eachPort({ first, last, protocol }: PortRange): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`);
}

/** A port of a container as lists show it: either only exposed, or published. */
export interface ShownPort {
  containerPort: number;
  protocol: string;
  /** the published end; absent where the port is only exposed */
  host?: { ip: string; port: number };
}

/**
 * Formats ports: `90/udp, 91/udp, 80/tcp` → `80/tcp, 90-91/udp`; published ones as `0.0.0.0:8080->80/tcp`. Source:
 * docker/cli cli/command/formatter/container.go DisplayablePorts
 */
export function displayPorts(ports: readonly ShownPort[]): string {
  const sorted = [...ports].sort(
    (a, b) =>
      a.containerPort - b.containerPort ||
      compare(a.host?.ip ?? '', b.host?.ip ?? '') ||
      (a.host?.port ?? 0) - (b.host?.port ?? 0) ||
      compare(a.protocol, b.protocol),
  );
  const done: string[] = [];
  const moved: string[] = [];
  const runs = new Map<string, { first: number; last: number; ip: string; protocol: string }>();
  for (const { containerPort: port, protocol, host } of sorted) {
    if (host && host.port !== port) {
      moved.push(`${joined(host.ip, String(host.port))}->${port}/${protocol}`);
      continue;
    }
    const key = `${host?.ip ?? ''}/${protocol}`;
    const run = runs.get(key);
    if (run && port === run.last + 1) run.last = port;
    else {
      if (run) done.push(runText(run));
      // A new run keeps the place in the map that the first run of its kind had.
      runs.set(key, { first: port, last: port, ip: host?.ip ?? '', protocol });
    }
  }
  return [...done, ...[...runs.values()].map(runText), ...moved].join(', ');
}

function runText({ first, last, ip, protocol }: { first: number; last: number; ip: string; protocol: string }): string {
  const range = rangeText({ first, last });
  return `${ip === '' ? range : `${joined(ip, range)}->${range}`}/${protocol}`;
}

const joined = (ip: string, port: string): string => `${ip.includes(':') ? `[${ip}]` : ip}:${port}`;
const compare = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);

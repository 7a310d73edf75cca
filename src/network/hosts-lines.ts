/**
 * What `--link` gives a container on the default network, which has no name server: lines of /etc/hosts, and
 * variables that tell of the other's ports. Pure. Source: moby daemon/links and addLegacyLinks, whose output this
 * matches.
 */
import { readPorts } from '../notation/ports.ts';

export interface LinkedContainer {
  name: string;
  hostname: string;
  ipv4?: string;
  ipv6?: string;
  /** `NAME=value`, of its configuration */
  env: readonly string[];
  /** `6379/tcp`, of its configuration, one port each */
  exposed: readonly string[];
}

/**
 * The other is known by the link's alias, its own host name and its own name.
 * @returns lines for /etc/hosts, without their ends
 */
export function linkHosts(alias: string, { name, hostname, ipv4, ipv6 }: LinkedContainer): string[] {
  const names = [alias, hostname, ...(alias === name ? [] : [name])].join(' ');
  return [ipv4, ipv6].flatMap((address) => (address === undefined || address === '' ? [] : [`${address}\t${names}`]));
}

/** variables that an image sets for itself, and that say nothing to another container */
const OWN_VARIABLES: ReadonlySet<string> = new Set(['HOME', 'PATH']);

interface Port {
  number: number;
  protocol: string;
}

/**
 * @param container the name of the container that has the link @param alias the link's
 * @returns `ALIAS_PORT=tcp://172.17.0.2:6379` and its kind, in Docker's order
 */
export function linkVariables(container: string, alias: string, linked: LinkedContainer): string[] {
  // only this is changed: another sign that no variable may have stays
  const prefix = alias.toUpperCase().replaceAll('-', '_');
  const address = linked.ipv4 ?? '';
  const ports = portsOf(linked.exposed);
  const url = ({ number, protocol }: Port) => `${protocol}://${address}:${number}`;
  const nameOf = ({ number, protocol }: Port) => `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
  const variables: string[] = [];
  if (ports[0]) variables.push(`${prefix}_PORT=${url(ports[0])}`);
  let [start, end] = [ports[0], ports[0]];
  for (const [index, port] of ports.entries()) {
    const name = nameOf(port);
    variables.push(
      `${name}=${url(port)}`,
      `${name}_ADDR=${address}`,
      `${name}_PORT=${port.number}`,
      `${name}_PROTO=${port.protocol}`,
    );
    const goesOn = port.number === end!.number + 1 && port.protocol === end!.protocol;
    if (goesOn) end = port;
    if (goesOn && index < ports.length - 1) continue;
    // ports in a row are named together as well, behind the first that is not of the row
    if (start !== end) {
      const range = nameOf(start!);
      variables.push(
        `${range}_START=${url(start!)}`,
        `${range}_PORT_START=${start!.number}`,
        `${range}_END=${url(end!)}`,
        `${range}_PORT_END=${end!.number}`,
      );
    }
    start = end = port;
  }
  variables.push(`${prefix}_NAME=/${container}/${alias}`);
  for (const variable of linked.env) {
    const [, name, value] = /^([^=]*)=(.*)$/s.exec(variable) ?? [];
    if (name !== undefined && !OWN_VARIABLES.has(name)) variables.push(`${prefix}_ENV_${name}=${value}`);
  }
  return variables;
}

/** TCP first, then the other protocols by name; numbers in order. */
function portsOf(exposed: readonly string[]): Port[] {
  const rank = ({ protocol }: Port) => (protocol === 'tcp' ? '' : protocol);
  return exposed
    .flatMap((text) => readPorts(text) ?? [])
    .map(({ first, protocol }) => ({ number: first, protocol }))
    .sort((one, other) => (rank(one) === rank(other) ? one.number - other.number : rank(one) < rank(other) ? -1 : 1));
}

/** Ports as `--publish` and `--expose` name them, and as lists show them. Nothing is opened here. Pure. */

/** one port, or several in a row */
export interface PortRange {
  first: number;
  last: number;
  /** tcp, udp, sctp */
  protocol: string;
}

export interface PortBinding {
  /** '' is every address */
  hostIp: string;
  /** '' is any free one */
  hostPort: string;
  /** `80/tcp`: the container's end */
  container: string;
}

const RANGE = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w*))?$/;

/** Reads `80`, `80/udp`, `8000-8010/tcp`. @returns undefined for what names no port */
export function readPorts(text: string): PortRange | undefined {
  const [, first, last, protocol] = RANGE.exec(text) ?? [];
  return first === undefined
    ? undefined
    : { first: Number(first), last: Number(last ?? first), protocol: protocol || 'tcp' };
}

/** `80` → `80/tcp` */
export function withProtocol(port: string): string {
  return port.includes('/') ? port : `${port}/tcp`;
}

/** Reads `[ip:][host:]container[/protocol]`. */
export function readPortBinding(text: string): PortBinding {
  const cut = text.lastIndexOf(':');
  const host = cut === -1 ? '' : text.slice(0, cut);
  const colon = host.lastIndexOf(':');
  return {
    hostIp: colon === -1 ? '' : host.slice(0, colon),
    hostPort: host.slice(colon + 1),
    container: withProtocol(text.slice(cut + 1)),
  };
}

/** Whether two of them have a port in common. */
export function sharePort(one: PortRange, other: PortRange): boolean {
  return one.protocol === other.protocol && one.first <= other.last && other.first <= one.last;
}

/** `90-92/udp` → `90/udp`, `91/udp`, `92/udp` */
export function eachPort({ first, last, protocol }: PortRange): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`);
}

/**
 * `90/udp`, `91/udp`, `80/tcp` → `80/tcp, 90-91/udp`. Source: docker/cli cli/command/formatter/container.go
 * DisplayablePorts
 */
export function displayPorts(ports: readonly string[]): string {
  const all = ports.flatMap((text) => readPorts(text) ?? []);
  all.sort((a, b) => a.first - b.first || (a.protocol < b.protocol ? -1 : 1));
  const runs: PortRange[] = [];
  for (const port of all) {
    const before = runs.findLast(({ protocol }) => protocol === port.protocol);
    if (before && port.first === before.last + 1) before.last = port.last;
    else runs.push({ ...port });
  }
  return runs
    .map(({ first, last, protocol }) => `${first === last ? first : `${first}-${last}`}/${protocol}`)
    .join(', ');
}

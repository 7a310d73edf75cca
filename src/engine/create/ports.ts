/** A container's ports as Docker names and shows them. Pure. */
import type { Container } from '../contract.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { networkName } from '../record/filters.ts';

export function withProtocol(port: string): string {
  return port.includes('/') ? port : `${port}/tcp`;
}

/**
 * The exposed ports that can be reached: of a running container on a network that leads somewhere; Docker lists no
 * others.
 */
export function reachablePorts(container: Container): string[] {
  if (!isRunning(container) || networkName(container) !== 'bridge') return [];
  return container.config.exposed ?? container.config.options.expose.map(withProtocol);
}

/**
 * `90/udp`, `91/udp`, `80/tcp` → `80/tcp, 90-91/udp`. Source: docker/cli cli/command/formatter/container.go
 * DisplayablePorts
 */
export function displayPorts(ports: readonly string[]): string {
  const all = ports.map((text) => {
    const [port = '', protocol = ''] = text.split('/');
    return { first: Number(port.split('-')[0]), last: Number(port.split('-').at(-1)), protocol };
  });
  all.sort((a, b) => a.first - b.first || (a.protocol < b.protocol ? -1 : 1));
  const runs: typeof all = [];
  for (const port of all) {
    const before = runs.findLast(({ protocol }) => protocol === port.protocol);
    if (before && port.first === before.last + 1) before.last = port.last;
    else runs.push({ ...port });
  }
  return runs
    .map(({ first, last, protocol }) => `${first === last ? first : `${first}-${last}`}/${protocol}`)
    .join(', ');
}

/** Which ports of a container can be reached, and where. Pure. */
import type { Container } from '../contract.ts';
import { readNetworkMode } from '../../notation/modes.ts';
import { eachPort, readPorts, withProtocol, type ShownPort } from '../../notation/ports.ts';
import { isRunning } from '../record/supervisor-link.ts';

/**
 * The published ports, and the exposed ones that can be reached: of a running container on a network that leads
 * somewhere; Docker lists no others.
 */
export function reachablePorts(container: Container): ShownPort[] {
  const { config, state } = container;
  const { kind } = readNetworkMode(config.options.network);
  if (!isRunning(container) || (kind !== 'default' && kind !== 'named')) return [];
  const published = (state.published ?? []).map(({ containerPort, protocol, hostIp, hostPort }): ShownPort => ({
    containerPort,
    protocol,
    host: { ip: hostIp, port: hostPort },
  }));
  const exposed = (config.exposed ?? config.options.expose.map(withProtocol))
    .flatMap((text) => {
      const range = readPorts(text);
      return range ? eachPort(range) : [];
    })
    .map((text): ShownPort => {
      const [port, protocol = 'tcp'] = text.split('/');
      return { containerPort: Number(port), protocol };
    });
  const isPublished = (port: ShownPort): boolean =>
    published.some((other) => other.containerPort === port.containerPort && other.protocol === port.protocol);
  return [...published, ...exposed.filter((port) => !isPublished(port))];
}

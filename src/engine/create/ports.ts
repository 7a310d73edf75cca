/** Which ports of a container can be reached. Pure. */
import type { Container } from '../contract.ts';
import { withProtocol } from '../../notation/ports.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { networkOf } from '../record/filters.ts';

/**
 * The exposed ports that can be reached: of a running container on a network that leads somewhere; Docker lists no
 * others.
 */
export function reachablePorts(container: Container): string[] {
  if (!isRunning(container) || networkOf(container) !== 'bridge') return [];
  return container.config.exposed ?? container.config.options.expose.map(withProtocol);
}

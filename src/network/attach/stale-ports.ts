/**
 * Takes ports off a network's bridge that are nobody's any more: those of a supervisor that was killed, whose
 * container's namespace is still held by somebody, or by data that nobody has acknowledged. Who has no lease has no
 * port.
 */
import type { DatabaseSync } from 'node:sqlite';
import { leased } from '../records/leased.ts';
import type { ActiveNetwork } from './active-network.ts';
import { portOf } from './port-name.ts';

/** It takes the kernel 15 to 20 ms for each. */
export function removeStalePorts({ network, sockets: { route, bridge } }: ActiveNetwork, database: DatabaseSync): void {
  // before the leases are read: whoever has a port by then had a lease before
  const ports = route.links().filter(({ master }) => master === bridge);
  if (ports.length === 0) return;
  const known = new Set(leased(database, network.id).map(({ endpointId }) => portOf(endpointId)));
  for (const { index, name } of ports) if (!known.has(name)) route.deleteLink(index);
}

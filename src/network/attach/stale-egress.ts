/**
 * Takes the rules of containers that were killed (--egress) out of a network, before somebody else has such a
 * container's address. Loaded only where there are rules of anybody.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { NetfilterSocket } from '../../host/streams/nftables.ts';
import { egressPorts, removeEgress } from '../egress/removal.ts';
import { leased } from '../records/leased.ts';
import { portOf } from './port-name.ts';

/** @throws NetlinkError */
export function removeStaleEgress(socket: NetfilterSocket, networkId: string, database: DatabaseSync): void {
  // before the leases are read: whoever has rules by then had a lease before
  const ports = egressPorts(socket);
  const known = new Set(leased(database, networkId).map(({ endpointId }) => portOf(endpointId)));
  const stale = new Set(ports.filter((port) => !known.has(port)));
  if (stale.size > 0) removeEgress(socket, (port) => stale.has(port));
}

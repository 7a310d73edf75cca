/**
 * What is leased of a network, and to whom: what the kernel's side of it should have, and which processes may hold its
 * namespace. Reads only.
 */
import type { DatabaseSync } from 'node:sqlite';
import { parseIp } from '../../notation/ip.ts';
import { isAlive, type ProcessIdentity } from '../../state/process-identity.ts';

export interface Leased {
  containerId: string;
  endpointId: string;
  mac: string;
  ipv4?: string;
  ipv6?: string;
  claim: ProcessIdentity;
}

interface Row {
  address: string;
  container_id: string;
  endpoint_id: string;
  mac: string;
  claim: string;
}

/** One for each endpoint, whose claim's process lives. */
export function leased(database: DatabaseSync, networkId: string): Leased[] {
  const rows = database
    .prepare('SELECT address, container_id, endpoint_id, mac, claim FROM leases WHERE network_id = ?')
    .all(networkId) as unknown as Row[];
  const found = new Map<string, Leased>();
  for (const row of rows) {
    const claim = readClaim(row.claim);
    if (!claim || !isAlive(claim)) continue;
    const { container_id: containerId, endpoint_id: endpointId, mac, address } = row;
    const before = found.get(endpointId) ?? { containerId, endpointId, mac, claim };
    found.set(endpointId, { ...before, [parseIp(address)?.family === 6 ? 'ipv6' : 'ipv4']: address });
  }
  return [...found.values()];
}

function readClaim(text: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(text) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

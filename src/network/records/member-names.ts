/** By which names a container is found on a network of one's own: rows of `network_names`, and what makes them. */
import type { DatabaseSync } from 'node:sqlite';
import type { EndpointRequest } from './contract.ts';

/** characters of a container's id that are a name of it */
const SHORT_ID = 12;

/** The container's own name comes first: a reverse look-up tells that. */
export function memberNames(
  { id, name, hostname }: { id: string; name: string; hostname: string },
  { aliases = [] }: Pick<EndpointRequest, 'aliases'>,
): string[] {
  return [...new Set([name, ...aliases, id.slice(0, SHORT_ID), hostname])];
}

/** Writes them in the place of those that there are. To be called in a transaction. */
export function writeNames(
  database: DatabaseSync,
  { networkId, containerId }: { networkId: string; containerId: string },
  names: readonly string[],
): void {
  database.prepare('DELETE FROM network_names WHERE network_id = ? AND container_id = ?').run(networkId, containerId);
  const insert = database.prepare(
    'INSERT OR IGNORE INTO network_names (network_id, name, container_id, rank) VALUES (?, ?, ?, ?)',
  );
  const distinct = new Set(names.map((name) => name.toLowerCase()));
  for (const [rank, name] of [...distinct].entries()) insert.run(networkId, name, containerId, rank);
}

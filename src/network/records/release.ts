/**
 * What a container that has ended gives back: its addresses, its names and its ports. Small, for every command loads
 * it: whoever looks at a container whose supervisor was killed gives back what that one had.
 */
import type { DatabaseSync } from 'node:sqlite';

/** Within the caller's transaction if there is one. */
export function releaseNetworks(database: DatabaseSync, containerId: string): void {
  for (const table of ['leases', 'network_names', 'published_ports'])
    database.prepare(`DELETE FROM ${table} WHERE container_id = ?`).run(containerId);
}

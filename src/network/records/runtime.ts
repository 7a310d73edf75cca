/** The row that says where the kernel's side of a network is: which namespace, and who keeps it. Believes nothing. */
import type { DatabaseSync } from 'node:sqlite';
import { currentBootId, type ProcessIdentity } from '../../state/process-identity.ts';
import type { NetworkRuntime } from './contract.ts';

/** @returns undefined when there is none, and when it is of another boot: nothing is left of that one then */
export function loadRuntime(database: DatabaseSync, networkId: string): NetworkRuntime | undefined {
  const row = database
    .prepare('SELECT boot_id, inode, cookie, keeper, version FROM network_runtime WHERE network_id = ?')
    .get(networkId) as
    | { boot_id: string; inode: number; cookie: string | null; keeper: string; version: number }
    | undefined;
  if (row === undefined || row.boot_id !== currentBootId()) return undefined;
  return {
    bootId: row.boot_id,
    inode: row.inode,
    ...(row.cookie !== null && { cookie: row.cookie }),
    keeper: JSON.parse(row.keeper) as ProcessIdentity,
    version: row.version,
  };
}

export function saveRuntime(database: DatabaseSync, networkId: string, runtime: NetworkRuntime): void {
  database
    .prepare(
      `INSERT OR REPLACE INTO network_runtime (network_id, boot_id, inode, cookie, keeper, version)
        VALUES (?, ?, ?, ?, ?, ?)`,
    )
    .run(
      networkId,
      runtime.bootId,
      runtime.inode,
      runtime.cookie ?? null,
      JSON.stringify(runtime.keeper),
      runtime.version,
    );
}

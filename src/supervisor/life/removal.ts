/**
 * Takes a container away, crash-safely: the record says `removing` under a live claim, its folder is renamed into tmp/
 * (one atomic step), the row goes, and then the bytes. Whoever dies between leaves either a `removing` record with a
 * dead claim or a folder tmp/container-…; `finishRemoval` (src/engine/record/reconcile.ts) and `sweepRemoved` of any
 * later command finish both. Never touches a running container.
 */
import { renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { removeRememberedCgroup } from '../../container/cgroup/remains.ts';
import type { Paths } from '../../paths.ts';
import type { ContainerStore } from '../../state/containers.ts';
import { transaction } from '../../state/database.ts';
import { appendEvent } from '../../state/events.ts';
import { abandoned, tmpPath } from '../../state/tmp-folder.ts';
import { removeSocket } from '../protocol/access.ts';

export interface RemovalContext {
  database: DatabaseSync;
  store: ContainerStore;
  paths: Pick<Paths, 'tmp' | 'container' | 'socket'>;
}

/**
 * The second half of a removal, after the caller has committed status `removing` with its own claim.
 * @returns deletes the bytes: slow, and not needed for the container to be gone
 */
export function removeRecordAndFolder(
  context: RemovalContext,
  id: string,
  attributes: Record<string, string>,
): () => Promise<void> {
  const { database, store, paths } = context;
  const aside = tmpPath(paths, `container-${id}`);
  removeSocket(paths, id);
  try {
    renameSync(paths.container(id), aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  transaction(database, () => {
    store.delete(id);
    appendEvent(database, { Type: 'container', Action: 'destroy', Actor: { ID: id, Attributes: attributes } });
  });
  return () => deleteTree(aside);
}

/** Finishes what killed processes left in tmp/. Cheap when there is nothing. */
export async function sweepRemoved(paths: Pick<Paths, 'tmp'>): Promise<void> {
  // own: a removal of this process's that could not delete the bytes is over
  for (const path of [...abandoned(paths, 'container', { own: true }), ...abandoned(paths, 'tree')])
    await deleteTree(path);
}

/** Files of a container may belong to subordinate ids, which their maker may only delete inside the user namespace. */
async function deleteTree(path: string): Promise<void> {
  removeRememberedCgroup(path);
  try {
    // overlay leaves work/work with mode 000: empty, it can be removed, but not listed, which rmSync does first
    rmdirSync(join(path, 'work/work'));
  } catch {
    // there is none, or more than an empty folder: what follows says so
  }
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    const { removeTree } = await import('../../rootless/trees.ts');
    await removeTree(path);
  }
}

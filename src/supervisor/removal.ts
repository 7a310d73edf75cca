/**
 * Takes a container away, crash-safely: the record says `removing` under a live claim, its folder is renamed into tmp/ (one
 * atomic step), the row goes, and then the bytes. Whoever dies between leaves either a `removing` record with a dead claim or a
 * folder tmp/container-…; `finishRemoval` (src/engine/record/reconcile.ts) and `sweepRemoved` of any later command finish both. Never touches a running container.
 */
import { readdirSync, renameSync, rmSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { removeRememberedCgroup } from '../container/cgroup/remains.ts';
import type { Paths } from '../paths.ts';
import type { ContainerStore } from '../state/containers.ts';
import { transaction } from '../state/database.ts';
import { appendEvent } from '../state/events.ts';
import { identify, identifySelf, isAlive } from '../state/process-identity.ts';
import { removeSocket } from './access.ts';

export interface RemovalContext {
  database: DatabaseSync;
  store: ContainerStore;
  paths: Pick<Paths, 'tmp' | 'container' | 'socket'>;
}

/** never `removed-`: that is a layer's (src/images/removal.ts), which another sweep would take this for and leave its cgroup */
const REMOVED_PREFIX = 'container-';

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
  const grave = join(paths.tmp, `${REMOVED_PREFIX}${id}-${process.pid}-${identifySelf().startTime}`);
  mkdirSync(paths.tmp, { recursive: true, mode: 0o711 });
  removeSocket(paths, id);
  try {
    renameSync(paths.container(id), grave);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  transaction(database, () => {
    store.delete(id);
    appendEvent(database, { Type: 'container', Action: 'destroy', Actor: { ID: id, Attributes: attributes } });
  });
  return () => deleteTree(grave);
}

/** Finishes what killed processes left in tmp/. Cheap when there is nothing: one readdir. */
export async function sweepRemoved(paths: Pick<Paths, 'tmp'>): Promise<void> {
  let names: string[];
  try {
    names = readdirSync(paths.tmp);
  } catch {
    return;
  }
  for (const name of names) {
    // container-…: this file's; removed-…: an earlier husk's name for the same
    // copy-up-…: where src/volumes/populate.ts looks at an image while it fills a volume; volume-…: one that src/volumes/volumes.ts is deleting
    const match = /^((?:container|removed)-[0-9a-f]{64}|copy-up|volume)-(\d+)-(\d+)(?:-\w{6})?$/.exec(name);
    if (!match) continue;
    const [, kind, pid, startTime] = match;
    const owner = identify(Number(pid));
    const mine = owner?.pid === process.pid && kind!.startsWith(REMOVED_PREFIX);
    if (owner && owner.startTime === startTime && !mine && isAlive(owner)) continue;
    await deleteTree(join(paths.tmp, name));
  }
}

/** Files of a container may belong to subordinate ids, which their maker may only delete inside the user namespace. */
async function deleteTree(path: string): Promise<void> {
  removeRememberedCgroup(path);
  try {
    // overlay leaves work/work with mode 000; empty, it can be removed though not listed
    rmSync(join(path, 'work/work'), { recursive: true, force: true });
    rmSync(path, { recursive: true, force: true });
  } catch {
    const { removeTree } = await import('../rootless/trees.ts');
    await removeTree(path);
  }
}

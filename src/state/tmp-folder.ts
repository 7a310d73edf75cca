/**
 * Names in the data root's tmp/, where everything lies that is half-made or half removed. They carry their owner's pid
 * and start time, so that what a killed process has left is told from what a living one works on, and swept. Deletes
 * nothing itself: what lies there may belong to subordinate ids, or have a cgroup.
 *
 * Besides, src/images keeps two kinds of names of its own there, which have no owner: parts of downloads
 * (`<hex>.partial`), and layers whose removal is not committed (`removed-<hex>`).
 */
import { chmodSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeMissingFolders } from '../missing-folders.ts';
import type { Paths } from '../paths.ts';
import { identify, identifySelf, isAlive } from './process-identity.ts';

/** Files and folders of the user's own: rm(1) is enough. */
export type HalfMade = 'half-blob' | 'half-layer' | 'half-disk' | 'half-salvage';
/** Trees whose files may belong to subordinate ids. */
export type AsideTree = `container-${string}` | 'volume' | 'copy-up' | 'tree';

/** Where root runs husk, its containers' root is another user and must pass. */
const MODE = 0o711;

const NAMES = {
  'half-made': /^half-[a-z]+-(\d+)-(\d+)-\w+$/,
  // removed-<id>: an earlier husk's name for container-<id>
  container: /^(?:container|removed)-[0-9a-f]{64}-(\d+)-(\d+)(?:-\w+)?$/,
  tree: /^(?:volume|copy-up|tree)-(\d+)-(\d+)-\w+$/,
};

/** Makes tmp/ when it is not there, with exactly its mode. */
export function makeTmpFolder({ tmp }: Pick<Paths, 'tmp'>): void {
  if (makeMissingFolders(tmp, MODE) !== undefined) chmodSync(tmp, MODE);
}

/** @returns a path in tmp/ that nobody else has; tmp/ is made, the path is not */
export function tmpPath(paths: Pick<Paths, 'tmp'>, kind: HalfMade | AsideTree): string {
  makeTmpFolder(paths);
  const { pid, startTime } = identifySelf();
  // no secret: it tells the paths of one process from each other
  const unique = Math.random().toString(36).slice(2, 8).padEnd(6, '0');
  return join(paths.tmp, `${kind}-${pid}-${startTime}-${unique}`);
}

/**
 * @param options.own those of this process count, too: it works on none
 * @returns paths in tmp/ whose owners are dead. One readdir where there is nothing; other names are left alone
 */
export function abandoned(
  paths: Pick<Paths, 'tmp'>,
  kind: keyof typeof NAMES,
  options: { own?: boolean } = {},
): string[] {
  let names: string[];
  try {
    names = readdirSync(paths.tmp);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const [, pid, startTime] = NAMES[kind].exec(name) ?? [];
    if (pid === undefined) return [];
    const owner = identify(Number(pid));
    const isOwned = owner?.startTime === startTime && isAlive(owner);
    return isOwned && !(options.own && owner?.pid === process.pid) ? [] : [join(paths.tmp, name)];
  });
}

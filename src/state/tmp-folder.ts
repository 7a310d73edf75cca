/**
 * Names in the data root's tmp/, which has everything that is half-made or half removed. A name has its owner's pid and
 * start time, so that what a killed process left can be distinguished from the work of a living one, and deleted. This
 * module deletes nothing itself: files there may belong to subordinate ids, or have a cgroup.
 *
 * Besides, src/images keeps two kinds of names of its own there, which have no owner: parts of downloads
 * (`<hex>.partial`), and layers whose removal is not committed (`removed-<hex>`).
 */
import { chmodSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeMissingFolders } from '../missing-folders.ts';
import type { Paths } from '../paths.ts';
import { identify, identifySelf, isAlive } from './process-identity.ts';

/** files and folders of this user alone, for which rm(1) is enough */
export type HalfMade = 'half-blob' | 'half-layer' | 'half-disk' | 'half-salvage' | 'half-agent';
/** trees whose files may belong to subordinate ids */
export type AsideTree = `container-${string}` | 'volume' | 'copy-up' | 'tree' | 'probe';

/** mode of tmp/: where root runs husk, its containers' root is another user and must pass through */
const MODE = 0o711;

const NAMES = {
  'half-made': /^half-[a-z]+-(\d+)-(\d+)-\w+$/,
  // removed-<id> is the name that earlier versions gave to container-<id>.
  container: /^(?:container|removed)-[0-9a-f]{64}-(\d+)-(\d+)(?:-\w+)?$/,
  tree: /^(?:volume|copy-up|tree|probe)-(\d+)-(\d+)-\w+$/,
};

/** Makes tmp/ when it is not there, with exactly this mode. */
export function makeTmpFolder({ tmp }: Pick<Paths, 'tmp'>): void {
  if (makeMissingFolders(tmp, MODE) !== undefined) chmodSync(tmp, MODE);
}

/** @returns a path in tmp/ that no other process uses; tmp/ is made, the path is not */
export function tmpPath(paths: Pick<Paths, 'tmp'>, kind: HalfMade | AsideTree): string {
  makeTmpFolder(paths);
  const { pid, startTime } = identifySelf();
  // The digits are no secret; they distinguish the paths of one process.
  const unique = Math.random().toString(36).slice(2, 8).padEnd(6, '0');
  return join(paths.tmp, `${kind}-${pid}-${startTime}-${unique}`);
}

/**
 * @param options.own whether paths of this process count too, because it uses none of them now
 * @returns paths in tmp/ whose owners are dead; one readdir where there are none; other names are ignored
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

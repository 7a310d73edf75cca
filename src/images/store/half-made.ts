/**
 * Deletes what the image room left half-made in tmp/: work of processes that were killed, and parts of downloads that
 * were not resumed.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Paths } from '../../paths.ts';
import { abandoned } from '../../state/tmp-folder.ts';

const PARTIAL = '.partial';
/** ms for which the part of a broken download is kept for the next pull */
const PARTIAL_LIFETIME_MS = 7 * 24 * 3600 * 1000;

export function sweepHalfMade(paths: Pick<Paths, 'tmp'>, now = Date.now()): void {
  for (const path of abandoned(paths, 'half-made')) rmSync(path, { recursive: true, force: true });
  for (const path of partials(paths)) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && stat.mtimeMs < now - PARTIAL_LIFETIME_MS) rmSync(path, { force: true });
  }
}

function partials({ tmp }: Pick<Paths, 'tmp'>): string[] {
  try {
    return readdirSync(tmp).flatMap((name) => (name.endsWith(PARTIAL) ? [join(tmp, name)] : []));
  } catch {
    return [];
  }
}

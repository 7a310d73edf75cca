/**
 * Names in tmp/ for what is half-made: they carry their maker's pid and start time, so that what a killed process left behind is
 * told from what a living one is working on, and swept.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { randomHex } from '../host/random.ts';
import type { Paths } from '../paths.ts';
import { identifySelf, identify } from '../state/process-identity.ts';

const MARK = 'half';
const PARTIAL = '.partial';
/** how long the part of a broken download is kept for the next pull */
const PARTIAL_LIFETIME_MS = 7 * 24 * 3600 * 1000;

/** @returns a path in tmp/ that nobody else has; tmp/ is made */
export function halfMade(paths: Pick<Paths, 'tmp'>, kind: 'blob' | 'layer' | 'archive'): string {
  mkdirSync(paths.tmp, { recursive: true, mode: 0o700 });
  const { pid, startTime } = identifySelf();
  return join(paths.tmp, [MARK, kind, pid, startTime, randomHex(6)].join('-'));
}

/** Deletes what dead processes have left half-made, and parts nobody came back for. Never rejects a name it does not know: it is left alone. */
export function sweepHalfMade(paths: Pick<Paths, 'tmp'>, now = Date.now()): void {
  let names: string[];
  try {
    names = readdirSync(paths.tmp);
  } catch {
    return;
  }
  for (const name of names) {
    const path = join(paths.tmp, name);
    const [mark, , pid, startTime] = name.split('-');
    if (
      mark === MARK
        ? identify(Number(pid))?.startTime !== startTime
        : name.endsWith(PARTIAL) && isOlder(path, now - PARTIAL_LIFETIME_MS)
    )
      rmSync(path, { recursive: true, force: true });
  }
}

function isOlder(path: string, time: number): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.mtimeMs < time;
}

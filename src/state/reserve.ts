/**
 * Room kept for a full disk, in a file beside the database: SQLite needs files of its own even to read
 * (sqlite.org/wal.html), and a removal writes before it frees anything. It is given up when the disk is full, so that
 * `ps`, `rm` and `prune` still work, and made again by the first command that finds ample space.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** bytes: the log's index (32 KiB), the log of a few dozen transactions, and copies of records */
const SIZE = 512 << 10;
/** bytes that must be free before it is made */
const AMPLE = 8 << 20;

const reserveOf = (database: string): string => `${database}-reserve`;

/** @param database its path */
export function keepReserve(database: string): void {
  const reserve = reserveOf(database);
  if (existsSync(reserve)) return;
  try {
    const { bavail, bsize } = statfsSync(dirname(database));
    if (bavail * bsize < AMPLE) return;
    // nothing that compresses: the room would not be there
    writeFileSync(reserve, randomBytes(SIZE), { mode: 0o600 });
  } catch {
    // it is a help, and no command's work
    spendReserve(database);
  }
}

/** @returns whether there was any */
export function spendReserve(database: string): boolean {
  try {
    unlinkSync(reserveOf(database));
    return true;
  } catch {
    return false;
  }
}

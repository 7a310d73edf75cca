/**
 * Room kept for a full disk, in a file beside the database: SQLite needs files of its own even to read
 * (sqlite.org/wal.html), and a removal writes before it frees anything. The file is deleted when the disk is full, so
 * that `ps`, `rm` and `prune` still work, and made again by the first command that finds enough space.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** bytes: the log's index (32 KiB), the log of a few dozen transactions, and copies of records */
const SIZE = 512 << 10;
/** bytes that must be free before the file is made */
const AMPLE = 8 << 20;

const reserveOf = (database: string): string => `${database}-reserve`;

/** Makes the file when it is missing and there is enough space. @param database path of the database */
export function keepReserve(database: string): void {
  const reserve = reserveOf(database);
  if (existsSync(reserve)) return;
  try {
    const { bavail, bsize } = statfsSync(dirname(database));
    if (bavail * bsize < AMPLE) return;
    // The bytes are random, because bytes that compress would not keep the room on a compressing file system.
    writeFileSync(reserve, randomBytes(SIZE), { mode: 0o600 });
  } catch {
    // A command does not need the file, so it must not fail for it.
    spendReserve(database);
  }
}

/** Deletes the file. @returns whether there was one */
export function spendReserve(database: string): boolean {
  try {
    unlinkSync(reserveOf(database));
    return true;
  } catch {
    return false;
  }
}

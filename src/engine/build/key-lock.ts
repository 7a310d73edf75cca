/**
 * A lock for each key of the cache: of two builds that miss the same key, in one process or in several, one makes the
 * layer and the other waits for it. The lock is a flock, which dies with its holder; its file goes with it.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isNamed, lockWhenFree, tryLock } from '../../host/files/flock.ts';
import type { Fd } from '../../host/fd.ts';
import type { Paths } from '../../paths.ts';

const folderOf = ({ dataRoot }: Place): string => join(dataRoot, 'build-locks');

type Place = Pick<Paths, 'dataRoot'>;

/** Waits for the lock of a key. @param onWait called once, when another has it */
export async function lockKey(
  place: Place,
  key: string,
  { signal, onWait }: { signal: AbortSignal; onWait?: () => void },
): Promise<Disposable> {
  const folder = folderOf(place);
  const file = join(folder, key);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (;;) {
    const lock = await lockWhenFree(file, { signal, onWait });
    // The holder before may have removed the file between our open and our lock: then this lock is nobody's.
    if (isNamed(lock, file)) return { [Symbol.dispose]: () => remove(lock, file) };
    lock.close();
    onWait = undefined;
  }
}

/** Removes the files of locks whose holders were killed. */
export function sweepLocks(place: Place): void {
  const folder = folderOf(place);
  for (const name of namesIn(folder)) {
    const file = join(folder, name);
    const lock = tryLock(file);
    // What another removed meanwhile is another's again, or nobody's.
    if (lock && isNamed(lock, file)) remove(lock, file);
    else lock?.close();
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The name goes while the lock is held: whoever waits for it finds that it has locked a file without a name. */
function remove(lock: Fd, file: string): void {
  rmSync(file, { force: true });
  lock.close();
}

/**
 * saved/<id>: the machine of a running container as it was at one moment, while copies are made of it. A folder is
 * there only as long as a command has its lock; what a killed one left, the next takes away, or `system prune`.
 *
 *   saved/<id>/state, memory, disk
 *   saved/<id>.taken/               what is left of the monitor's folder
 *   saved/<id>.lock                 (flock)
 *   saved/<id>.checkpoints/         see checkpoints.ts
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HuskError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import { isNamed, lockWhenFree, tryLock } from '../../host/files/flock.ts';
import { O_PATH } from '../../host/files/file-at.ts';
import { openBeneath, openFolder, O_DIRECTORY } from '../../host/files/lookup.ts';
import type { Paths } from '../../paths.ts';
import type { Saved } from '../../supervisor/protocol/protocol.ts';
import type { Container } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { connect, notRunning } from '../record/supervisor-link.ts';
import { savedFiles, savedFolder } from '../../vmm/snapshot/saved-files.ts';

const LOCK = '.lock';
const CHECKPOINTS = '.checkpoints';
/** the monitor's folder, which it may still have open */
const TAKEN = '.taken';
const ID = /^[0-9a-f]{64}$/;

type SavedPaths = Pick<Paths, 'saved' | 'containers' | 'container'>;

/**
 * Waits for whoever forks the same container. Disposed of, the folder goes, and what is left in the container's own.
 */
export async function lockSaved(paths: SavedPaths, id: string): Promise<Disposable> {
  mkdirSync(paths.saved, { recursive: true, mode: 0o700 });
  const file = join(paths.saved, id + LOCK);
  for (;;) {
    const lock = await lockWhenFree(file, { signal: new AbortController().signal });
    if (isNamed(lock, file)) return locked(paths, id, lock);
    // its holder before has removed the file
    lock.close();
  }
}

function locked(paths: SavedPaths, id: string, lock: Disposable): Disposable {
  return {
    [Symbol.dispose]() {
      // The monitor may be changing what it has open there. rmSync, as rm(1), goes from descriptor to descriptor and
      // follows no link; fs.promises.rm goes by paths.
      using own = ownFolder(paths, id);
      const folders = [join(paths.saved, id), join(paths.saved, id + TAKEN), ...(own ? [savedFolder(own.path)] : [])];
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
      // the name goes while the lock is held
      rmSync(join(paths.saved, id + LOCK), { force: true });
      lock[Symbol.dispose]();
    },
  };
}

/**
 * Has the container's supervisor save it, while this process has the lock.
 * @returns for how long it stood still, as events tell it: whole ms
 * @throws HuskError as the supervisor says
 */
export async function saveMachine(context: EngineContext, container: Container): Promise<string> {
  using client = await connect(context, container);
  if (!client) throw notRunning(container);
  const answer = await client.request({ type: 'save' });
  const { standstill } = (answer.type === 'ok' ? answer.value : {}) as Partial<Saved>;
  // a monitor that was taken over says what it likes
  return String(Math.round(Number(standstill)) || 0);
}

/**
 * Moves what a monitor has saved to where it cannot reach it by a name. Attack: a monitor that was taken over leaves a
 * link, or a file that has another name, and has the copies read what is not its own, or files of the user's moved
 * away. Nothing is looked at before it is in a folder of which the monitor has no part; rename(2) follows no link at
 * its end.
 * @param _lock proves that nobody else does @returns the folder @throws HuskError `corrupt`
 */
export function takeSaved(paths: SavedPaths, id: string, _lock: Disposable): string {
  const folder = join(paths.saved, id);
  const taken = folder + TAKEN;
  for (const path of [folder, taken]) rmSync(path, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  const elsewhere = () =>
    new HuskError(`what the machine of container ${id} has saved is not in a folder of its own`, { kind: 'corrupt' });
  using own = ownFolder(paths, id);
  if (!own) throw elsewhere();
  renameSync(savedFolder(own.path), taken);
  if (!isOwn(taken) || !lstatSync(taken).isDirectory()) throw elsewhere();
  const [from, to] = [savedFiles(taken), savedFiles(folder)];
  for (const name of ['state', 'memory', 'disk'] as const) {
    renameSync(from[name], to[name]);
    const stat = lstatSync(to[name]);
    if (!stat.isFile() || stat.nlink !== 1 || !isOwn(to[name]))
      throw new HuskError(`the ${name} that the machine of container ${id} has saved is not a file of its own`, {
        kind: 'corrupt',
      });
  }
  return folder;
}

/**
 * The container's own folder, by a descriptor. Attack: the monitor of a `--rm` container, which takes the folder away,
 * may write to the folder above it, and has a link to another folder of the user's there, whose `saved` would be moved
 * or removed.
 * @returns undefined when it is not there, or behind a link
 */
function ownFolder({ containers }: SavedPaths, id: string): ({ path: string } & Disposable) | undefined {
  try {
    using dataRoot = new Fd(openFolder(dirname(containers)));
    const fd = new Fd(openBeneath(dataRoot.number, join(basename(containers), id), O_PATH | O_DIRECTORY));
    return { path: `/proc/self/fd/${fd.number}`, [Symbol.dispose]: () => fd.close() };
  } catch {
    return undefined;
  }
}

/** Whether it is a folder or a file of this user's, closed to others, and no link. */
export function isOwn(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return (
    stat !== undefined &&
    (stat.isFile() || stat.isDirectory()) &&
    stat.uid === process.getuid!() &&
    (stat.mode & (stat.isDirectory() ? 0o022 : 0o077)) === 0
  );
}

/** The folder of a container's checkpoints (checkpoints.ts), which goes with the container. */
export const checkpointsOf = ({ saved }: Pick<Paths, 'saved'>, id: string): string => join(saved, id + CHECKPOINTS);

/**
 * Removes what killed commands have left, and the checkpoints of containers that removed themselves (`--rm`).
 * @param options.isThere whether there is such a container
 * @returns bytes given back
 */
export function sweepSaved(paths: SavedPaths, { isThere }: { isThere: (id: string) => boolean }): number {
  const left = savedLeft(paths);
  for (const name of existsSync(paths.saved) ? readdirSync(paths.saved) : []) {
    const id = name.replace(CHECKPOINTS, '');
    if (name === id + CHECKPOINTS && ID.test(id) && !isThere(id))
      rmSync(join(paths.saved, name), { recursive: true, force: true });
  }
  if (left.length > 0) mkdirSync(paths.saved, { recursive: true, mode: 0o700 });
  for (const { id } of left) {
    using lock = tryLock(join(paths.saved, id + LOCK));
    if (lock && isNamed(lock, join(paths.saved, id + LOCK))) locked(paths, id, lock)[Symbol.dispose]();
  }
  return left.reduce((sum, { size }) => sum + size, 0);
}

/** @returns ids of containers of whose machine something is there that nobody has the lock of; sizes in bytes */
export function savedLeft(paths: SavedPaths): { id: string; size: number }[] {
  if (!existsSync(paths.saved)) return [];
  const named = readdirSync(paths.saved).map((name) => name.replace(LOCK, '').replace(TAKEN, ''));
  const own = existsSync(paths.containers)
    ? readdirSync(paths.containers).filter((id) => existsSync(savedFolder(paths.container(id))))
    : [];
  return [...new Set([...named, ...own])]
    .filter((id) => ID.test(id))
    .flatMap((id) => {
      if (isHeld(join(paths.saved, id + LOCK))) return [];
      const folders = [join(paths.saved, id), join(paths.saved, id + TAKEN), savedFolder(paths.container(id))].filter(
        (path) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory(),
      );
      return [{ id, size: folders.reduce((sum, folder) => sum + sizeOf(folder), 0) }];
    });
}

function isHeld(file: string): boolean {
  if (!existsSync(file)) return false;
  using lock = tryLock(file);
  return lock === undefined;
}

function sizeOf(folder: string): number {
  return readdirSync(folder).reduce(
    (sum, name) => sum + (lstatSync(join(folder, name), { throwIfNoEntry: false })?.blocks ?? 0) * 512,
    0,
  );
}

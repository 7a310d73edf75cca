/** Paths of this host that `cp` reads from or writes to: what they are, with Docker's errors. They are the person's own: links are followed as elsewhere. */
import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { HuskError } from '../../errors.ts';
import { absolute, archiveName, endsWithDot, type Destination, type Source } from './rules.ts';

/** Docker's bound on links at the end of a destination */
const MAX_LINKS = 10;

/** @returns where it is to be read, too */
export function hostSource(path: string, options: { followLink: boolean }): Source & { path: string } {
  const typed = absolute(path, process.cwd());
  const found = orNotFound('lstat', typed, () => {
    // a slash at the end makes the kernel follow the last link too
    if (options.followLink) return realpathSync(typed);
    const plain = typed.replace(/(?:\/\.?)+$/, '');
    return posix.join(realpathSync(posix.dirname(plain) || '/'), posix.basename(plain)) + typed.slice(plain.length);
  });
  const stat = orNotFound('lstat', typed, () => lstatSync(found));
  if (!stat.isDirectory() && (typed.endsWith('/') || endsWithDot(typed))) throw new HuskError(`${typed}: not a directory`, { kind: 'invalid' });
  return { path: found, isDirectory: stat.isDirectory(), name: typed === '/' ? '' : archiveName(typed) };
}

/** A link at the end is evaluated, also one that leads to nothing: what is copied becomes its target. */
export function hostDestination(typed: string): Destination {
  const path = absolute(typed, process.cwd());
  checkOutput(path);
  let at = path;
  for (let links = 0; ; links++) {
    const stat = lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined) break;
    if (!stat.isSymbolicLink()) return { path: at, exists: true, isDirectory: stat.isDirectory() };
    if (links > MAX_LINKS) throw new HuskError(`too many symlinks in ${path}`, { kind: 'invalid' });
    at = posix.resolve(posix.dirname(at), readlinkSync(at));
  }
  const parent = posix.dirname(at);
  const stat = orNotFound('stat', parent, () => statSync(parent));
  if (!stat.isDirectory()) throw new HuskError('not a directory', { kind: 'invalid' });
  return { path: at, exists: false, isDirectory: false };
}

/** @throws HuskError `invalid` where no file or folder can be made or replaced */
export function checkOutput(path: string): void {
  const folder = posix.dirname(posix.normalize(path));
  if (!statSync(folder, { throwIfNoEntry: false })) throw new HuskError(`invalid output path: directory "${folder}" does not exist`, { kind: 'invalid' });
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat || stat.isDirectory() || stat.isFile()) return;
  const what = stat.isCharacterDevice() || stat.isBlockDevice() ? 'got a device' : 'got an irregular file';
  throw new HuskError(`invalid output path: "${path}" must be a directory or a regular file: ${what}`, { kind: 'invalid' });
}

function orNotFound<T>(call: string, path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new HuskError(`${call} ${path}: no such file or directory`, { kind: 'not-found', cause: error });
    if (code === 'ENOTDIR') throw new HuskError(`${call} ${path}: not a directory`, { kind: 'invalid', cause: error });
    throw error;
  }
}

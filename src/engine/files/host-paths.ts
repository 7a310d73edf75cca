/**
 * Paths of this host that `cp` reads from or writes to: what they are, with Docker's errors. They are the person's own:
 * links are followed as elsewhere.
 */
import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { HuskError, systemError } from '../../errors.ts';
import { absolute, archiveName, endsWithDot, type Destination, type Source } from './copy-rules.ts';

/** Docker's bound on links at the end of a destination */
const MAX_LINKS = 10;

/** @returns where it is to be read, too */
export function hostSource(path: string, options: { followLink: boolean }): Source & { path: string } {
  const typed = absolute(path, process.cwd());
  const found = onThisHost('lstat', typed, () => {
    // a slash at the end makes the kernel follow the last link too
    if (options.followLink) return realpathSync(typed);
    const plain = typed.replace(/(?:\/\.?)+$/, '');
    return posix.join(realpathSync(posix.dirname(plain) || '/'), posix.basename(plain)) + typed.slice(plain.length);
  });
  const stat = onThisHost('lstat', typed, () => lstatSync(found));
  if (!stat.isDirectory() && (typed.endsWith('/') || endsWithDot(typed)))
    throw new HuskError(`${typed}: not a directory`, { kind: 'invalid' });
  return { path: found, isDirectory: stat.isDirectory(), name: typed === '/' ? '' : archiveName(typed) };
}

/** A link at the end is evaluated, also one that leads to nothing: what is copied becomes its target. */
export function hostDestination(typed: string): Destination {
  const path = absolute(typed, process.cwd());
  checkOutput(path);
  let at = path;
  for (let links = 0; ; links++) {
    const stat = onThisHost('lstat', at, () => lstatSync(at, { throwIfNoEntry: false }));
    if (stat === undefined) break;
    if (!stat.isSymbolicLink()) return { path: at, exists: true, isDirectory: stat.isDirectory() };
    if (links > MAX_LINKS) throw new HuskError(`too many symlinks in ${path}`, { kind: 'invalid' });
    at = posix.resolve(
      posix.dirname(at),
      onThisHost('readlink', at, () => readlinkSync(at)),
    );
  }
  const parent = posix.dirname(at);
  const stat = onThisHost('stat', parent, () => statSync(parent));
  if (!stat.isDirectory()) throw new HuskError('not a directory', { kind: 'invalid' });
  return { path: at, exists: false, isDirectory: false };
}

/** @throws HuskError `invalid` where no file or folder can be made or replaced */
export function checkOutput(path: string): void {
  const folder = posix.dirname(posix.normalize(path));
  if (!onThisHost('stat', folder, () => statSync(folder, { throwIfNoEntry: false })))
    throw new HuskError(`invalid output path: directory "${folder}" does not exist`, { kind: 'invalid' });
  const stat = onThisHost('stat', path, () => statSync(path, { throwIfNoEntry: false }));
  if (!stat || stat.isDirectory() || stat.isFile()) return;
  const what = stat.isCharacterDevice() || stat.isBlockDevice() ? 'got a device' : 'got an irregular file';
  throw new HuskError(`invalid output path: "${path}" must be a directory or a regular file: ${what}`, {
    kind: 'invalid',
  });
}

/** Docker's words for a path of this host that cannot be used: `lstat /x: no such file or directory`. */
export function onThisHost<T>(call: string, path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    const refused = systemError(error);
    if (!refused) throw error;
    const kind = refused.code === 'ENOENT' ? 'not-found' : 'invalid';
    throw new HuskError(`${call} ${path}: ${refused.text}`, { kind, cause: error });
  }
}

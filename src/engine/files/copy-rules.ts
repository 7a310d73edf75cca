/**
 * Docker's rules of `cp`: where something goes, and what it is called there. Pure.
 *
 * Source: docker reference, `docker cp`; moby pkg/archive copy.go. Their texts are kept.
 */
import { posix } from 'node:path';
import { HuskError } from '../../errors.ts';

export interface Source {
  isDirectory: boolean;
  /** its last name; '' for the contents of a folder (`dir/.`) and for a whole root */
  name: string;
}

export interface Destination {
  /** with the slash or dot at its end, if it was typed so */
  path: string;
  exists: boolean;
  isDirectory: boolean;
}

/**
 * @returns the folder to unpack in, which should exist, and the name in it; '' for what has none of its own. @throws
 * HuskError `invalid`
 */
export function placeOf(source: Source, destination: Destination): { folder: string; name: string } {
  const { path, exists, isDirectory } = destination;
  if (exists && isDirectory) return { folder: path, name: source.name };
  if (exists && source.isDirectory) throw new HuskError('cannot copy directory', { kind: 'invalid' });
  if (!exists && !source.isDirectory && assertsFolder(path))
    throw new HuskError('no such directory', { kind: 'invalid' });
  const clean = posix.normalize(path).replace(/(.)\/$/, '$1');
  return { folder: posix.dirname(clean), name: posix.basename(clean) };
}

/** `x/` and `x/.` */
function assertsFolder(path: string): boolean {
  return path.endsWith('/') || endsWithDot(path);
}

/** `.` and `x/.` */
export function endsWithDot(path: string): boolean {
  return posix.basename(path) === '.';
}

/** What the members of a path's archive begin with. */
export function archiveName(path: string): string {
  const last = posix.basename(path);
  return last === '.' || last === '..' ? '' : last;
}

/** Absolute, with the slash or dot at the end kept: they mean something. */
export function absolute(path: string, folder: string): string {
  const resolved = posix.resolve(folder, path);
  if (endsWithDot(path)) return resolved === '/' ? '/.' : `${resolved}/.`;
  return path.endsWith('/') && resolved !== '/' ? `${resolved}/` : resolved;
}

/**
 * `CONTAINER:PATH`, or a path of this host: absolute, beginning with a dot, or without a colon.
 */
export function splitArgument(argument: string): { container?: string; path: string } {
  const colon = argument.indexOf(':');
  if (argument.startsWith('/') || argument.startsWith('.') || colon === -1) return { path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

/**
 * Where a member of the archive goes: below what was asked for, under its new name; undefined: it was not asked for.
 */
export function renaming(
  top: string,
  name: string,
  options: { isDirectory: boolean },
): (path: string) => string | undefined {
  const below = (rest: string) => (name === '' ? rest : rest === '' ? name : `${name}/${rest}`);
  return (path) => {
    if (top === '') return below(path);
    if (path === top) return below('');
    return options.isDirectory && path.startsWith(`${top}/`) ? below(path.slice(top.length + 1)) : undefined;
  };
}

/**
 * `cp` between this host and a container. On the host's side the same packer and unpacker work as on the container's
 * (src/container/files/), as the person who typed the command; what a container sends is unpacked below the one folder,
 * under the one name that was asked for.
 */
import { Readable } from 'node:stream';
import { pathOf } from '../../container/files/answer.ts';
import { packTree } from '../../container/files/pack.ts';
import { hostPlace } from '../../container/files/places.ts';
import { Unpacker } from '../../container/files/unpack.ts';
import { HuskError } from '../../errors.ts';
import { O_PATH } from '../../host/files/file-at.ts';
import { O_DIRECTORY, O_NOFOLLOW } from '../../host/files/lookup.ts';
import { open } from '../../host/fd.ts';
import { display, fromText } from '../../tar/byte-string.ts';
import type { EngineContext } from '../record/context.ts';
import type { CopyOptions } from '../contract.ts';
import { recordEvent } from '../record/events.ts';
import { openFiles, type ContainerFiles } from './container-files.ts';
import { named } from './files.ts';
import { resolve } from '../record/reconcile.ts';
import { hostDestination, hostSource, onThisHost } from './host-paths.ts';
import { archiveName, placeOf, renaming, type Destination } from './copy-rules.ts';

/** inode(7) */
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

const isDirectory = (mode: number) => (mode & S_IFMT) === S_IFDIR;

export async function copyFrom(
  context: EngineContext,
  reference: string,
  paths: { path: string; destination: string },
  options: CopyOptions = {},
): Promise<string> {
  const container = resolve(context, reference);
  const destination = hostDestination(paths.destination);
  const path = inContainer(paths.path);
  using files = await openFiles(context, container);
  const { stat, tar } = await named(reference, paths.path, () => files.archive(path, { follow: options.followLink }));
  const top = archiveName(path);
  const source = { isDirectory: isDirectory(stat.mode), name: top };
  const { folder, name } = placeOf(source, destination);
  await unpackHere(
    counted(tar, options.onBytes),
    { folder, rename: renaming(fromText(top), fromText(name), source) },
    options,
  );
  recordEvent(context, container, 'archive-path');
  return destination.path;
}

async function unpackHere(
  tar: AsyncIterable<Buffer>,
  place: { folder: string; rename: (path: string) => string | undefined },
  options: CopyOptions,
): Promise<void> {
  using folder = opened(place.folder, O_PATH | O_DIRECTORY);
  // set-user-ID programs of somebody else's choice belong to nobody here, unless asked for
  const unpacker = new Unpacker(hostPlace(folder.number, place.folder), {
    owner: options.archive && process.getuid!() === 0 ? 'keep' : 'none',
    specialBits: options.archive,
    rename: place.rename,
    onLeftOut: options.onLeftOut,
  });
  try {
    for await (const chunk of tar) unpacker.push(chunk);
    unpacker.end();
  } finally {
    unpacker.close();
  }
}

export async function copyTo(
  context: EngineContext,
  reference: string,
  paths: { source: string; path: string },
  options: CopyOptions = {},
): Promise<string> {
  const container = resolve(context, reference);
  const source = hostSource(paths.source, { followLink: options.followLink === true });
  using files = await openFiles(context, container);
  const destination = await containerDestination(files, inContainer(paths.path), `${reference}:${paths.path}`);
  const { folder, name } = placeOf(source, destination);
  using top = opened(source.path, O_PATH | O_NOFOLLOW);
  const owner = options.archive ? undefined : { uid: 0, gid: 0 };
  const shown = (member: string) => display(pathOf(member, fromText(name), fromText(source.path)));
  const pieces = packTree(top.number, fromText(name), { owner, shown });
  const tar = Readable.from(counted(pieces, options.onBytes), { objectMode: false });
  await named(reference, folder, () => files.extract(folder, tar));
  recordEvent(context, container, 'extract-to-dir');
  return destination.path;
}

const opened = (path: string, flags: number) => onThisHost('open', path, () => open(path, flags));

/** What stands at a path of the container that is to be written to; a link at its end is evaluated. */
export async function containerDestination(files: ContainerFiles, typed: string, shown: string): Promise<Destination> {
  let path = typed;
  let stat = await statOrNothing(files, path);
  if (stat && (stat.mode & S_IFMT) === S_IFLNK) {
    path = stat.linkTarget;
    stat = await statOrNothing(files, path);
  }
  if (stat && !isDirectory(stat.mode) && (stat.mode & S_IFMT) !== 0o100000)
    throw new HuskError(`destination "${shown}" must be a directory or a regular file: got an irregular file`, {
      kind: 'invalid',
    });
  return { path, exists: stat !== undefined, isDirectory: stat !== undefined && isDirectory(stat.mode) };
}

async function statOrNothing(files: ContainerFiles, path: string) {
  try {
    return await files.stat(path);
  } catch (error) {
    if (error instanceof HuskError && (error.kind === 'not-found' || error.kind === 'invalid')) return undefined;
    throw error;
  }
}

/** a path of a container counts from its root */
const inContainer = (path: string): string => (path.startsWith('/') ? path : `/${path}`);

async function* counted(
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  onBytes: CopyOptions['onBytes'],
): AsyncGenerator<Buffer, void, void> {
  let total = 0;
  for await (const piece of pieces) {
    yield piece;
    onBytes?.((total += piece.length));
  }
}

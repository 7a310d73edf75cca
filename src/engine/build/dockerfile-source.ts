/**
 * The bytes of the Dockerfile and of its ignore file. The default Dockerfile is opened beneath the context, so that a
 * link in a stranger's context cannot lead out of it; one that `-f` names is the caller's own choice.
 */
import { constants, fstatSync, openSync, readFileSync, closeSync, statSync } from 'node:fs';
import { basename, isAbsolute, join, relative, resolve } from 'node:path';
import { causeOf, HuskError, systemError } from '../../errors.ts';
import { closeFd, openFolder, openWithin, O_RDONLY } from '../../host/files/lookup.ts';
import { View } from '../../images/build/files/view.ts';
import type { Layer } from '../../images/store/contract.ts';
import type { BuildOptions } from '../build-contract.ts';

/** bytes; the parser has the same bound */
const MAX_FILE = 16 << 20;
const DEFAULT_NAMES = ['Dockerfile', 'dockerfile'];

export interface DockerfileSource {
  bytes: Uint8Array;
  /** as messages have it */
  name: string;
  /** the rules of what the context leaves out; undefined where there is no such file */
  ignore: { bytes: Uint8Array; name: string } | undefined;
}

/** @throws HuskError with the name that was looked for */
export function readDockerfile(
  { context, dockerfile }: Pick<BuildOptions, 'context' | 'dockerfile'>,
  /** of a context that came as a tar */
  contextLayer?: Layer,
): DockerfileSource {
  const folder = context.kind === 'folder' ? context.path : undefined;
  if (folder !== undefined) assertFolder(folder);
  if (dockerfile && 'bytes' in dockerfile)
    return { bytes: dockerfile.bytes, name: dockerfile.name ?? 'Dockerfile', ignore: ignoreFile(folder, undefined) };
  if (contextLayer) return readFromArchive(contextLayer, dockerfile?.path);
  if (dockerfile) {
    const { path } = dockerfile;
    // A relative name that is not there means the context's, as Docker's does.
    const found = [path, ...(folder === undefined || isAbsolute(path) ? [] : [join(folder, path)])].find(
      (each) => statSync(each, { throwIfNoEntry: false }) !== undefined,
    );
    if (found === undefined) throw missing(path);
    return { bytes: readWhole(found, path), name: basename(path), ignore: ignoreFile(folder, found) };
  }
  if (folder === undefined)
    throw new HuskError('no Dockerfile was given', { kind: 'invalid', fix: 'name one with -f' });
  const root = openFolder(folder);
  try {
    for (const name of DEFAULT_NAMES) {
      const bytes = readWithin(root, name);
      if (bytes) return { bytes, name, ignore: ignoreFile(folder, join(folder, name)) };
    }
  } finally {
    closeFd(root);
  }
  throw missing('Dockerfile');
}

function readFromArchive(layer: Layer, name: string | undefined): DockerfileSource {
  using view = View.of([layer]);
  for (const each of name === undefined ? DEFAULT_NAMES : [name]) {
    const bytes = view.read(each, MAX_FILE);
    if (bytes) return { bytes, name: basename(each), ignore: undefined };
  }
  throw missing(name ?? 'Dockerfile');
}

const missing = (name: string): HuskError =>
  new HuskError(`failed to read dockerfile: open ${name}: no such file or directory`, { kind: 'not-found' });

function assertFolder(folder: string): void {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (!stat)
    throw new HuskError(`unable to prepare context: path ${JSON.stringify(folder)} not found`, { kind: 'not-found' });
  if (!stat.isDirectory())
    throw new HuskError(`unable to prepare context: ${folder} is no folder`, {
      kind: 'invalid',
      fix: 'name the folder, and the Dockerfile with -f',
    });
}

/** @throws HuskError for a context by name that is no folder, whether the Dockerfile reads it or not */
export function assertNamedContexts(contexts: BuildOptions['contexts']): void {
  for (const [name, context] of Object.entries(contexts)) {
    if (context.kind !== 'folder') continue;
    const what = `failed to get build context ${name}`;
    const stat = statSync(context.path, { throwIfNoEntry: false });
    if (!stat) throw new HuskError(`${what}: stat ${context.path}: no such file or directory`, { kind: 'not-found' });
    if (!stat.isDirectory()) throw new HuskError(`${what}: ${context.path}: not a directory`, { kind: 'invalid' });
  }
}

/**
 * `F.dockerignore` beside the Dockerfile goes before `.dockerignore` of the context. Both lie beneath the context, or
 * beside a Dockerfile of the caller's choice.
 */
function ignoreFile(folder: string | undefined, dockerfile: string | undefined): DockerfileSource['ignore'] {
  if (folder === undefined) return undefined;
  const root = openFolder(folder);
  try {
    if (dockerfile !== undefined) {
      const beside = `${dockerfile}.dockerignore`;
      const inside = relative(resolve(folder), resolve(beside));
      const bytes = inside.startsWith('..') || isAbsolute(inside) ? tryRead(beside) : readWithin(root, inside);
      if (bytes) return { bytes, name: basename(beside) };
    }
    const bytes = readWithin(root, '.dockerignore');
    return bytes && { bytes, name: '.dockerignore' };
  } finally {
    closeFd(root);
  }
}

/** @returns the rules of a context by name */
export const readIgnoreFile = (folder: string): DockerfileSource['ignore'] => ignoreFile(folder, undefined);

/** @returns undefined where there is no such file @throws HuskError for a link that leads out of the folder */
function readWithin(root: number, name: string): Uint8Array | undefined {
  let fd: number;
  try {
    // A FIFO must not hold the build up.
    fd = openWithin(root, Buffer.from(name).toString('latin1'), O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = systemError(error) ?? {};
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'EXDEV')
      throw new HuskError(`${name} is a link that leads out of the context`, {
        kind: 'invalid',
        fix: 'name the file that is meant with -f',
      });
    throw new HuskError(`cannot open ${name}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
  try {
    return bounded(fd, name);
  } finally {
    closeFd(fd);
  }
}

function readWhole(path: string, name: string): Uint8Array {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw new HuskError(`failed to read dockerfile: open ${name}: ${causeOf(error)}`, {
      kind: 'invalid',
      cause: error,
    });
  }
  try {
    return bounded(fd, name, { isPipe: true });
  } finally {
    closeSync(fd);
  }
}

function tryRead(path: string): Uint8Array | undefined {
  return statSync(path, { throwIfNoEntry: false }) === undefined ? undefined : readWhole(path, basename(path));
}

/** @param options.isPipe whether it may be a pipe, as `-f <(…)` gives one */
function bounded(fd: number, name: string, { isPipe = false } = {}): Uint8Array {
  const stat = fstatSync(fd);
  if (stat.isDirectory()) throw new HuskError(`${name} is a folder`, { kind: 'invalid' });
  if (!stat.isFile() && !(isPipe && (stat.isFIFO() || stat.isCharacterDevice())))
    throw new HuskError(`${name} is no regular file`, { kind: 'invalid' });
  const bytes = stat.size > MAX_FILE ? undefined : readFileSync(fd);
  if (!bytes || bytes.length > MAX_FILE)
    throw new HuskError(`${name} is larger than ${MAX_FILE} bytes`, { kind: 'limit' });
  return bytes;
}

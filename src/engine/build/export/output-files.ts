/**
 * The files of a build's result outside of the image store: as one tar, or in a folder of the caller's. The layers are
 * merged as for a root disk; what an image says is a stranger's.
 */
import { closeSync, constants, fchmodSync, openSync, readSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { once } from 'node:events';
import { causeOf, HuskError, systemError } from '../../../errors.ts';
import {
  closeFd,
  makeDirectoryAt,
  openAt,
  openBeneath,
  openFolder,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  symlinkAt,
  linkAt,
} from '../../../host/files/lookup.ts';
import { unlinkAt } from '../../../host/files/file-at.ts';
import { mergeLayers, type MergedDirectory, type MergedNode } from '../../../images/layers/merge.ts';
import { LayerTree } from '../../../images/layers/tree.ts';
import type { Layer } from '../../../images/store/contract.ts';
import { makeMissingFolders } from '../../../missing-folders.ts';
import { type ByteString, display } from '../../../tar/byte-string.ts';
import type { TarEntry } from '../../../tar/entry.ts';
import { scanTar } from '../../../tar/scan.ts';
import { paddingOf, TAR_END, tarHeader } from '../../../tar/write.ts';

/** bytes copied at once */
const CHUNK = 1 << 20;
/** mode of folders that no layer describes */
const FOLDER_MODE = 0o755;
/** mode of the caller's folder where it is missing, less the umask */
const ANY_MODE = 0o777;
/** permission bits that a folder of the caller's gets: none of setuid, setgid and sticky */
const PLAIN = 0o777;

function merged(layers: readonly Layer[]): MergedDirectory {
  return mergeLayers(
    layers.map(({ tar }) => {
      const tree = new LayerTree();
      scanTar(tar, (entry) => tree.add(entry));
      return tree;
    }),
  );
}

/** Children in byte order, folders before what is in them. */
function* walk(root: MergedDirectory): Generator<{ path: ByteString; node: MergedNode }, void, void> {
  const pending: { path: ByteString; node: MergedNode }[] = [];
  const push = (folder: MergedDirectory, path: ByteString): void => {
    const names = [...folder.children].sort(([a], [b]) => (a < b ? 1 : -1));
    for (const [name, node] of names) pending.push({ path: path === '' ? name : `${path}/${name}`, node });
  };
  push(root, '');
  for (let next = pending.pop(); next; next = pending.pop()) {
    yield next;
    if (next.node.kind === 'directory') push(next.node, next.path);
  }
}

/** The pieces of a file, its holes as zeros. */
function* contentsOf(tar: number, entry: TarEntry): Generator<Buffer, void, void> {
  const segments = entry.sparse ?? [{ offset: 0, length: entry.dataSize }];
  const buffer = Buffer.allocUnsafe(CHUNK);
  let at = 0;
  let from = entry.dataOffset;
  const zeros = function* (to: number): Generator<Buffer, void, void> {
    for (; at < to; at += Math.min(CHUNK, to - at)) yield Buffer.alloc(Math.min(CHUNK, to - at));
  };
  for (const { offset, length } of segments) {
    yield* zeros(offset);
    for (let left = length; left > 0;) {
      const read = readSync(tar, buffer, 0, Math.min(CHUNK, left), from);
      if (read === 0) throw new HuskError('a layer is shorter than its headers say', { kind: 'corrupt' });
      yield buffer.subarray(0, read);
      left -= read;
      from += read;
      at += read;
    }
  }
  yield* zeros(entry.size);
}

class Tars implements Disposable {
  readonly #layers: readonly Layer[];
  readonly #open = new Map<number, number>();

  constructor(layers: readonly Layer[]) {
    this.#layers = layers;
  }

  of(layer: number): number {
    let fd = this.#open.get(layer);
    if (fd === undefined) this.#open.set(layer, (fd = openSync(this.#layers[layer]!.tar, 'r')));
    return fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) closeSync(fd);
  }
}

/** Writes one tar with everything as it is in the image, owners, devices and xattrs included, and ends the stream. */
export async function writeTar(output: NodeJS.WritableStream, layers: readonly Layer[]): Promise<void> {
  using tars = new Tars(layers);
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (!output.write(bytes)) await once(output, 'drain');
  };
  const first = new Map<MergedNode, ByteString>();
  for (const { path, node } of walk(merged(layers))) {
    const { entry } = node;
    if (node.kind === 'directory') {
      await write(tarHeader({ ...attributes(entry, FOLDER_MODE), type: 'directory', path: `${path}/` }));
      continue;
    }
    const known = first.get(node);
    if (known !== undefined) {
      await write(tarHeader({ ...attributes(entry, 0), type: 'hardlink', path, linkname: known }));
      continue;
    }
    first.set(node, path);
    const { type, linkname, size, deviceMajor, deviceMinor } = node.entry;
    await write(tarHeader({ ...attributes(entry, 0), type, path, linkname, size, deviceMajor, deviceMinor }));
    if (type !== 'file') continue;
    // The stream keeps what it is given until it is written.
    for (const piece of contentsOf(tars.of(node.layer), node.entry)) await write(Buffer.from(piece));
    await write(paddingOf(size));
  }
  await write(TAR_END);
}

function attributes(entry: TarEntry | undefined, mode: number) {
  if (!entry) return { mode };
  const { uid, gid, mtime, mtimeNanoseconds, xattrs } = entry;
  return { mode: entry.mode, uid, gid, mtime, mtimeNanoseconds, ...(xattrs && { xattrs }) };
}

/**
 * Writes the files as the caller's own: no owners, no devices, no setuid. Nothing that is there is deleted but a file
 * that another takes the place of, and no link in the folder is followed.
 * @param options.below the name of a folder in it, where the files go instead
 * @param options.note is told what was left out
 */
export async function writeFolder(
  folder: string,
  layers: readonly Layer[],
  { below, note }: { below?: string; note: (text: string) => void },
): Promise<void> {
  try {
    makeMissingFolders(resolve(folder), ANY_MODE);
  } catch (error) {
    throw new HuskError(`cannot make the folder ${folder}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
  using tars = new Tars(layers);
  const root = below === undefined ? openFolder(folder) : openBelow(folder, below);
  const first = new Map<MergedNode, ByteString>();
  try {
    const modes: [ByteString, number][] = [];
    for (const { path, node } of walk(merged(layers))) {
      try {
        writeNode(root, { path, node, first, tars, modes, note });
      } catch (error) {
        if (error instanceof HuskError || !systemError(error)) throw error;
        throw new HuskError(`cannot write ${display(path)} in ${folder}: ${causeOf(error)}`, {
          kind: 'invalid',
          cause: error,
        });
      }
    }
    // A folder that may not be written to gets its mode when all is in it.
    for (const [path, mode] of modes.reverse()) chmodBeneath(root, path, mode);
  } finally {
    closeFd(root);
  }
}

/** What an earlier build has written may be a link of that name, which is not followed. */
function openBelow(folder: string, name: string): number {
  const above = openFolder(folder);
  try {
    return makeOrOpen(above, name, ANY_MODE);
  } catch (error) {
    if (!systemError(error)) throw error;
    throw new HuskError(`cannot write to ${name} in ${folder}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  } finally {
    closeFd(above);
  }
}

/** @returns a folder that was made, or was there and is no link to one. @throws SyscallError */
function makeOrOpen(parent: number, name: ByteString, mode: number): number {
  try {
    makeDirectoryAt(parent, name, mode);
  } catch (error) {
    if (systemError(error)?.code !== 'EEXIST') throw error;
  }
  return openBeneath(parent, name, O_RDONLY | O_DIRECTORY);
}

interface NodeWork {
  path: ByteString;
  node: MergedNode;
  first: Map<MergedNode, ByteString>;
  tars: Tars;
  modes: [ByteString, number][];
  note: (text: string) => void;
}

function writeNode(root: number, { path, node, first, tars, modes, note }: NodeWork): void {
  const slash = path.lastIndexOf('/');
  const name = path.slice(slash + 1);
  // Every folder on the way is one that was made or found here, and is opened without following a link.
  const parent = openBeneath(root, slash === -1 ? '.' : path.slice(0, slash), O_RDONLY | O_DIRECTORY);
  try {
    if (node.kind === 'directory') {
      closeFd(makeOrOpen(parent, name, 0o700));
      modes.push([path, (node.entry?.mode ?? FOLDER_MODE) & PLAIN]);
      return;
    }
    const { type, linkname } = node.entry;
    if (type === 'char' || type === 'block' || type === 'fifo')
      return note(`${display(path)} is left out: a ${type === 'fifo' ? 'named pipe' : 'device'}`);
    replace(parent, name);
    const known = first.get(node);
    if (known !== undefined) return linkAt(root, known, parent, name);
    first.set(node, path);
    if (type === 'symlink') return symlinkAt(linkname, parent, name);
    const fd = openAt(parent, name, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      for (const piece of contentsOf(tars.of(node.layer), node.entry))
        for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done);
      fchmodSync(fd, node.entry.mode & PLAIN);
    } catch (error) {
      // Half a file would be taken for the whole one.
      replace(parent, name);
      throw error;
    } finally {
      closeFd(fd);
    }
  } finally {
    closeFd(parent);
  }
}

/** Takes a file or a link away; a folder stays, and is an error. */
function replace(parent: number, name: ByteString): void {
  try {
    unlinkAt(parent, name);
  } catch (error) {
    if (systemError(error)?.code !== 'ENOENT') throw error;
  }
}

function chmodBeneath(root: number, path: ByteString, mode: number): void {
  const fd = openBeneath(root, path, O_RDONLY | O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, mode);
  } finally {
    closeFd(fd);
  }
}

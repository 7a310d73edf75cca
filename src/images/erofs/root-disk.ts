/**
 * An image's root disk for the VM isolation. The EROFS metadata is made once and lies beside the image's topmost layer,
 * with which it is deleted; this module makes it and lists the byte ranges that make up the disk. A disk that is
 * already there costs one stat per file. Layers are never unpacked or converted.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import { tmpPath } from '../../state/tmp-folder.ts';
import { writeWholeFile } from '../../whole-file.ts';
import type { Layer } from '../store/contract.ts';
import { distinctLayers, stackKey } from '../layers/stack.ts';
import { assertWhole } from '../layers/whole.ts';
import { BLOCK } from './format.ts';

/** prefix of a disk's name; it carries the version of the writer's output */
const VERSION = 'disk-v2';

/** A piece of the disk, in the form of `Rootfs` in src/sandbox.ts. The next piece follows where this one ends. */
export interface DiskExtent {
  path: string;
  offset: number;
  length: number;
}

/**
 * Makes an image's disk when it is not there.
 * @param all layers, bottom first, as in `Image.layers`; each a verified tar in the store
 * @throws HuskError `corrupt` or `limit`
 */
export async function rootDisk(all: readonly Layer[], paths: Pick<Paths, 'tmp'>): Promise<DiskExtent[]> {
  const layers = distinctLayers(all);
  for (const layer of layers) assertWhole(layer);
  const path = diskFile(layers, paths);
  if (!existsSync(path)) await make(layers, path, paths);
  const metadata = { path, offset: 0, length: statSync(path).size };
  const tars = layers.map(({ tar }) => ({
    path: tar,
    offset: 0,
    length: Math.floor(statSync(tar).size / BLOCK) * BLOCK,
  }));
  return [metadata, ...tars.filter(({ length }) => length > 0)];
}

/** @returns the path of the metadata of an image's disk, whether it has been made or not */
export function diskFile(layers: readonly Layer[], paths: Pick<Paths, 'tmp'>): string {
  const top = layers.at(-1);
  // An image without layers is an empty folder; its disk has no layer to lie beside.
  const folder = top ? join(top.tar, '..') : paths.tmp;
  return join(folder, `${VERSION}-${stackKey(distinctLayers(layers)).toString('hex').slice(0, 32)}.erofs`);
}

/** Makes the metadata of an image's disk; the same layers always make the same bytes. */
export async function diskMetadata(all: readonly Layer[]): Promise<Buffer> {
  const layers = distinctLayers(all);
  const [{ LayerTree }, { scanTar }, { writeErofs }] = await Promise.all([
    import('../layers/tree.ts'),
    import('../../tar/scan.ts'),
    import('./writer.ts'),
  ]);
  const fds: number[] = [];
  try {
    const sources = layers.map(({ tar }) => {
      const fd = openSync(tar, 'r');
      fds.push(fd);
      const tree = new LayerTree();
      scanTar(fd, (entry) => tree.add(entry));
      return {
        tree,
        size: statSync(tar).size,
        read: (offset: number, length: number) => readExactly(fd, offset, length, tar),
      };
    });
    return writeErofs(sources, stackKey(layers).subarray(0, 16)).metadata;
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

async function make(layers: readonly Layer[], path: string, paths: Pick<Paths, 'tmp'>): Promise<void> {
  const metadata = await diskMetadata(layers);
  const half = tmpPath(paths, 'half-disk');
  // Two processes that make it write the same bytes, so the later rename changes nothing.
  writeWholeFile(path, metadata, { mode: 0o644, durable: true, half });
}

function readExactly(fd: number, offset: number, length: number, path: string): Buffer {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const count = readSync(fd, bytes, done, length - done, offset + done);
    if (count === 0)
      throw new HuskError(`the layer ${path} has become shorter than it was`, {
        kind: 'corrupt',
        fix: 'remove the image and pull it again',
      });
    done += count;
  }
  return bytes;
}

/**
 * The unpacked trees of an image's layers, for overlay's `lowerdir=`: unpacked when this is the layers' first use.
 * Interim: by tar(1) in the user namespace, without whiteouts, until the image room's own unpacker is there.
 */
import { chownSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../errors.ts';
import type { Layer } from '../images/contract.ts';
import type { Paths } from '../paths.ts';
import { idMaps } from '../rootless/idmap.ts';
import { runInUserNamespace } from '../rootless/namespace.ts';

/** @param layers bottom first @returns folders, topmost first */
export async function layerTrees(layers: readonly Layer[], paths: Pick<Paths, 'layers' | 'layerLinks' | 'tmp'>): Promise<string[]> {
  const trees: string[] = [];
  for (const layer of layers) trees.unshift(await layerTree(layer, paths));
  return trees;
}

async function layerTree(layer: Layer, paths: Pick<Paths, 'layers' | 'layerLinks' | 'tmp'>): Promise<string> {
  const hex = layer.diffId.replace('sha256:', '');
  const tree = join(paths.layers, hex, 'tree-v1');
  const link = join(paths.layerLinks, hex.slice(0, 12));
  if (!existsSync(tree)) {
    mkdirSync(paths.tmp, { recursive: true, mode: 0o711 });
    const half = mkdtempSync(join(paths.tmp, 'tree-'));
    mkdirSync(join(half, 't'), { mode: 0o755 });
    const maps = idMaps();
    if (maps.direct) for (const folder of [half, join(half, 't')]) chownSync(folder, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
    const input = openSync(layer.tar, 'r');
    const launched = runInUserNamespace({ program: ['tar', '-x', '--xattrs', '--exclude=dev/*', '-p', '--numeric-owner', '-C', join(half, 't')], stdin: input, maps });
    await launched.started;
    const { code } = await launched.exited;
    closeSync(input);
    if (code !== 0) throw new HuskError(`cannot unpack ${layer.tar}: tar ended with ${code}`, { kind: 'corrupt' });
    renameSync(join(half, 't'), tree);
  }
  if (!existsSync(link)) {
    mkdirSync(paths.layerLinks, { recursive: true, mode: 0o711 });
    symlinkSync(tree, link);
  }
  return link;
}

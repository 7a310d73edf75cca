/**
 * Folders that a layer only implies (it has `tmp/x` and no member `tmp/`) keep the attributes that a lower layer gave
 * them, as in umoci, Podman and containerd. An unpacked tree belongs to one layer and serves all images, so overlayfs
 * would show such a folder with mode 0755 and owner root. This module computes one more layer for the very top: those
 * folders, empty, with their attributes. It is pure.
 */
import { mergeLayers, type MergedDirectory } from './merge.ts';
import type { Directory, LayerTree } from './tree.ts';

/**
 * @returns whether a layer has a folder that none of its members describes. The root does not count, because a
 * container's own layer has it.
 */
export function impliesParents({ root }: LayerTree): boolean {
  const pending: Directory[] = [root];
  for (let directory = pending.pop(); directory; directory = pending.pop()) {
    for (const child of directory.children.values()) {
      if (child.kind !== 'directory') continue;
      if (!child.entry) return true;
      pending.push(child);
    }
  }
  return false;
}

/**
 * Computes the folders that a stack of layers implies.
 * @param layers bottom first
 * @returns folders only; undefined when every folder shows the right attributes without them
 */
export function impliedParents(layers: readonly LayerTree[]): Directory | undefined {
  return inheriting(mergeLayers(layers));
}

/** @returns this folder with the inheriting folders below it and the path to them; undefined when there are none */
function inheriting({ entry, children, inherits }: MergedDirectory): Directory | undefined {
  const kept: Directory['children'] = new Map();
  for (const [name, child] of children) {
    const folder = child.kind === 'directory' ? inheriting(child) : undefined;
    if (folder) kept.set(name, folder);
  }
  return inherits || kept.size > 0 ? { kind: 'directory', entry, children: kept, opaque: false } : undefined;
}

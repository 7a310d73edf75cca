/**
 * The layers of an image as one tree, whiteouts and opaque folders resolved as overlayfs would; the input of the EROFS
 * writer.
 * Pure. One thing is better than in overlayfs: a folder that a layer only implies keeps the attributes that lower
 * layers gave it, also
 * when the layer makes it opaque (as in umoci, Podman and containerd). implied-parents.ts tells overlayfs about it.
 */
import type { Directory, Leaf, LayerTree } from './tree.ts';
import type { ByteString } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';

export interface MergedDirectory {
  kind: 'directory';
  entry: TarEntry | undefined;
  children: Map<ByteString, MergedNode>;
  /** The topmost layer that has this folder does not describe it; the attributes are a lower layer's. */
  inherits: boolean;
}

/** One inode that is no folder, however many names it has. */
interface MergedLeaf {
  kind: 'leaf';
  entry: TarEntry;
  /** index of its layer, bottom first: whose tar its contents are in */
  layer: number;
  /** names that are visible */
  links: number;
}

export type MergedNode = MergedDirectory | MergedLeaf;

/** @param layers bottom first */
export function mergeLayers(layers: readonly LayerTree[]): MergedDirectory {
  const root = newDirectory();
  for (const [index, layer] of layers.entries()) mergeDirectory(root, layer.root, index, new Map());
  countLinks(root);
  return root;
}

const newDirectory = (): MergedDirectory => ({
  kind: 'directory',
  entry: undefined,
  children: new Map(),
  inherits: false,
});

function mergeDirectory(target: MergedDirectory, top: Directory, layer: number, leaves: Map<Leaf, MergedLeaf>): void {
  // A loop, not recursion: paths of 4095 bytes may have two thousand folders.
  const pending: [MergedDirectory, Directory][] = [[target, top]];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const [merged, directory] = next;
    merged.inherits = directory.entry === undefined && merged.entry !== undefined;
    merged.entry = directory.entry ?? merged.entry;
    if (directory.opaque) merged.children.clear();
    for (const [name, node] of directory.children) {
      if (node.kind === 'whiteout') {
        merged.children.delete(name);
      } else if (node.kind === 'leaf') {
        let leaf = leaves.get(node);
        if (!leaf) {
          leaf = { kind: 'leaf', entry: node.entry, layer, links: 0 };
          if (node.links > 1) leaves.set(node, leaf);
        }
        merged.children.set(name, leaf);
      } else {
        const below = merged.children.get(name);
        const child = below?.kind === 'directory' ? below : newDirectory();
        if (child !== below) merged.children.set(name, child);
        pending.push([child, node]);
      }
    }
  }
}

function countLinks(root: MergedDirectory): void {
  const pending = [root];
  for (let directory = pending.pop(); directory; directory = pending.pop()) {
    for (const node of directory.children.values()) {
      if (node.kind === 'leaf') node.links++;
      else pending.push(node);
    }
  }
}

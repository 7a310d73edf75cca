/**
 * Merges the layers of an image into one tree, with whiteouts and opaque folders resolved as overlayfs would; the EROFS
 * writer reads this tree. The merge is pure. It differs from overlayfs in one thing: a folder that a layer only implies
 * keeps the attributes that lower layers gave it, even when the layer makes it opaque (as in umoci, Podman and
 * containerd). implied-parents.ts does the same for overlayfs.
 */
import type { Directory, Leaf, LayerTree } from './tree.ts';
import type { ByteString } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';

export interface MergedDirectory {
  kind: 'directory';
  entry: TarEntry | undefined;
  children: Map<ByteString, MergedNode>;
  /**
   * Whether the topmost layer that has this folder does not describe it, so that the attributes are a lower layer's.
   */
  inherits: boolean;
}

/** One inode other than a folder, however many names it has. */
interface MergedLeaf {
  kind: 'leaf';
  entry: TarEntry;
  /** index of the layer whose tar has the contents, bottom first */
  layer: number;
  /** number of names that are visible */
  links: number;
}

export type MergedNode = MergedDirectory | MergedLeaf;

/** Merges layers. @param layers bottom first */
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
  // The walk is a loop, because recursion would be too deep: paths of 4095 bytes may have two thousand folders.
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

/**
 * A view of a stage's files: its layers' headers as one read-only tree, merged lazily, name by name. Nothing is mounted
 * or unpacked, and no path of the host is ever joined to a name from an image. It shows what overlayfs would show, and
 * folders that a layer only implies as merge.ts has them (test/images/build/files/view.test.ts compares the two).
 */
import { HuskError } from '../../../errors.ts';
import { type ByteString, fromText } from '../../../tar/byte-string.ts';
import type { TarEntry } from '../../../tar/entry.ts';
import type { Directory, Leaf } from '../../layers/tree.ts';
import { followPath, type Walkable, type Walked } from './follow.ts';
import { filled, LayerFile, type LayerTar } from './layer-file.ts';
import type { AccountFiles } from './owners.ts';
import type { Contents, SourceNode, SourceTree } from './source.ts';

/** bytes of a passwd or group file that are looked at; the `setuser` step of a launch plan has the same bound */
const MAX_ACCOUNTS = 1 << 20;
/** mode of a folder that no layer describes, as layers/tree.ts says */
const IMPLIED_MODE = 0o755;

/** One layer's part of a merged folder. */
interface Part {
  file: LayerFile;
  directory: Directory;
}

/** A name in a view: a folder with the parts of the layers, topmost first, or a file with its layer. */
export interface ViewNode extends SourceNode {
  parts: readonly Part[];
  leaf: { file: LayerFile; entry: TarEntry } | undefined;
  /** what was looked up already */
  children: Map<ByteString, ViewNode | undefined>;
}

/**
 * The layers that the views of one build read. Views that share it read the headers of each layer once. It holds one
 * descriptor for each layer that was looked into.
 */
export class LayerFiles implements Disposable {
  readonly #files = new Map<string, LayerFile>();

  of(layer: LayerTar): LayerFile {
    let file = this.#files.get(layer.diffId);
    if (file === undefined) this.#files.set(layer.diffId, (file = new LayerFile(layer)));
    return file;
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file[Symbol.dispose]();
    this.#files.clear();
  }
}

export class View implements SourceTree<ViewNode>, Disposable {
  readonly origin = 'layers';
  readonly #layers: readonly LayerFile[];
  readonly #owned: LayerFiles | undefined;
  #root: ViewNode | undefined;

  private constructor(layers: readonly LayerFile[], owned: LayerFiles | undefined) {
    this.#layers = layers;
    this.#owned = owned;
  }

  /**
   * Makes a view, which reads nothing before it is looked at.
   * @param layers bottom first
   * @param shared the layers of a build, which its views share; without them the view has its own, and closes them
   */
  static of(layers: readonly LayerTar[], shared?: LayerFiles): View {
    const files = shared ?? new LayerFiles();
    return new View(
      layers.map((layer) => files.of(layer)),
      shared === undefined ? files : undefined,
    );
  }

  get root(): ViewNode {
    this.#root ??= folderNode(this.#layers.map((file) => ({ file, directory: file.tree.root })).reverse());
    return this.#root;
  }

  child(folder: ViewNode, name: ByteString): ViewNode | undefined {
    const { children } = folder;
    if (children.has(name)) return children.get(name);
    const node = mergedChild(folder.parts, name);
    children.set(name, node);
    return node;
  }

  names(folder: ViewNode): readonly ByteString[] {
    const names = new Set<ByteString>();
    for (const { directory } of folder.parts) for (const name of directory.children.keys()) names.add(name);
    return [...names].filter((name) => this.child(folder, name) !== undefined).sort();
  }

  /** @returns the path without links, and what is there. @throws HuskError `invalid` for a path through a file */
  look(path: ByteString, options: { last?: boolean } = {}): Walked<ViewNode> {
    return followPath(walkable(this), path, options);
  }

  xattrs(node: ViewNode): ReadonlyMap<ByteString, Buffer> | undefined {
    return (node.leaf?.entry ?? entryOf(node.parts))?.xattrs;
  }

  digest(node: ViewNode): Promise<string> {
    const { file, entry } = fileOf(node);
    return file.digest(entry);
  }

  contents(node: ViewNode): Contents {
    const { file, entry } = fileOf(node);
    return file.contents(entry);
  }

  whyMissing(): undefined {}

  /**
   * Reads a small file; links are followed within the view.
   * @param path text as in a Dockerfile
   * @returns undefined where there is no file of at most `limit` bytes
   */
  read(path: string, limit: number): Buffer | undefined {
    let node: ViewNode | undefined;
    try {
      ({ node } = this.look(fromText(path)));
    } catch (error) {
      if (error instanceof HuskError && error.kind === 'invalid') return undefined;
      throw error;
    }
    if (node?.type !== 'file' || node.size > limit) return undefined;
    // A generator reuses its buffer, so each piece is copied.
    return Buffer.concat(Array.from(filled(this.contents(node)), (piece) => Buffer.from(piece)));
  }

  /** The passwd and group files, for ownerOf. */
  get accounts(): AccountFiles {
    const text = (path: string) => this.read(path, MAX_ACCOUNTS)?.toString('utf8');
    return { passwd: () => text('/etc/passwd'), group: () => text('/etc/group') };
  }

  [Symbol.dispose](): void {
    this.#owned?.[Symbol.dispose]();
  }
}

/** @returns any source as followPath wants it */
export const walkable = <N extends SourceNode>(tree: SourceTree<N>): Walkable<N> => ({
  root: tree.root,
  child: (folder, name) => tree.child(folder, name),
  kind: ({ type }) => (type === 'directory' ? 'folder' : type === 'symlink' ? 'symlink' : 'other'),
  target: ({ linkname }) => linkname,
});

/** Merges one name from the top down, as mergeLayers of layers/merge.ts does from the bottom up. */
function mergedChild(parts: readonly Part[], name: ByteString): ViewNode | undefined {
  const run: Part[] = [];
  for (const { file, directory } of parts) {
    const node = directory.children.get(name);
    if (node === undefined) continue;
    if (node.kind === 'whiteout') break;
    if (node.kind === 'leaf') {
      if (run.length === 0) return leafNode(file, node);
      break;
    }
    run.push({ file, directory: node });
  }
  return run.length === 0 ? undefined : folderNode(run);
}

/**
 * @param run the layers' folders of one name, topmost first. What lies below an opaque one gives no names any more, but
 * it still gives its attributes where those above it have none
 */
function folderNode(run: readonly Part[]): ViewNode {
  const opaque = run.findIndex(({ directory }) => directory.opaque);
  const entry = entryOf(run);
  return {
    ...attributesOf(entry),
    type: 'directory',
    mode: entry?.mode ?? IMPLIED_MODE,
    inode: undefined,
    parts: opaque === -1 ? run : describedBy(run.slice(0, opaque + 1), entry),
    leaf: undefined,
    children: new Map(),
  };
}

/** Keeps the entry of a folder whose parts no longer reach down to the layer that has it. */
function describedBy(parts: Part[], entry: TarEntry | undefined): Part[] {
  if (entry === undefined || parts.some(({ directory }) => directory.entry === entry)) return parts;
  const { file, directory } = parts.at(-1)!;
  return [...parts.slice(0, -1), { file, directory: { ...directory, entry } }];
}

const entryOf = (parts: readonly Part[]): TarEntry | undefined =>
  parts.find(({ directory }) => directory.entry !== undefined)?.directory.entry;

function leafNode(file: LayerFile, leaf: Leaf): ViewNode {
  const { entry } = leaf;
  return {
    ...attributesOf(entry),
    type: entry.type as SourceNode['type'],
    inode: leaf.links > 1 ? leaf : undefined,
    parts: [],
    leaf: { file, entry },
    children: new Map(),
  };
}

const attributesOf = (entry: TarEntry | undefined): Omit<SourceNode, 'type' | 'inode'> => ({
  mode: entry?.mode ?? 0,
  uid: entry?.uid ?? 0,
  gid: entry?.gid ?? 0,
  size: entry?.size ?? 0,
  mtime: entry?.mtime ?? 0,
  mtimeNanoseconds: entry?.mtimeNanoseconds ?? 0,
  linkname: entry?.linkname ?? '',
  deviceMajor: entry?.deviceMajor ?? 0,
  deviceMinor: entry?.deviceMinor ?? 0,
});

function fileOf({ leaf, type }: ViewNode): { file: LayerFile; entry: TarEntry } {
  if (leaf === undefined || type !== 'file') throw new Error(`a ${type} of a view has no contents`);
  return leaf;
}

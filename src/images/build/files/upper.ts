/**
 * The layer that a COPY, an ADD or a WORKDIR makes, while it is made: a tree of new names over the view of the stage.
 * It decides what may stand where, makes the folders that are missing, and repeats the attributes of those that exist,
 * because overlayfs shows those of the uppermost layer. It makes no file: layer-tar.ts writes the tree as a tar.
 */
import { HuskError } from '../../../errors.ts';
import { type ByteString, display } from '../../../tar/byte-string.ts';
import { MAX_COMPONENT } from '../../../tar/entry.ts';
import { followPath, type Walked } from './follow.ts';
import type { Contents, SourceNode } from './source.ts';
import type { View, ViewNode } from './view.ts';

/** prefix of a whiteout's name, OCI image-spec layer.md § Whiteouts: no file of a layer can have such a name */
export const WHITEOUT = '.wh.';

export interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  /** undefined for what the step makes itself, whose time is decided when all is known */
  mtime: number | undefined;
  mtimeNanoseconds: number;
  xattrs: ReadonlyMap<ByteString, Buffer> | undefined;
}

export interface UpperFolder {
  kind: 'folder';
  /** the stage's folder of this name that shows through */
  lower: ViewNode | undefined;
  /** undefined where the folder is there and keeps what it has */
  attributes: Attributes | undefined;
  /** whether it takes the place of a folder of the stage, of which nothing is to show through */
  opaque: boolean;
  children: Map<ByteString, UpperNode>;
}

/** An inode of the layer but a folder. Names that share one are hard links of each other. */
export interface UpperLeaf {
  kind: 'leaf';
  type: Exclude<SourceNode['type'], 'directory' | 'socket'>;
  attributes: Attributes;
  linkname: ByteString;
  deviceMajor: number;
  deviceMinor: number;
  /** of a file */
  contents: Contents | undefined;
}

type UpperNode = UpperFolder | UpperLeaf;
/** What a name is, whether this layer has it or the stage. */
type Spot = UpperNode | ViewNode;

const isOwn = (spot: Spot): spot is UpperNode => 'kind' in spot;
const isFolder = (spot: Spot): spot is UpperFolder | ViewNode =>
  isOwn(spot) ? spot.kind === 'folder' : spot.type === 'directory';
const isLink = (spot: Spot) =>
  isOwn(spot) ? spot.kind === 'leaf' && spot.type === 'symlink' : spot.type === 'symlink';
const targetOf = (spot: Spot): ByteString => ('linkname' in spot ? spot.linkname : '');

export class Upper {
  readonly root: UpperFolder;
  readonly view: View;

  constructor(view: View) {
    this.view = view;
    this.root = { kind: 'folder', lower: view.root, attributes: undefined, opaque: false, children: new Map() };
  }

  /** Walks a path with links followed within the stage's root. @throws HuskError `invalid` for a path through a file */
  look(path: ByteString, options: { last?: boolean } = {}): Walked<Spot> {
    return followPath<Spot>(
      {
        root: this.root,
        child: (folder, name) => this.child(folder as UpperFolder | ViewNode, name),
        kind: (spot) => (isFolder(spot) ? 'folder' : isLink(spot) ? 'symlink' : 'other'),
        target: targetOf,
      },
      path,
      options,
    );
  }

  /** @returns whether a path leads to a folder */
  isFolder(path: ByteString): boolean {
    const { node } = this.look(path);
    return node !== undefined && isFolder(node);
  }

  child(folder: UpperFolder | ViewNode, name: ByteString): Spot | undefined {
    if (!isOwn(folder)) return this.view.child(folder, name);
    const own = folder.children.get(name);
    if (own !== undefined || folder.lower === undefined) return own;
    return this.view.child(folder.lower, name);
  }

  /** Opens a folder by a path without links, and makes what is missing of it. */
  open(names: readonly ByteString[], made: Attributes): UpperFolder {
    let folder = this.root;
    for (const [index, name] of names.entries()) {
      const spot = this.child(folder, name);
      if (spot !== undefined && !isFolder(spot)) throw notAFolder(names.slice(0, index + 1), spot);
      folder = this.#own(folder, name, spot, made);
    }
    return folder;
  }

  /**
   * Puts a folder under a name; one that is there gets the attributes.
   * @param path of the folder, for messages
   */
  folder(parent: UpperFolder, name: ByteString, attributes: Attributes, path: () => ByteString[]): UpperFolder {
    const spot = this.child(parent, name);
    if (spot !== undefined && !isFolder(spot)) throw notAFolder(path(), spot);
    const folder = this.#own(parent, name, spot, attributes);
    folder.attributes = attributes;
    return folder;
  }

  /** Puts a file, a link or the like under a name, in the place of what is there unless that is a folder. */
  leaf(parent: UpperFolder, name: ByteString, leaf: UpperLeaf, path: () => ByteString[]): void {
    const spot = this.child(parent, name);
    if (spot !== undefined && isFolder(spot))
      throw new HuskError(`cannot replace to directory /${display(path().join('/'))} with file`, { kind: 'invalid' });
    parent.children.set(possible(name), leaf);
  }

  /** Puts a leaf or a folder under a name as tar(1) does: whatever is there goes, but a folder under a folder. */
  replace(parent: UpperFolder, name: ByteString, node: UpperLeaf | Attributes): UpperFolder | undefined {
    const spot = this.child(parent, name);
    if ('kind' in node) {
      parent.children.set(name, node);
      return undefined;
    }
    if (spot !== undefined && isFolder(spot)) {
      const folder = this.#own(parent, name, spot, node);
      folder.attributes = node;
      return folder;
    }
    const hidden = parent.lower && this.view.child(parent.lower, name);
    const folder: UpperFolder = {
      kind: 'folder',
      lower: undefined,
      attributes: node,
      // A file of this layer has hidden the stage's folder; a folder instead of the file must go on hiding it.
      opaque: hidden?.type === 'directory',
      children: new Map(),
    };
    parent.children.set(name, folder);
    return folder;
  }

  #own(parent: UpperFolder, name: ByteString, spot: UpperFolder | ViewNode | undefined, made: Attributes): UpperFolder {
    if (spot !== undefined && isOwn(spot)) return spot;
    const folder: UpperFolder = {
      kind: 'folder',
      lower: spot,
      attributes: spot === undefined ? made : undefined,
      opaque: false,
      children: new Map(),
    };
    parent.children.set(possible(name), folder);
    return folder;
  }
}

/** @returns a name that a layer can have. @throws HuskError `invalid` for one that would mean something else there */
function possible(name: ByteString): ByteString {
  const refuse = (why: string) =>
    new HuskError(`cannot make "${display(name.slice(0, MAX_COMPONENT))}": ${why}`, { kind: 'invalid' });
  if (name.startsWith(WHITEOUT)) throw refuse('in a layer a name that begins with .wh. hides another file');
  if (name.length > MAX_COMPONENT) throw refuse(`a name may have ${MAX_COMPONENT} bytes`);
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw refuse('it is no name of a file');
  return name;
}

/** @returns Docker's words, and for a link where it leads and the way round */
function notAFolder(names: readonly ByteString[], spot: Spot): HuskError {
  const path = `/${display(names.join('/'))}`;
  if (!isLink(spot)) return new HuskError(`cannot copy to non-directory: ${path}`, { kind: 'invalid' });
  const target = targetOf(spot);
  const absolute = target.startsWith('/') ? target : `/${[...names.slice(0, -1), target].join('/')}`;
  return new HuskError(`cannot copy to non-directory: ${path} is a link to ${display(target)}`, {
    kind: 'invalid',
    fix: `copy into ${display(absolute)}/ instead`,
  });
}

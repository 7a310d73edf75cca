/**
 * Walks a path through a tree as the kernel would with the tree's top as its root: symbolic links are followed, `..`
 * stops at the root. The walk is pure; it sees only the names that the tree shows it, so a link can lead nowhere else.
 */
import { HuskError } from '../../../errors.ts';
import { type ByteString, display } from '../../../tar/byte-string.ts';

/** limit of links on one walk: the kernel's own, MAXSYMLINKS of include/linux/namei.h */
const MAX_LINKS = 40;
/** limit of names that are still to be walked: forty links of 4095 bytes each, doubled by one another, are too many */
const MAX_PENDING = 8192;

export interface Walkable<N> {
  root: N;
  child(folder: N, name: ByteString): N | undefined;
  kind(node: N): 'folder' | 'symlink' | 'other';
  target(link: N): ByteString;
}

export interface Walked<N> {
  /** the path without links, `.` and `..`; behind a missing name all others are as written */
  names: ByteString[];
  /** what is there; undefined where nothing is */
  node: N | undefined;
  /** the number of leading names that are there */
  found: number;
}

/**
 * @param path with or without a leading slash
 * @param options.last whether a link at the path's end is followed too. @default true
 * @throws HuskError `invalid` when a name before the last is neither a folder nor a link, or links go in circles
 */
export function followPath<N>(tree: Walkable<N>, path: ByteString, options: { last?: boolean } = {}): Walked<N> {
  const { last = true } = options;
  const names: ByteString[] = [];
  /** the nodes of the names that are there, the root first */
  const nodes: N[] = [tree.root];
  const pending = path.split('/').reverse();
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (names.length === 0) continue;
      if (nodes.length > names.length) nodes.pop();
      names.pop();
      continue;
    }
    const isMissing = nodes.length <= names.length;
    const folder = nodes.at(-1)!;
    const node = isMissing ? undefined : tree.child(notAFile(tree, folder, names), name);
    if (node !== undefined && tree.kind(node) === 'symlink' && (last || pending.some(isName))) {
      const target = tree.target(node);
      if (++links > MAX_LINKS || pending.length > MAX_PENDING)
        throw new HuskError(`too many symbolic links in /${display(path.replace(/^\/+/, ''))}`, { kind: 'invalid' });
      if (target.startsWith('/')) {
        names.length = 0;
        nodes.length = 1;
      }
      pending.push(...target.split('/').reverse());
      continue;
    }
    names.push(name);
    if (node !== undefined) nodes.push(node);
  }
  const isWhole = nodes.length === names.length + 1;
  return { names, node: isWhole ? nodes.at(-1) : undefined, found: nodes.length - 1 };
}

const isName = (name: ByteString) => name !== '' && name !== '.';

function notAFile<N>(tree: Walkable<N>, node: N, names: readonly ByteString[]): N {
  if (tree.kind(node) === 'folder') return node;
  throw new HuskError(`/${display(names.join('/'))} is not a folder`, { kind: 'invalid' });
}

/**
 * Cleans a path that a Dockerfile names, as Go's `filepath.Join("/", path)` would.
 * @returns no leading slash, no `.`, `..` or empty name; the root is ''
 */
export function cleanNames(path: ByteString): ByteString[] {
  const names: ByteString[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names;
}

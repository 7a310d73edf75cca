/**
 * Finds what the sources of a COPY or an ADD mean: names and patterns of Go's filepath.Match, links followed within the
 * tree, what `--exclude` leaves out, and the part of a path that `--parents` keeps. It only looks; copy.ts decides what
 * becomes of what is found.
 */
import { HuskError } from '../../../errors.ts';
import { type ByteString, display, fromText } from '../../../tar/byte-string.ts';
import { cleanNames, followPath } from './follow.ts';
import { Ignore, type Ignored } from './ignore.ts';
import { asText, hasWildcard, PathPattern } from './match.ts';
import type { SourceNode, SourceTree } from './source.ts';
import { walkable } from './view.ts';

/** One thing that a source has found. */
export interface Found<N extends SourceNode> {
  node: N;
  /** name that it gets in a folder; '' for the root of the tree */
  name: ByteString;
  /** of `--parents`: the folders, from the mark on, that lead to it, with their names */
  parents: { name: ByteString; node: N }[];
}

/** What one source of an instruction has found. */
export type Chosen =
  | {
      kind: 'found';
      found: Found<SourceNode>[];
      /** that it was found in */
      tree: SourceTree;
      /** the URL that it comes from, which is part of the key */
      url?: string;
    }
  | { kind: 'inline'; name: ByteString; bytes: Buffer };

/** @returns what a path or pattern finds, in byte order. @throws HuskError `not-found` for a name that is not there */
export function findSources<N extends SourceNode>(tree: SourceTree<N>, path: string): Found<N>[] {
  const components = cleanNames(path);
  const wild = components.findIndex(hasWildcard);
  if (wild === -1) {
    const written = components.map(fromText);
    return [{ node: existing(tree, written.join('/')), name: written.at(-1) ?? '', parents: [] }];
  }
  const above = components.slice(0, wild).map(fromText).join('/');
  let folders: { node: N; path: ByteString }[] = [];
  const start = followPath(walkable(tree), above).node;
  if (start !== undefined) folders = [{ node: start, path: above }];
  for (const [index, component] of components.slice(wild).entries()) {
    const isLast = wild + index === components.length - 1;
    folders = folders.flatMap((folder) => matchesIn(tree, folder, component, isLast));
  }
  return folders.map(({ node, path }) => ({ node, name: path.slice(path.lastIndexOf('/') + 1), parents: [] }));
}

function matchesIn<N extends SourceNode>(
  tree: SourceTree<N>,
  folder: { node: N; path: ByteString },
  component: string,
  isLast: boolean,
): { node: N; path: ByteString }[] {
  if (folder.node.type !== 'directory') return [];
  const matches = componentMatcher(component);
  return tree.names(folder.node).flatMap((name) => {
    if (!matches(asText(name))) return [];
    const path = folder.path === '' ? name : `${folder.path}/${name}`;
    // What is matched on the way is passed over where it leads nowhere; at the end a link must lead somewhere.
    const node = isLast ? existing(tree, path) : followPath(walkable(tree), path).node;
    return node === undefined ? [] : [{ node, path }];
  });
}

/**
 * Finds what `--parents` copies: like findSources, with `**` for any number of folders, and with links left as they
 * are.
 * @param path as written; from the mark `/./` on it is kept
 * @param options.isLiteral whether a wildcard is a character like others. @default false
 */
export function findWithParents<N extends SourceNode>(
  tree: SourceTree<N>,
  path: string,
  { isLiteral = false }: { isLiteral?: boolean | undefined } = {},
): Found<N>[] {
  const mark = path.indexOf('/./');
  const above = mark === -1 ? '' : cleanNames(path.slice(0, mark)).map(fromText).join('/');
  const kept = cleanNames(mark === -1 ? path : path.slice(mark + 3));
  const start = existing(tree, above);
  if (isLiteral || !kept.some(hasWildcard)) {
    const parents: { name: ByteString; node: N }[] = [];
    let node = start;
    for (const [index, name] of kept.map(fromText).entries()) {
      const child = node.type === 'directory' ? tree.child(node, name) : undefined;
      if (child === undefined) throw notFound(tree, [above, ...kept.slice(0, index + 1)].filter(Boolean).join('/'));
      if (index > 0) parents.push({ name: fromText(kept[index - 1]!), node });
      node = child;
    }
    return [{ node, name: fromText(kept.at(-1) ?? ''), parents }];
  }
  const pattern = sourcePattern(kept.join('/'), true);
  const found: Found<N>[] = [];
  const walk = (folder: N, path: string, parents: { name: ByteString; node: N }[]): void => {
    for (const name of tree.names(folder)) {
      const node = tree.child(folder, name)!;
      const at = path === '' ? asText(name) : `${path}/${asText(name)}`;
      if (pattern.matches(at)) found.push({ node, name, parents });
      else if (node.type === 'directory' && pattern.mayMatchBelow(at)) walk(node, at, [...parents, { name, node }]);
    }
  };
  if (start.type === 'directory') walk(start, '', []);
  return found;
}

/**
 * @returns where a path of `tree` leads to, as `--parents` wants it: the last name alone is kept, with its attributes
 * @throws HuskError `not-found` for a name that is not there
 */
export function followedPath(tree: SourceTree, path: string): { path: string; last: string } {
  const { names } = found(tree, cleanNames(path).map(fromText).join('/'));
  const last = asText(names.at(-1) ?? '');
  return { path: [...names.slice(0, -1).map(asText), '.', last].join('/').replace(/^(?=\.\/)/, '/'), last };
}

export interface Item<N extends SourceNode> {
  node: N;
  name: ByteString;
  /** path below the folder that is walked, the name included */
  path: ByteString;
}

/**
 * Walks what is below a folder, in byte order, each folder before what is in it. A folder that `exclude` leaves out is
 * there when something below it is let in again.
 */
export function* walkFolder<N extends SourceNode>(
  tree: SourceTree<N>,
  top: N,
  exclude: Ignore,
): Generator<Item<N>, void, void> {
  interface Level {
    folder: N;
    path: ByteString;
    names: readonly ByteString[];
    next: number;
    said: Ignored;
    /** the folder itself, while it is not clear that it is there */
    hidden: Item<N> | undefined;
  }
  const open = (folder: N, path: ByteString, said: Ignored, hidden?: Item<N>): Level => ({
    folder,
    path,
    names: tree.names(folder),
    next: 0,
    said,
    hidden,
  });
  const levels = [open(top, '', exclude.top)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const name = level.names[level.next++];
    if (name === undefined) {
      levels.pop();
      continue;
    }
    const node = tree.child(level.folder, name)!;
    const path = level.path + name;
    const item = { node, name, path };
    const said = exclude.isEmpty ? exclude.top : exclude.look(asText(path), level.said);
    if (said.isIgnored) {
      if (node.type === 'directory' && exclude.mayLetInBelow(asText(path), said))
        levels.push(open(node, `${path}/`, said, item));
      continue;
    }
    for (const above of levels) {
      if (above.hidden !== undefined) yield above.hidden;
      above.hidden = undefined;
    }
    yield item;
    if (node.type === 'directory') levels.push(open(node, `${path}/`, said));
  }
}

/** @throws HuskError `not-found` in BuildKit's words */
function existing<N extends SourceNode>(tree: SourceTree<N>, path: ByteString): N {
  return found(tree, path).node;
}

function found<N extends SourceNode>(tree: SourceTree<N>, path: ByteString): { node: N; names: ByteString[] } {
  const { node, names } = followPath(walkable(tree), path);
  if (node === undefined) throw notFound(tree, names.join('/'));
  return { node, names };
}

function notFound(tree: SourceTree, path: ByteString): HuskError {
  const why = tree.whyMissing(path);
  return new HuskError(
    `failed to compute cache key: "/${display(path)}": not found${why === undefined ? '' : `: left out by ${why}`}`,
    { kind: 'not-found' },
  );
}

function componentMatcher(component: string): (name: string) => boolean {
  if (!hasWildcard(component)) return (name) => name === component;
  const pattern = sourcePattern(component, false);
  return (name) => pattern.matches(name);
}

function sourcePattern(text: string, deep: boolean): PathPattern {
  try {
    return new PathPattern(text, { deep });
  } catch (error) {
    throw new HuskError(`invalid pattern ${JSON.stringify(text.slice(0, 200))}: ${(error as Error).message}`, {
      kind: 'invalid',
    });
  }
}

/**
 * COPY and ADD as tar algebra: what is copied is found in the context or in another stage's layers, its place in a view
 * of this stage's, and one tar is written from both. No inode of the image is made, nothing is mounted, no path of the
 * host is joined to a name.
 */
import { HuskError } from '../../errors.ts';
import { type ByteString, display, fromText } from '../../tar/byte-string.ts';
import { copyKey, copyQuestion } from './copy-key.ts';
import { Ignore } from './files/ignore.ts';
import { layerTar } from './files/layer-tar.ts';
import { type ArchiveOptions, openArchive, unpackInto } from './files/local-tar.ts';
import { asText } from './files/match.ts';
import { type ChangeMode, parseChmod } from './files/modes.ts';
import { type Owner, ownerOf } from './files/owners.ts';
import type { SourceNode, SourceTree } from './files/source.ts';
import { type Chosen, type Found, findSources, findWithParents, walkFolder } from './files/sources.ts';
import { type Attributes, Upper, type UpperFolder, type UpperLeaf, WHITEOUT } from './files/upper.ts';
import type { View } from './files/view.ts';
import { BuildError, type CopyOperation, type CopySource } from './operations.ts';

/** modes of what a copy makes itself: folders that are missing, here-documents */
const FOLDER_MODE = 0o755;
const INLINE_MODE = 0o644;

export interface CopyOptions {
  /** folder for half-made files, and bytes that a tar of ADD may have when it is unpacked */
  unpack: ArchiveOptions;
  /** SOURCE_DATE_EPOCH, seconds since 1970: no time of the layer is after it */
  epoch?: number;
  /** is told of what is left out of the layer, and why. @default nobody is */
  note?: (text: string) => void;
  /** the trees of sources that are URLs and repositories, which whoever knows networks has fetched */
  remotes?: ReadonlyMap<CopySource, SourceTree>;
}

/** A layer that can be made, and the key of what it is made of. */
export interface PlannedLayer {
  /**
   * SHA-256, as hex, of all that decides what the layer adds but the stage that it is added to: the same key over the
   * same chain of layers is the same layer
   */
  key: string;
  /** Writes the tar. Each piece is the caller's own. @throws HuskError, BuildError */
  write(): AsyncIterable<Uint8Array>;
}

/**
 * Plans a COPY or an ADD. Contents are read for the key; the view is looked at only when the layer is written.
 * @param view of the stage that is copied into
 * @param source the context, or the view of the stage or image that is copied from
 * @throws BuildError for what cannot be copied: a name that is not there, a place that is taken
 */
export async function copyLayer(
  operation: CopyOperation,
  view: View,
  source: SourceTree,
  options: CopyOptions,
): Promise<PlannedLayer> {
  return await inLines(operation, async () => {
    const exclude = new Ignore(operation.exclude, '--exclude');
    const chmod = operation.chmod === undefined ? undefined : parseChmod(operation.chmod);
    const { epoch, remotes } = options;
    const question = copyQuestion(operation, epoch);
    const answers = question === undefined ? undefined : source.answers;
    let chosen: Chosen[] | undefined;
    const findKey = async (): Promise<string> => {
      chosen = operation.sources.map((one) => choose(one, operation, { source, exclude, remotes }));
      return await copyKey({ operation, chosen, exclude, epoch });
    };
    const askNow = async (): Promise<string> => {
      const keep = answers?.begin(question!);
      const found = await findKey();
      keep?.(found);
      return found;
    };
    const key = answers?.known(question!) ?? (await askNow());
    return {
      key,
      write: async function* () {
        using archives = new DisposableStack();
        const upper = new Upper(view);
        await inLines(operation, async () => {
          // The key was an earlier build's: the files are looked at only now, and must be those that it is of.
          if (chosen === undefined && (await findKey()) !== key)
            throw new HuskError('the context changed while it was read', {
              kind: 'conflict',
              fix: 'build again when nothing writes to the context',
            });
          const copier = new Copier(upper, { ...options, operation, exclude, chmod, archives });
          for (const one of chosen!) await copier.copy(one);
        });
        try {
          yield* layerTar(upper, options);
        } catch (error) {
          throw withLines(operation, error);
        }
      },
    };
  });
}

/** Gives errors that a person can do something about the lines of the instruction. */
export async function inLines<T>(operation: Ranged, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw withLines(operation, error);
  }
}

type Ranged = Pick<CopyOperation, 'range'>;

function withLines({ range }: Ranged, error: unknown): unknown {
  if (!(error instanceof HuskError) || error instanceof BuildError) return error;
  return new BuildError(error.message, { kind: error.kind, fix: error.fix, range, cause: error });
}

interface Choosing {
  source: SourceTree;
  exclude: Ignore;
  remotes: CopyOptions['remotes'];
}

function choose(one: CopySource, operation: CopyOperation, { source, exclude, remotes }: Choosing): Chosen {
  if (one.kind === 'inline') return { kind: 'inline', name: fromText(one.name), bytes: Buffer.from(one.data, 'utf8') };
  if (one.kind !== 'path') return chooseRemote(one, remotes?.get(one));
  const found = operation.parents
    ? findWithParents(source, one.written, { isLiteral: one.isLiteral })
    : findSources(source, one.path);
  // Of a folder it is what lies below it that patterns are meant for.
  return {
    kind: 'found',
    tree: source,
    found: found.filter(
      ({ node, name }) => node.type === 'directory' || !exclude.look(asText(name), exclude.top).isIgnored,
    ),
  };
}

/** A repository is a folder whose contents are copied; the tree of a URL has its one file. */
function chooseRemote({ kind, url }: Extract<CopySource, { url: string }>, tree: SourceTree | undefined): Chosen {
  if (!tree) throw new HuskError(`ADD of ${url}: nobody has fetched it`, { kind: 'internal' });
  if (kind === 'git') return { kind: 'found', tree, found: [{ node: tree.root, name: '', parents: [] }] };
  const found = tree.names(tree.root).map((name) => ({ node: tree.child(tree.root, name)!, name, parents: [] }));
  return { kind: 'found', tree, found, url };
}

interface CopierOptions extends CopyOptions {
  operation: CopyOperation;
  exclude: Ignore;
  chmod: ChangeMode | undefined;
  /** gets what must be open until the tar is written */
  archives: DisposableStack;
}

class Copier {
  readonly #upper: Upper;
  readonly #options: CopierOptions;
  readonly #owner: Owner | undefined;
  readonly #made: Attributes;
  /** whether the destination's form says that it is a folder */
  readonly #isFolder: boolean;
  readonly #destination: ByteString;

  constructor(upper: Upper, options: CopierOptions) {
    const { operation } = options;
    this.#upper = upper;
    this.#options = options;
    this.#owner = operation.chown === undefined ? undefined : ownerOf(operation.chown, upper.view.accounts, '--chown');
    this.#made = {
      mode: FOLDER_MODE,
      uid: this.#owner?.uid ?? 0,
      gid: this.#owner?.gid ?? 0,
      mtime: undefined,
      mtimeNanoseconds: 0,
      xattrs: undefined,
    };
    this.#destination = fromText(operation.destination);
    this.#isFolder = /\/\.?$/.test(operation.destination);
    if (
      operation.sources.length > 1 &&
      !this.#isFolder &&
      !operation.parents &&
      !this.#upper.isFolder(this.#destination)
    )
      throw new HuskError(
        `When using ${operation.add ? 'ADD' : 'COPY'} with more than one source file, ` +
          'the destination must be a directory and end with a /',
        { kind: 'invalid' },
      );
  }

  async copy(chosen: Chosen): Promise<void> {
    if (chosen.kind === 'inline') {
      const { name, bytes } = chosen;
      const attributes = { ...this.#made, mode: this.#options.chmod?.(INLINE_MODE, false) ?? INLINE_MODE };
      const contents = { size: bytes.length, sparse: undefined, pieces: () => [bytes] };
      this.#single(name, {
        kind: 'leaf',
        type: 'file',
        attributes,
        linkname: '',
        deviceMajor: 0,
        deviceMinor: 0,
        contents,
      });
      return;
    }
    for (const found of chosen.found) if (!(await this.#unpacked(found, chosen))) this.#found(found, chosen.tree);
  }

  /** Unpacks what ADD names if it is an archive. What lies in a folder that it names stays as it is. */
  async #unpacked({ node }: Found<SourceNode>, { tree, url }: Extract<Chosen, { kind: 'found' }>): Promise<boolean> {
    const { operation, unpack, chmod, note, archives } = this.#options;
    const isWanted = operation.add && (operation.unpack ?? url === undefined);
    if (!isWanted || node.type !== 'file') return false;
    const archive = await openArchive(tree.contents(node), unpack);
    if (archive === undefined) return false;
    archives.use(archive);
    const { names } = this.#upper.look(this.#destination);
    unpackInto(this.#upper, names, archive, { owner: this.#owner, chmod, made: this.#made, note });
    return true;
  }

  #found({ node, name, parents }: Found<SourceNode>, tree: SourceTree): void {
    const { parents: withParents } = this.#options.operation;
    // Names that are one inode are linked with each other within what one name has found, as in BuildKit.
    const inodes = new Map<unknown, UpperLeaf>();
    if (withParents) return this.#withParents({ node, name, parents }, tree, inodes);
    if (node.type === 'directory') {
      const { names } = this.#upper.look(this.#destination);
      this.#contents({ top: node, tree }, this.#upper.open(names, this.#made), names, inodes);
    } else if (!this.#isLeftOut(node, name)) this.#single(name, this.#leafOf(node, name, { tree, inodes }));
  }

  /** Copies one file: into the destination where that is a folder, else as the destination. */
  #single(name: ByteString, leaf: UpperLeaf): void {
    const { names } = this.#upper.look(this.#destination);
    const isInFolder = this.#isFolder || names.length === 0 || this.#upper.isFolder(this.#destination);
    const folder = this.#upper.open(isInFolder ? names : names.slice(0, -1), this.#made);
    const path = isInFolder ? [...names, name] : names;
    this.#upper.leaf(folder, path.at(-1)!, leaf, () => path);
  }

  #contents(
    { top, tree }: { top: SourceNode; tree: SourceTree },
    into: UpperFolder,
    names: readonly ByteString[],
    inodes: Map<unknown, UpperLeaf>,
  ): void {
    const { exclude } = this.#options;
    /** the folders on the way to the item, by the length of their paths */
    const folders: { path: ByteString; folder: UpperFolder }[] = [{ path: '', folder: into }];
    for (const { node, name, path } of walkFolder(tree, top, exclude)) {
      while (!path.startsWith(folders.at(-1)!.path)) folders.pop();
      const { folder } = folders.at(-1)!;
      const shown = () => [...names, ...path.split('/')];
      if (this.#isLeftOut(node, name)) continue;
      if (node.type !== 'directory') this.#upper.leaf(folder, name, this.#leafOf(node, path, { tree, inodes }), shown);
      else
        folders.push({
          path: `${path}/`,
          folder: this.#upper.folder(folder, name, this.#attributesOf(node, tree), shown),
        });
    }
  }

  #withParents({ node, name, parents }: Found<SourceNode>, tree: SourceTree, inodes: Map<unknown, UpperLeaf>): void {
    const { names } = this.#upper.look(this.#destination);
    let folder = this.#upper.open(names, this.#made);
    const path = [...names];
    const way = node.type === 'directory' && name !== '' ? [...parents, { name, node }] : parents;
    for (const { name, node } of way) {
      path.push(name);
      const isThere = this.#upper.child(folder, name) !== undefined;
      folder = isThere
        ? this.#upper.open(path, this.#made)
        : this.#upper.folder(folder, name, this.#attributesOf(node, tree), () => path);
    }
    if (node.type === 'directory') this.#contents({ top: node, tree }, folder, path, inodes);
    else if (!this.#isLeftOut(node, name))
      this.#upper.leaf(folder, name, this.#leafOf(node, name, { tree, inodes }), () => [...path, name]);
  }

  /** A name that would hide another one in a layer cannot be in one. */
  #isLeftOut(node: SourceNode, name: ByteString): boolean {
    if (name.startsWith(WHITEOUT))
      this.#options.note?.(`${display(name)} is left out: in a layer the name would hide another file`);
    return name.startsWith(WHITEOUT) || node.type === 'socket';
  }

  #leafOf(
    node: SourceNode,
    path: ByteString,
    { tree, inodes }: { tree: SourceTree; inodes: Map<unknown, UpperLeaf> },
  ): UpperLeaf {
    const known = node.inode === undefined ? undefined : inodes.get(node.inode);
    if (known !== undefined) return known;
    const { type, linkname, deviceMajor, deviceMinor } = node;
    if (type === 'directory' || type === 'socket') throw new Error(`a ${type} is no leaf`);
    if (tree.origin === 'context' && (type === 'char' || type === 'block'))
      throw new HuskError(`cannot copy ${display(path)} of the context: it is a device`, {
        kind: 'invalid',
        fix: 'leave it out in .dockerignore',
      });
    const leaf: UpperLeaf = {
      kind: 'leaf',
      type,
      attributes: this.#attributesOf(node, tree),
      linkname,
      deviceMajor,
      deviceMinor,
      contents: type === 'file' ? tree.contents(node) : undefined,
    };
    if (node.inode !== undefined) inodes.set(node.inode, leaf);
    return leaf;
  }

  #attributesOf(node: SourceNode, tree: SourceTree): Attributes {
    const { chmod } = this.#options;
    const { uid, gid } = this.#owner ?? node;
    return {
      mode: chmod === undefined || node.type === 'symlink' ? node.mode : chmod(node.mode, node.type === 'directory'),
      uid,
      gid,
      mtime: node.mtime,
      mtimeNanoseconds: node.mtimeNanoseconds,
      xattrs: tree.xattrs(node),
    };
  }
}

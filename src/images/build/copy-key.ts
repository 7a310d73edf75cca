/**
 * The key of a COPY or an ADD: all that decides what its layer adds. It has names, kinds, modes, owners as written,
 * sizes, targets, capabilities and digests of contents; never a time, an inode, the place of the context, or what is
 * ignored.
 */
import { createHash } from 'node:crypto';
import type { ByteString } from '../../tar/byte-string.ts';
import { VERSION } from '../../version.ts';
import type { Ignore } from './files/ignore.ts';
import type { SourceNode, SourceTree } from './files/source.ts';
import { type Chosen, walkFolder } from './files/sources.ts';
import type { CopyOperation } from './operations.ts';

/** the version of what the keys mean: another version is another key */
const FORMAT = 'copy-1';
/** characters that are hashed at once */
const BATCH = 64 << 10;

/**
 * @returns all that decides what the key of a COPY or an ADD is but the files that it reads, as text; undefined where a
 * source is in no tree of files
 */
export function copyQuestion(operation: CopyOperation, epoch: number | undefined): string | undefined {
  const { add, destination, chown, chmod, parents, unpack, sources, exclude } = operation;
  if (sources.some(({ kind }) => kind !== 'path' && kind !== 'inline')) return undefined;
  // A newer husk might find other files by the same words.
  return JSON.stringify([FORMAT, VERSION, add, destination, chown, chmod, parents, unpack, sources, exclude, epoch]);
}

interface KeyOptions {
  operation: CopyOperation;
  chosen: readonly Chosen[];
  exclude: Ignore;
  epoch: number | undefined;
}

export async function copyKey({ operation, chosen, exclude, epoch }: KeyOptions): Promise<string> {
  const { add, destination, chown, chmod, parents, unpack } = operation;
  const hash = new FieldHash();
  hash.put([FORMAT, add, destination, chown, chmod, parents, add && unpack !== false, epoch]);
  /** names that one inode had before */
  let inodes: Map<unknown, ByteString>;
  const put = (source: SourceTree, path: ByteString, node: SourceNode, digest: string | undefined): void => {
    const { type, mode, size, linkname, deviceMajor, deviceMinor } = node;
    const owner = source.origin === 'context' ? undefined : `${node.uid}:${node.gid}`;
    hash.put([type, path, mode, owner, size, linkname, digest, deviceMajor, deviceMinor]);
    const xattrs = source.xattrs(node);
    if (xattrs !== undefined) for (const [name, value] of xattrs) hash.put(['xattr', name, value.toString('latin1')]);
  };
  // Nothing is waited for where the digest is known: a promise for each of many files would be dear.
  const entry = (source: SourceTree, path: ByteString, node: SourceNode): void | Promise<void> => {
    const first = node.inode === undefined ? undefined : inodes.get(node.inode);
    if (first !== undefined) return hash.put(['hardlink', path, first]);
    if (node.inode !== undefined) inodes.set(node.inode, path);
    const digest = node.type === 'file' ? source.digest(node) : undefined;
    if (typeof digest !== 'object') return put(source, path, node, digest);
    return digest.then((found) => put(source, path, node, found));
  };
  for (const one of chosen) {
    if (one.kind === 'inline') {
      hash.put(['inline', one.name, one.bytes.toString('latin1')]);
      continue;
    }
    const { tree } = one;
    // The same bytes from elsewhere are another source, as in BuildKit.
    if (one.url !== undefined) hash.put(['url', one.url, unpack === true]);
    for (const { node, name, parents } of one.found) {
      inodes = new Map();
      hash.put(['source', node.type === 'directory' && !operation.parents ? undefined : name]);
      for (const parent of parents) await entry(tree, parent.name, parent.node);
      // The mode of a folder whose contents are copied does not get into the layer.
      if (node.type !== 'directory' || operation.parents) await entry(tree, name, node);
      if (node.type === 'directory')
        for (const item of walkFolder(tree, node, exclude)) {
          const waiting = entry(tree, item.path, item.node);
          if (waiting !== undefined) await waiting;
        }
    }
  }
  return hash.digest();
}

/** Hashes lists of fields so that no two rows of lists have the same bytes. */
class FieldHash {
  readonly #hash = createHash('sha256');
  #text = '';

  put(fields: readonly (string | number | boolean | undefined)[]): void {
    let text = '';
    for (const field of fields) text += text === '' ? `[${asJson(field)}` : `,${asJson(field)}`;
    this.#text += `${text}]`;
    if (this.#text.length >= BATCH) this.#flush();
  }

  digest(): string {
    this.#flush();
    return this.#hash.digest('hex');
  }

  #flush(): void {
    this.#hash.update(this.#text);
    this.#text = '';
  }
}

/** what stands in JSON as it is: most names */
const PLAIN = /^[ !#-[\]-~]*$/;

/** What JSON.stringify gives, without the array of all fields that it would want. */
function asJson(field: string | number | boolean | undefined): string {
  if (field === undefined) return 'null';
  if (typeof field !== 'string') return String(field);
  return PLAIN.test(field) ? `"${field}"` : JSON.stringify(field);
}

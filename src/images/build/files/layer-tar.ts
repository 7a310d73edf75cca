/**
 * Writes a layer that upper.ts has made as a tar: names in byte order, folders before what is in them, a hard link
 * behind its target, so that the same layer has the same bytes. Folders of the stage that nothing changes are left out;
 * those on the way to a change are repeated with the stage's attributes.
 */
import type { ByteString } from '../../../tar/byte-string.ts';
import { BLOCK } from '../../../tar/entry.ts';
import { type NewMember, sparseFits, TAR_END, tarHeader } from '../../../tar/write.ts';
import { filled } from './layer-file.ts';
import type { Attributes, Upper, UpperFolder, UpperLeaf } from './upper.ts';

/** bytes of a piece of the tar */
const PIECE = 256 << 10;
/** name of the mark of an opaque folder, OCI image-spec layer.md § Opaque Whiteout */
const OPAQUE = '.wh..wh..opq';
const PADDING = Buffer.alloc(BLOCK);

export interface TarOptions {
  /** seconds since 1970 that no time of the layer is after: SOURCE_DATE_EPOCH */
  epoch?: number;
}

/**
 * Yields pieces, of which each is the caller's own. What the step made itself is as old as the newest file that it
 * copied, or where it copied none, as the folder it is in: the same step gives the same bytes whenever it runs.
 */
export function* layerTar(upper: Upper, options: TarOptions = {}): Generator<Buffer, void, void> {
  yield* new LayerWriter(upper, options).write();
}

class LayerWriter {
  readonly #upper: Upper;
  readonly #epoch: number;
  /** the first name of each leaf that was written */
  readonly #written = new Map<UpperLeaf, ByteString>();
  readonly #changed = new Map<UpperFolder, boolean>();
  #newest: number | undefined;
  #piece = Buffer.allocUnsafeSlow(PIECE);
  #length = 0;
  /** pieces that are yet to be yielded */
  readonly #full: Buffer[] = [];

  constructor(upper: Upper, { epoch = Number.POSITIVE_INFINITY }: TarOptions) {
    this.#upper = upper;
    this.#epoch = epoch;
  }

  *write(): Generator<Buffer, void, void> {
    this.#survey(this.#upper.root);
    const above = this.#upper.root.lower?.mtime ?? 0;
    const pending: { folder: UpperFolder; path: ByteString; names: ByteString[]; next: number; time: number }[] = [
      { folder: this.#upper.root, path: '', names: sorted(this.#upper.root), next: 0, time: above },
    ];
    for (let level = pending.at(-1); level !== undefined; level = pending.at(-1)) {
      if (this.#full.length > 0) yield* this.#full.splice(0);
      const name = level.names[level.next++];
      if (name === undefined) {
        pending.pop();
        continue;
      }
      const node = level.folder.children.get(name)!;
      const path = level.path + name;
      if (node.kind === 'leaf') {
        yield* this.#leaf(path, node, level.time);
        continue;
      }
      if (!this.#changed.get(node)) continue;
      const attributes = node.attributes ?? this.#kept(node);
      this.#put(this.#header({ type: 'directory', path: `${path}/` }, attributes, level.time));
      if (node.opaque) this.#put(tarHeader({ type: 'file', path: `${path}/${OPAQUE}`, mode: 0 }));
      const time = node.lower?.mtime ?? level.time;
      pending.push({ folder: node, path: `${path}/`, names: sorted(node), next: 0, time });
    }
    this.#put(TAR_END);
    yield* this.#full.splice(0);
    if (this.#length > 0) yield this.#piece.subarray(0, this.#length);
  }

  /** Finds which folders change, and the newest time of what is copied. */
  #survey(root: UpperFolder): void {
    const order = [root];
    // The list grows while it is walked: parents come before what is in them.
    for (const folder of order)
      for (const child of folder.children.values()) {
        const { mtime } = child.attributes ?? {};
        if (mtime !== undefined) this.#newest = Math.max(this.#newest ?? mtime, mtime);
        if (child.kind === 'folder') order.push(child);
      }
    for (const folder of order.reverse()) {
      const changed =
        folder.attributes !== undefined ||
        [...folder.children.values()].some((child) => child.kind === 'leaf' || this.#changed.get(child));
      this.#changed.set(folder, changed);
    }
  }

  /** @returns the attributes that the stage shows for a folder */
  #kept({ lower }: UpperFolder): Attributes {
    const { mode, uid, gid, mtime, mtimeNanoseconds } = lower!;
    return { mode, uid, gid, mtime, mtimeNanoseconds, xattrs: this.#upper.view.xattrs(lower!) };
  }

  *#leaf(path: ByteString, leaf: UpperLeaf, time: number): Generator<Buffer, void, void> {
    const { type, attributes, linkname, contents } = leaf;
    const first = this.#written.get(leaf);
    if (first !== undefined)
      return this.#put(this.#header({ type: 'hardlink', path, linkname: first }, attributes, time));
    this.#written.set(leaf, path);
    if (contents === undefined) {
      const { deviceMajor, deviceMinor } = leaf;
      return this.#put(this.#header({ type, path, linkname, deviceMajor, deviceMinor }, attributes, time));
    }
    const { size } = contents;
    const sparse = contents.sparse !== undefined && sparseFits(contents.sparse) ? contents.sparse : undefined;
    this.#put(this.#header({ type, path, size, sparse }, attributes, time));
    let written = 0;
    for (const piece of sparse === undefined ? filled(contents) : contents.pieces()) {
      this.#put(piece);
      written += piece.length;
      if (this.#full.length > 0) yield* this.#full.splice(0);
    }
    this.#put(PADDING.subarray(0, (BLOCK - (written % BLOCK)) % BLOCK));
  }

  #header(member: NewMember, attributes: Attributes, time: number): Buffer {
    const { mode, uid, gid, xattrs } = attributes;
    const mtime = attributes.mtime ?? this.#newest ?? time;
    const times =
      mtime >= this.#epoch ? { mtime: this.#epoch } : { mtime, mtimeNanoseconds: attributes.mtimeNanoseconds };
    return tarHeader({ ...member, mode, uid, gid, xattrs, ...times });
  }

  /** Gathers small pieces, and copies large ones, whose buffers belong to their readers. */
  #put(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + PIECE - this.#length);
      this.#piece.set(part, this.#length);
      this.#length += part.length;
      done += part.length;
      if (this.#length < PIECE) continue;
      this.#full.push(this.#piece);
      this.#piece = Buffer.allocUnsafeSlow(PIECE);
      this.#length = 0;
    }
  }
}

const sorted = ({ children }: UpperFolder): ByteString[] => [...children.keys()].sort();

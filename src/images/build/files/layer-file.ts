/**
 * A layer's tar as a tree of its headers and a file of its contents. The tar is husk's own file, verified when it came;
 * what it says is a stranger's all the same. Nothing is unpacked: contents are read where they lie in the tar.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { HuskError } from '../../../errors.ts';
import { display } from '../../../tar/byte-string.ts';
import type { SparseSegment, TarEntry } from '../../../tar/entry.ts';
import { scanTar } from '../../../tar/scan.ts';
import { LayerTree } from '../../layers/tree.ts';
import { readDigests, writeDigests } from './layer-digests.ts';
import type { Contents } from './source.ts';

/** bytes that are read at once */
const PIECE = 1 << 20;
/** bytes that are hashed before others have their turn: some 5 ms */
const TURN = 8 << 20;
const ZEROS = Buffer.alloc(PIECE);

/** What of a layer a view needs: Layer of src/images/store/contract.ts has it. */
export interface LayerTar {
  diffId: string;
  /** path of the verified uncompressed tar */
  tar: string;
}

export class LayerFile implements Disposable {
  readonly layer: LayerTar;
  #tree: LayerTree | undefined;
  #fd: number | undefined;
  /** by the position of the contents: two inodes of a layer have two positions, but for empty ones */
  #digests: Map<number, string> | undefined;
  #isChanged = false;

  constructor(layer: LayerTar) {
    this.layer = layer;
  }

  /** The tree of the layer's members; the headers are read when it is first asked for. @throws HuskError `corrupt` */
  get tree(): LayerTree {
    if (this.#tree === undefined) {
      const tree = new LayerTree();
      scanTar(this.fd, (entry) => tree.add(entry));
      this.#tree = tree;
    }
    return this.#tree;
  }

  get fd(): number {
    return (this.#fd ??= openSync(this.layer.tar, 'r'));
  }

  contents(entry: TarEntry): Contents {
    return contentsIn(this.fd, entry, () => {
      const { diffId } = this.layer;
      return new HuskError(`the layer ${diffId} is damaged: it ends within ${display(entry.path)}`, {
        kind: 'corrupt',
        fix: 'husk system check --repair',
      });
    });
  }

  async digest(entry: TarEntry): Promise<string> {
    if (entry.size === 0 || entry.sparse !== undefined) return await hashContents(this.contents(entry));
    this.#digests ??= readDigests(this.layer.tar);
    let digest = this.#digests.get(entry.dataOffset);
    if (digest === undefined) {
      digest = await hashContents(this.contents(entry));
      this.#digests.set(entry.dataOffset, digest);
      this.#isChanged = true;
    }
    return digest;
  }

  /** Closes the tar, and keeps the digests for later builds. */
  [Symbol.dispose](): void {
    if (this.#digests !== undefined && this.#isChanged) writeDigests(this.layer.tar, this.#digests);
    this.#isChanged = false;
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/**
 * @param fd of the tar, which must be open while the pieces are read
 * @param short makes the error for a tar that ends within the file
 */
export function contentsIn(fd: number, entry: TarEntry, short: () => Error): Contents {
  const { size, sparse, dataOffset, dataSize } = entry;
  return {
    size,
    sparse,
    *pieces() {
      const buffer = Buffer.allocUnsafe(Math.min(PIECE, dataSize));
      for (let done = 0; done < dataSize;) {
        const read = readSync(fd, buffer, 0, Math.min(buffer.length, dataSize - done), dataOffset + done);
        if (read === 0) throw short();
        done += read;
        yield buffer.subarray(0, read);
      }
    },
  };
}

/** Hashes contents with their holes as zeros. Others have their turn in between, however long the file is. */
export async function hashContents(contents: Contents): Promise<string> {
  const hash = createHash('sha256');
  let turn = 0;
  for (const piece of filled(contents)) {
    hash.update(piece);
    turn += piece.length;
    if (turn >= TURN) {
      turn = 0;
      await setImmediate();
    }
  }
  return hash.digest('hex');
}

/** Yields all bytes of a file: where it has holes, zeros. */
export function* filled({ size, sparse, pieces }: Contents): Generator<Uint8Array, void, void> {
  if (sparse === undefined) return yield* pieces();
  let at = 0;
  let segment = 0;
  let within = 0;
  for (let piece of pieces()) {
    while (piece.length > 0) {
      const { offset, length }: SparseSegment = sparse[segment]!;
      yield* zeros(offset - at);
      const part = piece.subarray(0, length - within);
      yield part;
      piece = piece.subarray(part.length);
      within += part.length;
      at = offset + within;
      if (within === length) {
        segment++;
        within = 0;
      }
    }
  }
  yield* zeros(size - at);
}

function* zeros(length: number): Generator<Uint8Array, void, void> {
  for (let done = 0; done < length; done += PIECE) yield ZEROS.subarray(0, Math.min(PIECE, length - done));
}

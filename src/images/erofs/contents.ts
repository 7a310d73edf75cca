/**
 * Decides where a file's bytes are on the disk: mostly in its layer's tar, as they stand. Contents that do not begin
 * and end at blocks there (unusual sparse files, the end of a tar cut short) are copied to the metadata. These
 * functions are pure but for `read`.
 */
import { HuskError } from '../../errors.ts';
import { display } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';
import { BLOCK, HOLE, LAYOUT_CHUNKS, LAYOUT_PLAIN, MAX_CHUNK_SHIFT } from './format.ts';

/** entries that one chunk map may have: 16 MiB of metadata */
const MAX_CHUNKS = 4 << 20;
/** bytes that may be copied out of tars for one disk */
const MAX_COPIED = 256 << 20;

export interface TarOnDisk {
  /** block of the disk where the tar begins */
  block: number;
  /** bytes of the tar's whole blocks, which are on the disk */
  length: number;
  read: (offset: number, length: number) => Buffer;
}

export type Contents =
  | { layout: typeof LAYOUT_PLAIN; block: number }
  | { layout: typeof LAYOUT_CHUNKS; shift: number; map: Uint32Array };

/** Blocks that are copied. They are numbered before the place of their area on the disk is known. */
export class CopiedBlocks {
  readonly blocks: Buffer[] = [];
  #bytes = 0;

  /** @returns index of the first block in the area */
  add(bytes: Buffer, entry: TarEntry): number {
    const index = this.#bytes / BLOCK;
    const length = Math.ceil(bytes.length / BLOCK) * BLOCK;
    this.#bytes += length;
    if (this.#bytes > MAX_COPIED)
      throw new HuskError(
        `"/${display(entry.path)}": more than ${MAX_COPIED} bytes of this image lie askew in their layers`,
        { kind: 'limit', fix: 'use --isolation=userns' },
      );
    this.blocks.push(bytes, Buffer.alloc(length - bytes.length));
    return index;
  }

  get length(): number {
    return this.#bytes;
  }
}

/**
 * Places the contents of one file.
 * @param place turns a block index of the copied area into a block of the disk
 * @param entry a file with at least one byte
 */
export function placeContents(
  entry: TarEntry,
  tar: TarOnDisk,
  copied: CopiedBlocks,
  place: (index: number) => number,
): Contents {
  const whole = entry.dataOffset + Math.ceil(entry.dataSize / BLOCK) * BLOCK <= tar.length;
  if (!entry.sparse) {
    if (whole) return { layout: LAYOUT_PLAIN, block: tar.block + entry.dataOffset / BLOCK };
    return { layout: LAYOUT_PLAIN, block: place(copied.add(tar.read(entry.dataOffset, entry.dataSize), entry)) };
  }
  const shift = chunkShift(entry);
  const chunk = BLOCK * 2 ** shift;
  const count = Math.ceil(entry.size / chunk);
  if (count > MAX_CHUNKS)
    throw new HuskError(
      `"/${display(entry.path)}": a sparse file of ${entry.size} bytes is too finely divided for a root disk`,
      { kind: 'limit', fix: 'use --isolation=userns' },
    );
  const map = new Uint32Array(count).fill(HOLE);
  const rough: Map<number, Buffer> = new Map();
  let from = entry.dataOffset;
  for (const { offset, length } of entry.sparse) {
    for (let at = offset; at < offset + length;) {
      const index = Math.floor(at / chunk);
      const end = Math.min((index + 1) * chunk, offset + length);
      const position = from + (at - offset);
      const fills = at === index * chunk && (end === (index + 1) * chunk || end === entry.size);
      if (fills && position % BLOCK === 0 && position + Math.ceil((end - at) / BLOCK) * BLOCK <= tar.length) {
        map[index] = tar.block + position / BLOCK;
      } else {
        const buffer = rough.get(index) ?? Buffer.alloc(Math.min(chunk, entry.size - index * chunk));
        tar.read(position, end - at).copy(buffer, at - index * chunk);
        rough.set(index, buffer);
      }
      at = end;
    }
    from += length;
  }
  for (const [index, buffer] of rough) map[index] = place(copied.add(buffer, entry));
  return { layout: LAYOUT_CHUNKS, shift, map };
}

/**
 * Chooses the chunk size that needs the fewest bytes of metadata: a finer map is longer, and with a coarser one more
 * contents lie across chunk boundaries and must be copied.
 */
function chunkShift({ sparse, size }: TarEntry): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let shift = 0; shift <= MAX_CHUNK_SHIFT; shift++) {
    const chunk = BLOCK * 2 ** shift;
    const askew = sparse!.filter(
      ({ offset, length }) => offset % chunk !== 0 || (length % chunk !== 0 && offset + length !== size),
    ).length;
    const cost = 4 * Math.ceil(size / chunk) + 2 * chunk * askew;
    if (cost < least) [best, least] = [shift, cost];
    if (chunk >= size) break;
  }
  return best;
}

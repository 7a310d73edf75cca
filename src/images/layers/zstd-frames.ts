/**
 * Finds where one zstd frame ends and the next begins: Node's decompressor stops after the first, and layers have many
 * (zstd:chunked has one per file, with skippable frames between). Only headers are parsed. Source: RFC 8878 §3.1.
 */
import { HuskError } from '../../errors.ts';

/** magic numbers, RFC 8878 §3.1.1 and §3.1.2 */
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
/** bytes: Block_Maximum_Size, §3.1.1.2.4 */
const MAX_BLOCK = 128 << 10;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

const broken = (what: string) => new HuskError(`broken zstd data: ${what}`, { kind: 'corrupt' });

/**
 * Splits a stream into frames. Each value is one frame's bytes and must be read to its end before the next is asked
 * for; skippable frames are left out.
 * @throws HuskError `corrupt`
 */
export async function* zstdFrames(source: AsyncIterator<Buffer>): AsyncGenerator<AsyncGenerator<Buffer>, void, void> {
  const reader = new Reader(source);
  while (!(await reader.atEnd())) {
    const magic = (await reader.take(4)).readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) await reader.skip((await reader.take(4)).readUInt32LE(0));
    else if (magic === FRAME_MAGIC) yield frame(reader);
    else throw broken('something that is no frame follows a frame');
  }
}

async function* frame(reader: Reader): AsyncGenerator<Buffer, void, void> {
  const descriptor = (await reader.take(1))[0]!;
  const singleSegment = (descriptor >> 5) & 1;
  const contentSizeBytes = [singleSegment, 2, 4, 8][descriptor >> 6]!;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const rest = await reader.take(1 - singleSegment + dictionaryBytes + contentSizeBytes);
  yield Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor]), rest]);
  for (;;) {
    const header = await reader.take(3);
    const bits = header.readUIntLE(0, 3);
    const type = (bits >> 1) & 3;
    const size = type === BLOCK_RLE ? 1 : bits >> 3;
    if (type === BLOCK_RESERVED || size > MAX_BLOCK) throw broken('a block has an impossible header');
    yield header;
    yield await reader.take(size);
    if (bits & 1) break;
  }
  if (descriptor & 4) yield await reader.take(4);
}

class Reader {
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done) return false;
    this.#chunk = this.#chunk.length === 0 ? value : Buffer.concat([this.#chunk, value]);
    return true;
  }

  async atEnd(): Promise<boolean> {
    while (this.#chunk.length === 0) if (!(await this.#more())) return true;
    return false;
  }

  async take(length: number): Promise<Buffer> {
    while (this.#chunk.length < length) if (!(await this.#more())) throw broken('it is cut short');
    const taken = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(length);
    return taken;
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      if (await this.atEnd()) throw broken('it is cut short');
      const taken = Math.min(left, this.#chunk.length);
      this.#chunk = this.#chunk.subarray(taken);
      left -= taken;
    }
  }
}

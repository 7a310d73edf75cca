/**
 * From a compressed stream to plain bytes: gzip (any number of members), zstd (any number of frames), or none. The
 * bytes decide which it is, as in Docker, because a media type may be wrong. xz and bzip2 occur only in `load` and
 * `import`, and are decompressed by their programs.
 */
import { spawn } from 'node:child_process';
import { HuskError } from '../../errors.ts';
import { zstdFrames } from './zstd-frames.ts';
import { PassThrough, Readable } from 'node:stream';
import { constants, createGunzip, createZstdDecompress, zstdDecompressSync } from 'node:zlib';

export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'none';

/** bytes of output at a time; each chunk costs a turn of the thread pool */
const CHUNK = 1 << 20;
/** bytes that are needed to recognize a compression; the longest magic number is bzip2's */
const MAGIC_LENGTH = 10;
/** a level and the mark of the first block, or of the end: a tar may begin with a file that is called BZh */
const BZIP2 = /^BZh[1-9](?:1AY&SY|\x17rE8P\x90)/;
/** log2 of bytes: the window of `zstd --ultra` without --long; a frame that wants more memory is refused */
const MAX_ZSTD_WINDOW = 27;
/** A function, because the name is node:zlib's, which is not loaded before something is decompressed. */
const zstdParams = () => ({ [constants.ZSTD_d_windowLogMax]: MAX_ZSTD_WINDOW });
/** bytes of the largest frame that is decompressed in one call; SMALL_OUTPUT bounds its decompressed bytes */
const SMALL_FRAME = 256 << 10;
const SMALL_OUTPUT = 4 << 20;

/** Recognizes a compression by its magic number: RFC 1952 §2.3.1, RFC 8878 §3.1, xz file format §2.1.1.1, bzip2(1). */
export function sniff(start: Buffer): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b && start[2] === 0x08) return 'gzip';
  if (start.length >= 4) {
    const magic = start.readUInt32LE(0);
    if (magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50) return 'zstd';
  }
  if (start.subarray(0, 6).equals(Buffer.from('\xfd7zXZ\0', 'latin1'))) return 'xz';
  if (BZIP2.test(start.toString('latin1', 0, MAGIC_LENGTH))) return 'bzip2';
  return 'none';
}

/**
 * Decompresses a stream of unknown compression. Errors of the source pass through; broken compression is HuskError
 * `corrupt`.
 * @param options.programs whether the programs of xz and bzip2 may be run
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  options: { programs?: boolean } = {},
): AsyncGenerator<Buffer, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  let start: Buffer = Buffer.alloc(0);
  try {
    while (start.length < MAGIC_LENGTH) {
      const { done, value } = await iterator.next();
      if (done) break;
      start = start.length === 0 ? asBuffer(value) : Buffer.concat([start, value]);
    }
    const compression = sniff(start);
    const whole = async function* () {
      if (start.length > 0) yield start;
      for (;;) {
        // An iterator that has ended keeps reporting its end.
        const { done, value } = await iterator.next();
        if (done) return;
        yield asBuffer(value);
      }
    };
    if (compression === 'none') yield* whole();
    else if (compression === 'gzip') yield* inflate(whole(), compression);
    else if (compression === 'zstd') for await (const frame of zstdFrames(whole())) yield* inflateFrame(frame);
    else if (options.programs) yield* throughProgram(whole(), compression);
    else
      throw new HuskError(`the layer is compressed with ${compression}, which no image format allows`, {
        kind: 'corrupt',
      });
  } finally {
    await iterator.return?.();
  }
}

const asBuffer = (chunk: Uint8Array) =>
  Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);

async function* inflate(
  source: AsyncGenerator<Buffer>,
  compression: 'gzip' | 'zstd',
): AsyncGenerator<Buffer, void, void> {
  const transform =
    compression === 'gzip'
      ? createGunzip({ chunkSize: CHUNK })
      : createZstdDecompress({ chunkSize: CHUNK, params: zstdParams() });
  let sourceError: unknown;
  const input = Readable.from(source, { objectMode: false, highWaterMark: 2 * CHUNK });
  input.once('error', (error) => {
    sourceError = error;
    transform.destroy(error);
  });
  input.pipe(transform);
  try {
    for await (const chunk of transform) yield chunk as Buffer;
  } catch (error) {
    if (sourceError !== undefined) throw sourceError;
    throw new HuskError(`broken ${compression} data: ${(error as Error).message}`, { kind: 'corrupt', cause: error });
  } finally {
    input.destroy();
    transform.destroy();
  }
}

/**
 * Decompresses a small frame in one call, without a stream of its own, because zstd:chunked has a frame for each file.
 */
async function* inflateFrame(frame: AsyncGenerator<Buffer>): AsyncGenerator<Buffer, void, void> {
  const start: Buffer[] = [];
  let size = 0;
  let whole = false;
  while (size <= SMALL_FRAME && !whole) {
    const { done, value } = await frame.next();
    if (done) whole = true;
    else {
      start.push(value);
      size += value.length;
    }
  }
  if (whole) {
    try {
      yield zstdDecompressSync(Buffer.concat(start), { maxOutputLength: SMALL_OUTPUT, params: zstdParams() });
      return;
    } catch (error) {
      // Output that grows beyond the bound goes through a stream, where the layer's own bound stops it.
      if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE')
        throw new HuskError(`broken zstd data: ${(error as Error).message}`, { kind: 'corrupt', cause: error });
    }
  }
  const rest = async function* () {
    yield* start;
    yield* frame;
  };
  yield* inflate(rest(), 'zstd');
}

async function* throughProgram(
  source: AsyncGenerator<Buffer>,
  compression: 'xz' | 'bzip2',
): AsyncGenerator<Buffer, void, void> {
  const child = spawn(compression, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  let sourceError: unknown;
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(0, 1024)));
  const exited = new Promise<number | Error>((resolve) => {
    child.once('error', resolve);
    child.once('close', (code) => resolve(code ?? 1));
  });
  const input = Readable.from(source, { objectMode: false });
  input.once('error', (error) => {
    sourceError = error;
    child.kill('SIGKILL');
  });
  // A program that stops reading closes the pipe; its exit status says why.
  child.stdin.on('error', () => {});
  input.pipe(child.stdin);
  try {
    const output = new PassThrough();
    child.stdout.pipe(output);
    child.once('error', () => output.end());
    for await (const chunk of output) yield chunk as Buffer;
    const result = await exited;
    if (sourceError !== undefined) throw sourceError;
    if (result instanceof Error)
      throw new HuskError(`cannot decompress ${compression} data: ${result.message}`, {
        kind: 'unsupported',
        fix: `install ${compression} (apt install ${compression === 'xz' ? 'xz-utils' : 'bzip2'})`,
      });
    if (result !== 0)
      throw new HuskError(`broken ${compression} data: ${complaint.trim() || `${compression} ended with ${result}`}`, {
        kind: 'corrupt',
      });
  } finally {
    input.destroy();
    child.kill('SIGKILL');
  }
}

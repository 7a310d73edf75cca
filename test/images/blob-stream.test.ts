/** What a broken download leaves for the next one, when the disk takes less at a time than it is given. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'ava';
import { blobStream, type BlobStreamOptions } from '../../src/images/blob-stream.ts';

const BLOB = randomBytes(5 << 20);
const DESCRIPTOR = {
  mediaType: '',
  digest: `sha256:${createHash('sha256').update(BLOB).digest('hex')}`,
  size: BLOB.length,
};

/** FileHandle.write() as it is where the disk is nearly full or a signal comes: some of the bytes */
async function shortWrites(): Promise<Disposable> {
  const handle = await open('/dev/null');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { write } = prototype;
  prototype.write = function (this: FileHandle, bytes: Buffer, ...rest: unknown[]) {
    return (write as (...args: unknown[]) => unknown).call(
      this,
      bytes.subarray(0, Math.ceil(bytes.length / 2)),
      ...(rest as []),
    ) as never;
  } as unknown as typeof write;
  return { [Symbol.dispose]: () => void (prototype.write = write) };
}

test('a part whose bytes were written in pieces is taken up again whole', async (t) => {
  const tmp = mkdtempSync(join(tmpdir(), 'husk-blob-'));
  t.teardown(() => rmSync(tmp, { recursive: true }));
  const repository = (breaksAt: number): BlobStreamOptions['repository'] => ({
    host: 'test',
    blob: async (_digest, offset) => {
      const body = Readable.from([BLOB.subarray(offset, breaksAt)]);
      return {
        response: { status: 200, headers: {}, url: new URL('http://test/'), body: body as never },
        from: offset,
      };
    },
  });
  const options = (breaksAt: number): BlobStreamOptions => ({
    descriptor: DESCRIPTOR,
    repository: repository(breaksAt),
    paths: { tmp },
    keep: true,
  });
  using _short = await shortWrites();
  const controller = new AbortController();
  await t.throwsAsync(async () => {
    for await (const chunk of blobStream({ ...options(3 << 20), signal: controller.signal })) {
      void chunk;
      controller.abort(new Error('enough'));
    }
  });
  const [part] = readdirSync(tmp);
  t.true(readFileSync(join(tmp, part!)).equals(BLOB.subarray(0, 3 << 20)));
  const pieces: Buffer[] = [];
  for await (const chunk of blobStream(options(BLOB.length))) pieces.push(chunk);
  t.true(Buffer.concat(pieces).equals(BLOB));
});

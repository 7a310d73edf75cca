/** From compressed bytes to layer.tar: every compression, every lie; after a failure nothing is left. */
import { createHash, randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { HuskError, type ErrorKind } from '../../../src/errors.ts';
import { ingestLayer, type IngestOptions } from '../../../src/images/layers/ingest.ts';
import { tarball } from '../../fixtures/tar.ts';

class Store implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'husk-ingest-'));
  readonly tmp = join(this.root, 'tmp');
  readonly layersDir = join(this.root, 'layers');

  ingest(
    bytes: Buffer | AsyncIterable<Uint8Array>,
    diffId: string | undefined,
    { maxSize = 1 << 30, ...options }: Partial<IngestOptions> = {},
  ) {
    return ingestLayer({
      source: Buffer.isBuffer(bytes) ? pieces(bytes) : bytes,
      diffId,
      tmp: this.tmp,
      layersDir: this.layersDir,
      maxSize,
      ...options,
    });
  }

  tar = (diffId: string) => readFileSync(join(this.layersDir, diffId.slice(7), 'layer.tar'));
  left = () => [this.tmp, this.layersDir].flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []));

  [Symbol.dispose]() {
    rmSync(this.root, { recursive: true });
  }
}

async function* pieces(bytes: Buffer, size = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const TAR = tarball({ name: 'a', body: randomBytes(5000) }, { name: 'b/c', body: 'x'.repeat(100_000) });
const DIFF_ID = sha256(TAR);
const program = (name: string) => execFileSync(name, ['-c'], { input: TAR, maxBuffer: 1 << 24 });

const forms: [name: string, bytes: Buffer][] = [
  ['plain', TAR],
  ['gzip', gzipSync(TAR)],
  [
    'gzip in several members',
    Buffer.concat([gzipSync(TAR.subarray(0, 700)), gzipSync(TAR.subarray(700, 2000)), gzipSync(TAR.subarray(2000))]),
  ],
  ['zstd', zstdCompressSync(TAR)],
  [
    'zstd in several frames',
    Buffer.concat([zstdCompressSync(TAR.subarray(0, 700)), zstdCompressSync(TAR.subarray(700))]),
  ],
  [
    'zstd in a frame for each few bytes',
    Buffer.concat(
      Array.from({ length: Math.ceil(TAR.length / 300) }, (_, index) =>
        zstdCompressSync(TAR.subarray(300 * index, 300 * index + 300)),
      ),
    ),
  ],
  [
    'zstd frames that are too large for one call',
    Buffer.concat([
      zstdCompressSync(Buffer.concat([TAR, Buffer.alloc(6 << 20)])),
      zstdCompressSync(randomBytes(400_000)),
    ]),
  ],
  [
    'zstd after a skippable frame',
    Buffer.concat([Buffer.from('502a4d1804000000deadbeef', 'hex'), zstdCompressSync(TAR)]),
  ],
];
for (const [name, bytes] of forms) {
  test(`takes ${name}`, async (t) => {
    using store = new Store();
    if (name.includes('too large')) {
      const { diffId, size } = await store.ingest(bytes, undefined);
      t.is(size, TAR.length + (6 << 20) + 400_000);
      t.true(store.tar(diffId).subarray(0, TAR.length).equals(TAR));
      return;
    }
    t.deepEqual(await store.ingest(bytes, DIFF_ID), { size: TAR.length, diffId: DIFF_ID });
    t.true(store.tar(DIFF_ID).equals(TAR));
    t.deepEqual(store.left(), [DIFF_ID.slice(7)]);
    await store.ingest(bytes, DIFF_ID);
    t.deepEqual(store.left(), [DIFF_ID.slice(7)], 'a second time');
  });
}

test('takes xz and bzip2 where programs are allowed, and only there', async (t) => {
  for (const name of ['xz', 'bzip2']) {
    if (!existsSync(`/usr/bin/${name}`) && !existsSync(`/bin/${name}`)) {
      t.log(`${name} is not installed`);
      continue;
    }
    using store = new Store();
    t.is((await store.ingest(program(name), undefined, { programs: true })).diffId, DIFF_ID);
    await t.throwsAsync(store.ingest(program(name), DIFF_ID), { message: /no image format allows/ });
    await t.throwsAsync(store.ingest(program(name).subarray(0, 3000), undefined, { programs: true }), {
      message: new RegExp(`broken ${name} data`),
    });
    t.deepEqual(store.left(), [DIFF_ID.slice(7)]);
  }
});

test('bytes behind the end of the tar belong to the digest', async (t) => {
  using store = new Store();
  const bytes = Buffer.concat([TAR, randomBytes(3000)]);
  t.is((await store.ingest(gzipSync(bytes), sha256(bytes))).size, bytes.length);
});

const bomb = gzipSync(Buffer.alloc(64 << 20));
async function* failing(): AsyncGenerator<Buffer> {
  yield gzipSync(TAR).subarray(0, 2000);
  throw new HuskError('the registry went away', { kind: 'unavailable' });
}
const attacks: [
  attack: string,
  bytes: Buffer | AsyncIterable<Buffer>,
  options: Partial<IngestOptions>,
  kind: ErrorKind,
  message: RegExp,
][] = [
  ['a wrong diffID', gzipSync(TAR), { diffId: sha256(Buffer.from('x')) }, 'corrupt', /have the digest sha256:/],
  [
    'a decompression bomb',
    bomb,
    { maxSize: 1 << 20, diffId: sha256(Buffer.alloc(64 << 20)) },
    'limit',
    /larger than 1048576/,
  ],
  [
    'a bomb of zstd frames',
    Buffer.concat(Array.from({ length: 20 }, () => zstdCompressSync(Buffer.alloc(8 << 20)))),
    { maxSize: 64 << 20 },
    'limit',
    /larger than 67108864/,
  ],
  [
    'something between zstd frames',
    Buffer.concat([zstdCompressSync(TAR), Buffer.from('junk'), zstdCompressSync(TAR)]),
    {},
    'corrupt',
    /no frame follows/,
  ],
  ['one byte too many', TAR, { maxSize: TAR.length - 1 }, 'limit', /larger than/],
  ['gzip cut short', gzipSync(TAR).subarray(0, -20), {}, 'corrupt', /broken gzip/],
  [
    'gzip with a flipped bit',
    Buffer.from(gzipSync(TAR).map((byte, at) => (at === 3000 ? byte ^ 4 : byte))),
    {},
    'corrupt',
    /broken gzip|digest|tar/,
  ],
  ['zstd cut short', zstdCompressSync(TAR).subarray(0, -20), {}, 'corrupt', /broken zstd/],
  [
    'a tar cut short whose digest is right',
    gzipSync(TAR.subarray(0, 2048)),
    { diffId: sha256(TAR.subarray(0, 2048)) },
    'corrupt',
    /middle of a member/,
  ],
  [
    'no tar at all, whose digest is right',
    Buffer.alloc(2000, 'text'),
    { diffId: sha256(Buffer.alloc(2000, 'text')) },
    'corrupt',
    /invalid tar/,
  ],
  [
    'a path out of the layer, whose digest is right',
    tarball({ name: '../x' }),
    { diffId: sha256(tarball({ name: '../x' })) },
    'corrupt',
    /leads out/,
  ],
  [
    'a tree no file system can hold',
    tarball({ name: 'a', type: '1', link: 'b' }),
    { diffId: sha256(tarball({ name: 'a', type: '1', link: 'b' })) },
    'corrupt',
    /invalid layer/,
  ],
  ['a source that fails', failing(), {}, 'unavailable', /went away/],
];
for (const [attack, bytes, options, kind, message] of attacks) {
  test(`leaves nothing after ${attack}`, async (t) => {
    using store = new Store();
    const error = await t.throwsAsync(store.ingest(bytes, DIFF_ID, options), { instanceOf: HuskError });
    t.is((error as HuskError).kind, kind);
    t.regex(error!.message, message);
    t.deepEqual(store.left(), []);
  });
}

test('an abort leaves nothing', async (t) => {
  using store = new Store();
  const controller = new AbortController();
  const slow = async function* () {
    yield TAR.subarray(0, 1000);
    controller.abort();
    yield TAR.subarray(1000);
  };
  await t.throwsAsync(store.ingest(slow(), DIFF_ID, { signal: controller.signal }), { name: 'AbortError' });
  t.deepEqual(store.left(), []);
});

test('two at once give one layer', async (t) => {
  using store = new Store();
  await Promise.all([store.ingest(TAR, DIFF_ID), store.ingest(gzipSync(TAR), DIFF_ID)]);
  t.deepEqual(store.left(), [DIFF_ID.slice(7)]);
});

/** `import`: the tar's bytes become the layer, --change the config; what is refused leaves nothing behind. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { HuskError } from '../../src/errors.ts';
import { tarball } from '../fixtures/tar.ts';
import { testStore } from './store.ts';

const TAR = tarball({ name: 'etc/', type: '5', mode: 0o755 }, { name: 'etc/hostname', body: 'a\n' });
const diffId = `sha256:${createHash('sha256').update(TAR).digest('hex')}`;
const stream = (bytes: Uint8Array) => Readable.from([bytes]);

const importing = test.macro({
  async exec(t, bytes: Buffer) {
    using made = testStore();
    const image = await made.store.import(stream(bytes), {
      reference: 'husk/base',
      message: 'm',
      changes: ['CMD ["sh"]'],
    });
    t.deepEqual(image.config.rootfs, { type: 'layers', diff_ids: [diffId] });
    t.deepEqual([image.repoTags, image.repoDigests, image.size], [['husk/base:latest'], [], TAR.length]);
    t.deepEqual(image.config.config, { Cmd: ['sh'] });
    t.deepEqual(
      image.config.history?.map(({ comment }) => comment),
      ['m'],
    );
    t.deepEqual([made.fsck(), made.names('tmp')], [[], []]);
  },
  title: (name) => `imports a tar: ${name}`,
});
test('plain', importing, TAR);
test('gzip', importing, gzipSync(TAR));
test('zstd', importing, zstdCompressSync(TAR));

test('without a name, with another platform', async (t) => {
  using made = testStore();
  const image = await made.store.import(stream(TAR), {
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  });
  t.deepEqual([image.repoTags, image.config.architecture, image.config.variant], [[], 'arm64', 'v8']);
  t.is(image.config.history?.[0]?.comment, 'Imported from -');
});

test('a second import takes the name over', async (t) => {
  using made = testStore();
  const first = await made.store.import(stream(TAR), { reference: 'a' });
  const second = await made.store.import(stream(TAR), { reference: 'a', message: 'other' });
  t.deepEqual([made.store.get(first.id).repoTags, made.store.get('a').id], [[], second.id]);
  t.deepEqual(made.fsck(), []);
});

const refused = test.macro({
  async exec(t, bytes: Buffer, options: { reference?: string; changes?: string[] }, message: RegExp) {
    using made = testStore({ config: { 'max-layer-size': 1 << 20 } });
    await t.throwsAsync(made.store.import(stream(bytes), options), { instanceOf: HuskError, message });
    t.deepEqual([made.names('layers'), made.names('blobs'), made.names('tmp'), made.store.list()], [[], [], [], []]);
  },
  title: (name) => `refuses ${name}`,
});
test('what is no tar', refused, Buffer.alloc(4096, 'x'), {}, /invalid tar/);
test('a tar that is cut off', refused, TAR.subarray(0, 700), {}, /invalid tar/);
test('an empty stream', refused, Buffer.alloc(0), {}, /the archive is empty/);
test('broken gzip', refused, gzipSync(TAR).subarray(0, 60), {}, /broken gzip/);
test('a decompression bomb', refused, gzipSync(Buffer.alloc(64 << 20)), {}, /larger than 1048576 bytes/);
test('a member above the root', refused, tarball({ name: '../x', body: '' }), {}, /invalid tar/);
test('a digest as name', refused, TAR, { reference: `a@${diffId}` }, /cannot import digest reference/);
test('a name in capitals', refused, TAR, { reference: 'Base' }, /must be lowercase/);
test(
  'an instruction that changes no config',
  refused,
  TAR,
  { changes: ['RUN id'] },
  /^RUN is not a valid change command$/,
);

/**
 * `save` and `load`: what husk writes, it and others read; what others write, husk reads; what lies, is refused and
 * leaves nothing. Peers (skopeo, podman) are run where they are installed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { type ErrorKind, HuskError } from '../../src/errors.ts';
import { member, type RawMember, tarball } from '../fixtures/tar.ts';
import { testStore, type TestStore } from './store.ts';

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const hex = (bytes: Buffer) => digestOf(bytes).slice(7);
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const file = (name: string, body: Buffer | string): RawMember => ({ name, body });

const LAYER = tarball({ name: 'a', body: randomBytes(3000) });
const TOP = tarball({ name: 'b', body: 'top' }, { name: '.wh.a' });
const configOf = (...layers: Buffer[]) =>
  json({
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['x'] },
    rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
    history: [],
  });
const CONFIG = configOf(LAYER, TOP);
const ID = digestOf(CONFIG);

/** a docker-archive of one image, as its parts; each test changes one */
interface Parts {
  config?: Buffer;
  layers?: RawMember[];
  manifest?: unknown;
  more?: (RawMember | Buffer)[];
}

const OLD_LAYERS = [file('one/layer.tar', LAYER), file('two/layer.tar', TOP)];
const OLD_MANIFEST = { Config: `${ID.slice(7)}.json`, RepoTags: ['old:1'], Layers: ['one/layer.tar', 'two/layer.tar'] };

function dockerArchive({
  config = CONFIG,
  layers = OLD_LAYERS,
  manifest = [OLD_MANIFEST],
  more = [],
}: Parts = {}): Buffer {
  const body = Buffer.isBuffer(manifest) ? manifest : json(manifest);
  return tarball(...layers, file(`${ID.slice(7)}.json`, config), ...more, file('manifest.json', body));
}

const blob = (bytes: Buffer) => file(`blobs/sha256/${hex(bytes)}`, bytes);
const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
const OCI = 'application/vnd.oci.image';

function ociManifest(config: Buffer, layers: Buffer[], type = '.layer.v1.tar+gzip') {
  return json({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: descriptor(`${OCI}.config.v1+json`, config),
    layers: layers.map((layer) => descriptor(OCI + type, layer)),
  });
}

const ZIPPED = [gzipSync(LAYER), gzipSync(TOP)];
const MANIFEST = ociManifest(CONFIG, ZIPPED);
const indexOf = (entries: object[]) =>
  json({ schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests: entries });
const named = (name: string | undefined, manifest = MANIFEST) => ({
  ...descriptor(`${OCI}.manifest.v1+json`, manifest),
  ...(name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } }),
});
const ociArchive = (index: Buffer, blobs: Buffer[] = [CONFIG, MANIFEST, ...ZIPPED]) =>
  tarball(file('oci-layout', '{"imageLayoutVersion":"1.0.0"}'), file('index.json', index), ...blobs.map(blob));

const load = (made: TestStore, bytes: Buffer) => made.store.load(Readable.from(pieces(bytes)));

function* pieces(bytes: Buffer, size = 10_000) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function save(made: TestStore, ...references: string[]): Promise<Buffer> {
  const written: Buffer[] = [];
  await made.store.save(
    references,
    new Writable({ write: (chunk: Buffer, _, done) => (written.push(chunk), setImmediate(done)) }),
  );
  return Buffer.concat(written);
}

const loading = test.macro({
  async exec(t, bytes: Buffer, names: string[] = ['old:1']) {
    using made = testStore();
    t.deepEqual((await load(made, bytes)).loaded, names.length === 0 ? [ID] : names);
    const image = made.store.get(ID);
    t.deepEqual(
      image.layers.map(({ diffId }) => diffId),
      [LAYER, TOP].map(digestOf),
    );
    t.deepEqual(
      image.layers.map(({ tar }) => readFileSync(tar)),
      [LAYER, TOP],
    );
    t.deepEqual([image.repoTags, image.config.config], [names, { Cmd: ['x'] }]);
    t.deepEqual([made.fsck(), made.names('tmp'), made.names('layers').length], [[], [], 2]);
    // and once more over what is there
    await load(made, bytes);
    t.deepEqual([made.fsck(), made.names('tmp'), made.store.list().length], [[], [], 1]);
  },
  title: (name) => `loads ${name}`,
});
test('an old docker-archive', loading, dockerArchive());
test('gzip', loading, gzipSync(dockerArchive()));
test('zstd', loading, zstdCompressSync(dockerArchive()));
test(
  'gzipped layers in an old archive',
  loading,
  dockerArchive({ layers: [file('one/layer.tar', ZIPPED[0]!), file('two/layer.tar', ZIPPED[1]!)] }),
);
test(
  'a symbolic link between layers',
  loading,
  dockerArchive({
    layers: [
      file('real/layer.tar', LAYER),
      { name: 'one/layer.tar', type: '2', link: '../real/layer.tar' },
      file('two/layer.tar', TOP),
    ],
  }),
);
test(
  'a link to a layer that comes later',
  loading,
  dockerArchive({
    layers: [
      { name: 'one/layer.tar', type: '2', link: '../real/layer.tar' },
      file('real/layer.tar', LAYER),
      file('two/layer.tar', TOP),
    ],
  }),
);
test(
  'a hard link between layers',
  loading,
  dockerArchive({
    layers: [
      file('real/layer.tar', LAYER),
      { name: 'one/layer.tar', type: '1', link: 'real/layer.tar' },
      file('two/layer.tar', TOP),
    ],
  }),
);
test(
  'the old files beside it',
  loading,
  dockerArchive({
    more: [
      file('one/VERSION', '1.0'),
      file('one/json', '{}'),
      file('README', 'x'.repeat(20_000)),
      file('repositories', '{}'),
    ],
  }),
);
test(
  'names of members with ./',
  loading,
  tarball(
    ...OLD_LAYERS.map((layer) => ({ ...layer, name: `./${layer.name}` })),
    file(`./${ID.slice(7)}.json`, CONFIG),
    file('./manifest.json', json([OLD_MANIFEST])),
  ),
);
test(
  'the manifest first',
  loading,
  tarball(file('manifest.json', json([OLD_MANIFEST])), file(`${ID.slice(7)}.json`, CONFIG), ...OLD_LAYERS),
);
test('an image without a name', loading, dockerArchive({ manifest: [{ ...OLD_MANIFEST, RepoTags: null }] }), []);
test(
  'several names',
  loading,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, RepoTags: ['a:1', 'localhost:5000/b/c:2'] }] }),
  ['a:1', 'localhost:5000/b/c:2'],
);
test('an OCI layout', loading, ociArchive(indexOf([named('old:1')])));
test('an OCI layout with a bare tag', loading, ociArchive(indexOf([named('latest')])), []);
test('an OCI layout with two names of one image', loading, ociArchive(indexOf([named('a:1'), named('b:2')])), [
  'a:1',
  'b:2',
]);
const NESTED = indexOf([
  { ...named(undefined), platform: { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' } },
  { ...named(undefined), digest: digestOf(TOP), platform: { os: 'linux', architecture: 's390x' } },
]);
test(
  'an OCI layout of several platforms',
  loading,
  ociArchive(
    indexOf([
      {
        ...descriptor(`${OCI}.index.v1+json`, NESTED),
        annotations: { 'io.containerd.image.name': 'docker.io/library/old:1' },
      },
    ]),
    [CONFIG, MANIFEST, NESTED, ...ZIPPED],
  ),
);
test(
  'an attestation beside the image',
  loading,
  ociArchive(
    indexOf([
      named('old:1'),
      { ...named(undefined), digest: digestOf(LAYER), platform: { os: 'unknown', architecture: 'unknown' } },
    ]),
  ),
);

const refusing = test.macro({
  async exec(t, bytes: Buffer, message: RegExp, kind: ErrorKind = 'corrupt') {
    using made = testStore({ config: { 'max-layer-size': 1 << 20 } });
    const error = await t.throwsAsync(load(made, bytes), { instanceOf: HuskError, message });
    t.is((error as HuskError).kind, kind);
    t.deepEqual([made.names('layers'), made.names('tmp'), made.store.list()], [[], [], []]);
    t.deepEqual(made.fsck(), []);
  },
  title: (name) => `refuses ${name}`,
});
test('an empty stream', refusing, Buffer.alloc(0), /neither manifest.json nor index.json/);
test('a flat file system', refusing, LAYER, /neither manifest.json nor index.json/);
test(
  'what is no tar',
  refusing,
  Buffer.concat([Buffer.from('no magic number'), randomBytes(5000)]),
  /invalid tar|broken/,
);
test('an archive that is cut off', refusing, dockerArchive().subarray(0, -2500), /middle of a member|missing/);
test('an archive cut off within a layer', refusing, dockerArchive().subarray(0, 2000), /middle of a member/);
test('broken gzip', refusing, gzipSync(dockerArchive()).subarray(0, 2000), /broken gzip/);
test(
  'a lie about a layer',
  refusing,
  dockerArchive({ layers: [file('one/layer.tar', TOP), file('two/layer.tar', TOP)] }),
  /invalid diffID for layer 0/,
);
test(
  'layers that are exchanged',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, Layers: OLD_MANIFEST.Layers.toReversed() }] }),
  /invalid diffID for layer 0/,
);
test(
  'too few layers',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, Layers: ['one/layer.tar'] }] }),
  /layers length mismatch: expected 2, got 1/,
);
test(
  'a missing layer',
  refusing,
  dockerArchive({ layers: [file('one/layer.tar', LAYER)] }),
  /"two\/layer.tar" is missing/,
);
test('a lie about the config', refusing, dockerArchive({ config: configOf(TOP) }), /has the digest/);
test(
  'a missing config',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, Config: 'other.json' }] }),
  /"other.json" is missing/,
);
test(
  'a config outside',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, Config: '/etc/passwd' }] }),
  /"\/etc\/passwd" is missing/,
);
test(
  'a layer outside',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, Layers: ['../../../etc/passwd', 'two/layer.tar'] }] }),
  /etc\/passwd" is missing/,
);
test('a member outside', refusing, dockerArchive({ more: [file('../x', 'x')] }), /invalid tar/);
const linked = (link: string) =>
  dockerArchive({ layers: [{ name: 'one/layer.tar', type: '2', link }, file('two/layer.tar', TOP)] });
test('an absolute link', refusing, linked('/etc/passwd'), /"one\/layer.tar" is a link out of the archive/);
test('a link that climbs out', refusing, linked('../../x'), /is a link out of the archive/);
test(
  'a manifest.json that is a link out',
  refusing,
  tarball({ name: 'manifest.json', type: '2', link: '/etc/passwd' }),
  /is a link out of the archive/,
);
test(
  'a link to itself',
  refusing,
  dockerArchive({ layers: [{ name: 'one/layer.tar', type: '2', link: 'layer.tar' }, file('two/layer.tar', TOP)] }),
  /link to a link/,
);
test(
  'a link to nothing',
  refusing,
  dockerArchive({ layers: [{ name: 'one/layer.tar', type: '2', link: '../x/layer.tar' }, file('two/layer.tar', TOP)] }),
  /missing/,
);
test(
  'a device',
  refusing,
  dockerArchive({ layers: [{ name: 'one/layer.tar', type: '3', major: 1, minor: 3 }, file('two/layer.tar', TOP)] }),
  /"one\/layer.tar" is no ordinary file/,
);
test(
  'a whole file system',
  refusing,
  tarball(
    { name: 'bin/', type: '5' },
    { name: 'bin/sh', type: '2', link: '/bin/busybox' },
    file('bin/busybox', randomBytes(9000)),
    file('etc/x.json', '{}'),
    { name: 'dev/null', type: '3', major: 1, minor: 3 },
  ),
  /neither manifest.json nor index.json/,
);
test(
  'a name that is there twice',
  refusing,
  dockerArchive({ more: [file('one/layer.tar', LAYER)] }),
  /"one\/layer.tar" is there twice/,
);
test('a second manifest.json', refusing, dockerArchive({ more: [file('manifest.json', '[]')] }), /there twice/);
test('no images', refusing, dockerArchive({ manifest: [] }), /has no images/);
test('a manifest.json that is no JSON', refusing, dockerArchive({ manifest: Buffer.from('[{') }), /not JSON/);
test('a manifest.json that is no list', refusing, dockerArchive({ manifest: {} }), /not a list/);
test(
  'a giant manifest.json',
  refusing,
  dockerArchive({ manifest: Buffer.from(`[${' '.repeat(5 << 20)}]`) }),
  /larger than 4194304 bytes/,
);
test('a manifest.json of wrong types', refusing, dockerArchive({ manifest: [{ Config: 1 }] }), /no Config/);
test(
  'layers that are no list',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, Layers: {} }] }),
  /wrong Layers/,
);
test(
  'too many layers',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, Layers: Array.from({ length: 501 }, () => 'one/layer.tar') }] }),
  /more than 500 layers/,
);
test(
  'a name in capitals',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, RepoTags: ['A:1'] }] }),
  /must be lowercase/,
  'invalid',
);
test(
  'a name without a tag',
  refusing,
  dockerArchive({ manifest: [{ ...OLD_MANIFEST, RepoTags: ['a'] }] }),
  /no name with a tag/,
);
test(
  'a layer that is no tar',
  refusing,
  dockerArchive({ layers: [file('one/layer.tar', 'x'.repeat(1000)), file('two/layer.tar', TOP)] }),
  /invalid tar/,
);
test(
  'an empty layer',
  refusing,
  dockerArchive({ layers: [file('one/layer.tar', ''), file('two/layer.tar', TOP)] }),
  /no layer/,
);
const BOMB = gzipSync(tarball({ name: 'zeros', body: Buffer.alloc(32 << 20) }));
test(
  'a layer that is a bomb',
  refusing,
  dockerArchive({ layers: [file('one/layer.tar', BOMB), file('two/layer.tar', TOP)] }),
  /larger than 1048576 bytes/,
  'limit',
);
test(
  'a bomb within a compressed archive',
  refusing,
  gzipSync(dockerArchive({ layers: [file('one/layer.tar', BOMB), file('two/layer.tar', TOP)] })),
  /larger than 1048576 bytes/,
  'limit',
);
test(
  'a layer that no image has and that is a bomb',
  refusing,
  dockerArchive({ more: [file('other', BOMB)] }),
  /larger than 1048576 bytes/,
  'limit',
);
test(
  'too much JSON',
  refusing,
  dockerArchive({ more: Array.from({ length: 17 }, (_, index) => file(`${index}.json`, Buffer.alloc(4 << 20, '{'))) }),
  /bytes of JSON/,
  'limit',
);
test(
  'too many members',
  refusing,
  Buffer.concat([
    ...Array.from({ length: 65_600 }, (_, index) => member({ name: `d${index}`, type: '5' })),
    dockerArchive(),
  ]),
  /more than 65536 members/,
  'limit',
);
test(
  'a lie about a blob',
  refusing,
  tarball(
    file('index.json', indexOf([named('a:1')])),
    file(`blobs/sha256/${hex(MANIFEST)}`, ociManifest(CONFIG, [])),
    blob(CONFIG),
  ),
  /what names it says/,
);
test(
  'a lie about a compressed layer',
  refusing,
  tarball(
    file('index.json', indexOf([named('a:1')])),
    ...[CONFIG, MANIFEST, ZIPPED[1]!].map(blob),
    file(`blobs/sha256/${hex(ZIPPED[0]!)}`, gzipSync(LAYER, { level: 1 })),
  ),
  /its manifest says/,
);
test(
  'a lie about the size of a manifest',
  refusing,
  ociArchive(indexOf([{ ...named('a:1'), size: 7 }])),
  /what names it says 7/,
);
test(
  'an index that leads to an index',
  refusing,
  ociArchive(
    indexOf([
      descriptor(
        `${OCI}.index.v1+json`,
        indexOf([
          {
            ...descriptor(`${OCI}.index.v1+json`, NESTED),
            platform: { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' },
          },
        ]),
      ),
    ]),
    [
      NESTED,
      indexOf([
        {
          ...descriptor(`${OCI}.index.v1+json`, NESTED),
          platform: { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' },
        },
      ]),
    ],
  ),
  /leads to another index/,
);
test(
  'no manifest for this platform',
  refusing,
  ociArchive(
    indexOf([
      descriptor(
        `${OCI}.index.v1+json`,
        indexOf([{ ...named(undefined), platform: { os: 'linux', architecture: 's390x' } }]),
      ),
    ]),
    [indexOf([{ ...named(undefined), platform: { os: 'linux', architecture: 's390x' } }])],
  ),
  /no matching manifest/,
  'not-found',
);

test('layers that no image has are taken away again', async (t) => {
  using made = testStore();
  await load(made, dockerArchive({ more: [file('other/layer.tar', tarball({ name: 'x', body: 'unused' }))] }));
  t.deepEqual([made.names('layers').length, made.fsck()], [2, []]);
});

test('a failed load leaves alone what other images have', async (t) => {
  using made = testStore();
  await load(made, dockerArchive());
  await t.throwsAsync(
    load(made, dockerArchive({ manifest: [{ ...OLD_MANIFEST, Layers: ['one/layer.tar', 'none'] }] })),
  );
  t.deepEqual([made.store.get('old:1').id, made.fsck(), made.names('layers').length], [ID, [], 2]);
});

test('a prune in the middle of a load leaves its layers alone', async (t) => {
  using made = testStore();
  const bytes = dockerArchive();
  const stream = async function* () {
    yield* pieces(bytes.subarray(0, 6000));
    while (made.names('layers').length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    t.is(made.store.prune({ all: true, inUse: () => false }).reclaimed, 0);
    yield bytes.subarray(6000);
  };
  await made.store.load(Readable.from(stream()));
  t.deepEqual([made.store.get('old:1').id, made.fsck()], [ID, []]);
});

test('what a killed load has left is swept by the next', async (t) => {
  using made = testStore();
  const script = `
    const { testStore } = await import(${JSON.stringify(join(import.meta.dirname, 'store.ts'))});
    const { Readable } = await import('node:stream');
    const made = testStore({ dataRoot: ${JSON.stringify(made.paths.dataRoot)} });
    const bytes = Buffer.from(${JSON.stringify(dockerArchive().toString('base64'))}, 'base64');
    await made.store.load(Readable.from((async function* () {
      // not all of the first layer: what is half made stays so
      yield bytes.subarray(0, 3000);
      while (made.names('tmp').length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => setInterval(() => {}, 1000));
    })()));`;
  const { signal, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  t.deepEqual([signal, stderr], ['SIGKILL', '']);
  t.not(made.names('tmp').length, 0);
  await load(made, dockerArchive());
  t.deepEqual([made.names('tmp'), made.fsck()], [[], []]);
  // its claim is gone too: prune may take what nobody has
  t.deepEqual(made.store.prune({ all: true, inUse: () => false }).deleted.length, 3);
  await made.store.swept;
  t.deepEqual([made.names('layers'), made.names('tmp')], [[], []]);
});

test('a name moves to the loaded image', async (t) => {
  using made = testStore();
  const other = await made.store.import(Readable.from([TOP]), { reference: 'old:1' });
  await load(made, dockerArchive());
  t.deepEqual([made.store.get('old:1').id, made.store.get(other.id).repoTags], [ID, []]);
});

test('a layer that is in the store already is not read again, whatever the archive has under its name', async (t) => {
  using made = testStore();
  await load(made, dockerArchive());
  const manifest = ociManifest(CONFIG, [LAYER, TOP], '.layer.v1.tar');
  const lying = tarball(
    file('index.json', indexOf([named('new:1', manifest)])),
    blob(CONFIG),
    blob(manifest),
    file(`blobs/sha256/${hex(LAYER)}`, TOP),
    blob(TOP),
  );
  await load(made, lying);
  t.deepEqual([made.store.get('new:1').id, made.fsck()], [ID, []]);
});

test('a repository named as what every object has is saved under its name, and JavaScript stays whole', async (t) => {
  using made = testStore();
  await load(made, dockerArchive());
  for (const name of ['constructor:keys', 'valueof:freeze']) made.store.tag('old:1', name);
  const saved = await save(made, 'constructor:keys', 'valueof:freeze');
  t.is(typeof Object.keys, 'function');
  t.true(saved.includes('{"constructor":{"keys":"'));
});

test('save is deterministic, and load gives back the same', async (t) => {
  using made = testStore();
  using other = testStore();
  await load(made, dockerArchive());
  made.store.tag('old:1', 'localhost:5000/b:2');
  const saved = await save(made, 'old:1', 'localhost:5000/b:2');
  t.true(saved.equals(await save(made, 'old:1', 'localhost:5000/b:2')));
  t.deepEqual((await load(other, saved)).loaded, ['old:1', 'localhost:5000/b:2']);
  t.true(saved.equals(await save(other, 'old:1', 'localhost:5000/b:2')));
  t.deepEqual((await load(made, await save(made, ID))).loaded, [ID]);
});

test('save finds a layer that has rotted', async (t) => {
  using made = testStore();
  await load(made, dockerArchive());
  writeFileSync(made.store.get(ID).layers[0]!.tar, Buffer.alloc(LAYER.length));
  await t.throwsAsync(save(made, 'old:1'), { instanceOf: HuskError, message: /does not have the digest/ });
});

test('save of what is not there', async (t) => {
  using made = testStore();
  await t.throwsAsync(save(made, 'none'), { message: 'No such image: none:latest' });
});

test('archives with a few random bytes changed load whole, or leave nothing', async (t) => {
  using made = testStore({ config: { 'max-layer-size': 1 << 20 } });
  const [docker, oci] = [dockerArchive(), ociArchive(indexOf([named('old:1')]))];
  let loaded = 0;
  for (let round = 0; round < 150; round++) {
    const bytes = Buffer.from(round % 2 === 0 ? docker : oci);
    for (let change = randomInt(1, 4); change > 0; change--) bytes[randomInt(bytes.length)] = randomInt(256);
    try {
      await load(made, randomInt(4) === 0 ? bytes.subarray(0, randomInt(bytes.length)) : bytes);
      loaded++;
      for (const image of made.store.list()) made.store.remove(image.id, { force: true, inUse: () => [] });
      await made.store.swept;
    } catch (error) {
      if (!(error instanceof HuskError)) t.fail(`${String((error as Error).stack)}\n${bytes.toString('base64')}`);
    }
    t.deepEqual([made.names('layers'), made.names('tmp'), made.store.list()], [[], [], []]);
    t.deepEqual(made.fsck(), []);
  }
  t.true(loaded > 0 && loaded < 150, `${loaded} loaded`);
});

// — peers —

const hasSkopeo = spawnSync('skopeo', ['--version']).status === 0;
const peer: typeof test = hasSkopeo ? test : (test.skip as typeof test);

function workFolder(): Disposable & { path: (name: string) => string } {
  const folder = mkdtempSync(join(tmpdir(), 'husk-archive-'));
  return { path: (name) => join(folder, name), [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

const skopeo = (...args: string[]) =>
  execFileSync('skopeo', ['--insecure-policy', '--tmpdir', tmpdir(), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });

const readByPeer = test.macro({
  async exec(t, transport: string) {
    using made = testStore();
    using work = workFolder();
    await load(made, dockerArchive());
    writeFileSync(work.path('a.tar'), await save(made, 'old:1'));
    skopeo('copy', '-q', `${transport}:${work.path('a.tar')}`, `dir:${work.path('dir')}`);
    const manifest = JSON.parse(readFileSync(work.path('dir/manifest.json'), 'utf8')) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    t.is(manifest.config.digest, ID);
    t.deepEqual(
      manifest.layers.map(({ digest }) => digest),
      [LAYER, TOP].map(digestOf),
    );
  },
  title: (_: string | undefined, transport?: unknown) => `skopeo reads what save writes as ${String(transport)}`,
});
peer(readByPeer, 'docker-archive');
peer(readByPeer, 'oci-archive');

const writtenByPeer = test.macro({
  async exec(t, target: string, format: string, expected: string) {
    using made = testStore();
    using work = workFolder();
    writeFileSync(work.path('in.tar'), dockerArchive());
    skopeo(
      'copy',
      '-q',
      ...(format === '' ? [] : ['--format', format]),
      `docker-archive:${work.path('in.tar')}`,
      `${target}:${work.path('out.tar')}:${expected}`,
    );
    t.deepEqual((await load(made, readFileSync(work.path('out.tar')))).loaded, [expected]);
    const image = made.store.get(expected);
    t.deepEqual(
      image.layers.map(({ diffId }) => diffId),
      [LAYER, TOP].map(digestOf),
    );
    t.deepEqual([made.fsck(), made.names('tmp')], [[], []]);
    // what skopeo makes of our own archive of it is the same image
    writeFileSync(work.path('again.tar'), await save(made, expected));
    const inspected = JSON.parse(
      skopeo('inspect', '--config', '--raw', `oci-archive:${work.path('again.tar')}`).toString(),
    ) as object;
    t.deepEqual(inspected, JSON.parse(JSON.stringify(image.config)) as object);
  },
  title: (_: string | undefined, target?: unknown) => `load reads what skopeo writes as ${String(target)}`,
});
peer(writtenByPeer, 'docker-archive', '', 'localhost/peer:1');
peer(writtenByPeer, 'oci-archive', 'oci', 'localhost/peer:1');

test('podman loads what save writes, and save of podman is loaded', async (t) => {
  if (spawnSync('podman', ['--version']).status !== 0) return t.pass('podman is not installed');
  using made = testStore();
  using work = workFolder();
  await load(made, dockerArchive());
  writeFileSync(work.path('a.tar'), await save(made, 'old:1'));
  const podman = (...args: string[]) =>
    execFileSync(
      'podman',
      [
        '--root',
        work.path('root'),
        '--runroot',
        work.path('runroot'),
        '--storage-driver',
        'vfs',
        '--tmpdir',
        work.path('tmp'),
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    ).toString();
  t.regex(podman('load', '-q', '-i', work.path('a.tar')), /old:1/);
  t.is(podman('image', 'inspect', '--format', '{{.Id}}', 'old:1').trim(), ID.slice(7));
  for (const format of ['docker-archive', 'oci-archive']) {
    podman('save', '-q', '--format', format, '-o', work.path(`${format}.tar`), 'old:1');
    using other = testStore();
    const { loaded } = await load(other, readFileSync(work.path(`${format}.tar`)));
    t.true(existsSync(other.store.get(loaded[0]!).layers[0]!.tar));
    t.deepEqual(
      other.store.get(loaded[0]!).layers.map(({ diffId }) => diffId),
      [LAYER, TOP].map(digestOf),
    );
  }
});

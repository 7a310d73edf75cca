/** Archives of names that stand for images of several platforms: saved whole, loaded whole, and read by skopeo. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import test from 'ava';
import { parsePlatform } from '../../src/images/store/platform.ts';
import { missingImageTools } from '../fixtures/images.ts';
import { tarball } from '../fixtures/tar.ts';
import { indexOf } from './several.ts';
import { testStore, type TestStore } from './store.ts';

const [AMD, ARM, V6] = ['linux/amd64', 'linux/arm64', 'linux/arm/v6'] as const;
const OCI = 'application/vnd.oci.image';
const INDEX = `${OCI}.index.v1+json`;

async function saved({ store }: TestStore, names: string[], platform?: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const output = new Writable({ write: (piece: Buffer, _encoding, done) => (pieces.push(piece), done()) });
  await store.save(names, output, platform === undefined ? {} : { platform: parsePlatform(platform) });
  return Buffer.concat(pieces);
}

const loaded = async ({ store }: TestStore, bytes: Buffer, platform?: string): Promise<string[]> =>
  (await store.load(Readable.from([bytes]), platform === undefined ? {} : { platform: parsePlatform(platform) }))
    .loaded;

const idOf = ({ store }: TestStore, name: string, platform: string): string | undefined =>
  store.find(name, parsePlatform(platform))?.id;

function inFolder<T>(archive: Buffer, look: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'husk-archive-'));
  try {
    mkdirSync(join(folder, 'a'));
    execFileSync('tar', ['-x', '-C', join(folder, 'a')], { input: archive });
    writeFileSync(join(folder, 'a.tar'), archive);
    return look(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

test('all images of a name are saved with an index, and loaded under it', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [ARM, AMD, V6]);
  s.store.tag('app:1', 'app:2');
  const archive = await saved(s, ['app']);
  t.deepEqual(await saved(s, ['app:2', 'app:1', 'app']).then((bytes) => bytes.length), archive.length);
  using other = testStore();
  t.deepEqual(await loaded(other, archive), ['app:1', 'app:2']);
  for (const name of ['app:1', 'app:2'])
    t.deepEqual(
      [ARM, AMD, V6].map((platform) => idOf(other, name, platform)),
      ids,
    );
  // What commands take that know of no platforms is this machine's.
  t.is(other.store.get('app:1').id, ids[1]!);
  t.deepEqual(other.store.get(ids[0]!).indexedBy, ['app:1', 'app:2']);
  t.deepEqual(await saved(other, ['app']), archive);
  t.deepEqual(other.fsck(), []);
});

test('manifest.json has the image of this machine, for programs that know of no index', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [ARM, AMD]);
  inFolder(await saved(s, ['app:1']), (folder) => {
    const [entry, ...more] = json(join(folder, 'a/manifest.json')) as { Config: string; RepoTags: string[] }[];
    t.deepEqual([entry!.Config, entry!.RepoTags], [`blobs/sha256/${ids[1]!.slice(7)}`, ['app:1']]);
    t.deepEqual(more, []);
    const { manifests } = json(join(folder, 'a/index.json')) as { manifests: { mediaType: string; digest: string }[] };
    t.deepEqual(
      manifests.map(({ mediaType }) => mediaType),
      [INDEX],
    );
    const index = json(join(folder, 'a/blobs/sha256', manifests[0]!.digest.slice(7))) as { manifests: object[] };
    t.deepEqual(
      index.manifests.map((each) => (each as { platform: object }).platform),
      [parsePlatform(ARM), parsePlatform(AMD)],
    );
  });
});

test('--platform saves one, and loads one', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [AMD, ARM]);
  const archive = await saved(s, ['app:1'], ARM);
  using other = testStore();
  t.deepEqual(await loaded(other, archive), ['app:1']);
  t.deepEqual(
    other.store.list().map(({ id }) => id),
    [ids[1]!],
  );
  using third = testStore();
  t.deepEqual(await loaded(third, await saved(s, ['app:1']), ARM), ['app:1']);
  t.deepEqual(
    third.store.list().map(({ id }) => id),
    [ids[1]!],
  );
  const whole = await saved(s, ['app:1']);
  await t.throwsAsync(loaded(third, whole, 'linux/s390x'), { message: /no matching manifest for linux\/s390x/ });
  t.deepEqual(third.fsck(), []);
});

test('by its id an image is one, and what has been removed is not in the archive', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [AMD, ARM, V6]);
  using one = testStore();
  t.deepEqual(await loaded(one, await saved(s, [ids[1]!])), [ids[1]!]);
  s.store.remove(ids[1]!, { force: true, inUse: () => [] });
  using two = testStore();
  await loaded(two, await saved(s, ['app:1']));
  t.deepEqual(two.store.list().length, 2);
  t.is(idOf(two, 'app:1', V6), ids[2]);
  s.store.remove(ids[2]!, { force: true, inUse: () => [] });
  using last = testStore();
  await loaded(last, await saved(s, ['app:1']));
  t.is(last.store.get('app:1').indexedBy, undefined);
  t.deepEqual(
    last.store.list().map(({ id }) => id),
    [ids[0]!],
  );
});

// — archives made by hand —

const bytes = (value: object): Buffer => Buffer.from(JSON.stringify(value));
const hex = (body: Buffer): string => createHash('sha256').update(body).digest('hex');
const descriptor = (mediaType: string, body: Buffer, more: object = {}): object => ({
  mediaType,
  digest: `sha256:${hex(body)}`,
  size: body.length,
  ...more,
});
const NAME = { annotations: { 'io.containerd.image.name': 'docker.io/library/app:1' } };
const listing = (...manifests: object[]): Buffer => bytes({ schemaVersion: 2, mediaType: INDEX, manifests });
const archive = (index: Buffer, blobs: Buffer[], more: { name: string; body: Buffer }[] = []): Buffer =>
  tarball(
    ...[...new Map(blobs.map((body) => [hex(body), body])).values()].map((body) => ({
      name: `blobs/sha256/${hex(body)}`,
      body,
    })),
    ...more,
    { name: 'index.json', body: index },
  );

/** an image: its manifest, and its blobs */
function image(platform: string, tag = platform): { manifest: Buffer; blobs: Buffer[] } {
  const layer = tarball({ name: tag, body: tag });
  const diffIds = [`sha256:${hex(layer)}`];
  const config = bytes({ ...parsePlatform(platform), rootfs: { type: 'layers', diff_ids: diffIds } });
  const manifest = bytes({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: descriptor(`${OCI}.config.v1+json`, config),
    layers: [descriptor(`${OCI}.layer.v1.tar`, layer)],
  });
  return { manifest, blobs: [config, manifest, layer] };
}

const entry = ({ manifest }: { manifest: Buffer }, more: object = {}): object =>
  descriptor(`${OCI}.manifest.v1+json`, manifest, more);
const at = (platform: string): object => ({ platform: parsePlatform(platform) });
const [amd, arm] = [image(AMD), image(ARM)];
const BLOBS = [...amd.blobs, ...arm.blobs];

test('a name at several entries stands for all of them', async (t) => {
  using s = testStore();
  t.deepEqual(await loaded(s, archive(listing(entry(arm, NAME), entry(amd, NAME)), BLOBS)), ['app:1']);
  t.is(s.store.get('app:1').config.architecture, 'amd64');
  t.is(s.store.find('app:1', parsePlatform(ARM))?.config.architecture, 'arm64');
});

test('what the archive has not whole, attestations and artifacts are left out', async (t) => {
  const artifact = bytes({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: descriptor('application/x', Buffer.from('{}')),
    layers: [],
  });
  const index = listing(
    entry(amd, at(AMD)),
    entry(arm, at(ARM)),
    entry(image(V6), at(V6)),
    entry(amd, { platform: { os: 'unknown', architecture: 'unknown' } }),
    descriptor(`${OCI}.manifest.v1+json`, artifact),
  );
  // Of the second image a layer is missing, of the third everything.
  const blobs = [...amd.blobs, ...arm.blobs.slice(0, 2), artifact, index];
  using s = testStore();
  t.deepEqual(await loaded(s, archive(listing(descriptor(INDEX, index, NAME)), blobs)), ['app:1']);
  t.is(s.store.list().length, 1);
  t.deepEqual(s.fsck(), []);
});

test('an index without a name gives the image of this machine', async (t) => {
  const index = listing(entry(arm, at(ARM)), entry(amd, at(AMD)));
  using s = testStore();
  const [id, ...more] = await loaded(s, archive(listing(descriptor(INDEX, index)), [...BLOBS, index]));
  t.is(s.store.get(id!).config.architecture, 'amd64');
  t.deepEqual(more, []);
  t.is(s.store.list().length, 1);
});

test('of two images for one platform the first counts, and an entry cannot call an image another machine’s', async (t) => {
  const other = image(AMD, 'other');
  const index = listing(entry(amd, at(AMD)), entry(other, at(AMD)), entry(other, at(ARM)));
  using s = testStore();
  await loaded(s, archive(listing(descriptor(INDEX, index, NAME)), [...amd.blobs, ...other.blobs, index]));
  t.is(s.store.list().length, 1);
  t.deepEqual(s.store.get('app:1').layers[0]!.diffId, `sha256:${hex(amd.blobs[2]!)}`);
});

const REFUSED: [why: string, made: () => Buffer, message: RegExp][] = [
  [
    'a manifest that is not what its digest says',
    () => {
      const index = listing(entry(amd, at(AMD)), entry(arm, at(ARM)));
      const broken = { name: `blobs/sha256/${hex(arm.manifest)}`, body: Buffer.from('{"schemaVersion":2}') };
      return archive(
        listing(descriptor(INDEX, index, NAME)),
        [...amd.blobs, arm.blobs[0]!, arm.blobs[2]!, index],
        [broken],
      );
    },
    /what names it says/,
  ],
  [
    'an index in an index',
    () => {
      const inner = listing(entry(amd, at(AMD)));
      const index = listing(descriptor(INDEX, inner, at(AMD)), entry(arm, at(ARM)));
      return archive(listing(descriptor(INDEX, index, NAME)), [...BLOBS, inner, index]);
    },
    /leads to another index/,
  ],
  [
    'more images than any name has',
    () => {
      const index = listing(...Array.from({ length: 65 }, () => entry(amd, at(AMD))));
      return archive(listing(descriptor(INDEX, index, NAME)), [...BLOBS, index]);
    },
    /an index of more than 64 images/,
  ],
];
for (const [why, made, message] of REFUSED)
  test(`refused, and nothing is left: ${why}`, async (t) => {
    using s = testStore();
    await t.throwsAsync(loaded(s, made()), { message });
    t.deepEqual(s.store.list(), []);
    t.deepEqual([...s.names('layers'), ...s.names('tmp')], []);
  });

test('many entries that lead to one large index cost no more than one', async (t) => {
  const padding = { annotations: { x: 'x'.repeat(1 << 20) } };
  const manifest = bytes({ ...(JSON.parse(amd.manifest.toString()) as object), ...padding });
  const same = Array.from({ length: 64 }, () => descriptor(`${OCI}.manifest.v1+json`, manifest, at(AMD)));
  const indexes = Array.from({ length: 500 }, (_, n) => listing(...same, descriptor('x', Buffer.from(`${n}`))));
  const names = indexes.map((index, n) =>
    descriptor(INDEX, index, { annotations: { 'io.containerd.image.name': `docker.io/library/app:${n}` } }),
  );
  using s = testStore();
  const started = process.cpuUsage();
  const found = await loaded(s, archive(listing(...names), [amd.blobs[0]!, amd.blobs[2]!, manifest, ...indexes]));
  t.is(found.length, 500);
  // 32,000 parses of a megabyte take minutes.
  t.true(process.cpuUsage(started).user < 20_000_000);
});

const missing = missingImageTools();
const peer = missing ? test.skip : test;
peer('skopeo reads the index, and what skopeo writes of it is loaded', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [AMD, ARM]);
  const bytesOf = await saved(s, ['app:1']);
  const copied = inFolder(bytesOf, (folder) => {
    const skopeo = (...words: string[]): string => execFileSync('skopeo', words, { cwd: folder, encoding: 'utf8' });
    const raw = JSON.parse(skopeo('inspect', '--raw', 'oci:a:1')) as { mediaType: string; manifests: object[] };
    t.is(raw.mediaType, INDEX);
    t.is(raw.manifests.length, 2);
    const configOf = (arch: string): string =>
      JSON.parse(skopeo('--override-arch', arch, 'inspect', '--config', 'oci:a:1')).architecture as string;
    t.deepEqual(['amd64', 'arm64'].map(configOf), ['amd64', 'arm64']);
    skopeo('--insecure-policy', 'copy', '-q', '--all', 'oci-archive:a.tar:1', 'oci-archive:b.tar:app:1');
    return readFileSync(join(folder, 'b.tar'));
  });
  using other = testStore();
  t.deepEqual(await loaded(other, copied), ['app:1']);
  t.deepEqual([idOf(other, 'app:1', AMD), idOf(other, 'app:1', ARM)], ids);
});
if (missing) test(`skopeo: skipped: ${missing}`, (t) => t.pass());

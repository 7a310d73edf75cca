/**
 * Which names and platforms `save` and `load` mean, and that a removal which runs twice on a full disk tells of it
 * once.
 */
import { execFileSync } from 'node:child_process';
import { PassThrough, Readable } from 'node:stream';
import test from 'ava';
import { dockerArchive, ociIndexArchive } from '../fixtures/odd-images.ts';
import { tarball } from '../fixtures/tar.ts';
import { type TestStore, testStore } from './store.ts';

const LAYER = tarball({ name: 'a', body: 'a' });
const OTHER = tarball({ name: 'b', body: 'b' });

async function loaded(
  s: TestStore,
  archive: Buffer,
  options: Parameters<TestStore['store']['load']>[1] = {},
): Promise<string[]> {
  return (await s.store.load(Readable.from([archive]), options)).loaded;
}

async function savedTags(s: TestStore, ...references: string[]): Promise<string[]> {
  const output = new PassThrough();
  const chunks: Buffer[] = [];
  output.on('data', (chunk: Buffer) => chunks.push(chunk));
  await s.store.save(references, output);
  const manifest = execFileSync('tar', ['-xOf', '-', 'manifest.json'], {
    input: Buffer.concat(chunks),
    encoding: 'utf8',
  });
  return (JSON.parse(manifest) as { RepoTags: string[] | null }[]).flatMap(({ RepoTags }) => RepoTags ?? ['<none>']);
}

const SAVES: [references: string[], tags: string[]][] = [
  [['g/a'], ['g/a:1', 'g/a:2', 'g/a:3']],
  [['g/a:1'], ['g/a:1']],
  [
    ['g/a', 'g/a:1'],
    ['g/a:1', 'g/a:2', 'g/a:3'],
  ],
  [['g/latest'], ['g/latest:latest', 'g/latest:old']],
  [
    ['g/a', 'g/latest:old'],
    ['g/a:1', 'g/a:2', 'g/latest:old', 'g/a:3'],
  ],
];
for (const [references, tags] of SAVES) {
  test(`save ${references.join(' ')}`, async (t) => {
    using s = testStore();
    await loaded(s, dockerArchive({ tag: 'g/a:1', layers: [LAYER] }, { tag: 'g/a:3', layers: [OTHER] }));
    for (const name of ['g/a:2', 'g/ab:1', 'g/a/b:1', 'g/latest:latest', 'g/latest:old']) s.store.tag('g/a:1', name);
    t.deepEqual(await savedTags(s, ...references), tags);
  });
}

test('save of what is not there, and of an id', async (t) => {
  using s = testStore();
  await loaded(s, dockerArchive({ tag: 'g/a:1', layers: [LAYER] }));
  await t.throwsAsync(savedTags(s, 'g/b'), { message: 'No such image: g/b:latest' });
  t.deepEqual(await savedTags(s, s.store.get('g/a:1').id), ['<none>']);
});

const PLATFORMS = [
  { layers: [LAYER], platform: { os: 'linux', architecture: 'amd64' } },
  { layers: [OTHER], architecture: 'arm64', platform: { os: 'linux', architecture: 'arm64' } },
];

test('load --platform takes that one out of an index, and nothing else stays', async (t) => {
  using s = testStore();
  const archive = ociIndexArchive('multi:1', PLATFORMS);
  t.deepEqual(await loaded(s, archive, { platform: { os: 'linux', architecture: 'arm64' } }), ['multi:1']);
  t.is(s.store.get('multi:1').config.architecture, 'arm64');
  t.is(s.names('layers').length, 1);
  await t.throwsAsync(loaded(s, archive, { platform: { os: 'linux', architecture: 's390x' } }), {
    message: /^no matching manifest for linux\/s390x in the index/,
  });
});

test('load --platform of an archive of images that say theirs', async (t) => {
  using s = testStore();
  const archive = dockerArchive(
    { tag: 'x:1', layers: [LAYER] },
    { tag: 'y:1', layers: [OTHER], architecture: 'arm64' },
  );
  t.deepEqual(await loaded(s, archive, { platform: { os: 'linux', architecture: 'arm64' } }), ['y:1']);
  await t.throwsAsync(loaded(s, archive, { platform: { os: 'linux', architecture: 's390x' } }), {
    message: 'no image in the archive provides the specified platform (linux/s390x)',
  });
  t.deepEqual(
    s.store.list().map(({ repoTags }) => repoTags),
    [['y:1']],
  );
  t.deepEqual(s.fsck(), []);
});

/** The next commit finds the disk full, as SQLite says it (sqlite3.h SQLITE_FULL); the one after it does not. */
function fullOnce({ store }: TestStore): void {
  const { database } = store.records;
  const exec = database.exec.bind(database);
  database.exec = (sql: string) => {
    if (sql !== 'COMMIT') return exec(sql);
    database.exec = exec;
    exec('ROLLBACK');
    throw Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 });
  };
}

test('a removal that is run again on a full disk tells of everything once', async (t) => {
  using s = testStore();
  await loaded(s, dockerArchive({ tag: 'x:1', layers: [LAYER] }));
  const { id } = s.store.get('x:1');
  const expected = { untagged: ['x:1'], deleted: [id, ...s.store.get('x:1').layers.map(({ diffId }) => diffId)] };
  fullOnce(s);
  const { untagged, deleted } = s.store.remove('x:1', { inUse: () => [] });
  t.deepEqual({ untagged, deleted }, expected);
});

test('so does a prune, which counts its bytes once', async (t) => {
  using s = testStore();
  await loaded(s, dockerArchive({ tag: 'x:1', layers: [LAYER] }));
  const { id, size } = s.store.get('x:1');
  fullOnce(s);
  const { untagged, deleted, reclaimed } = s.store.prune({ all: true, inUse: () => false });
  t.deepEqual(
    { untagged, deleted: deleted.slice(0, 1), count: deleted.length, reclaimed },
    { untagged: ['x:1'], deleted: [id], count: 2, reclaimed: size },
  );
});

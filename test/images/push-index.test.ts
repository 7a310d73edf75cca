/** Names that stand for images of several platforms: kept, moved and removed, and pushed to a real registry. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import test from 'ava';
import { parsePlatform } from '../../src/images/store/platform.ts';
import { missingImageTools, startRegistry } from '../fixtures/images.ts';
import { indexOf } from './several.ts';
import { testStore, type TestStore } from './store.ts';

const missing = missingImageTools();
const real = missing ? test.skip : test;
if (missing) test(`real registry: skipped: ${missing}`, (t) => t.pass());

const [AMD, ARM, S390] = ['linux/amd64', 'linux/arm64', 'linux/s390x'] as const;
const unused = { inUse: () => [] };
const present = (s: TestStore, ids: readonly string[]): boolean[] => ids.map((id) => s.store.find(id) !== undefined);

test('a name stands for its images until it is given to one anew', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [AMD, ARM]);
  const platformOf = (name: string): string | undefined => s.store.find(name, parsePlatform(ARM))?.config.architecture;
  t.is(s.store.get('app:1').id, ids[0]!);
  t.is(platformOf('app:1'), 'arm64');
  t.is(s.store.find('app:1', parsePlatform(S390))?.id, ids[0]);
  t.deepEqual(s.store.get(ids[1]!).indexedBy, ['app:1']);
  t.is(s.store.get(ids[0]!).indexedBy, undefined);
  s.store.tag('app:1', 'app:2');
  s.store.tag('app:1', 'app:1');
  for (const name of ['app:1', 'app:2']) t.is(platformOf(name), 'arm64', name);
  // By its id it is one image.
  s.store.tag(ids[0]!, 'app:2');
  t.is(platformOf('app:2'), 'amd64');
  s.store.tag(ids[1]!, 'app:1');
  t.is(s.store.get('app:1').id, ids[1]!);
  t.is(s.store.get(ids[1]!).indexedBy, undefined);
  t.deepEqual(s.fsck(), []);
});

test('a prune leaves what a name stands for; the removal of the last name takes all', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [AMD, ARM, S390]);
  t.deepEqual(s.store.prune({ all: false, inUse: () => false }).deleted, []);
  t.deepEqual(s.store.prune({ all: true, inUse: (id) => id === ids[0] }).deleted, []);
  s.store.tag('app:1', 'app:2');
  t.deepEqual(s.store.remove('app:1', unused), { untagged: ['app:1'], deleted: [] });
  s.store.tag(ids[2]!, 'other');
  t.is(s.store.remove('app:2', unused).deleted.length, 4);
  t.deepEqual(present(s, ids), [false, false, true]);
  await s.store.swept;
  t.deepEqual([s.fsck(), s.names('tmp'), s.names('layers').length], [[], [], 1]);
});

test('an image that a container uses stays when its name goes; a prune of all takes the whole index', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, 'app:1', [AMD, ARM]);
  const inUse = (id: string) => (id === ids[1] ? [{ id: 'c'.repeat(64), running: false }] : []);
  s.store.remove('app:1', { inUse });
  t.deepEqual(present(s, ids), [false, true]);
  s.store.remove(ids[1]!, unused);
  await indexOf(s, 'app:1', [AMD, ARM]);
  s.store.prune({ all: true, inUse: () => false });
  t.deepEqual(present(s, ids), [false, false]);
});

interface Index {
  mediaType: string;
  manifests: { digest: string; size: number; platform: object }[];
}

real('all platforms go by one name, and again without a byte; one by --platform', async (t) => {
  await using registry = await startRegistry();
  using s = testStore();
  const name = `${registry.host}/some/app:1`;
  const ids = await indexOf(s, name, [AMD, ARM]);
  const raw = (reference: string): string =>
    execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`], { encoding: 'utf8' });
  const architectureOf = (reference: string, architecture: string): string => {
    const words = ['--override-arch', architecture, 'inspect', '--tls-verify=false', `docker://${reference}`];
    return (JSON.parse(execFileSync('skopeo', words, { encoding: 'utf8' })) as { Architecture: string }).Architecture;
  };
  const statuses: string[] = [];
  const pushed = await s.store.push(name, { onProgress: ({ status }) => statuses.push(status) });
  t.is(statuses[0], `The push refers to repository [${registry.host}/some/app]`);
  t.is(statuses.at(-1), `1: digest: ${pushed.digest} size: ${pushed.size}`);
  t.is(statuses.filter((status) => status === 'Pushed').length, 2);
  const text = raw(name);
  t.is(`sha256:${createHash('sha256').update(text).digest('hex')}`, pushed.digest);
  const { mediaType, manifests } = JSON.parse(text) as Index;
  t.is(mediaType, 'application/vnd.oci.image.index.v1+json');
  t.deepEqual(
    manifests.map(({ platform }) => platform),
    [AMD, ARM].map((platform) => ({ ...parsePlatform(platform) })),
  );
  for (const { digest, size } of manifests) t.is(raw(`${registry.host}/some/app@${digest}`).length, size);
  for (const architecture of ['amd64', 'arm64']) t.is(architectureOf(name, architecture), architecture);
  t.deepEqual(s.store.get(name).repoDigests.length, 2, 'of the index, and of its own manifest');

  const again: string[] = [];
  t.deepEqual(await s.store.push(name, { onProgress: ({ status }) => again.push(status) }), pushed);
  t.false(again.includes('Pushed'));

  s.store.tag(name, `${registry.host}/elsewhere:2`);
  t.is((await s.store.push(`${registry.host}/elsewhere:2`)).digest, pushed.digest);

  const one = await s.store.push(name, { platform: parsePlatform(ARM) });
  t.is(one.lacking, undefined);
  t.is((JSON.parse(raw(name)) as { config: { digest: string } }).config.digest, ids[1]!);
  await t.throwsAsync(s.store.push(name, { platform: parsePlatform(S390) }), {
    message: `image with reference ${name} was found but does not provide the specified platform (linux/s390x)`,
  });
  t.deepEqual([s.fsck(), s.names('tmp')], [[], []]);
});

real("where an image is not here any more, this machine's goes alone, and it is said", async (t) => {
  await using registry = await startRegistry();
  using s = testStore();
  const name = `${registry.host}/app:1`;
  const ids = await indexOf(s, name, [AMD, ARM, S390]);
  s.store.remove(ids[1]!, unused);
  const { lacking } = await s.store.push(name);
  t.deepEqual(lacking, [parsePlatform(ARM)]);
  const words = ['inspect', '--raw', '--tls-verify=false', `docker://${name}`];
  const manifest = JSON.parse(execFileSync('skopeo', words, { encoding: 'utf8' })) as { config: { digest: string } };
  t.is(manifest.config.digest, ids[0]!);
});

test('of several that are here, and none of this machine, one must be named: before a registry is asked', async (t) => {
  using s = testStore();
  const ids = await indexOf(s, '127.0.0.1:1/app:1', [ARM, S390, 'linux/arm/v7']);
  s.store.remove(ids[2]!, unused);
  await t.throwsAsync(s.store.push('127.0.0.1:1/app:1'), {
    message: /^multiple matching manifests found but no specific platform requested: of .* linux\/arm\/v7 is not here$/,
  });
});

/** rmi, prune, tag and looking up: Docker's rules and texts. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import { layerFolder } from '../../src/images/store/records.ts';
import { nameKey, parseReference } from '../../src/images/store/reference.ts';
import { digestOf } from './hostile-registry.ts';
import type { TestStore } from './store.ts';
import { testStore } from './store.ts';

/** Puts an image of these layers (their contents) in, as a pull would. @returns its id */
function put(s: TestStore, names: string[], layers: string[] = ['one']): string {
  for (const content of layers) {
    const diffId = digestOf(content);
    mkdirSync(layerFolder(s.paths, diffId), { recursive: true });
    writeFileSync(join(layerFolder(s.paths, diffId), 'layer.tar'), content);
    s.store.records.recordLayer({ diffId, size: content.length });
  }
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      author: names[0],
      rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
    }),
  );
  return s.store.records.add({
    config,
    manifest: Buffer.from(`{"of":"${names[0]}"}`),
    layers: layers.map((content) => ({ diffId: digestOf(content) })),
    names: names.map((name) => nameKey(parseReference(name))),
  });
}

const D = `sha256:${'ab'.repeat(32)}`;
const nobody = () => [];
const used = (running: boolean) => () => [{ id: 'c0ffee'.repeat(10), running }];
const short = (id: string) => id.slice(7, 19);

async function sound(t: ExecutionContext, s: TestStore, layers: string[]): Promise<void> {
  await s.store.swept;
  t.deepEqual(s.names('layers'), layers.map((content) => digestOf(content).slice(7)).sort());
  t.deepEqual([s.names('tmp'), s.fsck()], [[], []]);
}

test('the last name takes the image, its digests and its layers along; shared layers stay', async (t) => {
  using s = testStore();
  const id = put(s, ['a:1', `a@${D}`], ['base', 'top']);
  put(s, ['other'], ['base']);
  t.deepEqual(s.store.remove('a:1', { inUse: nobody }), {
    untagged: ['a:1', `a@${D}`],
    deleted: [id, digestOf('top')],
  });
  await sound(t, s, ['base']);
  t.is(s.store.find('a:1'), undefined);
  t.is(s.names('blobs').length, 2);
});

for (const way of ['rmi', 'prune'] as const)
  test(`while a build is under way ${way} takes the image and leaves the layers, until the next prune`, async (t) => {
    using s = testStore();
    put(s, ['base']);
    const remove = () =>
      way === 'rmi'
        ? void s.store.remove('base', { inUse: nobody })
        : void s.store.prune({ all: true, inUse: () => false });
    {
      using _build = await s.store.building();
      remove();
      t.is(s.store.find('base'), undefined);
      await s.store.swept;
      t.deepEqual(s.names('layers'), [digestOf('one').slice(7)]);
      t.true(s.store.records.layerIds().includes(digestOf('one')));
    }
    s.store.prune({ all: false, inUse: () => false });
    await sound(t, s, []);
  });

test('one of several names is only untagged', async (t) => {
  using s = testStore();
  put(s, ['a:1', 'b:1', `b@${D}`]);
  t.deepEqual(s.store.remove('a:1', { inUse: used(true) }), { untagged: ['a:1'], deleted: [] });
  t.deepEqual(s.store.get('b:1').repoDigests, [`b@${D}`]);
  await sound(t, s, ['one']);
});

test('by id: several names need force', (t) => {
  using s = testStore();
  const id = put(s, ['a:1', 'b:1']);
  t.throws(() => s.store.remove(short(id), { inUse: nobody }), {
    message: `conflict: unable to delete ${short(id)} (must be forced) - image is referenced in multiple repositories`,
  });
  t.deepEqual(s.store.remove(short(id), { force: true, inUse: nobody }).untagged, ['a:1', 'b:1']);
  t.deepEqual(s.store.list(), []);
});

test('an image a container uses', async (t) => {
  using s = testStore();
  const id = put(s, ['a:1']);
  const container = 'c0ffeec0ffee';
  t.throws(() => s.store.remove('a:1', { inUse: used(false) }), {
    message: `conflict: unable to remove repository reference "a:1" (must force) - container ${container} is using its referenced image ${short(id)}`,
  });
  t.throws(() => s.store.remove(id, { inUse: used(false) }), {
    message: `conflict: unable to delete ${short(id)} (must be forced) - image is being used by stopped container ${container}`,
  });
  t.throws(() => s.store.remove(id, { force: true, inUse: used(true) }), {
    message: `conflict: unable to delete ${short(id)} (cannot be forced) - image is being used by running container ${container}`,
  });
  // forced: the name goes, what the container needs stays until it has gone
  t.deepEqual(s.store.remove('a:1', { force: true, inUse: used(true) }), { untagged: ['a:1'], deleted: [] });
  t.deepEqual(s.store.get(id).repoTags, []);
  await sound(t, s, ['one']);
  t.deepEqual(s.store.remove(id, { inUse: nobody }).deleted, [id, digestOf('one')]);
  await sound(t, s, []);
});

test('prune: dangling ones, or all that no container uses; what no image refers to goes too', async (t) => {
  using s = testStore();
  put(s, ['keep:1'], ['one']);
  const dangling = put(s, [], ['two two']);
  const busy = put(s, ['busy:1'], ['three']);
  put(s, [`digest@${D}`], ['four']);
  mkdirSync(layerFolder(s.paths, digestOf('orphan')), { recursive: true });
  writeFileSync(join(layerFolder(s.paths, digestOf('orphan')), 'layer.tar'), 'orphan');
  writeFileSync(join(s.paths.blobs, digestOf('stray').slice(7)), 'stray');
  const first = s.store.prune({ all: false, inUse: (id) => id === busy });
  t.true(first.deleted.includes(dangling));
  t.is(first.reclaimed, 'two two'.length + 'four'.length + 'orphan'.length);
  await sound(t, s, ['one', 'three']);
  t.deepEqual(s.store.prune({ all: true, inUse: (id) => id === busy }).untagged, ['keep:1']);
  await sound(t, s, ['three']);
  t.is(s.names('blobs').length, 2);
});

test('prune asks its filters', (t) => {
  using s = testStore();
  put(s, ['a:1'], ['one']);
  put(s, ['b:1'], ['two']);
  t.deepEqual(
    s.store.prune({ all: true, inUse: () => false, filters: (image) => image.repoTags[0] === 'b:1' }).untagged,
    ['b:1'],
  );
});

test('looking up: name, digest, id, prefix; names before prefixes', (t) => {
  using s = testStore();
  const id = put(s, ['a:1', `a@${D}`, 'localhost:5000/deep/x:2']);
  for (const text of [
    'a:1',
    'docker.io/library/a:1',
    `a@${D}`,
    `a:whatever@${D}`,
    id,
    id.slice(7),
    short(id),
    id.slice(0, 12),
    'localhost:5000/deep/x:2',
  ])
    t.is(s.store.find(text)?.id, id, text);
  for (const text of ['a', 'b:1', `b@${D}`, D, '', 'UPPER', '../x', 'g'.repeat(12), ':'])
    t.is(s.store.find(text), undefined, text);
  const other = put(s, [`${short(id)}:latest`], ['two']);
  t.is(s.store.get(short(id)).id, other);
  t.throws(() => s.store.get('nope'), { message: 'No such image: nope:latest' });
  t.throws(() => s.store.get('h.example/nope:1'), { message: 'No such image: h.example/nope:1' });
  t.throws(() => s.store.get(D), { message: `No such image: ${D}` });
});

test('an ambiguous prefix is nobody', (t) => {
  using s = testStore();
  const ids = Array.from({ length: 40 }, (_unused, n) => put(s, [`n:${n}`]));
  const digits = ids.map((id) => id[7]!);
  const twice = digits.find((digit, index) => digits.indexOf(digit) !== index)!;
  t.is(s.store.find(twice), undefined);
});

test('tag moves a name', (t) => {
  using s = testStore();
  const [one, two] = [put(s, ['a:1'], ['one']), put(s, ['b:1'], ['two'])];
  s.store.tag('a:1', 'b:1');
  t.is(s.store.get('b:1').id, one);
  t.deepEqual(s.store.get(two).repoTags, []);
  s.store.tag(short(two), 'localhost/c');
  t.is(s.store.get('localhost/c:latest').id, two);
  t.throws(() => s.store.tag('nope', 'x'), { message: 'No such image: nope:latest' });
  t.throws(() => s.store.tag('a:1', 'X'), { message: /must be lowercase/ });
  t.throws(() => s.store.tag('a:1', `x@${D}`), { message: 'refusing to create a tag with a digest reference' });
});

// a store lives as long as its process: the second death is another process's, after the first look
for (const [what, look] of Object.entries<(s: TestStore) => unknown>({
  get: (s) => s.store.get('a:1'),
  list: (s) => s.store.list(),
}))
  test(`a removal that died between renaming a layer away and its commit is undone by ${what}`, (t) => {
    using s = testStore();
    put(s, ['a:1']);
    mkdirSync(s.paths.tmp, { recursive: true });
    for (const death of [1, 2]) {
      renameSync(layerFolder(s.paths, digestOf('one')), join(s.paths.tmp, `removed-${digestOf('one').slice(7)}`));
      look(s);
      t.deepEqual([s.names('layers').length, s.fsck(), s.names('tmp')], [1, [], []], `death ${death}`);
    }
  });

test('an image is never recorded over a layer that is not there', (t) => {
  using s = testStore();
  t.throws(
    () =>
      s.store.records.add({
        config: Buffer.from('{}'),
        manifest: Buffer.from('{}'),
        layers: [{ diffId: D }],
        names: [],
      }),
    { message: /is not in the store/ },
  );
  t.deepEqual(s.store.list(), []);
});

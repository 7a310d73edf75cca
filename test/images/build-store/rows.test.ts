/** The build cache: its rows hold their layers, and a row without its layer is a miss. */
import { existsSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import test from 'ava';
import { TAR_END, tarHeader } from '../../../src/tar/write.ts';
import { testStore, type TestStore } from '../store.ts';

const tarOf = (name: string): Buffer => Buffer.concat([tarHeader({ type: 'file', path: name }), TAR_END]);

/** A layer in the store, with a row of this key where one is given. */
async function layerOf({ store }: TestStore, name: string, key?: string, made = 1000) {
  using building = await store.building();
  const layer = await building.ingest(Readable.from([tarOf(name)]));
  if (key !== undefined) building.keep({ key, diffId: layer.diffId, size: layer.size, step: `[1/1] ${name}`, made });
  return layer;
}

test('a row gives its layer back, and counts how often', async (t) => {
  using own = testStore();
  const layer = await layerOf(own, 'a', 'k');
  using building = await own.store.building();
  t.deepEqual(building.find('k'), { ...layer, made: 1000 });
  t.is(building.find('other'), undefined);
  t.deepEqual(
    (await own.store.buildCache()).map(({ key, uses, shared, step }) => ({ key, uses, shared, step })),
    [{ key: 'k', uses: 1, shared: false, step: '[1/1] a' }],
  );
});

test('a row whose layer is gone is a miss', async (t) => {
  using own = testStore();
  const layer = await layerOf(own, 'a', 'k');
  rmSync(layer.tar);
  using building = await own.store.building();
  t.is(building.find('k'), undefined);
});

test('a row holds its layer against image prune; a layer without a row goes', async (t) => {
  using own = testStore();
  const held = await layerOf(own, 'held', 'k');
  const loose = await layerOf(own, 'loose');
  own.store.prune({ all: true, inUse: () => false });
  await own.store.swept;
  t.true(existsSync(held.tar));
  t.false(existsSync(loose.tar));
  t.deepEqual(own.fsck(), []);
});

test('a row holds its layer against rmi; without the row it goes with the image', async (t) => {
  using own = testStore();
  const layer = await layerOf(own, 'a', 'k');
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer.diffId] } }),
  );
  const add = async (): Promise<string> => {
    using building = await own.store.building();
    return building.addImage(config, [layer], { names: ['x'] }).id;
  };
  await add();
  own.store.remove('x', { inUse: () => [] });
  await own.store.swept;
  t.true(existsSync(layer.tar));
  await add();
  t.deepEqual(
    (await own.store.buildCache()).map(({ shared }) => shared),
    [true],
  );
  await own.store.pruneBuildCache({});
  t.true(existsSync(layer.tar), 'the image has it');
  own.store.remove('x', { inUse: () => [] });
  await own.store.swept;
  t.false(existsSync(layer.tar));
});

test('while a build is open no prune takes its layers', async (t) => {
  using own = testStore();
  using building = await own.store.building();
  const layer = await building.ingest(Readable.from([tarOf('new')]));
  own.store.prune({ all: true, inUse: () => false });
  await own.store.swept;
  t.true(existsSync(layer.tar));
});

test('pruning keeps what was used last, up to a size', async (t) => {
  using own = testStore();
  const old = await layerOf(own, 'old', 'old', 1000);
  const recent = await layerOf(own, 'recent', 'recent', 2000);
  const gone = await own.store.pruneBuildCache({ limits: { reserved: recent.size } });
  t.deepEqual(
    gone.map(({ key }) => key),
    ['old'],
  );
  t.false(existsSync(old.tar));
  t.true(existsSync(recent.tar));
  t.deepEqual(await own.store.pruneBuildCache({ usedBefore: 2000 }), []);
  t.is((await own.store.pruneBuildCache({ usedBefore: 2001 })).length, 1);
});

test('a layer of two rows is kept for the one that stays', async (t) => {
  using own = testStore();
  const layer = await layerOf(own, 'a', 'one', 1000);
  await layerOf(own, 'a', 'two', 2000);
  await own.store.pruneBuildCache({ usedBefore: 1500 });
  t.true(existsSync(layer.tar));
});

test('what is used last stays, and what an image has too takes nothing', async (t) => {
  const names = ['first', 'second', 'third', 'fourth'];
  using own = testStore({ config: { builder: { gc: { defaultMaxUsedSpace: '3500' } } } });
  const layers = [];
  for (const [index, name] of names.entries()) layers.push(await layerOf(own, name, name, 1000 * (index + 1)));
  const [shared] = layers;
  const diffIds = [shared!.diffId];
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } };
  {
    using building = await own.store.building();
    building.addImage(Buffer.from(JSON.stringify(config)), [shared!], { names: ['x'] });
    // The first of those that are left is used again.
    t.truthy(building.find('second'));
    t.deepEqual((await own.store.collectBuildCache()).rows, [], 'nothing goes while a build is open');
  }
  t.is(layers[0]!.size, 1536);
  const { rows: gone } = await own.store.collectBuildCache();
  t.deepEqual(
    gone.map(({ key }) => key),
    ['third'],
  );
  t.deepEqual(
    layers.map(({ tar }) => existsSync(tar)),
    [true, true, false, true],
  );
  t.deepEqual(await own.store.collectBuildCache(), { rows: [], mountsUsedBefore: undefined });
  t.deepEqual(own.fsck(), []);
});

test('a later row of a layer that was fetched counts from when it came', async (t) => {
  using own = testStore();
  const { diffId, size } = await layerOf(own, 'fetched');
  using building = await own.store.building();
  building.keep({ key: 'k', diffId, size, step: 's', made: 5, used: 7000 });
  t.like((await own.store.buildCache())[0], { made: 5, lastUsed: 7000 });
});

test('a rule about age alone is about caches of mounts too', async (t) => {
  using own = testStore({ config: { builder: { gc: { policy: [{ keepDuration: '1h' }, { maxUsedSpace: '1GB' }] } } } });
  await layerOf(own, 'old', 'old', 1000);
  await layerOf(own, 'new', 'new', Date.now());
  const { rows, mountsUsedBefore = 0 } = await own.store.collectBuildCache();
  t.deepEqual(
    rows.map(({ key }) => key),
    ['old'],
  );
  const age = Date.now() - mountsUsedBefore;
  t.true(age >= 3_600_000 && age < 3_700_000, String(age));
});

/** A database that is rebuilt has the networks it had, under their ids, and who is to be on them. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import test from 'ava';
import { databaseProblem, rebuildDatabase } from '../../../src/engine/check/database.ts';
import { NetworkRecords } from '../../../src/network/records/records.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { TAR_END, tarHeader } from '../../../src/tar/write.ts';
import { testStore } from '../../images/store.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

test('networks and endpoints outlive a rebuild', async (t) => {
  const { engine, paths } = await openTestEngine(t);
  const networks = await engine.networks();
  const { id: mine } = networks.create({ name: 'mine' });
  const bridge = networks.get('bridge').id;
  const own = (await engine.create(createOptions({ network: 'mine' }))).id;
  await engine.connect('bridge', own).catch(() => {});
  const plain = (await engine.create(createOptions({ network: 'default' }))).id;
  mkdirSync(paths.tmp, { recursive: true });
  t.regex(rebuildDatabase(paths), /rebuilt with 2 containers/);
  const database = openDatabase(paths.database);
  t.teardown(() => database.close());
  const records = new NetworkRecords(database);
  t.is(records.get('mine').id, mine);
  t.is(records.get('bridge').id, bridge);
  t.is(records.all().length, 4);
  t.deepEqual(
    records.wantedBy(own).map(({ networkId }) => networkId),
    [bridge, mine],
  );
  t.is(records.wantedBy(plain)[0]!.networkId, bridge);
});

test('without the database, what a container was made with counts', async (t) => {
  const { engine, paths } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ network: 'none' }));
  mkdirSync(paths.tmp, { recursive: true });
  for (const suffix of ['', '-wal', '-shm']) rmSync(paths.database + suffix, { force: true });
  t.regex(rebuildDatabase(paths), /rebuilt with 1 containers/);
  const database = openDatabase(paths.database);
  t.teardown(() => database.close());
  t.deepEqual(
    new NetworkRecords(database).wantedBy(id).map(({ network }) => network),
    ['none'],
  );
});

/** A data root with one layer of one step, which no image has. */
async function withCache() {
  const own = testStore();
  using building = await own.store.building();
  const layer = await building.ingest(
    Readable.from([Buffer.concat([tarHeader({ type: 'file', path: 'a' }), TAR_END])]),
  );
  for (const key of ['0'.repeat(64), 'no-key'])
    building.keep({ key, diffId: layer.diffId, size: layer.size, step: 'RUN x', made: 5 });
  return { own, layer };
}

test('rows of the build cache outlive a rebuild, those that can be one', async (t) => {
  const { own, layer } = await withCache();
  using _own = own;
  rebuildDatabase(own.paths);
  using again = testStore({ dataRoot: own.paths.dataRoot });
  using building = await again.store.building();
  t.deepEqual(building.find('0'.repeat(64)), { ...layer, made: 5 });
  t.is((await again.store.buildCache()).length, 1);
});

test('what names stand for outlives a rebuild, but for rows that no husk has written', async (t) => {
  const { own, layer } = await withCache();
  using _own = own;
  const image = (architecture: string, names: string[]) => {
    const config = { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: [layer.diffId] } };
    return building.addImage(Buffer.from(JSON.stringify(config)), [layer], { names }).id;
  };
  using building = await own.store.building();
  const arm = { id: image('arm64', []), platform: { os: 'linux', architecture: 'arm64' } };
  const amd = { id: image('amd64', ['app:1']), platform: { os: 'linux', architecture: 'amd64' } };
  building.setIndex(['app:1'], [arm, amd]);
  const name = 'docker.io/library/app:1';
  const insert = own.store.records.database.prepare('INSERT INTO image_indexes VALUES (?, ?, ?, ?)');
  insert.run(name, 2, arm.id, 'a/b/c/d');
  insert.run(name, 3, 'no-digest', 'linux/s390x');
  rebuildDatabase(own.paths);
  using again = testStore({ dataRoot: own.paths.dataRoot });
  t.deepEqual(again.store.records.indexOf(name), [arm, amd]);
  t.deepEqual(again.store.get(arm.id).indexedBy, ['app:1']);
});

test('where the build cache is lost builds go on, and the next prune frees its layers', async (t) => {
  const { own, layer } = await withCache();
  using _own = own;
  own.store.records.database.exec('DROP TABLE build_cache');
  t.regex(databaseProblem(own.paths)!, /no such table: build_cache/);
  rebuildDatabase(own.paths);
  t.is(databaseProblem(own.paths), undefined);
  using again = testStore({ dataRoot: own.paths.dataRoot });
  {
    using building = await again.store.building();
    t.is(building.find('0'.repeat(64)), undefined);
    building.keep({ key: '1'.repeat(64), diffId: layer.diffId, size: layer.size, step: 'RUN x', made: 6 });
    t.truthy(building.find('1'.repeat(64)));
  }
  await again.store.pruneBuildCache({});
  await again.store.swept;
  t.false(existsSync(layer.tar));
  const { own: other, layer: lost } = await withCache();
  using _other = other;
  other.store.records.database.exec('DELETE FROM build_cache');
  t.is(other.store.prune({ all: false, inUse: () => false }).reclaimed, lost.size);
  await other.store.swept;
  t.false(existsSync(lost.tar));
});

import test from 'ava';
import { loadRuntime, saveRuntime } from '../../../src/network/records/runtime.ts';
import { currentBootId, identifySelf } from '../../../src/state/process-identity.ts';
import { network, openRecords } from './fixture.ts';

test('every data root has three', (t) => {
  const { records } = openRecords();
  t.deepEqual(
    records.all().map(({ name, driver, ipam }) => [name, driver, ipam]),
    [
      ['bridge', 'bridge', []],
      ['host', 'host', []],
      ['none', 'null', []],
    ],
  );
});

test('found by id, name and prefix, in that order', (t) => {
  const { records } = openRecords();
  const [one, two] = [network('one'), network('ones')];
  records.insert(one);
  records.insert(two);
  t.deepEqual(records.get('one'), one);
  t.is(records.get(one.id).name, 'one');
  t.is(records.get(two.id.slice(0, 8)).name, 'ones');
  t.throws(() => records.get(one.id.slice(0, 6)), {
    message: `network ${one.id.slice(0, 6)} is ambiguous (2 matches found based on ID prefix)`,
  });
  // a name that reads as a prefix
  const face = network('6f');
  records.insert(face);
  t.is(records.get('6f').id, face.id);
  t.throws(() => records.get('nope'), { message: 'network nope not found' });
  t.throws(() => records.insert(network('one', { id: 'x' })), { message: 'network with name one already exists' });
});

test('who wants to be on it', (t) => {
  const { database, records } = openRecords();
  const one = network('one');
  records.insert(one);
  const endpoint = { networkId: one.id, network: 'one', containerId: 'c', wanted: { aliases: ['web'] } };
  t.true(records.want(endpoint));
  t.false(records.want(endpoint));
  t.deepEqual(records.wantedBy('c'), [endpoint]);
  t.deepEqual(records.wantedOn(one.id), [endpoint]);
  // what a container was made with is its own: also when the network has gone
  records.delete(one.id);
  t.deepEqual(records.wantedBy('c'), [endpoint]);
  t.true(records.unwant(one.id, 'c'));
  t.false(records.unwant(one.id, 'c'));
  database.exec("UPDATE networks SET record = '{}' WHERE name = 'host'");
  t.throws(() => records.get('host'), { message: /^the record of network host is damaged/ });
});

test('what goes with a container', (t) => {
  const { database, records } = openRecords();
  const one = network('one');
  records.insert(one);
  database.exec(
    `INSERT INTO containers (id, name, image_id, created_at, config, state) VALUES ('c', 'c', 'i', 0, '{}', '{}')`,
  );
  records.want({ networkId: one.id, network: 'one', containerId: 'c', wanted: {} });
  database.exec("DELETE FROM containers WHERE id = 'c'");
  t.deepEqual(records.wantedBy('c'), []);
});

test('the kernel’s side of it, of this boot alone', (t) => {
  const { database, records } = openRecords();
  const one = network('one');
  records.insert(one);
  t.is(loadRuntime(database, one.id), undefined);
  const runtime = {
    bootId: currentBootId(),
    inode: 4026532000,
    cookie: '18446744073709551615',
    keeper: identifySelf(),
    version: 1,
  };
  saveRuntime(database, one.id, runtime);
  saveRuntime(database, one.id, { ...runtime, version: 2 });
  t.deepEqual(loadRuntime(database, one.id), { ...runtime, version: 2 });
  saveRuntime(database, one.id, { ...runtime, bootId: 'another' });
  t.is(loadRuntime(database, one.id), undefined);
});

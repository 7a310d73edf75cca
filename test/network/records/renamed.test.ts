/** By which names a running container is found once it has another name of its own. */
import test from 'ava';
import { lease } from '../../../src/network/records/leases.ts';
import { memberNames } from '../../../src/network/records/member-names.ts';
import { renameMember } from '../../../src/network/records/renamed.ts';
import { ContainerStore, NEVER } from '../../../src/state/containers.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { network, openRecords } from './fixture.ts';

const ID = 'c'.repeat(64);
const SHORT = 'c'.repeat(12);
const CASES: [how: string, known: { hostname: string; aliases: string[] }, found: string[], back: string[]][] = [
  ['by the new one alone', { hostname: 'host', aliases: ['a'] }, ['New', 'a', 'host'], ['old', 'a', 'host']],
  ['by its hostname, which its name was', { hostname: 'old', aliases: ['a'] }, ['New', 'a', 'old'], ['old', 'a']],
  ['by an alias, which its name was', { hostname: 'h', aliases: ['old'] }, ['New', 'old', 'h'], ['old', 'h']],
  ['by what was its hostname before', { hostname: 'New', aliases: [] }, ['New'], ['old', 'New']],
];
for (const [how, { hostname, aliases }, found, back] of CASES)
  test(`a renamed container is found ${how}`, (t) => {
    const { database, records } = openRecords();
    const store = new ContainerStore(database);
    const made = network('net');
    records.insert(made);
    records.want({ networkId: made.id, network: 'net', containerId: ID, wanted: { aliases } });
    const names = memberNames({ id: ID, name: 'old', hostname }, { aliases });
    const endpoint = lease(database, {
      network: made,
      containerId: ID,
      interface: 'eth0',
      wanted: {},
      names,
      claim: identifySelf(),
    });
    const onBridge = { ...endpoint, networkId: 'b', network: 'bridge', names: [] };
    store.insert({
      id: ID,
      name: 'old',
      imageId: 'i',
      createdAt: 0,
      config: {},
      state: {
        status: 'running',
        pid: 1,
        exitCode: 0,
        error: '',
        oomKilled: false,
        startedAt: NEVER,
        finishedAt: NEVER,
        restartCount: 0,
        stoppedByUser: false,
        endpoints: [endpoint, onBridge],
      },
    });
    for (const [name, expected] of [
      ['New', found],
      ['old', back],
    ] as const) {
      renameMember(database, { id: ID, name, hostname });
      const rows = database
        .prepare('SELECT name, rank FROM network_names WHERE container_id = ? ORDER BY rank')
        .all(ID);
      const known = rows.map((row) => String(row['name'])).filter((each) => each !== SHORT);
      t.deepEqual(
        known,
        expected.map((each) => each.toLowerCase()),
      );
      const [shown, none] = store.get(ID)!.state.endpoints!;
      t.deepEqual(
        shown!.names.filter((each) => each !== SHORT),
        expected,
      );
      t.deepEqual(none, onBridge);
    }
  });

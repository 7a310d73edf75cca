/** Who gets which address: within one process, between several at once, and from the dead. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import type { EndpointRequest } from '../../../src/network/records/contract.ts';
import { lease, leaseholders, release } from '../../../src/network/records/leases.ts';
import { namesIn } from '../../../src/network/records/names.ts';
import { identifySelf, type ProcessIdentity } from '../../../src/state/process-identity.ts';
import { network, openRecords } from './fixture.ts';

const ALIVE = identifySelf();
const DEAD: ProcessIdentity = { ...ALIVE, startTime: '1' };
const BEFORE_REBOOT: ProcessIdentity = { ...ALIVE, bootId: 'another' };

function setUp(...args: Parameters<typeof network>) {
  const { file, database, records } = openRecords();
  const made = network(...args);
  records.insert(made);
  const take = (
    containerId: string,
    wanted: EndpointRequest = {},
    more: { claim?: ProcessIdentity; names?: string[] } = {},
  ) =>
    lease(database, {
      network: made,
      containerId,
      interface: 'eth0',
      wanted,
      names: more.names ?? [containerId],
      claim: more.claim ?? ALIVE,
    });
  return { file, database, records, made, take };
}

test('the lowest free address, its hardware address, and what is given back', (t) => {
  const { database, made, take } = setUp('net');
  const one = take('one');
  t.like(one, {
    networkId: made.id,
    network: 'net',
    interface: 'eth0',
    mac: '02:42:0a:00:00:02',
    ipv4: { address: '10.0.0.2', prefix: 16, gateway: '10.0.0.1' },
    ipv6: undefined,
    names: ['one'],
  });
  t.regex(one.endpointId, /^[0-9a-f]{64}$/);
  t.is(take('two').ipv4!.address, '10.0.0.3');
  t.deepEqual(
    leaseholders(database, made.id).map(({ containerId }) => containerId),
    ['one', 'two'],
  );
  release(database, 'one');
  t.is(take('three').ipv4!.address, '10.0.0.2');
  // a new start is a new lease, and never a second one
  t.is(take('three').ipv4!.address, '10.0.0.2');
  t.is(leaseholders(database, made.id).length, 2);
});

test('both families; an internal network has no way out', (t) => {
  const ipam = [
    { subnet: '10.0.0.0/16', gateway: '10.0.0.1', auxiliary: {} },
    { subnet: 'fd00:1::/64', gateway: 'fd00:1::1', auxiliary: {} },
  ];
  const { take } = setUp('both', { ipv6: true, ipam, internal: true });
  t.deepEqual(take('one').ipv6, { address: 'fd00:1::2', prefix: 64 });
  t.deepEqual(take('two', { ipv6: 'fd00:1::0005' }).ipv4, { address: '10.0.0.3', prefix: 16 });
  t.throws(() => take('three', { ipv6: 'FD00:1::5' }), { message: 'Address already in use' });
  const alone = setUp('six', { ipv4: false, ipv6: true, ipam: ipam.slice(1) });
  t.like(alone.take('one'), { ipv4: undefined, ipv6: { address: 'fd00:1::2' }, mac: '02:42:00:00:00:02' });
});

test('an address that is asked for', (t) => {
  const { take } = setUp('net');
  t.is(take('one', { ipv4: '10.0.7.7', mac: '02:00:00:00:00:01' }).mac, '02:00:00:00:00:01');
  for (const address of ['10.0.7.7', '10.0.0.1', '10.0.0.0', '10.0.255.255'])
    t.throws(() => take('two', { ipv4: address }), { message: 'Address already in use' });
  t.throws(() => take('two', { ipv4: '10.1.0.2' }), { message: 'no configured subnet contains IP address 10.1.0.2' });
  t.throws(() => take('two', { mac: '02:00:00:00:00:01' }), {
    message: 'MAC address 02:00:00:00:00:01 already in use',
  });
  // the failures took nothing
  t.is(take('two').ipv4!.address, '10.0.0.2');
  // whose own would be another's asked one
  take('three', { ipv4: '10.0.9.9', mac: '02:42:0a:00:00:03' });
  t.not(take('four').mac, '02:42:0a:00:00:03');
});

test('the dead have nothing', (t) => {
  const { database, made, take } = setUp('small', {
    ipam: [{ subnet: '10.0.0.0/29', gateway: '10.0.0.1', range: '10.0.0.4/31', auxiliary: {} }],
  });
  t.is(take('one', {}, { claim: DEAD }).ipv4!.address, '10.0.0.4');
  t.deepEqual(leaseholders(database, made.id), []);
  t.is(take('two', { ipv4: '10.0.0.4' }).ipv4!.address, '10.0.0.4');
  t.is(take('three', {}, { claim: DEAD }).ipv4!.address, '10.0.0.5');
  t.is(take('four').ipv4!.address, '10.0.0.5');
  t.throws(() => take('five'), { message: "no available IPv4 addresses on this network's address pools" });
  t.is(namesIn(database).lookup('three', 'four'), undefined);
});

test('a reboot gives everything back', (t) => {
  const { database, take } = setUp('net');
  for (const name of ['one', 'two', 'three']) take(name, {}, { claim: BEFORE_REBOOT });
  t.is(take('four').ipv4!.address, '10.0.0.2');
  t.is(database.prepare('SELECT count(*) AS n FROM leases').get()!['n'], 1);
  t.is(database.prepare('SELECT count(*) AS n FROM network_names').get()!['n'], 1);
});

test('a network that has been removed meanwhile', (t) => {
  const { records, made, take } = setUp('net');
  records.delete(made.id);
  t.throws(() => take('one'), { message: `network ${made.id} not found` });
});

test('names: of one’s own networks, in any case, with the network’s name too; round robin has all', (t) => {
  const { database, records, made, take } = setUp('net');
  const other = network('other', { ipam: [{ subnet: '10.9.0.0/16', gateway: '10.9.0.1', auxiliary: {} }] });
  records.insert(other);
  take('one', {}, { names: ['Web', 'app', 'c0ffee'] });
  take('two', {}, { names: ['db', 'app'] });
  lease(database, {
    network: other,
    containerId: 'three',
    interface: 'eth0',
    wanted: {},
    names: ['web'],
    claim: ALIVE,
  });
  const { lookup, reverse } = namesIn(database);
  const found = (name: string, asker: string) => lookup(name, asker)?.ipv4;
  t.deepEqual(found('web', 'two'), ['10.0.0.2']);
  t.deepEqual(found('web.net', 'two'), ['10.0.0.2']);
  t.is(found('web.other', 'two'), undefined);
  t.deepEqual(found('app', 'two'), ['10.0.0.2', '10.0.0.3']);
  t.deepEqual(found('web', 'three'), ['10.9.0.2']);
  t.is(found('db', 'three'), undefined);
  t.is(found('web', 'nobody'), undefined);
  t.is(reverse('10.0.0.2', 'two'), 'web.net');
  t.is(reverse('10.0.0.2', 'three'), undefined);
  t.is(reverse('x', 'two'), undefined);
  records.want({ networkId: made.id, network: 'net', containerId: 'two', wanted: { links: ['Web:backend'] } });
  t.deepEqual(found('backend', 'two'), ['10.0.0.2']);
  t.is(found('backend', 'one'), undefined);
});

test('several processes at once never get one address', async (t) => {
  const { file, made, database, take } = setUp('net');
  const EACH = 25;
  const workers = Array.from({ length: 4 }, (_, index) =>
    spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        join(import.meta.dirname, 'lease-worker.ts'),
        file,
        'net',
        String(index * EACH),
        String(EACH),
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    ),
  );
  t.teardown(() => workers.forEach((worker) => worker.kill()));
  const all = (await Promise.all(workers.map(firstLine))).flatMap((line) => JSON.parse(line) as string[]);
  t.deepEqual(
    all.toSorted((a, b) => Number(a.split('.')[3]) - Number(b.split('.')[3])),
    Array.from({ length: workers.length * EACH }, (_, index) => `10.0.0.${index + 2}`),
  );
  t.is(leaseholders(database, made.id).length, workers.length * EACH);
  // one of them is killed: what it had is void, the others' is not
  const [victim] = workers;
  victim!.kill('SIGKILL');
  await once(victim!, 'exit');
  t.is(leaseholders(database, made.id).length, (workers.length - 1) * EACH);
  const held = database
    .prepare("SELECT address FROM leases WHERE json_extract(claim, '$.pid') = ?")
    .get(victim!.pid!) as { address: string };
  t.is(take('late', { ipv4: held.address }).ipv4!.address, held.address);
  for (const worker of workers.slice(1)) worker.stdin!.end();
});

async function firstLine(worker: ChildProcess): Promise<string> {
  for await (const line of createInterface(worker.stdout!)) return line;
  throw new Error('it said nothing');
}

/** Networks as records: made, found, listed, shown, removed, pruned; in one process and between two. */
import test from 'ava';
import type { CreateNetwork, Network } from '../../../src/network/records/contract.ts';
import { openNetworks, type NetworksOptions, type RunningContainer } from '../../../src/network/records/networks.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { parseCidr } from '../../../src/notation/ip.ts';
import { eventsAfter } from '../../../src/state/events.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { openRecords } from './fixture.ts';

function setUp(config: NetworksOptions['config'] = {}, routes: string[] = []) {
  const { database, records } = openRecords();
  const running: RunningContainer[] = [];
  const networks = openNetworks({
    database,
    config,
    running: () => running,
    routes: () => routes.map((text) => parseCidr(text)!.subnet),
  });
  return { database, records, running, networks };
}

const subnets = ({ ipam }: Network) => ipam.map(({ subnet, gateway }) => `${subnet} ${gateway}`).join(', ');

test('subnets: Docker’s pools, beside the host’s routes and the other networks', (t) => {
  const { networks } = setUp({}, ['172.18.0.0/16', '172.19.5.0/24']);
  t.is(subnets(networks.create({ name: 'one' })), '172.20.0.0/16 172.20.0.1');
  t.is(subnets(networks.create({ name: 'two' })), '172.21.0.0/16 172.21.0.1');
  // which was not used before, and has the first of them all the same
  t.is(subnets(networks.get('bridge')), '172.17.0.0/16 172.17.0.1');
  networks.remove('one');
  t.is(subnets(networks.create({ name: 'three' })), '172.20.0.0/16 172.20.0.1');
  // asked for: also what a route of the host has
  t.is(
    subnets(networks.create({ name: 'four', ipam: [{ subnet: '172.18.0.0/24', gateway: '172.18.0.7' }] })),
    '172.18.0.0/24 172.18.0.7',
  );
});

test('the bridge is where the config says, unless somebody is on it', (t) => {
  const { database, networks: plain } = setUp();
  t.is(subnets(plain.get('bridge')), '172.17.0.0/16 172.17.0.1');
  const at = (bip: string) =>
    openNetworks({ database, config: { bip, mtu: 1400, ip: '127.0.0.1' }, running: () => [], routes: () => [] });
  const bridge = at('10.5.0.9/24').get('bridge');
  t.is(subnets(bridge), '10.5.0.0/24 10.5.0.9');
  t.is(bridge.options['com.docker.network.driver.mtu'], '1400');
  t.is(bridge.options['com.docker.network.bridge.host_binding_ipv4'], '127.0.0.1');
  lease(database, {
    network: bridge,
    containerId: 'c',
    interface: 'eth0',
    wanted: {},
    names: [],
    claim: identifySelf(),
  });
  t.is(subnets(at('10.6.0.1/24').get('bridge')), '10.5.0.0/24 10.5.0.9');
  for (const bip of ['10.5.0.0/24', '10.5.0.1', 'fd00::1/64', 'x'])
    t.throws(() => at(bip).get('bridge'), { message: /^bip ".*" of the config is no address with its subnet$/ });
});

test('IPv6: one of its own, or the one that is asked for', (t) => {
  const { networks } = setUp();
  t.regex(
    subnets(networks.create({ name: 'six', ipv6: true })),
    /^172\.18\.0\.0\/16 172\.18\.0\.1, fd[0-9a-f]{2}:[0-9a-f:]+::\/64 fd[0-9a-f:]+::1$/,
  );
  t.is(
    subnets(networks.create({ name: 'only', ipv4: false, ipv6: true, ipam: [{ subnet: 'fd00:5::/64' }] })),
    'fd00:5::/64 fd00:5::1',
  );
});

for (const [title, request, message] of [
  ['a name that is taken', { name: 'one' }, 'network with name one already exists'],
  ['a predefined one', { name: 'bridge' }, 'operation is not permitted on predefined bridge network '],
  ['default', { name: 'default' }, 'operation is not permitted on predefined default network '],
  ['no name', { name: '' }, 'network name cannot be empty'],
  ['a name', { name: 'container:x' }, /^invalid network name "container:x"/],
  ['a driver', { name: 'x', driver: 'host' }, 'only one instance of "host" network is allowed'],
  [
    'another driver',
    { name: 'x', driver: 'macvlan' },
    /^cannot make a network of driver macvlan: only the host's root/,
  ],
  ['an unknown driver', { name: 'x', driver: 'toString' }, /plugin "toString" not found$/],
  ['no family', { name: 'x', ipv4: false }, 'IPv4 or IPv6 must be enabled'],
  ['an option', { name: 'x', options: { parent: 'eth0' } }, /^unknown option "parent"/],
  [
    'an overlap',
    { name: 'x', ipam: [{ subnet: '10.1.5.0/24' }] },
    /Pool overlaps with other one on this address space: 10\.1\.5\.0\/24 with 10\.1\.0\.0\/16 of network one$/,
  ],
] as [string, CreateNetwork, string | RegExp][])
  test(`refused: ${title}`, (t) => {
    const { networks } = setUp();
    networks.create({ name: 'one', ipam: [{ subnet: '10.1.0.0/16' }] });
    t.throws(() => networks.create(request), { message });
    t.is(networks.list({ type: ['custom'] }).length, 1);
  });

test('filters of the list', (t) => {
  const { networks, running, records } = setUp();
  networks.create({ name: 'one', labels: { a: 'b' } });
  const two = networks.create({ name: 'two' });
  running.push({ id: 'c', name: 'web', endpoints: [] });
  records.want({ networkId: two.id, network: 'two', containerId: 'c', wanted: {} });
  const names = (filters: Record<string, string[]>) =>
    networks
      .list(filters)
      .map(({ name }) => name)
      .join();
  t.is(names({}), 'bridge,host,none,one,two');
  t.is(names({ type: ['custom'] }), 'one,two');
  t.is(names({ type: ['builtin'], driver: ['null', 'host'] }), 'host,none');
  t.is(names({ label: ['a=b'] }), 'one');
  t.is(names({ label: ['constructor'] }), '');
  t.is(names({ name: ['^o', 'two'] }), 'one,two');
  t.is(names({ id: [two.id.slice(0, 12)] }), 'two');
  t.is(names({ scope: ['swarm'] }), '');
  t.is(names({ dangling: ['true'] }), 'one');
  t.is(names({ dangling: ['0'], type: ['custom'] }), 'two');
  for (const [filters, message] of [
    [{ colour: ['red'] }, "invalid filter 'colour'"],
    [{ type: ['x'] }, "invalid filter: 'type'='x'"],
    [{ dangling: ['x'] }, "invalid filter 'dangling=x'"],
  ] as [Record<string, string[]>, string][])
    t.throws(() => networks.list(filters), { message });
});

test('removed, unless somebody runs or starts on it', (t) => {
  const { networks, running, records, database } = setUp();
  const one = networks.create({ name: 'one' });
  records.want({ networkId: one.id, network: 'one', containerId: 'c'.repeat(64), wanted: {} });
  running.push({ id: 'c'.repeat(64), name: 'web', endpoints: [] });
  t.throws(() => networks.remove('one'), {
    message: 'error while removing network: network one has active endpoints (name:"web" id:"cccccccccccc")',
  });
  running.length = 0;
  const { endpointId } = lease(database, {
    network: one,
    containerId: 'd'.repeat(64),
    interface: 'eth0',
    wanted: {},
    names: [],
    claim: identifySelf(),
  });
  t.throws(() => networks.remove(one.id.slice(0, 5)), {
    message: `error while removing network: network one has active endpoints (name:"dddddddddddd" id:"${endpointId.slice(0, 12)}")`,
  });
  t.deepEqual(networks.prune(), []);
  database.exec('DELETE FROM leases');
  networks.remove('one');
  t.is(networks.find('one'), undefined);
  t.throws(() => networks.remove('one'), { message: 'network one not found' });
  for (const name of ['bridge', 'host', 'none'])
    t.throws(() => networks.remove(name), { message: `${name} is a pre-defined network and cannot be removed` });
});

test('pruned: by labels and age, never those that every data root has', (t) => {
  const { networks, records } = setUp();
  const old = networks.create({ name: 'old', labels: { keep: 'no' } });
  networks.create({ name: 'kept', labels: { keep: 'yes' } });
  records.delete(old.id);
  records.insert({ ...old, createdAt: 1000 });
  t.deepEqual(networks.prune({ until: ['1970-01-01T00:00:00Z'] }), []);
  t.deepEqual(networks.prune({ until: ['1h'] }), ['old']);
  t.deepEqual(networks.prune({ 'label!': ['keep=yes'] }), []);
  t.throws(() => networks.prune({ name: ['x'] }), { message: "invalid filter 'name'" });
  t.deepEqual(networks.prune({ label: ['keep'] }), ['kept']);
  t.is(networks.list().length, 3);
});

test('Docker’s JSON, with who runs on it', (t) => {
  const { networks, running } = setUp();
  const one = networks.create({
    name: 'one',
    labels: { a: 'b' },
    internal: true,
    ipam: [{ subnet: '10.1.0.0/16', range: '10.1.2.0/24', auxiliary: { printer: '10.1.2.1' } }],
  });
  running.push({
    id: 'c',
    name: 'web',
    endpoints: [
      {
        networkId: one.id,
        network: 'one',
        endpointId: 'e',
        interface: 'eth0',
        mac: '02:42:0a:01:02:02',
        ipv4: { address: '10.1.2.2', prefix: 16 },
        names: ['web'],
      },
    ],
  });
  const { Created, Id, ...rest } = networks.inspect('one') as Record<string, unknown>;
  t.regex(Created as string, /^\d{4}-.*Z$/);
  t.is(Id, one.id);
  t.deepEqual(rest, {
    Name: 'one',
    Scope: 'local',
    Driver: 'bridge',
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: {
      Driver: 'default',
      Options: {},
      Config: [
        {
          Subnet: '10.1.0.0/16',
          IPRange: '10.1.2.0/24',
          Gateway: '10.1.2.0',
          AuxiliaryAddresses: { printer: '10.1.2.1' },
        },
      ],
    },
    Internal: true,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: {
      c: {
        Name: 'web',
        EndpointID: 'e',
        MacAddress: '02:42:0a:01:02:02',
        IPv4Address: '10.1.2.2/16',
        IPv6Address: '',
      },
    },
    Options: {},
    Labels: { a: 'b' },
  });
  t.like(networks.inspect('bridge'), {
    IPAM: { Options: null },
    Options: { 'com.docker.network.bridge.default_bridge': 'true' },
  });
  t.like(networks.inspect('none'), { Driver: 'null', IPAM: { Options: null, Config: null } });
});

test('what happened is told', (t) => {
  const { networks, database } = setUp();
  const { id } = networks.create({ name: 'one' });
  networks.remove('one');
  networks.prune();
  t.deepEqual(
    eventsAfter(database, 0, 10).events.map(({ Type, Action, Actor }) => [Type, Action, Actor]),
    [
      ['network', 'create', { ID: id, Attributes: { name: 'one', type: 'bridge' } }],
      ['network', 'destroy', { ID: id, Attributes: { name: 'one', type: 'bridge' } }],
      ['network', 'prune', { ID: '', Attributes: { reclaimed: '0' } }],
    ],
  );
});

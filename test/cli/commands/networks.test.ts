/** The network commands over a real engine with the fake sandbox: what they print, and what is written. */
import test, { type ExecutionContext } from 'ava';
import { RefusalLog, REASONS, spoofedBy } from '../../../src/network/egress/refusals.ts';
import { openTestEngine } from '../../engine/fixture.ts';
import { fakeStdin, husk } from '../fake-context.ts';

const HEX = /^[0-9a-f]{64}\n$/;
/** said once a boot where this host gives no way out: /dev/net/tun is often root's alone */
const NO_WAY_OUT =
  /^WARNING: cannot connect the container to the network: .*: it reaches other containers, and nothing beyond.*\n/;

async function setUp(t: ExecutionContext) {
  const { engine, paths, dataRoot } = await openTestEngine(t);
  const run = (line: string, more: Parameters<typeof husk>[1] = {}) =>
    husk(line.replace(/^create/, 'create --isolation userns').split(' '), {
      engine,
      env: { HUSK_CONFIG: `${dataRoot}/absent.json` },
      ...more,
    });
  /** what it printed, of a command that must succeed */
  const says = async (line: string): Promise<string> => {
    const { code, stdout, stderr } = await run(line);
    t.deepEqual([code, stderr.replace(NO_WAY_OUT, '')], [0, ''], line);
    return stdout;
  };
  const refused = async (line: string): Promise<string> => {
    const { code, stdout, stderr } = await run(line);
    t.deepEqual([code === 0, stdout], [false, ''], line);
    return stderr.replace(NO_WAY_OUT, '').split('\n')[0]!;
  };
  return { engine, paths, run, says, refused };
}

test('made, listed in natural order, shown, removed', async (t) => {
  const { says, run } = await setUp(t);
  const id = await says('network create --label a=b --subnet 10.5.0.0/16 net2');
  t.regex(id, HEX);
  await says('network create --internal net10');
  t.is(
    (await says('network ls')).replaceAll(/^[0-9a-f]{12}/gm, 'ID'.padEnd(12)),
    `NETWORK ID     NAME      DRIVER    SCOPE
ID             bridge    bridge    local
ID             host      host      local
ID             net2      bridge    local
ID             net10     bridge    local
ID             none      null      local
`,
  );
  t.is(await says('network ls -q -f name=net2'), `${id.slice(0, 12)}\n`);
  t.is(await says('network ls -q --no-trunc -f label=a'), id);
  t.is(
    await says('network ls -f type=custom --format {{.Name}},{{.IPv4}},{{.IPv6}},{{.Internal}},{{.Labels}}'),
    'net2,true,false,false,a=b\nnet10,true,false,true,\n',
  );
  t.is(await says('network inspect -f {{range.IPAM.Config}}{{.Subnet}}{{end}} net2'), '10.5.0.0/16\n');
  t.is(await says(`network inspect -f {{.Name}} ${id.slice(0, 6)}`), 'net2\n');
  t.is(await says('inspect -f {{.Driver}} net10'), 'bridge\n');
  t.is(await says('inspect --type network -f {{.Driver}} none'), 'null\n');
  t.deepEqual(await run('network rm net2 nope net10'), {
    code: 1,
    stdout: 'net2\nnet10\n',
    stderr: 'Error: network nope not found\n',
  });
  t.is(await says('network rm -f nope'), '');
  t.deepEqual(await run('network inspect nope'), {
    code: 1,
    stdout: '[]\n',
    stderr: 'Error: network nope not found\n',
  });
});

for (const [line, message] of [
  ['bridge', 'operation is not permitted on predefined bridge network '],
  ['-d overlay x', 'cannot make a network of driver overlay: it is of Swarm, which husk has not'],
  ['--ip-range y --subnet 10.0.0.0/8 x', 'invalid CIDR address: y'],
  ['--subnet 10.0.0.0/8 --gateway 1.1.1.1 x', 'no matching subnet for gateway 1.1.1.1'],
  ['--subnet 10.0.0.0/8 --ip-range 11.0.0.0/16 x', 'no matching subnet for range 11.0.0.0/16'],
  ['--subnet 10.0.0.0/8 --aux-address a=11.0.0.1 x', 'no matching subnet for aux-address 11.0.0.1'],
  ['--subnet 10.0.0.0/8,10.1.0.0/16 x', 'multiple overlapping subnet configuration is not supported'],
  ['--gateway 1.1.1.1 x', 'every ip-range or gateway must have a corresponding subnet'],
  [
    '--subnet 10.0.0.0/8 --subnet 11.0.0.0/8 --gateway 10.0.0.1 --gateway 10.0.0.2 x',
    'cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/8)',
  ],
  ['--subnet 10.0.0.1/8 x', 'invalid network config: invalid subnet 10.0.0.1/8: it should be 10.0.0.0/8'],
  ['--ingress x', "--ingress: networks of a Swarm are not husk's"],
  ['--config-from y x', "--config-from: networks of a Swarm are not husk's"],
  ['--scope swarm x', '--scope swarm: networks are of this machine'],
  ['--ipam-driver dhcp x', '--ipam-driver dhcp: plugin "dhcp" not found'],
] as const)
  test(`refused: network create ${line}`, async (t) => {
    const { refused } = await setUp(t);
    t.is(await refused(`network create ${line}`), `Error: ${message}`);
  });

test('pruned after a question', async (t) => {
  const { says, run } = await setUp(t);
  await says('network create one');
  t.deepEqual(await run('network prune', { stdin: fakeStdin('n\n') }), {
    code: 0,
    stdout:
      'WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] ',
    stderr: '',
  });
  t.is(await says('network prune -f --filter label=x'), '');
  t.is(await says('network prune -f'), 'Deleted Networks:\none\n\n');
});

test('a container is put on networks and taken off them', async (t) => {
  const { says, refused, engine } = await setUp(t);
  await says('network create --subnet 10.5.0.0/16 one');
  await says('network create two');
  const id = (await says('create --name cc --network one --network-alias web --ip 10.5.0.9 test')).trim();
  t.is(await says('network connect --alias db,data --gw-priority 7 two cc'), '');
  const of = async () =>
    ((await engine.inspect('cc')) as { NetworkSettings: { Networks: Record<string, Record<string, unknown>> } })
      .NetworkSettings.Networks;
  t.like(await of(), {
    one: { Aliases: ['web'], IPAMConfig: { IPv4Address: '10.5.0.9' }, GwPriority: 0, NetworkID: '', DNSNames: null },
    two: { Aliases: ['db', 'data'], IPAMConfig: null, GwPriority: 7 },
  });
  t.is(await says('ps -a --format {{.Networks}}'), 'one,two\n');
  t.is(await says('ps -aq --no-trunc -f network=two'), `${id}\n`);
  t.is(await refused('network connect two cc'), 'Error: endpoint with name cc already exists in network two');
  t.is(await says('network disconnect two cc'), '');
  t.is(await refused('network disconnect two cc'), `Error: container ${id} is not connected to the network two`);
  // the network goes, the wish stays until it is taken back
  await says('network rm one');
  t.deepEqual(Object.keys(await of()), ['one']);
  t.is(await says('network disconnect one cc'), '');
  t.deepEqual(await of(), {});
  t.is(
    await refused('network connect host cc'),
    'Error: container cannot be disconnected from host network or connected to host network',
  );
  t.is(await says('network connect bridge cc'), '');
  t.deepEqual(Object.keys(await of()), ['bridge']);
});

for (const [made, line, message] of [
  [
    '--network none',
    'connect one cc',
    'container cannot be connected to multiple networks with one of the networks in private (none) mode',
  ],
  [
    '--network host',
    'connect one cc',
    'container sharing network namespace with another container or host cannot be connected to any other network',
  ],
  [
    '--network bridge',
    'connect host cc',
    'container cannot be disconnected from host network or connected to host network',
  ],
  [
    '--network container:c0',
    'connect one cc',
    'container sharing network namespace with another container or host cannot be connected to any other network',
  ],
  ['--network none', 'disconnect one cc', /^container [0-9a-f]{64} is not connected to the network one$/],
  ['--network none', 'disconnect nope cc', /^container [0-9a-f]{64} is not connected to the network nope$/],
  ['--network none', 'connect nope cc', 'network nope not found'],
  ['--network none', 'connect one nope', 'No such container: nope'],
  ['--network one', 'connect --ip 1.2.3.4 two cc', 'no configured subnet contains IP address 1.2.3.4'],
  [
    '--network one',
    'connect --ip x two cc',
    'invalid config for network two: invalid endpoint settings: invalid IPv4 address: x',
  ],
  [
    '--network one',
    'connect --ip 10.5.0.9 bridge cc',
    'user-specified IP address is supported on user-defined networks only',
  ],
  [
    '--network one',
    'connect --alias x bridge cc',
    'network-scoped aliases are only supported for user-defined networks',
  ],
  ['--network one', 'connect --driver-opt x two cc', 'invalid key/value pair format in driver options'],
  ['--network one', 'connect --driver-opt x=y two cc', 'unknown option "x" of a container on network two'],
  [
    '--network one',
    'connect --link-local-ip 169.254.1.1 two cc',
    /^--link-local-ip 169\.254\.1\.1: link-local addresses lead nowhere/,
  ],
] as [string, string, string | RegExp][])
  test(`refused: ${made}: network ${line}`, async (t) => {
    const { says, refused } = await setUp(t);
    await says('network create --subnet 10.5.0.0/16 one');
    await says('network create --subnet 10.6.0.0/16 two');
    await says('create --name c0 --network none test');
    await says(`create --name cc ${made} test`);
    const said = (await refused(`network ${line}`)).replace(/^Error: /, '');
    if (typeof message === 'string') t.is(said, message);
    else t.regex(said, message);
  });

for (const [line, message] of [
  ['--network nope', 'network nope not found'],
  ['--network-alias a', 'network-scoped aliases are only supported for user-defined networks'],
  ['--network one --network one', 'network "one" is specified multiple times'],
  [
    '--network bridge --network one',
    'conflicting options: cannot attach both user-defined and non-user-defined network-modes',
  ],
  [
    '--network none --network bridge',
    'container cannot be connected to multiple networks with one of the networks in private (none) mode',
  ],
  [
    '--network host --network bridge',
    'container sharing network namespace with another container or host cannot be connected to any other network',
  ],
  ['--mac-address zz', 'zz is not a valid mac address'],
  ['--network host --mac-address 02:00:00:00:00:01', 'conflicting options: mac-address and the network mode'],
  ['--network one --ip 10.5.0.1', 'Address already in use'],
  ['--network one --ip 10.6.0.1', 'no configured subnet contains IP address 10.6.0.1'],
  ['--link nope', 'could not get container for nope: No such container: nope'],
  ['--ip 10.6.0.1', 'user-specified IP address is supported on user-defined networks only'],
  [
    '--network host --link a',
    "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
  ],
  [
    '--link-local-ip 169.254.1.1',
    "--link-local-ip 169.254.1.1: link-local addresses lead nowhere on a network of husk's",
  ],
  ['-p 80/sctp', '--publish 80/sctp: ports are published by a process of yours, which takes TCP and UDP'],
] as const)
  test(`refused: create ${line}`, async (t) => {
    const { says, refused } = await setUp(t);
    await says('network create --subnet 10.5.0.0/16 one');
    t.is(await refused(`create ${line} test`), `Error: ${message}`);
  });

test('what runs shows where it is, and what is published', async (t) => {
  const { says, engine, paths, refused, run } = await setUp(t);
  await says('network create --subnet 10.5.0.0/16 one');
  const id = (await says('create --name cc --network one -p 8080:80 --expose 90/udp test sleep 1000')).trim();
  await engine.start(id);
  const { ContainerStore } = await import('../../../src/state/containers.ts');
  const { openDatabase } = await import('../../../src/state/database.ts');
  using database = openDatabase(paths.database);
  const [{ networkId }] = [{ networkId: (await says('network ls -q --no-trunc -f type=custom')).trim() }];
  new ContainerStore(database).change(id, (state) => ({
    ...state,
    endpoints: [
      {
        networkId,
        network: 'one',
        endpointId: 'e'.repeat(64),
        interface: 'eth0',
        mac: '02:42:0a:05:00:02',
        ipv4: { address: '10.5.0.2', prefix: 16, gateway: '10.5.0.1' },
        names: ['cc', id.slice(0, 12)],
      },
    ],
    published: [
      { protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80 },
      { protocol: 'tcp', hostIp: '::', hostPort: 8080, containerPort: 80 },
    ],
  }));
  const drawn = async (line: string, env: NodeJS.ProcessEnv) =>
    (await run(line, { env })).stdout.replaceAll(id.slice(0, 12), 'ID');
  t.is(
    await drawn('network ls --tree -f type=custom', { LANG: 'C.UTF-8' }),
    'one  10.5.0.0/16\n└─ cc  10.5.0.2  90/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp\n',
  );
  t.is(
    await drawn('network inspect --tree one none', {}),
    `one  10.5.0.0/16
|- gateway 10.5.0.1
\`- cc  10.5.0.2
   |- eth0 02:42:0a:05:00:02
   |- names cc, ID
   \`- ports 90/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp
none  null
`,
  );
  t.is(await refused('network ls --tree -q'), 'Error: conflicting options: --tree and --quiet');
  t.is(await refused('network inspect --tree -f x one'), 'Error: conflicting options: --tree and --format');
  t.is(await says('ps --format {{.Ports}}'), '90/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp\n');
  t.is(await says('port cc'), '80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n');
  t.is(await says('port cc 80'), '0.0.0.0:8080\n[::]:8080\n');
  t.is(await refused('port cc 81'), "Error: No public port '81' published for cc");
  const { NetworkSettings } = (await engine.inspect(id)) as { NetworkSettings: Record<string, unknown> };
  t.like(NetworkSettings, {
    Ports: {
      '80/tcp': [
        { HostIp: '0.0.0.0', HostPort: '8080' },
        { HostIp: '::', HostPort: '8080' },
      ],
      '90/udp': null,
    },
    IPAddress: '',
    Networks: {
      one: {
        NetworkID: networkId,
        IPAddress: '10.5.0.2',
        IPPrefixLen: 16,
        Gateway: '10.5.0.1',
        MacAddress: '02:42:0a:05:00:02',
        DNSNames: ['cc', id.slice(0, 12)],
      },
    },
  });
  t.is(
    await refused('network rm one'),
    `Error: error while removing network: network one has active endpoints (name:"cc" id:"eeeeeeeeeeee")`,
  );
  t.is(await says('network prune -f'), '');
});

test("ports of a container on the host's network are told to be none", async (t) => {
  const { run } = await setUp(t);
  const { code, stderr } = await run('create --network host -p 80 test');
  t.deepEqual([code, stderr], [0, 'WARNING: Published ports are discarded when using host network mode\n']);
});

test('network log: what was refused, for whom, why, and which rules decided', async (t) => {
  const { says, paths } = await setUp(t);
  const rules = Array.from({ length: 10 }, (_, at) => `10.0.${at}.1`);
  const id = (await says('create --name one --egress db:5432 --egress 10.0.0.0/8:443 test')).trim();
  const many = (await says(`create --name many ${rules.map((rule) => `--egress=${rule}`).join(' ')} test`)).trim();
  const tell = (of: string, time: number, more: object) =>
    new RefusalLog(paths.container(of)).write({
      time,
      network: 'lan',
      protocol: 'tcp',
      destination: '10.0.0.9',
      port: 80,
      reason: REASONS.address,
      ...more,
    });
  tell(id, 1, {});
  tell(id, 2, { reason: spoofedBy('10.0.0.7') });
  tell(many, 3, {});
  const told = await says('network log');
  t.deepEqual(
    told
      .trim()
      .split('\n')
      .map((line) => line.replace(/^\S+ /, '')),
    [
      'one lan tcp 10.0.0.9:80 (no rule allows it; none of: db:5432, 10.0.0.0/8:443)',
      'one lan tcp 10.0.0.9:80 (it was sent as somebody else: 10.0.0.7)',
      `many lan tcp 10.0.0.9:80 (no rule allows it; none of: ${rules.slice(0, 8).join(', ')} and 2 others)`,
    ],
  );
  const each = (await says('network log --format {{.Rules}}')).split('\n');
  t.deepEqual(each, ['[db:5432 10.0.0.0/8:443]', '[]', `[${rules.join(' ')}]`, '']);
});

/** Networks over the API: every JSON answer is held against the schema. */
import test from 'ava';
import { createOptions } from '../../engine/fixture.ts';
import { judged } from '../judged.ts';
import { openApi, type Api } from './open-api.ts';

const filters = (value: object): string => `?filters=${encodeURIComponent(JSON.stringify(value))}`;

interface Network {
  Name: string;
  Id: string;
  Driver: string;
  Internal: boolean;
  Attachable: boolean;
  EnableIPv6: boolean;
  IPAM: { Driver: string; Config: { Subnet: string; Gateway: string; IPRange?: string }[] | null };
  Containers: Record<string, { Name: string }>;
  Options: Record<string, string>;
  Labels: Record<string, string>;
}

const make = async (api: Api, body: object): Promise<string> => {
  const { status, json } = await judged(api.server, 'POST', '/v1.51/networks/create', { body });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`);
  return (json as { Id: string }).Id;
};
const inspect = async (api: Api, name: string): Promise<Network> =>
  (await judged(api.server, 'GET', `/v1.51/networks/${name}`)).json as Network;
const names = async (api: Api, query = ''): Promise<string[]> =>
  ((await judged(api.server, 'GET', `/v1.51/networks${query}`)).json as Network[]).map(({ Name }) => Name).sort();

/** A container that runs on networks until the test ends. */
async function running(api: Api, name: string, network: string): Promise<string> {
  const { id } = await api.engine.create(createOptions({ name, network, command: ['sleep', '1000'] }));
  await api.engine.start(id);
  return id;
}

test('bridge, host and none are always there, and the bridge’s gateway is told', async (t) => {
  const api = await openApi(t);
  t.deepEqual(await names(api), ['bridge', 'host', 'none']);
  const bridge = await inspect(api, 'bridge');
  t.regex(bridge.IPAM.Config![0]!.Gateway, /^172\.\d+\.\d+\.\d+$/);
  t.deepEqual([(await inspect(api, 'host')).Driver, (await inspect(api, 'none')).Driver], ['host', 'null']);
});

test('made with all that it can have, and found by name, id and the beginning of it', async (t) => {
  const api = await openApi(t);
  const body = {
    Name: 'net1',
    CheckDuplicate: true,
    Driver: 'bridge',
    Scope: '',
    IPAM: {
      Driver: 'default',
      Options: {},
      Config: [
        { Subnet: '10.9.0.0/24', IPRange: '10.9.0.128/25', Gateway: '10.9.0.2', AuxiliaryAddresses: { a: '10.9.0.3' } },
      ],
    },
    Internal: true,
    Attachable: true,
    Ingress: false,
    ConfigOnly: false,
    ConfigFrom: null,
    EnableIPv4: true,
    EnableIPv6: true,
    Options: { 'com.docker.network.driver.mtu': '1400' },
    Labels: { a: 'b' },
  };
  const id = await make(api, body);
  const made = await inspect(api, 'net1');
  t.deepEqual(await inspect(api, id), made);
  t.deepEqual(await inspect(api, id.slice(0, 12)), made);
  t.like(made, { Id: id, Internal: true, Attachable: true, EnableIPv6: true, Labels: body.Labels });
  t.deepEqual(made.Options, body.Options);
  t.deepEqual(made.IPAM.Config![0] as object, body.IPAM.Config[0]);
});

test('made with the least: no options that were not asked for (podman#15580)', async (t) => {
  const api = await openApi(t);
  const body = { Name: 'net2', IPAM: { Config: [{}] }, Options: null, Labels: null };
  await make(api, body);
  const made = await inspect(api, 'net2');
  t.deepEqual([made.Options, made.Labels, made.Containers], [{}, {}, {}]);
  t.regex(made.IPAM.Config![0]!.Subnet, /\/16$/);
});

test('filters of a list', async (t) => {
  const api = await openApi(t);
  const id = await make(api, { Name: 'net1', Labels: { a: 'b' } });
  const cases: [query: object, expected: string[]][] = [
    [{ driver: { bridge: true } }, ['bridge', 'net1']],
    [{ type: ['custom'] }, ['net1']],
    [{ type: ['builtin'] }, ['bridge', 'host', 'none']],
    [{ label: ['a=b'] }, ['net1']],
    [{ name: ['net'] }, ['net1']],
    [{ id: [id.slice(0, 8)] }, ['net1']],
    [{ scope: ['local'] }, ['bridge', 'host', 'net1', 'none']],
    [{ scope: ['swarm'] }, []],
    [{ dangling: { true: true } }, ['net1']],
  ];
  for (const [query, expected] of cases) t.deepEqual(await names(api, filters(query)), expected, JSON.stringify(query));
});

test('a name that is taken is 409, also with another driver’s options; predefined ones are 403', async (t) => {
  const api = await openApi(t);
  await make(api, { Name: 'net1' });
  const create = (body: object): ReturnType<typeof judged> => judged(api.server, 'POST', '/networks/create', { body });
  const taken = await create({ Name: 'net1' });
  t.deepEqual([taken.status, taken.json], [409, { message: 'network with name net1 already exists' }]);
  for (const name of ['bridge', 'host', 'none', 'default']) t.is((await create({ Name: name })).status, 403, name);
  t.is((await create({ Name: 'other', Driver: 'host' })).status, 403);
});

test('connect, look, disconnect; a container is told while it runs', async (t) => {
  const api = await openApi(t);
  for (const name of ['net1', 'net2']) await make(api, { Name: name });
  const id = await running(api, 'n1', 'net1');
  const connect = (network: string, body: object): ReturnType<typeof judged> =>
    judged(api.server, 'POST', `/v1.51/networks/${network}/connect`, { body });
  t.is((await connect('net2', { Container: 'n1', EndpointConfig: null })).status, 200);
  t.deepEqual(Object.keys((await inspect(api, 'net2')).Containers), [id]);
  t.deepEqual(await names(api, filters({ dangling: ['1'] })), []);
  const twice = await connect('net2', { Container: 'n1' });
  t.deepEqual([twice.status, twice.json], [403, { message: 'endpoint with name n1 already exists in network net2' }]);
  const leave = (body: object): ReturnType<typeof judged> =>
    judged(api.server, 'POST', '/networks/net2/disconnect', { body });
  t.is((await leave({ Container: 'n1', Force: true })).status, 200);
  t.deepEqual((await inspect(api, 'net2')).Containers, {});
  const again = await leave({ Container: 'n1' });
  t.is(again.status, 403);
  t.deepEqual(again.json, { message: `container ${id} is not connected to the network net2` });
});

test('what a container is to be on a network', async (t) => {
  const api = await openApi(t);
  await make(api, { Name: 'net1', IPAM: { Config: [{ Subnet: '10.9.0.0/24' }] } });
  const { id } = await api.engine.create(createOptions({ name: 'n1', network: 'bridge', command: ['x'] }));
  const asked = {
    IPAMConfig: { IPv4Address: '10.9.0.20', IPv6Address: '', LinkLocalIPs: null },
    Links: ['other:alias'],
    Aliases: ['x'],
    MacAddress: '02:42:00:00:00:01',
    DriverOpts: {},
    GwPriority: 7,
    NetworkID: '',
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
  const { status, text } = await judged(api.server, 'POST', '/networks/net1/connect', {
    body: { Container: id, EndpointConfig: asked },
  });
  t.is(status, 200, text);
  const { NetworkSettings } = (await api.engine.inspect(id)) as {
    NetworkSettings: { Networks: Record<string, Record<string, unknown>> };
  };
  const { IPAMConfig, Links, Aliases, GwPriority } = NetworkSettings.Networks['net1']!;
  t.like(IPAMConfig as object, { IPv4Address: '10.9.0.20' });
  t.deepEqual([Links, Aliases, GwPriority], [asked.Links, asked.Aliases, 7]);
});

test('one that is in use is 403, one that is not goes', async (t) => {
  const api = await openApi(t);
  await make(api, { Name: 'net1' });
  await running(api, 'n1', 'net1');
  const remove = (name: string): ReturnType<typeof judged> => judged(api.server, 'DELETE', `/v1.51/networks/${name}`);
  const used = await remove('net1');
  t.is(used.status, 403);
  t.regex(
    (used.json as { message: string }).message,
    /^error while removing network: network net1 .*has active endpoints/,
  );
  const predefined = await remove('bridge');
  t.deepEqual(
    [predefined.status, predefined.json],
    [403, { message: 'bridge is a pre-defined network and cannot be removed' }],
  );
  await api.engine.remove('n1', { force: true });
  t.is((await remove('net1')).status, 204);
  const gone = await remove('net1');
  t.deepEqual([gone.status, gone.json], [404, { message: 'network net1 not found' }]);
});

test('prune takes those on which nothing runs', async (t) => {
  const api = await openApi(t);
  for (const name of ['net1', 'net2']) await make(api, { Name: name, Labels: { [name]: '' } });
  await make(api, { Name: 'net3' });
  await running(api, 'n1', 'net3');
  const prune = async (query = ''): Promise<unknown> =>
    (await judged(api.server, 'POST', `/networks/prune${query}`)).json;
  t.deepEqual(await prune(filters({ until: ['24h'] })), { NetworksDeleted: [] });
  t.deepEqual(await prune(filters({ label: ['net1'] })), { NetworksDeleted: ['net1'] });
  t.deepEqual(await prune(), { NetworksDeleted: ['net2'] });
});

const WRONG: [what: string, method: string, path: string, body: unknown, status: number, message: RegExp][] = [
  ['no name', 'POST', '/networks/create', {}, 400, /network name cannot be empty/],
  ['no body', 'POST', '/networks/create', undefined, 400, /network name cannot be empty/],
  ['a name with a slash', 'POST', '/networks/create', { Name: 'a/b' }, 400, /invalid network name/],
  ['a number for a name', 'POST', '/networks/create', { Name: 7 }, 400, /Name must be a string/],
  [
    'a text for a flag',
    'POST',
    '/networks/create',
    { Name: 'n', Internal: 'yes' },
    400,
    /Internal must be true or false/,
  ],
  ['a driver that is none', 'POST', '/networks/create', { Name: 'n', Driver: 'x' }, 400, /plugin "x" not found/],
  [
    'no subnet for a gateway',
    'POST',
    '/networks/create',
    { Name: 'n', IPAM: { Config: [{ Gateway: '10.0.0.1' }] } },
    400,
    /invalid network config/,
  ],
  [
    'a subnet that is none',
    'POST',
    '/networks/create',
    { Name: 'n', IPAM: { Config: [{ Subnet: 'x' }] } },
    400,
    /invalid CIDR/,
  ],
  [
    'a list of texts for subnets',
    'POST',
    '/networks/create',
    { Name: 'n', IPAM: { Config: ['x'] } },
    400,
    /IPAM\.Config\[0\] must be an object/,
  ],
  [
    'a million subnets',
    'POST',
    '/networks/create',
    { Name: 'n', IPAM: { Config: Array.from({ length: 20_000 }, () => 0) } },
    400,
    /IPAM\.Config must be a list/,
  ],
  ['a connection of nobody', 'POST', '/networks/bridge/connect', {}, 400, /^invalid container name or ID/],
  [
    'a connection of what is not there',
    'POST',
    '/networks/bridge/connect',
    { Container: 'x' },
    404,
    /^No such container: x$/,
  ],
  [
    'an alias on the bridge',
    'POST',
    '/networks/bridge/connect',
    { Container: 'x', EndpointConfig: { Aliases: ['a'] } },
    400,
    /network-scoped aliases/,
  ],
  [
    'a MAC address that is none',
    'POST',
    '/networks/n/connect',
    { Container: 'x', EndpointConfig: { MacAddress: 'x' } },
    400,
    /mac address/,
  ],
  [
    'a link-local address',
    'POST',
    '/networks/n/connect',
    { Container: 'x', EndpointConfig: { IPAMConfig: { LinkLocalIPs: ['169.254.1.1'] } } },
    400,
    /link-local/,
  ],
  ['a disconnection of nobody', 'POST', '/networks/bridge/disconnect', {}, 400, /^invalid container name or ID/],
  ['one that is not there', 'GET', '/networks/nosuch', undefined, 404, /^network nosuch not found$/],
  ['one of a Swarm', 'GET', '/networks/bridge?scope=swarm', undefined, 404, /^network bridge not found$/],
  ['a filter that is none', 'GET', `/networks${filters({ nope: ['x'] })}`, undefined, 400, /^invalid filter 'nope'$/],
];
test('what cannot be done says why', async (t) => {
  const api = await openApi(t);
  for (const [what, method, path, body, status, message] of WRONG) {
    const reply = await judged(api.server, method, path, { body });
    t.is(reply.status, status, `${what}: ${reply.text.slice(0, 300)}`);
    t.regex((reply.json as { message: string }).message, message, what);
  }
  t.deepEqual(await names(api), ['bridge', 'host', 'none']);
});

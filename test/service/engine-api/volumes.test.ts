/** Volumes over the API: every JSON answer is held against the schema. */
import test, { type ExecutionContext } from 'ava';
import { createOptions } from '../../engine/fixture.ts';
import { judged } from '../judged.ts';
import { bodyFields } from '../schema.ts';
import { openApi, type Api } from './open-api.ts';

const filters = (value: object): string => `?filters=${encodeURIComponent(JSON.stringify(value))}`;

interface Volume {
  Name: string;
  Labels: Record<string, string> | null;
  Options: Record<string, string> | null;
}

const make = async (api: Api, body: object): Promise<Volume> => {
  const { status, json } = await judged(api.server, 'POST', '/v1.51/volumes/create', { body });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`);
  return json as Volume;
};
const names = async (api: Api, query = ''): Promise<string[]> => {
  const { json } = await judged(api.server, 'GET', `/v1.51/volumes${query}`);
  return (json as { Volumes: Volume[] }).Volumes.map(({ Name }) => Name).sort();
};

/** va has a label, vb is a container's, and one has no name of its own. */
async function withVolumes(t: ExecutionContext): Promise<Api & { anonymous: string }> {
  const api = await openApi(t);
  await make(api, { Name: 'va', Labels: { k: 'v' } });
  await make(api, { Name: 'vb', Driver: 'local', DriverOpts: {} });
  const { Name } = await make(api, {});
  await api.engine.create(
    createOptions({
      command: ['y'],
      mounts: [{ type: 'volume', source: 'vb', target: '/b', readonly: false, options: [], createSource: true }],
    }),
  );
  return { ...api, anonymous: Name };
}

test('made, made again, looked at, removed', async (t) => {
  const api = await openApi(t);
  t.deepEqual(await names(api), []);
  const made = await make(api, { Name: 'va', Labels: { k: 'v' }, DriverOpts: null });
  t.deepEqual([made.Labels, made.Options], [{ k: 'v' }, null]);
  t.deepEqual(await make(api, { Name: 'va' }), made);
  t.deepEqual((await judged(api.server, 'GET', '/v1.51/volumes/va')).json, made);
  t.is((await judged(api.server, 'DELETE', '/v1.51/volumes/va')).status, 204);
  t.is((await judged(api.server, 'DELETE', '/v1.51/volumes/va?force=1')).status, 204);
  const gone = await judged(api.server, 'GET', '/v1.51/volumes/va');
  t.deepEqual([gone.status, gone.json], [404, { message: 'get va: no such volume' }]);
});

test('an anonymous one: no body, an empty one, an empty object', async (t) => {
  const api = await openApi(t);
  for (const body of [undefined, '', {}]) {
    const { status, json } = await judged(api.server, 'POST', '/volumes/create', { body });
    t.is(status, 201);
    t.regex((json as Volume).Name, /^[0-9a-f]{64}$/);
  }
});

test('one that a container has cannot go', async (t) => {
  const api = await withVolumes(t);
  const { status, json } = await judged(api.server, 'DELETE', '/v1.51/volumes/vb');
  t.is(status, 409);
  t.regex((json as { message: string }).message, /^remove vb: volume is in use - \[[0-9a-f]{64}\]$/);
});

test('filters of a list', async (t) => {
  const api = await withVolumes(t);
  const all = ['va', 'vb', api.anonymous].sort();
  const cases: [query: object, expected: string[]][] = [
    [{}, all],
    [{ dangling: { true: true } }, all.filter((name) => name !== 'vb')],
    [{ dangling: ['0'] }, ['vb']],
    [{ label: ['k=v'] }, ['va']],
    [{ name: ['va$'] }, ['va']],
    [{ driver: ['local'] }, all],
    [{ driver: ['other'] }, []],
  ];
  for (const [query, expected] of cases) t.deepEqual(await names(api, filters(query)), expected, JSON.stringify(query));
});

const PRUNES: [what: string, path: string, left: ('va' | 'vb')[]][] = [
  ['those without a name', '/v1.51/volumes/prune', ['va', 'vb']],
  ['all', `/v1.51/volumes/prune${filters({ all: { true: true } })}`, ['vb']],
  ['all, as clients before 1.42 mean it', '/v1.41/volumes/prune', ['vb']],
  ['all without a label', `/v1.51/volumes/prune${filters({ all: ['1'], 'label!': ['k'] })}`, ['va', 'vb']],
];
for (const [what, path, left] of PRUNES)
  test(`prune: ${what}`, async (t) => {
    const api = await withVolumes(t);
    const { json } = await judged(api.server, 'POST', path);
    t.deepEqual(await names(api), [...left].sort());
    const { VolumesDeleted } = json as { VolumesDeleted: string[] };
    t.is(VolumesDeleted.length, 3 - left.length);
  });

const WRONG: [what: string, method: string, path: string, body: unknown, status: number, message: RegExp][] = [
  ['a name with a slash', 'POST', '/volumes/create', { Name: 'a/b' }, 400, /invalid/i],
  ['a name that leads elsewhere', 'POST', '/volumes/create', { Name: '..' }, 400, /invalid|short/i],
  ['a name with a NUL', 'POST', '/volumes/create', { Name: 'a\0b' }, 400, /Name must be a string/],
  ['a number for a name', 'POST', '/volumes/create', { Name: 1 }, 400, /Name must be a string/],
  ['a list for labels', 'POST', '/volumes/create', { Labels: ['a'] }, 400, /Labels must be an object/],
  ['a driver that is none', 'POST', '/volumes/create', { Name: 'va', Driver: 'x' }, 404, /plugin "x" not found/],
  ['an option that is none', 'POST', '/volumes/create', { Name: 'va', DriverOpts: { x: 'y' } }, 400, /invalid option/],
  [
    'a mount by host root',
    'POST',
    '/volumes/create',
    { DriverOpts: { type: 'tmpfs', device: 'tmpfs' } },
    400,
    /host root/,
  ],
  [
    'a volume of a Swarm',
    'POST',
    '/volumes/create',
    { ClusterVolumeSpec: { Group: 'x' } },
    400,
    /^ClusterVolumeSpec: /,
  ],
  ['a list for a body', 'POST', '/volumes/create', [], 400, /the body must be an object/],
  ['a filter that is none', 'GET', `/volumes${filters({ nope: ['x'] })}`, undefined, 400, /^invalid filter 'nope'$/],
  ['one that is not there', 'DELETE', '/volumes/nosuch', undefined, 404, /^get nosuch: no such volume$/],
];
test('what cannot be done says why', async (t) => {
  const api = await openApi(t);
  for (const [what, method, path, body, status, message] of WRONG) {
    const reply = await judged(api.server, method, path, { body });
    t.is(reply.status, status, `${what}: ${reply.text.slice(0, 300)}`);
    t.regex((reply.json as { message: string }).message, message, what);
  }
  t.deepEqual(await names(api), []);
});

/** What each field of the body does; a field that the schema has and this list has not fails the test. */
const FIELDS: Record<string, 'read' | 'refused'> = {
  Name: 'read',
  Driver: 'read',
  DriverOpts: 'read',
  Labels: 'read',
  'ClusterVolumeSpec.*': 'refused',
};
test('no field of the body is passed over silently', async (t) => {
  const api = await openApi(t);
  const fields = new Set(
    bodyFields('POST', '/volumes/create').map((path) => path.replace(/^ClusterVolumeSpec\..*/, 'ClusterVolumeSpec.*')),
  );
  t.deepEqual([...fields].sort(), Object.keys(FIELDS).sort());
  const sample = {
    Name: 'vn',
    Driver: 'local',
    DriverOpts: { type: 'none', o: 'bind', device: '/' },
    Labels: { l: '1' },
  };
  const {
    Mountpoint: _mountpoint,
    CreatedAt: _createdAt,
    Scope: _scope,
    ...told
  } = (await make(api, sample)) as Volume & {
    Mountpoint: string;
    CreatedAt: string;
    Scope: string;
  };
  t.deepEqual(told as object, { Name: 'vn', Driver: 'local', Options: sample.DriverOpts, Labels: sample.Labels });
});

/** The routes about the engine itself, over an engine that has only what they ask. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { Engine, EventMessage, EventOptions } from '../../../src/engine/contract.ts';
import { ask, begin, startServer } from '../fixture.ts';
import { judge } from '../schema.ts';

const image = { Type: 'image', Action: 'pull', Actor: { ID: 'a:1', Attributes: { name: 'a' } } } as const;
const die = {
  Type: 'container',
  Action: 'die',
  Actor: { ID: 'c', Attributes: { image: 'a:1', exitCode: '3' } },
} as const;
const made = { Type: 'volume', Action: 'create', Actor: { ID: 'v', Attributes: { driver: 'local' } } } as const;
const TIME = 1_795_886_640_123_456;

function eventsOf(messages: readonly EventMessage[], asked: EventOptions[] = []): Pick<Engine, 'events'> {
  return {
    events(options = {}) {
      asked.push(options);
      if (options.since !== undefined && options.until !== undefined && options.until < options.since)
        throw new HuskError('`since` time cannot be after `until` time', { kind: 'invalid' });
      return (async function* () {
        yield* messages;
        if (options.until === undefined)
          await new Promise((resolve) => options.signal!.addEventListener('abort', resolve));
      })();
    },
  };
}

for (const method of ['GET', 'HEAD'])
  test(`${method} /_ping`, async (t) => {
    await using server = await startServer({});
    const { status, headers, text } = await ask(server, method, '/_ping');
    t.deepEqual([status, text], [200, method === 'GET' ? 'OK' : '']);
    const { 'builder-version': builder, swarm, pragma, 'cache-control': cache } = headers;
    t.deepEqual([builder, swarm, pragma, cache], ['2', 'inactive', 'no-cache', 'no-cache, no-store, must-revalidate']);
    t.regex(String(headers['content-type']), /^text\/plain/);
  });

test('version is read as one of Docker (podman#11227)', async (t) => {
  await using server = await startServer({});
  const { json } = await ask(server, 'GET', '/v1.24/version');
  judge('GET', '/version', 200, json);
  const { Version, ApiVersion, MinAPIVersion, Components } = json as {
    Version: string;
    ApiVersion: string;
    MinAPIVersion: string;
    Components: { Name: string; Version: string }[];
  };
  t.regex(Version, /^28\.3\.0\+husk\.\d+\.\d+\.\d+$/);
  t.deepEqual([ApiVersion, MinAPIVersion], ['1.51', '1.24']);
  t.deepEqual(
    Components.map(({ Name }) => Name),
    ['Engine', 'husk'],
  );
});

test('info has the version that clients compare', async (t) => {
  await using server = await startServer({ info: async () => ({ ID: 'x', ServerVersion: '0.1.0' }) });
  t.regex(((await ask(server, 'GET', '/info')).json as { ServerVersion: string }).ServerVersion, /^28\.3\.0\+husk\./);
});

test('events: lines with the fields of old clients (podman-desktop#17229)', async (t) => {
  const asked: EventOptions[] = [];
  const messages = [image, die, made].map((event) => ({ ...event, time: TIME }));
  await using server = await startServer(eventsOf(messages, asked));
  const filters = encodeURIComponent('{"type":{"container":true},"label":["a=b"]}');
  const { lines } = await ask(server, 'GET', `/events?since=1700000000.5&until=1700000001&filters=${filters}`);
  const when = { scope: 'local', time: 1_795_886_640, timeNano: TIME * 1000 };
  t.deepEqual(lines, [
    { status: 'pull', id: 'a:1', ...image, ...when },
    { status: 'die', id: 'c', from: 'a:1', ...die, ...when },
    { ...made, ...when },
  ]);
  for (const line of lines) judge('GET', '/events', 200, line);
  const [{ since, until, filters: passed }] = asked as [EventOptions];
  t.deepEqual([since, until], [1_700_000_000_500_000_000n, 1_700_000_001_000_000_000n]);
  t.deepEqual({ ...passed }, { type: ['container'], label: ['a=b'] });
});

test('events: the head comes at once, and the reader is told when the client leaves', async (t) => {
  const asked: EventOptions[] = [];
  await using server = await startServer(eventsOf([], asked));
  const { head, leave } = await begin(server, 'GET', '/events');
  t.is(head.status, 200);
  const { signal } = asked[0]!;
  const aborted = new Promise((resolve) => signal!.addEventListener('abort', resolve));
  leave();
  await aborted;
  t.pass();
});

for (const [query, message] of [
  ['filters=%7B', 'invalid filter'],
  ['filters=%7B%22nope%22:%5B%22x%22%5D%7D', "invalid filter 'nope'"],
  ['since=5&until=1', '`since` time cannot be after `until` time'],
])
  test(`events: 400 before the head for ${query}`, async (t) => {
    await using server = await startServer(eventsOf([]));
    const { status, json } = await ask(server, 'GET', `/events?${query}`);
    t.deepEqual([status, json], [400, { message }]);
  });

const NO_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
const ABSENT: [method: string, path: string, status: number, message: string | RegExp][] = [
  ['GET', '/nodes', 503, NO_MANAGER],
  ['GET', '/v1.45/services?status=true', 503, NO_MANAGER],
  ['POST', '/services/create', 503, NO_MANAGER],
  ['GET', '/tasks', 503, NO_MANAGER],
  ['DELETE', '/secrets/x', 503, NO_MANAGER],
  ['GET', '/configs', 503, NO_MANAGER],
  ['GET', '/swarm', 503, NO_MANAGER],
  ['GET', '/swarm/unlockkey', 503, NO_MANAGER],
  ['POST', '/swarm/leave?force=1', 503, 'This node is not part of a swarm'],
  ['POST', '/swarm/init', 501, /^husk makes no swarm\n\n/],
  ['POST', '/swarm/join', 501, /^husk makes no swarm\n\n/],
  ['GET', '/plugins/nosuch/json', 404, 'plugin "nosuch" not found'],
  ['GET', '/plugins/a/b:1/json', 404, 'plugin "a/b:1" not found'],
  ['POST', '/plugins/pull', 404, 'husk has no plugins'],
];
for (const [method, path, status, message] of ABSENT)
  test(`absent: ${method} ${path}`, async (t) => {
    await using server = await startServer({});
    const answer = await ask(server, method, path);
    const said = (answer.json as { message: string }).message;
    t.is(answer.status, status);
    if (typeof message === 'string') t.is(said, message);
    else t.regex(said, message);
  });

test('no plugin is an empty list', async (t) => {
  await using server = await startServer({});
  t.deepEqual((await ask(server, 'GET', '/plugins')).json, []);
});

const AUTHS: [body: unknown, server: string, credentials: unknown][] = [
  [
    { username: 'u', password: 'p', serveraddress: 'localhost:5' },
    'localhost:5',
    { kind: 'password', username: 'u', password: 'p' },
  ],
  [{ auth: 'dTpwOng=', email: 'x' }, '', { kind: 'password', username: 'u', password: 'p:x' }],
  [{ identitytoken: 'T', serveraddress: 'h' }, 'h', { kind: 'identity', token: 'T' }],
];
for (const [body, server, credentials] of AUTHS)
  test(`auth: ${JSON.stringify(body)}`, async (t) => {
    const asked: unknown[] = [];
    const images = {
      checkCredentials: async (...words: unknown[]) => void asked.push(...words.slice(0, 2)),
    } as unknown as Engine['images'];
    await using api = await startServer({ images });
    const { status, json } = await ask(api, 'POST', '/auth', { body });
    judge('POST', '/auth', status, json);
    t.is((json as { Status: string }).Status, 'Login Succeeded');
    t.deepEqual(asked, [server, credentials]);
  });

test('auth: refused credentials are 401', async (t) => {
  const images = {
    checkCredentials: () => Promise.reject(new HuskError('login attempt to h failed', { kind: 'unauthorized' })),
  } as unknown as Engine['images'];
  await using server = await startServer({ images });
  const { status, json } = await ask(server, 'POST', '/auth', { body: { username: 'u', password: 'p' } });
  t.deepEqual([status, json], [401, { message: 'login attempt to h failed' }]);
});

const ID = 'c'.repeat(64);
const USAGE = {
  layersSize: 10,
  images: [],
  containers: [{ id: ID, active: false, size: { rw: 3, rootFs: 7 } }],
  volumes: [{ volume: { name: 'v' }, links: 2, size: 5 }],
  buildCache: [{ key: 'ab', diffId: 'x', size: 4, step: 'RUN x', made: 0, lastUsed: 1000, uses: 3, shared: true }],
  cacheMounts: [{ name: 'm', inUse: true, size: 6, lastUsed: 2000 }],
};
const SUMMARY = {
  id: ID,
  names: ['/web'],
  image: 'a',
  imageId: 'sha256:1',
  command: 'true',
  created: 1,
  state: 'exited',
  status: 'Exited (0)',
  ports: [],
  labels: {},
  networkMode: 'bridge',
  networks: {},
  mounts: [],
};
const inspect = (Name: string) => ({
  Name,
  Driver: 'local',
  Mountpoint: '/v',
  Labels: {},
  Options: {},
  Scope: 'local',
});
const disk = {
  diskUsage: async () => USAGE,
  summaries: async () => [SUMMARY],
  volumes: async () => ({ inspect }),
} as unknown as Partial<Engine>;

test('system df has the shape of API 1.51', async (t) => {
  await using server = await startServer(disk);
  const { status, json } = await ask(server, 'GET', '/system/df');
  judge('GET', '/system/df', status, json);
  const { LayersSize, Containers, Volumes, BuildCache } = json as Record<string, unknown[]>;
  t.is(LayersSize as unknown, 10);
  t.like(Containers![0], { Id: ID, SizeRw: 3, SizeRootFs: 7 });
  t.like(Volumes![0], { Name: 'v', UsageData: { RefCount: 2, Size: 5 } });
  t.like(BuildCache, [
    { ID: 'ab', Type: 'regular', Shared: true, Size: 4, LastUsedAt: '1970-01-01T00:00:01.000Z', UsageCount: 3 },
    { ID: 'm', Type: 'exec.cachemount', InUse: true, Size: 6 },
  ]);
});

test('system df of some kinds alone, and of one that is none', async (t) => {
  await using server = await startServer(disk);
  const { json } = await ask(server, 'GET', '/system/df?type=volume&type=build-cache');
  const { Images, Containers, Volumes, BuildCache } = json as Record<string, unknown[] | null>;
  t.deepEqual([Images, Containers, Volumes!.length, BuildCache!.length], [null, null, 1, 2]);
  const wrong = await ask(server, 'GET', '/system/df?type=nope');
  t.deepEqual([wrong.status, wrong.json], [400, { message: 'unknown object type: nope' }]);
});

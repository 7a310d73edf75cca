/** Rows of `ps` in values, as Docker's API has them: names, image, ports, networks, filters. */
import test from 'ava';
import type { ContainerSummary, CreateOptions, Filters } from '../../../src/engine/contract.ts';
import { NetworkRecords } from '../../../src/network/records/records.ts';
import { ContainerStore, type ContainerState } from '../../../src/state/containers.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { judgeAs } from '../../service/schema.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

async function one(
  { engine, paths }: TestEngine,
  options: Partial<CreateOptions>,
  state: (networkId: string) => Partial<ContainerState> = () => ({}),
): Promise<ContainerSummary> {
  const { id } = await engine.create(createOptions({ command: ['sleep', '100'], ...options }));
  using database = openDatabase(paths.database) as ReturnType<typeof openDatabase> & Disposable;
  const [wanted] = new NetworkRecords(database).wantedBy(id);
  const more = state(wanted?.networkId ?? '');
  if (more.status === 'running') await engine.start(id);
  new ContainerStore(database).change(id, (before) => ({ ...before, ...more }));
  return (await engine.summaries({ all: true })).find((summary) => summary.id === id)!;
}

test('a container that was never started', async (t) => {
  const fixture = await openTestEngine(t);
  const summary = await one(fixture, {
    name: 'web',
    command: ['sh', '-c', 'echo "a b"'],
    labels: { a: 'b' },
    mounts: [{ type: 'bind', source: '/tmp', target: '/host', readonly: true, options: [], createSource: true }],
  });
  const { id, created, ...rest } = summary;
  t.regex(id, /^[0-9a-f]{64}$/);
  t.true(Number.isInteger(created) && Math.abs(created - Date.now() / 1000) < 600);
  t.notThrows(() => judgeAs('MountPoint', rest.mounts[0]));
  const none = fixture.engine.networks().then((networks) => networks.get('none').id);
  t.deepEqual(JSON.parse(JSON.stringify(rest)), {
    names: ['/web'],
    image: 'test',
    imageId: `sha256:${'ab'.repeat(32)}`,
    command: `sh -c 'echo "a b"'`,
    state: 'created',
    status: 'Created',
    ports: [],
    labels: { from: 'image', a: 'b' },
    networkMode: 'none',
    networks: {
      none: {
        IPAMConfig: null,
        Links: null,
        Aliases: null,
        DriverOpts: null,
        GwPriority: 0,
        EndpointID: '',
        Gateway: '',
        GlobalIPv6Address: '',
        GlobalIPv6PrefixLen: 0,
        IPAddress: '',
        IPPrefixLen: 0,
        IPv6Gateway: '',
        MacAddress: '',
        // podman#24910: it is that of `network inspect`, running or not
        NetworkID: await none,
        DNSNames: null,
      },
    },
    mounts: [{ Type: 'bind', Source: '/tmp', Destination: '/host', Mode: 'ro', RW: false, Propagation: 'rprivate' }],
  });
});

test('a running one has each binding by its address, and exposed ports without a public one', async (t) => {
  const fixture = await openTestEngine(t);
  const summary = await one(fixture, { network: 'bridge', expose: ['443', '53/udp'] }, (networkId) => ({
    status: 'running',
    published: ['0.0.0.0', '::'].map((hostIp) => ({ protocol: 'tcp', hostIp, hostPort: 8080, containerPort: 80 })),
    endpoints: [
      {
        networkId,
        network: 'bridge',
        endpointId: 'e'.repeat(64),
        interface: 'eth0',
        mac: '02:42:ac:11:00:02',
        ipv4: { address: '172.17.0.2', prefix: 16, gateway: '172.17.0.1' },
        names: [],
      },
    ],
  }));
  t.deepEqual(summary.ports, [
    { privatePort: 53, type: 'udp' },
    { ip: '0.0.0.0', privatePort: 80, publicPort: 8080, type: 'tcp' },
    { ip: '::', privatePort: 80, publicPort: 8080, type: 'tcp' },
    { privatePort: 443, type: 'tcp' },
  ]);
  t.regex(summary.status, /^Up /);
  t.notThrows(() => judgeAs('EndpointSettings', summary.networks['bridge']));
  t.is(summary.networkMode, 'bridge');
  t.like(summary.networks['bridge'], { IPAddress: '172.17.0.2', IPPrefixLen: 16, MacAddress: '02:42:ac:11:00:02' });
});

test('an image whose name now is of another is told by its id', async (t) => {
  let moved = false;
  const fixture = await openTestEngine(t);
  const summary = await one(fixture, {});
  t.is(summary.image, 'test');
  const again = await openTestEngine(undefined, fixture.dataRoot, {
    find: (reference) => ({
      ...fixture.engine.images.find(reference)!,
      ...(moved && { id: `sha256:${'0'.repeat(64)}` }),
    }),
  });
  using engine = again.engine;
  t.is((await engine.summaries({ all: true }))[0]!.image, 'test');
  moved = true;
  const [told] = await engine.summaries({ all: true });
  t.is(told!.image, `sha256:${'ab'.repeat(32)}`);
  t.is(told!.imageId, `sha256:${'ab'.repeat(32)}`);
});

test('an image that is gone is told by its id', async (t) => {
  const fixture = await openTestEngine(t);
  await one(fixture, {});
  const again = await openTestEngine(undefined, fixture.dataRoot, { find: () => undefined });
  using engine = again.engine;
  t.is((await engine.summaries({ all: true }))[0]!.image, `sha256:${'ab'.repeat(32)}`);
});

test('a link is a name of its target, by name and by the beginning of its id; that of one that is gone is none', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await one(fixture, { name: 'db' });
  const gone = await one(fixture, { name: 'gone' });
  await one(fixture, { name: 'app', network: 'bridge', links: ['db:store', `${id.slice(0, 12)}:short`, 'gone:x'] });
  await fixture.engine.remove(gone.id);
  const rows = await fixture.engine.summaries({ all: true });
  t.deepEqual(rows.find((row) => row.id === id)!.names, ['/db', '/app/store', '/app/short']);
});

test('sizes are measured where they are asked for', async (t) => {
  const fixture = await openTestEngine(t);
  t.false('size' in (await one(fixture, {})));
  const [summary] = await fixture.engine.summaries({ all: true, size: true });
  t.is(summary!.size!.rootFs, summary!.size!.rw + 1000);
});

test('a limit means stopped ones too, and below 1 nothing', async (t) => {
  const fixture = await openTestEngine(t);
  for (const name of ['aa', 'bb', 'cc']) await one(fixture, { name });
  const names = async (options: Parameters<typeof fixture.engine.summaries>[0]) =>
    (await fixture.engine.summaries(options)).map((row) => row.names[0]);
  t.deepEqual(await names({}), []);
  t.deepEqual(await names({ last: 0 }), []);
  t.deepEqual(await names({ last: -1 }), []);
  t.deepEqual(await names({ last: 2 }), ['/cc', '/bb']);
  t.deepEqual(await names({ all: true }), ['/cc', '/bb', '/aa']);
});

/** of `one`, which has label a=b, a volume, an exposed and a published port; and `two`, which is younger */
const FILTERS: [filters: Filters, names: string[]][] = [
  [{ ancestor: ['test'] }, ['/two', '/one']],
  [{ ancestor: ['other'] }, []],
  [{ before: ['two'] }, ['/one']],
  [{ since: ['one'] }, ['/two']],
  [{ expose: ['443'] }, ['/one']],
  [{ publish: ['80/tcp'] }, ['/one']],
  [{ exited: ['0'] }, []],
  [{ health: ['none'] }, ['/two', '/one']],
  [{ 'is-task': ['true'] }, []],
  [{ label: ['a=b'] }, ['/one']],
  [{ label: ['a', 'c'] }, []],
  [{ name: ['^/one$'] }, ['/one']],
  [{ network: ['bridge'] }, ['/one']],
  [{ status: ['created'] }, ['/two', '/one']],
  [{ status: ['running'] }, []],
  [{ volume: ['data'] }, ['/one']],
  [{ label: ['a'], name: ['two'] }, []],
];

test('every filter of Docker, and no other', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  await one(fixture, {
    name: 'one',
    labels: { a: 'b' },
    network: 'bridge',
    expose: ['443'],
    publish: ['8080:80'],
    mounts: [{ type: 'volume', source: 'data', target: '/data', readonly: false, options: [], createSource: true }],
  });
  // times are in ms, and of the same one neither is the older
  const { createdAt } = engine.get('one');
  while (Date.now() === createdAt);
  const two = await one(fixture, { name: 'two' });
  for (const [filters, names] of FILTERS)
    t.deepEqual(
      (await engine.summaries({ all: true, filters })).map((row) => row.names[0]),
      names,
      JSON.stringify(filters),
    );
  t.is((await engine.summaries({ all: true, filters: { id: [two.id.slice(0, 20)] } })).length, 1);
  for (const key of ['nope', 'constructor', '__proto__'])
    await t.throwsAsync(engine.summaries({ filters: { [key]: ['x'] } }), { message: `invalid filter '${key}'` }, key);
});

/**
 * Troubles that clients of Docker's API had with other engines: each test is named by the report of one. Those that
 * need real containers, builds or registries stand elsewhere, with the number in their titles: `git grep podman#`.
 */
import test from 'ava';
import type { BuildOptions } from '../../../src/engine/build-contract.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import { HuskError } from '../../../src/errors.ts';
import { ask, begin, framesIn, hijack, readAll, startServer } from '../fixture.ts';
import { judged } from '../judged.ts';
import { openApi, openImageApi, smallTar, type Api } from './open-api.ts';

interface Inspect {
  Id: string;
  Image: string;
  Created: string;
  Mounts: { Type: string; Source: string; Destination: string }[];
  Config: { Volumes: object | null; Env: string[] | null };
  HostConfig: { Binds: string[] | null };
  State: { Status: string; StartedAt: string; FinishedAt: string };
}

interface Row {
  Id: string;
  ImageID: string;
  Created: number;
  Ports: unknown[];
  HostConfig: { NetworkMode: string };
  NetworkSettings: { Networks: Record<string, { NetworkID: string }> };
}

const filters = (value: object): string => `filters=${encodeURIComponent(JSON.stringify(value))}`;

/** Makes a container of this command. @returns its id */
async function create(api: Api, command: string[], body: object = {}, name?: string): Promise<string> {
  const path = `/containers/create${name === undefined ? '' : `?name=${name}`}`;
  const HostConfig = { NetworkMode: 'none', ...(body as { HostConfig?: object }).HostConfig };
  const { status, json, text } = await judged(api.server, 'POST', path, {
    body: { Image: 'test', Cmd: command, ...body, HostConfig },
  });
  if (status !== 201) throw new Error(`create: ${status} ${text}`);
  return (json as { Id: string }).Id;
}

const start = (api: Api, id: string) => judged(api.server, 'POST', `/containers/${id}/start`);
const wait = (api: Api, id: string) => judged(api.server, 'POST', `/containers/${id}/wait`);
const inspect = async (api: Api, id: string): Promise<Inspect> =>
  (await judged(api.server, 'GET', `/containers/${id}/json`)).json as Inspect;
const list = async (api: Api, query = 'all=1'): Promise<Row[]> =>
  (await judged(api.server, 'GET', `/containers/json?${query}`)).json as Row[];

/** What a wait that begins before the start ends with. */
async function waited(api: Api, id: string, condition: string): Promise<unknown> {
  const { head, stream } = await begin(api.server, 'POST', `/containers/${id}/wait?condition=${condition}`);
  if (head.status !== 200) throw new Error(`wait: ${head.status}`);
  await start(api, id);
  return JSON.parse((await readAll(stream)).toString());
}

// Compose

test('podman#23898: a container whose namespaces others join is removed by force', async (t) => {
  const api = await openApi(t);
  const first = await create(api, ['sleep', '1000']);
  await start(api, first);
  const second = await create(api, ['sleep', '1000'], { HostConfig: { NetworkMode: `container:${first}` } });
  t.is((await judged(api.server, 'DELETE', `/containers/${first}?force=1&v=1`)).status, 204);
  t.deepEqual(
    (await list(api)).map(({ Id }) => Id),
    [second],
  );
});

test('compose#9897: a container names its image by the id that the image has', async (t) => {
  const api = await openImageApi(t);
  await judged(api.server, 'POST', '/images/create?fromSrc=-&repo=test', {
    body: smallTar('x'),
    lines: 'CreateImageInfo',
  });
  const id = await create(api, ['x']);
  const image = (await judged(api.server, 'GET', '/images/test/json')).json as { Id: string };
  const [row] = await list(api);
  t.deepEqual([(await inspect(api, id)).Image, row!.ImageID], [image.Id, image.Id]);
});

// Waits

test('podman#9048: the head of a wait comes before the container is started', async (t) => {
  const api = await openApi(t);
  t.deepEqual(await waited(api, await create(api, ['sh', '-c', 'exit 5']), 'next-exit'), { StatusCode: 5 });
});

for (const condition of ['not-running', 'next-exit', 'removed'])
  test(`podman#12652: ${condition} is a condition`, async (t) => {
    const api = await openApi(t);
    const id = await create(api, ['sh', '-c', 'exit 3'], { HostConfig: { AutoRemove: condition === 'removed' } });
    if (condition !== 'not-running') return void t.deepEqual(await waited(api, id, condition), { StatusCode: 3 });
    await start(api, id);
    const answer = await judged(api.server, 'POST', `/containers/${id}/wait?condition=${condition}`);
    t.deepEqual(answer.json, { StatusCode: 3 });
  });

test('podman#18889: a wait for the removal has the code of the exit', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['sh', '-c', 'exit 7'], { HostConfig: { AutoRemove: true } });
  t.deepEqual(await waited(api, id, 'removed'), { StatusCode: 7 });
  t.is((await ask(api.server, 'GET', `/containers/${id}/json`)).status, 404);
});

test('podman#28514: the next exit of a container that ends at once is seen, each time', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['true']);
  for (let round = 0; round < 5; round++) t.deepEqual(await waited(api, id, 'next-exit'), { StatusCode: 0 });
});

// Streams

const OUTPUT = ['sh', '-c', 'echo out'];
for (const [tty, type] of [
  [true, 'application/vnd.docker.raw-stream'],
  [false, 'application/vnd.docker.multiplexed-stream'],
] as const)
  test(`podman#7196, moby#43799: frames and their type with a terminal: ${!tty}`, async (t) => {
    const api = await openApi(t);
    const id = await create(api, OUTPUT, { Tty: tty });
    const { head, stream } = await hijack(api.server, `/containers/${id}/attach?stream=1&stdout=1&stderr=1`);
    t.true(head.includes(`\r\nContent-Type: ${type}\r\n`), head);
    await start(api, id);
    stream.end();
    const bytes = await readAll(stream);
    if (tty) t.regex(bytes.toString(), /^out\r?\n$/);
    else t.deepEqual(framesIn(bytes), [[1, 'out\n']]);
    const log = await ask(api.server, 'GET', `/containers/${id}/logs?stdout=1`);
    t.is(log.headers['content-type'], type);
    t.is(log.body[0] === 1, !tty);
  });

test('podman#19901: what is typed before the start is not echoed, and its end ends the container', async (t) => {
  const api = await openApi(t);
  const body = { OpenStdin: true, StdinOnce: true, AttachStdin: true };
  const id = await create(api, ['cat'], body);
  const { stream } = await hijack(api.server, `/containers/${id}/attach?stream=1&stdin=1&stdout=1`);
  stream.end('typed\n');
  t.deepEqual(await waited(api, id, 'next-exit'), { StatusCode: 0 });
  // once, by cat, and not by whoever took it in
  t.deepEqual(framesIn(await readAll(stream)), [[1, 'typed\n']]);
});

/** An exec of a container that runs, or not. */
const execOf = (execStart: () => Promise<never>, status = 'running', running = false): Partial<Engine> =>
  ({
    execInspect: (id: string) => ({ id, container: 'c', options: { tty: false }, running, exitCode: null }),
    get: () => ({ id: 'c', state: { status } }),
    execStart,
  }) as unknown as Partial<Engine>;

test('docker-py loses output that comes with the head: the head of an exec goes before its command runs', async (t) => {
  const start = Promise.withResolvers<never>();
  await using server = await startServer(execOf(() => start.promise));
  const { head, stream } = await hijack(server, '/exec/x/start', { body: {} });
  t.regex(head, /^HTTP\/1\.1 101 UPGRADED\r\n/);
  start.reject(new HuskError('the container has just ended', { kind: 'conflict' }));
  t.deepEqual(framesIn(await readAll(stream)), [[1, 'the container has just ended\r\n']]);
  t.deepEqual(server.bugs, []);
});

for (const [what, status, running] of [
  ['in a container that has ended', 'exited', false],
  ['in one that is paused', 'paused', false],
  ['that runs already', 'running', true],
] as const)
  test(`an exec ${what} is refused with a status`, async (t) => {
    const refuse = () => Promise.reject(new HuskError('refused', { kind: 'conflict' }));
    await using server = await startServer(execOf(refuse, status, running));
    t.regex((await hijack(server, '/exec/x/start', { body: {} })).head, /^HTTP\/1\.1 409 /);
  });

// Lists

test('podman#9529, #9553, #24910, #26313: a list has networks by their ids, their mode, and a list of ports', async (t) => {
  const api = await openApi(t);
  await create(api, ['true'], { HostConfig: { NetworkMode: 'bridge' } });
  const [row] = await list(api);
  const networks = (await judged(api.server, 'GET', '/networks/bridge')).json as { Id: string };
  t.deepEqual(row!.Ports, []);
  t.is(row!.HostConfig.NetworkMode, 'bridge');
  t.is(row!.NetworkSettings.Networks['bridge']!.NetworkID, networks.Id);
});

test('podman#9803, #23981: the processes of a container are lists of texts, a column each', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['sleep', '1000']);
  await start(api, id);
  const { json } = await judged(api.server, 'GET', `/containers/${id}/top`);
  const { Titles, Processes } = json as { Titles: string[]; Processes: string[][] };
  t.is(Processes.length, 1);
  t.is(Processes[0]!.length, Titles.length);
});

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
test('podman#8329: times are RFC 3339 in UTC; a list has seconds; never is the year 1', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['true']);
  const made = await inspect(api, id);
  t.regex(made.Created, RFC_3339);
  t.deepEqual([made.State.StartedAt, made.State.FinishedAt], ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z']);
  await start(api, id);
  await wait(api, id);
  const { State } = await inspect(api, id);
  t.regex(State.StartedAt, RFC_3339);
  t.regex(State.FinishedAt, RFC_3339);
  const [row] = await list(api);
  t.is(row!.Created, Math.floor(Date.parse(made.Created) / 1000));
});

// Create

test('podman#6719: a bind is a bind, and no volume of the config', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['true'], { HostConfig: { Binds: ['/tmp:/x:ro'] } });
  const { Config, HostConfig, Mounts } = await inspect(api, id);
  t.deepEqual(HostConfig.Binds, ['/tmp:/x:ro']);
  t.is(Config.Volumes, null);
  t.like(Mounts, [{ Type: 'bind', Source: '/tmp', Destination: '/x' }]);
});

test('podman#7003: an image that is not here is 404, and nothing is pulled', async (t) => {
  const api = await openImageApi(t);
  const { status, json } = await judged(api.server, 'POST', '/containers/create', { body: { Image: 'nosuch:1' } });
  t.deepEqual([status, json], [404, { message: 'No such image: nosuch:1' }]);
});

test('podman#11285: null is what was not said', async (t) => {
  const api = await openApi(t);
  const nulls = ['Labels', 'Env', 'Entrypoint', 'Volumes', 'ExposedPorts', 'Healthcheck', 'User', 'NetworkingConfig'];
  const hostNulls = ['Binds', 'PortBindings', 'Links', 'Devices', 'Memory', 'RestartPolicy', 'LogConfig', 'Mounts'];
  const asNull = (names: string[]) => Object.fromEntries(names.map((name) => [name, null]));
  const id = await create(api, ['sh', '-c', 'exit 4'], { ...asNull(nulls), HostConfig: asNull(hostNulls) });
  await start(api, id);
  t.deepEqual((await wait(api, id)).json, { StatusCode: 4 });
});

// Errors

test('podman#28286: of several who take a name at once one gets it, the others 409', async (t) => {
  const api = await openApi(t);
  const body = { Image: 'test', HostConfig: { NetworkMode: 'none' } };
  const asked = Array.from({ length: 8 }, () => judged(api.server, 'POST', '/containers/create?name=one', { body }));
  const statuses = (await Promise.all(asked)).map(({ status }) => status).sort();
  t.deepEqual(statuses, [201, ...Array.from({ length: 7 }, () => 409)]);
});

for (const stream of [0, 1])
  test(`podman#14498: stats of what does not run are zeros, and no error: stream=${stream}`, async (t) => {
    const api = await openApi(t);
    const id = await create(api, ['true']);
    const { head, stream: lines, leave } = await begin(api.server, 'GET', `/containers/${id}/stats?stream=${stream}`);
    t.is(head.status, 200);
    let text = '';
    for await (const chunk of lines) {
      text += String(chunk);
      if (text.includes('\n') || stream === 0) break;
    }
    leave();
    const { cpu_stats: cpu, memory_stats: memory } = JSON.parse(text) as Record<string, Record<string, unknown>>;
    t.deepEqual([(cpu!['cpu_usage'] as Record<string, number>)['total_usage'], memory], [0, {}]);
  });

test('podman#11740: stop of what never ran is 304, of what runs 204, and then 304', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['sleep', '1000']);
  const stop = async () => (await judged(api.server, 'POST', `/containers/${id}/stop?t=0`)).status;
  const before = await stop();
  await start(api, id);
  t.deepEqual([before, await stop(), await stop()], [304, 204, 304]);
});

test('docker-py: what SIGKILL ends runs no more when the kill is answered', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['sleep', '1000']);
  await start(api, id);
  t.is((await judged(api.server, 'POST', `/containers/${id}/kill?signal=SIGKILL`)).status, 204);
  t.is((await inspect(api, id)).State.Status, 'exited');
});

test('docker-py: an image without variables has none, and neither has its container: null, as in Docker', async (t) => {
  const api = await openImageApi(t);
  const body = smallTar('x');
  await judged(api.server, 'POST', '/images/create?fromSrc=-&repo=test', { body, lines: 'CreateImageInfo' });
  t.is((await inspect(api, await create(api, ['x']))).Config.Env, null);
});

// Events

test('podman#10168, #12628, #14993, #16857: a death is `die` with its code, and is found by that word', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['sh', '-c', 'exit 9'], { Labels: { a: 'b' } });
  await start(api, id);
  await wait(api, id);
  await judged(api.server, 'DELETE', `/containers/${id}`);
  const events = async (
    event: string[],
  ): Promise<{ Action: string; Actor: { Attributes: Record<string, string> } }[]> => {
    const query = filters({ event, container: [id], label: ['a=b'] });
    const { lines } = await ask(api.server, 'GET', `/events?since=1&until=${Math.ceil(Date.now() / 1000)}&${query}`);
    return lines.filter((line) => line !== undefined) as never;
  };
  const [died] = await events(['die']);
  t.like(died, { Action: 'die', Actor: { Attributes: { exitCode: '9', image: 'test', a: 'b' } } });
  t.regex(died!.Actor.Attributes['execDuration']!, /^\d+$/);
  t.deepEqual(await events(['died', 'remove']), []);
  t.deepEqual(
    (await events(['start', 'die', 'destroy'])).map(({ Action }) => Action),
    ['start', 'die', 'destroy'],
  );
});

// Stats

test('podman#15754, #24730, #28761: a client can count: two samples, the host’s time with idle, its CPUs', async (t) => {
  const api = await openApi(t);
  const id = await create(api, ['sleep', '1000']);
  await start(api, id);
  const { json } = await judged(api.server, 'GET', `/containers/${id}/stats?stream=0`);
  type Cpu = { system_cpu_usage: number; online_cpus: number };
  const { cpu_stats: now, precpu_stats: before } = json as { cpu_stats: Cpu; precpu_stats: Cpu };
  t.true(now.online_cpus >= 1);
  t.is(before.online_cpus, now.online_cpus);
  // A second between them on every CPU: less than that would be time without idle.
  const passed = (now.system_cpu_usage - before.system_cpu_usage) / 1e9;
  t.true(passed >= 0.5 * now.online_cpus, `${passed} s of ${now.online_cpus} CPUs`);
});

// Versions and names

for (const reported of ['podman#16721', 'vscode-remote-release#10814'])
  test(`${reported}: the version is one of Docker's, in every place where clients look`, async (t) => {
    const api = await openApi(t);
    const version = (await judged(api.server, 'GET', '/version')).json as {
      Version: string;
      Components: { Name: string }[];
    };
    const { headers } = await ask(api.server, 'GET', '/_ping');
    t.regex(version.Version, /^\d{2}\.\d+\.\d+(\+[\w.]+)?$/);
    t.is(version.Components[0]!.Name, 'Engine');
    t.is(headers['server'], `Docker/${version.Version} (linux)`);
  });

for (const version of ['1.24', '1.40', '1.44', '1.51'])
  test(`traefik#12253: a client that speaks ${version} alone is served`, async (t) => {
    const api = await openApi(t);
    t.is((await ask(api.server, 'GET', `/v${version}/containers/json`)).status, 200);
  });

test('podman#15306: an image without a registry has the name that it was given', async (t) => {
  const api = await openImageApi(t);
  const path = '/images/create?fromSrc=-&repo=aaa/hello-world&tag=1.0';
  await judged(api.server, 'POST', path, { body: smallTar('x'), lines: 'CreateImageInfo' });
  const { status, json } = await judged(api.server, 'GET', '/v1.32/images/aaa/hello-world:1.0/json');
  t.is(status, 200);
  t.deepEqual((json as { RepoTags: string[] }).RepoTags, ['aaa/hello-world:1.0']);
  const other = await ask(api.server, 'GET', '/images/localhost/aaa/hello-world:1.0/json');
  t.is(other.status, 404);
});

// Builds

const MADE = { id: `sha256:${'ab'.repeat(32)}`, manifest: undefined, names: [], warnings: [] };
for (const value of ['null', '[]', '{}', ''])
  test(`podman#15928: a build whose lists and maps are ${value === '' ? 'empty' : value} asks for none`, async (t) => {
    const asked: BuildOptions[] = [];
    const build = async (options: BuildOptions) => {
      asked.push(options);
      return MADE;
    };
    await using server = await startServer({ build, images: { find: () => undefined } } as unknown as Partial<Engine>);
    const names = ['buildargs', 'cachefrom', 'labels', 'ulimits'];
    const query = names.map((name) => `${name}=${encodeURIComponent(value)}`).join('&');
    t.is((await ask(server, 'POST', `/v1.40/build?${query}&version=1`)).status, 200);
    t.like(asked[0], { buildArgs: {}, cacheFrom: [], labels: {}, ulimits: [] });
  });

test('podman#17836: buildx, which asks BuildKit whatever the engine says of itself, is answered', async (t) => {
  const api = await openApi(t);
  t.is((await ask(api.server, 'GET', '/_ping')).headers['builder-version'], '2');
  const { head, stream } = await hijack(api.server, '/grpc', { headers: { Upgrade: 'h2c' } });
  t.regex(head, /^HTTP\/1\.1 101 UPGRADED\r\n/);
  stream.destroy();
});

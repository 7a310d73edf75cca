/** What is told of containers over HTTP: lists, logs that are followed, statistics, waits. */
import test from 'ava';
import { createOptions } from '../../../engine/fixture.ts';
import { begin, framesIn, readAll } from '../../fixture.ts';
import { judged } from '../../judged.ts';
import { openApi } from '../open-api.ts';

interface Row {
  Names: string[];
  Ports: unknown[];
  Command: string;
  State: string;
  HostConfig: { NetworkMode: string };
  NetworkSettings: { Networks: Record<string, { NetworkID: string }> };
  Mounts: unknown[];
}

test('rows of a list: all of the fields, none of them null; a limit means those that do not run, too', async (t) => {
  const { engine, server } = await openApi(t);
  for (const name of ['one', 'two', 'three'])
    await engine.create(createOptions({ name, network: 'bridge', command: ['sh', '-c', "echo 'a b'"] }));
  const list = async (query = ''): Promise<Row[]> =>
    (await judged(server, 'GET', `/v1.51/containers/json${query}`)).json as Row[];
  t.deepEqual(await list(), []);
  t.deepEqual(
    (await list('?limit=2')).map(({ Names }) => Names),
    [['/three'], ['/two']],
  );
  const [row] = await list('?all=1&filters={"name":["one"]}');
  t.like(row, { Names: ['/one'], Ports: [], Mounts: [], State: 'created', HostConfig: { NetworkMode: 'bridge' } });
  t.is(row!.Command, `sh -c 'echo 'a b''`);
  const { json } = await judged(server, 'GET', '/v1.51/networks/bridge');
  t.is(row!.NetworkSettings.Networks['bridge']!.NetworkID, (json as { Id: string }).Id);
  t.false('Health' in row!, 'a field of API 1.52');
});

for (const [what, tty, query, expected] of [
  ['frames', false, '', 'one\ntwo\nthree\n'],
  ['raw, of a terminal', true, '', 'one\ntwo\nthree\n'],
  ['the last of it, and what follows', false, '&tail=1&since=1', 'two\nthree\n'],
] as const)
  test(`a log that is followed ends with its container: ${what}`, async (t) => {
    const { engine, server } = await openApi(t);
    const command = ['sh', '-c', 'echo one; echo two; read line; echo three'];
    const { id } = await engine.create(createOptions({ command, tty, interactive: true }));
    await engine.start(id);
    const client = await engine.attach(id, { stdin: true, stdout: false, stderr: false });
    // It has written what is there before the log is asked for.
    for await (const { text } of engine.logs(id, { follow: true })) if (text === 'two\n') break;
    const { head, stream } = await begin(server, 'GET', `/v1.51/containers/${id}/logs?stdout=1&follow=1${query}`);
    t.is(head.headers['content-type'], `application/vnd.docker.${tty ? 'raw' : 'multiplexed'}-stream`);
    client.stdin!.end('go\n');
    const bytes = await readAll(stream);
    t.is(
      tty
        ? bytes.toString()
        : framesIn(bytes)
            .map(([, text]) => text)
            .join(''),
      expected,
    );
  });

test('statistics of one that does not run are zeros (podman#14498), of one that runs two samples (podman#24730)', async (t) => {
  const { engine, server } = await openApi(t);
  const { id } = await engine.create(createOptions({ name: 'web', command: ['sleep', '1000'] }));
  const stats = async () =>
    (await judged(server, 'GET', '/v1.51/containers/web/stats?stream=0')).json as {
      id: string;
      name: string;
      read: string;
      preread: string;
      cpu_stats: { system_cpu_usage?: number; online_cpus?: number; cpu_usage: { total_usage: number } };
      precpu_stats: { system_cpu_usage?: number };
      pids_stats: object;
      memory_stats: object;
    };
  const resting = await stats();
  t.like(resting, { id, name: '/web', read: '0001-01-01T00:00:00Z', pids_stats: {}, memory_stats: {} });
  t.is(resting.cpu_stats.cpu_usage.total_usage, 0);
  await engine.start(id);
  const running = await stats();
  t.true(running.precpu_stats.system_cpu_usage! > 0);
  t.true(running.cpu_stats.system_cpu_usage! > running.precpu_stats.system_cpu_usage!);
  t.true(running.cpu_stats.online_cpus! > 0);
  t.true(Date.parse(running.read) > Date.parse(running.preread));
});

test('top is lists of texts (podman#23981); nobody has changed anything is null', async (t) => {
  const { engine, server } = await openApi(t);
  const { id } = await engine.create(createOptions({ command: ['sleep', '1000'] }));
  await engine.start(id);
  const { json } = await judged(server, 'GET', `/v1.51/containers/${id}/top?ps_args=-o+pid,cmd`);
  const { Titles, Processes } = json as { Titles: string[]; Processes: string[][] };
  t.deepEqual(Titles, ['PID', 'CMD']);
  t.true(Processes.every((row) => row.length === Titles.length && row.every((text) => typeof text === 'string')));
});

for (const condition of ['next-exit', 'removed', 'not-running'] as const)
  test(`wait until ${condition} has the code of one that is gone when it is told`, async (t) => {
    const { engine, server } = await openApi(t);
    const { id } = await engine.create(createOptions({ command: ['sh', '-c', 'exit 7'], autoRemove: true }));
    if (condition === 'not-running') {
      const { json } = await judged(server, 'POST', `/v1.51/containers/${id}/wait`);
      t.deepEqual(json, { StatusCode: 0 }, 'it does not run');
      return;
    }
    const { stream } = await begin(server, 'POST', `/v1.51/containers/${id}/wait?condition=${condition}`);
    t.is((await judged(server, 'POST', `/v1.51/containers/${id}/start`)).status, 204);
    t.deepEqual(JSON.parse((await readAll(stream)).toString()), { StatusCode: 7 });
    const gone = await judged(server, 'POST', `/v1.51/containers/${id}/wait`);
    if (condition === 'removed') t.is(gone.status, 404);
  });

/** Commands in containers over HTTP: their streams, their codes, and what cannot be done with them. */
import { once } from 'node:events';
import test from 'ava';
import { createOptions } from '../../../engine/fixture.ts';
import { ask, framesIn, hijack, readAll, type TestServer } from '../../fixture.ts';
import { judged } from '../../judged.ts';
import { judge } from '../../schema.ts';
import { openApi } from '../open-api.ts';

interface Exec {
  ID: string;
  Running: boolean;
  ExitCode: number | null;
  ContainerID: string;
  OpenStdin: boolean;
}

/** Docker's code is null before the end, where the schema has a number alone. */
async function inspect(server: TestServer, id: string): Promise<Exec> {
  const { status, json } = await ask(server, 'GET', `/v1.51/exec/${id}/json`);
  const { ExitCode, ...shown } = json as Exec;
  judge('GET', `/exec/${id}/json`, status, { ...shown, ...(ExitCode !== null && { ExitCode }) });
  return json as Exec;
}

/** A server with a container that runs, and makes commands in it. */
async function openExecs(t: Parameters<typeof openApi>[0]) {
  const { engine, server } = await openApi(t);
  const { id } = await engine.create(createOptions({ name: 'web', command: ['sleep', '1000'] }));
  await engine.start(id);
  const make = async (command: string, body: object = {}): Promise<string> => {
    const asked = { AttachStdout: true, AttachStderr: true, Cmd: ['sh', '-c', command], ...body };
    const reply = await judged(server, 'POST', '/v1.51/containers/web/exec', { body: asked });
    if (reply.status !== 201) throw new Error(`${reply.status} ${reply.text}`);
    return (reply.json as { Id: string }).Id;
  };
  const start = (exec: string, body: object = { Detach: false, Tty: false }, version = '1.51') =>
    hijack(server, `/v${version}/exec/${exec}/start`, { body });
  return { engine, server, id, make, start };
}

test('both outputs in frames, and the code afterwards', async (t) => {
  const { server, id, make, start } = await openExecs(t);
  const exec = await make('echo out; echo err >&2; exit 3');
  t.like(await inspect(server, exec), { Running: false, ExitCode: null, ContainerID: id, OpenStdin: false });
  const { head, stream } = await start(exec);
  t.regex(head, /^HTTP\/1\.1 101 UPGRADED\r\n/);
  t.regex(head, /\r\nContent-Type: application\/vnd\.docker\.multiplexed-stream\r\n/);
  t.deepEqual(framesIn(await readAll(stream)).toSorted(), [
    [1, 'out\n'],
    [2, 'err\n'],
  ]);
  t.like(await inspect(server, exec), { Running: false, ExitCode: 3 });
});

test('the type of the stream: raw with a terminal, and before API 1.42', async (t) => {
  const { make, start } = await openExecs(t);
  const raw = /\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\n/;
  const terminal = await start(await make('echo hello', { Tty: true }), { Tty: true });
  t.regex(terminal.head, raw);
  t.is((await readAll(terminal.stream)).toString(), 'hello\n');
  const old = await start(await make('echo hello'), {}, '1.41');
  t.regex(old.head, raw);
  t.deepEqual(framesIn(await readAll(old.stream)), [[1, 'hello\n']]);
});

test('only the output that was asked for', async (t) => {
  const { make, start } = await openExecs(t);
  const { stream } = await start(await make('echo out; echo err >&2', { AttachStdout: false }));
  t.deepEqual(framesIn(await readAll(stream)), [[2, 'err\n']]);
});

test("stdin right behind the options is the command's, and its end is end-of-file", async (t) => {
  const { make, start } = await openExecs(t);
  const { stream } = await start(await make('cat', { AttachStdin: true }));
  stream.end('typed');
  t.deepEqual(framesIn(await readAll(stream)), [[1, 'typed']]);
});

test('a client that is not to have stdin closes its side, and that is no disconnect', async (t) => {
  const { server, make, start } = await openExecs(t);
  const exec = await make('read line; echo "$?"; exit 4');
  const { stream } = await start(exec);
  stream.end();
  t.deepEqual(framesIn(await readAll(stream)), [[1, '1\n']]);
  t.is((await inspect(server, exec)).ExitCode, 4);
});

test('the keys to leave a terminal by: the command goes on', async (t) => {
  const { server, make, start } = await openExecs(t);
  const exec = await make('echo up; sleep 1000', { Tty: true, AttachStdin: true, DetachKeys: 'ctrl-x,q' });
  const { stream } = await start(exec, { Tty: true });
  await once(stream, 'readable');
  stream.write('\x18q');
  t.is((await readAll(stream)).toString(), 'up\n');
  t.true((await inspect(server, exec)).Running);
});

test('detached: 200 when it runs, without a stream', async (t) => {
  const { server, make } = await openExecs(t);
  const exec = await make('exec sleep 1000');
  const reply = await judged(server, 'POST', `/v1.51/exec/${exec}/start`, { body: { Detach: true } });
  t.deepEqual([reply.status, reply.text], [200, '']);
  t.true((await inspect(server, exec)).Running);
  const { json } = await ask(server, 'GET', '/v1.51/containers/web/json');
  t.deepEqual((json as { ExecIDs: string[] }).ExecIDs, [exec]);
});

for (const [what, command, code] of [
  ['is not there', 'nosuchcommand', 127],
  ['may not be executed', '/etc/passwd', 126],
] as const)
  test(`a command that ${what}: the stream says so, and the code is ${code}`, async (t) => {
    const { server, make, start } = await openExecs(t);
    const exec = await make('', { Cmd: [command] });
    const { head, stream } = await start(exec);
    t.regex(head, /^HTTP\/1\.1 101 UPGRADED\r\n/);
    const [[output, text] = []] = framesIn(await readAll(stream));
    t.is(output, 1);
    t.regex(text!, new RegExp(`exec: "${command}": .*\r\n$`));
    t.like(await inspect(server, exec), { Running: false, ExitCode: code });
  });

test('what cannot be done has its status', async (t) => {
  const { engine, server, id, make } = await openExecs(t);
  const { id: created } = await engine.create(createOptions({ name: 'created', command: ['x'] }));
  const exec = await make('exec sleep 1000');
  await judged(server, 'POST', `/exec/${exec}/start`, { body: { Detach: true } });
  const ended = await make('true');
  const { stream } = await hijack(server, `/exec/${ended}/start`, { body: {} });
  await readAll(stream);
  const body = { Cmd: ['true'] };
  const cases: [method: string, path: string, body: object, status: number, message: RegExp][] = [
    ['POST', '/containers/nosuch/exec', body, 404, /^No such container: nosuch$/],
    ['POST', '/containers/created/exec', body, 409, new RegExp(`^container ${created} is not running`)],
    ['POST', '/containers/web/exec', {}, 400, /^No exec command specified$/],
    ['POST', '/exec/nosuch/start', {}, 404, /^No such exec instance: nosuch$/],
    ['POST', `/exec/${exec}/start`, {}, 409, /already running|has already/],
    ['POST', `/exec/${exec}/start`, { Detach: true }, 409, /already running|has already/],
    ['POST', `/exec/${ended}/start`, {}, 409, /has already run|already/],
    ['POST', `/exec/${exec}/resize?h=24&w=70000`, {}, 400, /width "70000"/],
    ['POST', '/exec/nosuch/resize?h=24&w=80', {}, 404, /^No such exec instance: nosuch$/],
    ['GET', '/exec/nosuch/json', {}, 404, /^No such exec instance: nosuch$/],
  ];
  for (const [method, path, asked, status, message] of cases) {
    const reply = await judged(server, method, `/v1.51${path}`, method === 'GET' ? {} : { body: asked });
    t.is(reply.status, status, `${path}: ${reply.text}`);
    t.regex((reply.json as { message: string }).message, message);
  }
  await engine.pause(id);
  const paused = await judged(server, 'POST', '/v1.51/containers/web/exec', { body });
  t.is(paused.status, 409);
  t.regex((paused.json as { message: string }).message, /is paused, unpause the container before exec/);
  await engine.unpause(id);
});

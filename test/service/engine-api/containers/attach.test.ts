/** Attach over HTTP, with an engine that is made of streams: who sees what, in which order, and who ends whom. */
import { PassThrough } from 'node:stream';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import type { Attachment, Engine } from '../../../../src/engine/contract.ts';
import { HuskError } from '../../../../src/errors.ts';
import { containerRoutes } from '../../../../src/service/engine-api/containers.ts';
import { ask, framesIn, hijack, readAll, startServer, type TestServer } from '../../fixture.ts';

const ID = 'c'.repeat(64);

interface Fake {
  engine: Partial<Engine>;
  /** the container's side of its streams */
  stdin: PassThrough;
  stdout: PassThrough;
  stderr: PassThrough;
  state: { status: string };
  /** what was asked of the engine, in order */
  calls: string[];
  detached: Promise<void>;
  /** somebody else has started it, or it cannot be started any more */
  startedElsewhere: (isStarted: boolean) => void;
  /** the client's place at the start was given up */
  released: Promise<void>;
}

function fake({ tty = false, stdinOnce = true, status = 'created', failing = '' } = {}): Fake {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const state = { status };
  const calls: string[] = [];
  const detached = Promise.withResolvers<void>();
  const started = Promise.withResolvers<boolean>();
  const released = Promise.withResolvers<void>();
  const container = { id: ID, name: 'web', state, config: { options: { tty, stdinOnce, interactive: true } } };
  const attachment = {
    stdin,
    stdout,
    stderr,
    exited: new Promise(() => {}),
    detach: () => {
      stdout.push(null);
      stderr.push(null);
      detached.resolve();
    },
  } as unknown as Attachment;
  const engine = {
    get(name: string) {
      if (name !== 'web' && name !== ID) throw new HuskError(`No such container: ${name}`, { kind: 'not-found' });
      return container;
    },
    execInspect() {
      throw new HuskError('No such exec instance', { kind: 'not-found' });
    },
    async start(_id: string, options: { attach?: object } = {}) {
      calls.push(`start ${JSON.stringify(options.attach ?? null)}`);
      if (failing !== '') throw new HuskError(failing, { kind: 'start-failed' });
      state.status = 'running';
      return options.attach && attachment;
    },
    async attach(_id: string, { stdin: input, stdout: out, stderr: err, awaited }: Record<string, boolean>) {
      calls.push(`attach ${JSON.stringify({ stdin: input, stdout: out, stderr: err, awaited })}`);
      return attachment;
    },
    awaitStart: async () => ({
      token: 'place',
      started: () => started.promise,
      release: async () => released.resolve(),
    }),
    async *logBatches() {
      yield [
        { time: '2026-01-02T03:04:05Z', stream: 'stdout', text: 'old\n' },
        { time: '2026-01-02T03:04:05Z', stream: 'stderr', text: 'older\n' },
      ];
    },
  } as unknown as Partial<Engine>;
  return {
    engine,
    stdin,
    stdout,
    stderr,
    state,
    calls,
    detached: detached.promise,
    startedElsewhere: started.resolve,
    released: released.promise,
  };
}

async function served(t: ExecutionContext, fakes: Fake): Promise<TestServer> {
  const server = await startServer(fakes.engine, containerRoutes);
  t.teardown(async () => {
    await server[Symbol.asyncDispose]();
    if (server.bugs.length > 0) throw server.bugs[0];
  });
  return server;
}

const ALL = '/v1.44/containers/web/attach?stream=1&stdin=1&stdout=1&stderr=1';
const OUTPUTS = '/v1.44/containers/web/attach?stream=1&stdout=1&stderr=1';

test('attach goes before start, and start takes it along', async (t) => {
  const it = fake();
  const server = await served(t, it);
  const { head, stream } = await hijack(server, ALL);
  t.regex(head, /^HTTP\/1.1 101 UPGRADED/);
  t.regex(head, /application\/vnd\.docker\.multiplexed-stream/);
  stream.write('typed before the start');
  t.deepEqual(it.calls, []);
  t.is((await ask(server, 'POST', '/containers/web/start')).status, 204);
  t.deepEqual(it.calls, ['start {"stdin":true,"stdout":true,"stderr":true,"awaited":["place"]}']);
  const [typed] = (await once(it.stdin, 'data')) as [Buffer];
  t.is(String(typed), 'typed before the start');
  it.stdout.end('out');
  it.stderr.end('err');
  t.deepEqual(framesIn(await readAll(stream)).toSorted(), [
    [1, 'out'],
    [2, 'err'],
  ]);
});

test('several that wait share one attachment, each with what it asked for', async (t) => {
  const it = fake();
  const server = await served(t, it);
  const both = await hijack(server, OUTPUTS);
  const one = await hijack(server, '/v1.44/containers/web/attach?stream=1&stderr=1');
  await ask(server, 'POST', '/containers/web/start');
  t.deepEqual(it.calls, ['start {"stdin":false,"stdout":true,"stderr":true,"awaited":["place","place"]}']);
  it.stdout.end('out');
  it.stderr.end('err');
  t.is(framesIn(await readAll(both.stream)).length, 2);
  t.deepEqual(framesIn(await readAll(one.stream)), [[2, 'err']]);
});

test('a start that fails has a status, and ends those who wait', async (t) => {
  const it = fake({ failing: 'exec: "nocmd": executable file not found in $PATH' });
  const server = await served(t, it);
  const { stream } = await hijack(server, OUTPUTS);
  const { status, json } = await ask(server, 'POST', '/containers/web/start');
  t.is(status, 400);
  t.deepEqual(json, { message: 'exec: "nocmd": executable file not found in $PATH' });
  t.is((await readAll(stream)).length, 0);
});

test('one that somebody else starts is joined', async (t) => {
  const it = fake();
  const server = await served(t, it);
  const { stream } = await hijack(server, OUTPUTS);
  it.startedElsewhere(true);
  it.stdout.end('out');
  it.stderr.end();
  t.deepEqual(framesIn(await readAll(stream)), [[1, 'out']]);
  t.deepEqual(it.calls, ['attach {"stdin":false,"stdout":true,"stderr":true,"awaited":["place"]}']);
});

test('one that is removed before it is started ends the wait', async (t) => {
  const it = fake();
  const { stream } = await hijack(await served(t, it), OUTPUTS);
  it.startedElsewhere(false);
  t.is((await readAll(stream)).length, 0);
  await it.released;
});

test('a client that has left while it waited is not taken along', async (t) => {
  const it = fake();
  const server = await served(t, it);
  const { stream } = await hijack(server, OUTPUTS);
  stream.destroy();
  await it.released;
  t.is((await ask(server, 'POST', '/containers/web/start')).status, 204);
  t.deepEqual(it.calls, ['start null']);
});

test('a half-close is no disconnect, and ends the stdin that is once', async (t) => {
  const it = fake({ status: 'running' });
  const { stream } = await hijack(await served(t, it), ALL);
  stream.end('all of it');
  t.is((await readAll(it.stdin)).toString(), 'all of it');
  it.stdout.end('answer');
  it.stderr.end();
  t.deepEqual(framesIn(await readAll(stream)), [[1, 'answer']]);
});

test('a terminal has no frames, and its keys leave it', async (t) => {
  const it = fake({ status: 'running', tty: true });
  const { head, stream } = await hijack(await served(t, it), `${ALL}&detachKeys=ctrl-a,x`);
  t.regex(head, /application\/vnd\.docker\.raw-stream/);
  it.stdout.write('prompt');
  t.is(String((await once(stream, 'data'))[0]), 'prompt');
  stream.write('a\x01x');
  await it.detached;
  t.is(String(it.stdin.read()), 'a');
  t.is((await readAll(stream)).length, 0);
});

test('without a terminal the keys are bytes', async (t) => {
  const it = fake({ status: 'running' });
  const { stream } = await hijack(await served(t, it), ALL);
  stream.end('\x10\x11');
  t.is((await readAll(it.stdin)).toString(), '\x10\x11');
});

test('the log comes first; without stream it is all', async (t) => {
  const it = fake();
  const { stream } = await hijack(await served(t, it), '/v1.44/containers/web/attach?logs=1&stdout=1&stderr=1');
  t.deepEqual(framesIn(await readAll(stream)), [
    [1, 'old\n'],
    [2, 'older\n'],
  ]);
  t.deepEqual(it.calls, []);
});

test('old versions are not told of frames', async (t) => {
  const it = fake({ status: 'running' });
  const { head } = await hijack(await served(t, it), '/v1.41/containers/web/attach?stream=1&stdout=1');
  t.regex(head, /application\/vnd\.docker\.raw-stream/);
});

const REFUSED: [status: string, path: string, code: number, message: RegExp][] = [
  ['created', '/containers/nosuch/attach?stream=1', 404, /^No such container: nosuch$/],
  ['paused', '/containers/web/attach?stream=1', 409, /is paused, unpause the container before attach/],
  ['restarting', '/containers/web/attach?stream=1', 409, /is restarting, wait until/],
  ['running', '/containers/web/attach?stream=1&detachKeys=nokey', 400, /invalid detach keys/],
];
for (const [status, path, code, message] of REFUSED)
  test(`refused with ${code}: ${status} ${path}`, async (t) => {
    const it = fake({ status });
    const answer = await ask(await served(t, it), 'POST', path, { headers: { Connection: 'Upgrade', Upgrade: 'tcp' } });
    t.is(answer.status, code);
    t.regex((answer.json as { message: string }).message, message);
  });

test('a request that is no WebSocket handshake is refused', async (t) => {
  const it = fake({ status: 'running' });
  const { status } = await ask(await served(t, it), 'GET', '/containers/web/attach/ws?stream=1');
  t.is(status, 400);
});

/** Statuses and answers of the containers family, with as much of an engine as each needs. */
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import type { ContainerExit, Engine } from '../../../../src/engine/contract.ts';
import { HuskError, type ErrorKind } from '../../../../src/errors.ts';
import { containerRoutes } from '../../../../src/service/engine-api/containers.ts';
import { ask, begin, framesIn, startServer, type TestServer } from '../../fixture.ts';

const ID = 'c'.repeat(64);
const failing = (message: string, kind: ErrorKind) => (): never => {
  throw new HuskError(message, { kind });
};

async function served(t: ExecutionContext, engine: object, status = 'running', tty = false): Promise<TestServer> {
  const container = { id: ID, name: 'web', state: { status }, config: { options: { tty } } };
  const get = (name: string) =>
    name === 'web' || name === ID ? container : failing(`No such container: ${name}`, 'not-found')();
  const server = await startServer({ get, ...engine } as unknown as Partial<Engine>, containerRoutes);
  t.teardown(async () => {
    await server[Symbol.asyncDispose]();
    if (server.bugs.length > 0) throw server.bugs[0];
  });
  return server;
}

const none = async (): Promise<void> => {};
const STATUSES: [
  name: string,
  status: string,
  engine: object,
  method: string,
  path: string,
  expected: number,
  body?: RegExp,
][] = [
  ['start of a created one', 'created', { start: none }, 'POST', 'start', 204],
  ['start of a running one', 'running', {}, 'POST', 'start', 304],
  ['a start that fails', 'created', { start: failing('no luck', 'start-failed') }, 'POST', 'start', 400, /no luck/],
  ['stop of a created one', 'created', {}, 'POST', 'stop', 304],
  ['stop of an exited one', 'exited', {}, 'POST', 'stop?t=1', 304],
  ['stop of a paused one', 'paused', { stop: none }, 'POST', 'stop', 204],
  ['restart of an exited one', 'exited', { restart: none }, 'POST', 'restart?t=1&signal=HUP', 204],
  [
    'kill with a signal that is none',
    'running',
    { kill: failing('invalid signal: NOPE', 'invalid') },
    'POST',
    'kill?signal=NOPE',
    400,
    /^cannot kill container: web: invalid signal: NOPE$/,
  ],
  ['kill of one that has ended', 'exited', { kill: failing('is not running', 'conflict') }, 'POST', 'kill', 409],
  ['unpause of a running one', 'running', {}, 'POST', 'unpause', 500, /^Container c{64} is not paused$/],
  ['unpause of a paused one', 'paused', { unpause: none }, 'POST', 'unpause', 204],
  ['rename without a name', 'running', {}, 'POST', 'rename', 400],
  ['resize', 'running', { resize: none }, 'POST', 'resize?h=24&w=80', 200],
  ['resize beyond what a terminal has', 'running', {}, 'POST', 'resize?h=65536&w=80', 400, /height "65536"/],
  ['a condition that is none', 'running', {}, 'POST', 'wait?condition=bad', 400, /^invalid condition: "bad"$/],
  [
    'a log of neither output',
    'running',
    {},
    'GET',
    'logs',
    400,
    /^Bad parameters: you must choose at least one stream$/,
  ],
  ['removal of one that runs', 'running', { remove: failing('container is running', 'conflict') }, 'DELETE', '', 409],
  ['removal of a link', 'running', {}, 'DELETE', '?link=1', 400],
  ['archive without a path', 'running', {}, 'GET', 'archive', 400],
];
for (const [name, status, engine, method, path, expected, body] of STATUSES)
  test(`${expected}: ${name}`, async (t) => {
    const target = `/v1.45/containers/web${path.startsWith('?') || path === '' ? path : `/${path}`}`;
    const answer = await ask(await served(t, engine, status), method, target);
    t.is(answer.status, expected);
    if (body) t.regex((answer.json as { message: string }).message, body);
  });

for (const path of [
  'start',
  'stop',
  'restart',
  'kill',
  'pause',
  'unpause',
  'rename?name=x',
  'resize?h=1&w=1',
  'wait',
  'update',
])
  test(`404: ${path} of nobody`, async (t) => {
    const engine = {
      pause: failing('No such container: nosuch', 'not-found'),
      resize: failing('No such container: nosuch', 'not-found'),
    };
    const { status, json } = await ask(await served(t, engine), 'POST', `/containers/nosuch/${path}`);
    t.is(status, 404);
    t.deepEqual(json, { message: 'No such container: nosuch' });
  });

test('wait has its head at once, and its code when there is one', async (t) => {
  const exit = Promise.withResolvers<ContainerExit>();
  const asked: unknown[] = [];
  const server = await served(t, {
    wait: (id: string, { condition }: { condition: string }) => {
      asked.push([id, condition]);
      return exit.promise;
    },
  });
  const { head, stream } = await begin(server, 'POST', '/v1.45/containers/web/wait?condition=next-exit');
  t.is(head.status, 200);
  t.deepEqual(asked, [[ID, 'next-exit']], 'it waits before the head is sent');
  exit.resolve({ code: 7 });
  t.deepEqual(JSON.parse(String((await once(stream, 'data'))[0])), { StatusCode: 7 });
});

for (const [code, error] of [
  [127, 'executable file not found'],
  [128, 'port is already allocated'],
] as const)
  test(`wait leaves it to start why there was no start: ${error}`, async (t) => {
    const server = await served(t, { wait: async () => ({ code, error }) });
    t.deepEqual((await ask(server, 'POST', '/containers/web/wait')).json, { StatusCode: code });
  });

test('a wait whose client goes away is ended', async (t) => {
  const ended = Promise.withResolvers<void>();
  const server = await served(t, {
    wait: (_id: string, { signal }: { signal: AbortSignal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('aborted'));
          ended.resolve();
        });
      }),
  });
  const { leave, stream } = await begin(server, 'POST', '/containers/web/wait');
  stream.on('error', () => {});
  leave();
  await t.notThrowsAsync(ended.promise);
});

const LINES = [
  { time: '2026-01-02T03:04:05.5Z', stream: 'stdout', text: 'out\n' },
  { time: '2026-01-02T03:04:06Z', stream: 'stderr', text: 'err\n' },
];
function logging(asked: unknown[] = []): object {
  return {
    async *logs() {
      // asked alone whether there is one
    },
    async *logBatches(_id: string, { signal: _signal, ...options }: Record<string, unknown>) {
      asked.push(options);
      yield LINES;
    },
  };
}

test('a log is in frames', async (t) => {
  const { body, headers } = await ask(await served(t, logging()), 'GET', '/containers/web/logs?stdout=1&stderr=1');
  t.deepEqual(framesIn(body), [
    [1, 'out\n'],
    [2, 'err\n'],
  ]);
  t.is(headers['content-type'], 'application/vnd.docker.multiplexed-stream');
});

test('a log of a terminal is not', async (t) => {
  const server = await served(t, logging(), 'running', true);
  const { text, headers } = await ask(server, 'GET', '/containers/web/logs?stdout=1&stderr=1&timestamps=1');
  t.is(text, '2026-01-02T03:04:05.500000000Z out\n2026-01-02T03:04:06.000000000Z err\n');
  t.is(headers['content-type'], 'application/vnd.docker.raw-stream');
});

test('one output of it', async (t) => {
  const { body } = await ask(await served(t, logging()), 'GET', '/containers/web/logs?stderr=1');
  t.deepEqual(framesIn(body), [[2, 'err\n']]);
});

for (const [tail, expected] of [
  ['all', undefined],
  ['-1', undefined],
  ['x', undefined],
  ['3', 3],
  ['0', 0],
] as const)
  test(`tail=${tail}`, async (t) => {
    const asked: { tail?: number }[] = [];
    await ask(await served(t, logging(asked)), 'GET', `/containers/web/logs?stdout=1&tail=${tail}`);
    t.is(asked.at(-1)!.tail, expected);
  });

test('a log that cannot be read has a status', async (t) => {
  const logs = failing('configured logging driver does not support reading', 'unsupported');
  t.is((await ask(await served(t, { logs }), 'GET', '/containers/web/logs?stdout=1&follow=1')).status, 400);
});

const CREATES: [error: string, status: number][] = [
  ['No such image: x:latest', 404],
  ['image with reference x was found but does not provide the specified platform (linux/arm)', 404],
  ['network nosuch not found', 400],
  ['No such container: nosuch', 400],
];
for (const [error, status] of CREATES)
  test(`create: ${status} for ${error}`, async (t) => {
    const server = await served(t, { create: failing(error, 'not-found') });
    t.is((await ask(server, 'POST', '/containers/create', { body: { Image: 'x' } })).status, status);
  });

test('create answers with lists, never null', async (t) => {
  const server = await served(t, { create: async () => ({ id: ID, warnings: [] }) });
  const { status, json } = await ask(server, 'POST', '/containers/create', { body: { Image: 'x' } });
  t.is(status, 201);
  t.deepEqual(json, { Id: ID, Warnings: [] });
});

/** Connections that stop being HTTP: the body before the stream, both ends, and clients that do it wrong. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import type { Call, Hijacked, Route } from '../../../src/service/http/contract.ts';
import { cutBody } from '../../../src/service/http/hijack.ts';
import { STDOUT, StreamWriter } from '../../../src/service/http/multiplex.ts';
import { ask, dial, hijack, readAll, readHead, startServer } from '../fixture.ts';

const RAW = 'application/vnd.docker.raw-stream';

/** A route whose stream is `use`'s. */
const route = (use: (hijacked: Hijacked, call: Call) => Promise<void>, path = '/x/{id}'): Route => ({
  method: 'POST',
  path,
  hijacks: true,
  handler: async (call) => ({ kind: 'hijack', type: RAW, take: (begin) => use(begin(), call) }),
});
/** Says back what it hears, and `.` at the end of it. */
const echo = route(async ({ stream }, { body }) => {
  const options = await body.json();
  if (options !== undefined) stream.write(JSON.stringify(options));
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) stream.write(chunk);
  stream.write('.');
});
const plain: Route = { method: 'POST', path: '/plain', handler: () => ({ kind: 'text', status: 200, text: 'plain' }) };

test("the head of an upgrade has Docker's line and headers", async (t) => {
  await using server = await startServer({}, [echo]);
  const { head, stream } = await hijack(server, '/v1.44/x/1');
  t.regex(
    head,
    /^HTTP\/1\.1 101 UPGRADED\r\nApi-Version: 1\.51\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker\/\S+ \(linux\)\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp$/,
  );
  stream.end();
  t.is((await readAll(stream)).toString(), '.');
});

test('without upgrade headers: 200, and bytes up to the close', async (t) => {
  await using server = await startServer({}, [echo]);
  const { head, stream } = await hijack(server, '/x/1', { upgrade: false, body: { a: 1 } });
  t.regex(head, /^HTTP\/1\.1 200 OK\r\n/);
  t.notRegex(head, /content-length|transfer-encoding|upgrade:/i);
  t.regex(head, /\r\nConnection: close$/);
  stream.end('stdin');
  t.is((await readAll(stream)).toString(), '{"a":1}stdin.');
});

for (const [what, headers, expected] of [
  ['h2c', { Upgrade: 'h2c' }, /^HTTP\/1\.1 101 UPGRADED\r\n[\s\S]*Upgrade: h2c$/],
  ['several words', { Connection: 'keep-alive, Upgrade' }, /101 UPGRADED/],
  ['an Upgrade that Connection does not name', { Connection: 'close' }, /200 OK/],
  ['no token', { Upgrade: 'a b' }, /200 OK/],
] as const)
  test(`upgrade: ${what}`, async (t) => {
    await using server = await startServer({}, [echo]);
    const { head, stream } = await hijack(server, '/x/1', { headers });
    t.regex(head, expected);
    stream.end();
    await readAll(stream);
  });

test('headers of the answer, and no type where the protocol has none', async (t) => {
  const socket: Route = {
    ...echo,
    handler: async () => ({
      kind: 'hijack',
      headers: { 'Sec-WebSocket-Accept': 'x=' },
      async take(begin) {
        begin();
      },
    }),
  };
  await using server = await startServer({}, [socket]);
  const { head } = await hijack(server, '/x/1', { headers: { Upgrade: 'websocket' } });
  t.regex(head, /\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x=$/);
  t.notRegex(head, /Content-Type/);
});

/** A connection that brings its bytes in the given parts, each of them only when the former has been read. */
function partsOf(parts: readonly string[]): Duplex {
  const waiting = [...parts];
  return new Duplex({
    read() {
      setImmediate(() => {
        const part = waiting.shift();
        if (part !== '') this.push(part ?? null);
        else this._read(0);
      });
    },
    write: (_chunk, _encoding, done) => done(),
  });
}

const asked = (headers: Record<string, string>) => ({ headers }) as unknown as IncomingMessage;
const OPTIONS = '{"Detach":false,"Tty":false}';
const CHUNKED = `${OPTIONS.length.toString(16)}\r\n${OPTIONS}\r\n0\r\n\r\n`;
for (const [what, headers, sent] of [
  ['a length', { 'content-length': String(OPTIONS.length) }, OPTIONS],
  ['chunks', { 'transfer-encoding': 'chunked' }, CHUNKED],
] as const)
  test(`options and stdin behind them, split at every byte: ${what} (dockerode#714, #777)`, async (t) => {
    const all = `${sent}stdin`;
    for (let at = 0; at <= all.length; at++)
      for (const [head, parts] of [
        ['', [all.slice(0, at), all.slice(at)]],
        [all.slice(0, at), [all.slice(at)]],
      ] as const) {
        const connection = partsOf(parts);
        const body = await cutBody(asked(headers), connection, Buffer.from(head));
        t.is((await readAll(body)).toString(), OPTIONS, `split at ${at}`);
        t.is((await readAll(connection)).toString(), 'stdin', `split at ${at}`);
      }
  });

for (const [what, headers, parts, message] of [
  ['a body that ends early', { 'content-length': '10' }, ['short'], /^unexpected EOF/],
  ['a body that is too large', { 'content-length': '8388609' }, ['x'], /larger than 8 MiB/],
  ['another coding', { 'transfer-encoding': 'gzip, chunked' }, ['x'], /^unsupported transfer encoding/],
  ['no chunks', { 'transfer-encoding': 'chunked' }, ['GET / HTTP/1.1\r\n'], /^malformed chunked/],
] as const)
  test(`refused: ${what}`, (t) =>
    t.throwsAsync(cutBody(asked(headers), partsOf(parts), Buffer.alloc(0)), { name: 'HuskError', message }));

test('a broken body is an answer, and the handler is not called', async (t) => {
  let called = false;
  const never: Route = { ...echo, handler: () => ((called = true), { kind: 'empty', status: 200 }) };
  await using server = await startServer({}, [never]);
  const connection = await dial(server);
  connection.end('POST /x/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{}');
  t.regex((await readAll(connection)).toString(), /^HTTP\/1\.1 400 [\s\S]*unexpected EOF/);
  t.false(called);
});

test("the client's half-close is no disconnect (2 ms after the head: docker run without stdin)", async (t) => {
  const ended = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  await using server = await startServer({}, [
    route(async ({ stream, signal }) => {
      stream.resume().once('end', ended.resolve);
      await go.promise;
      stream.write(signal.aborted ? 'gone' : 'late');
    }),
  ]);
  const { stream } = await hijack(server, '/x/1');
  stream.end();
  await ended.promise;
  go.resolve();
  t.is((await readAll(stream)).toString(), 'late');
});

test("the server's end reaches a client that keeps its own side open, and so does every byte", async (t) => {
  const big = Buffer.alloc(3 << 20, 'x');
  await using server = await startServer({}, [
    route(async ({ stream, signal }) => {
      await new StreamWriter(stream, { multiplexed: false, signal }).write(STDOUT, big);
    }),
  ]);
  const { stream } = await hijack(server, '/x/1');
  // stdin that nobody reads must not cut the output off
  stream.write(Buffer.alloc(500_000));
  t.is((await readAll(stream)).length, big.length);
  stream.end();
  await once(stream, 'close');
});

for (const reads of [true, false])
  test(`a client that goes away is noticed, by a handler that reads: ${reads}`, async (t) => {
    const begun = Promise.withResolvers<AbortSignal>();
    const told = Promise.withResolvers<void>();
    await using server = await startServer({}, [
      route(async ({ stream, signal }) => {
        if (reads) stream.resume();
        signal.addEventListener('abort', () => told.resolve());
        begun.resolve(signal);
        await told.promise;
      }),
    ]);
    const { stream } = await hijack(server, '/x/1');
    t.false((await begun.promise).aborted);
    stream.destroy();
    await told.promise;
    t.deepEqual(server.bugs, []);
  });

const REFUSING: [what: string, take: (begin: () => Hijacked) => Promise<void>, status: number, bugs: number][] = [
  ['rejects', () => Promise.reject(new HuskError('container X is not running', { kind: 'conflict' })), 409, 0],
  [
    'throws',
    () => {
      throw new HuskError('No such exec instance: nope', { kind: 'not-found' });
    },
    404,
    0,
  ],
  ['has a bug', () => Promise.reject(new TypeError('oops')), 500, 1],
  ['does not begin', async () => {}, 500, 1],
];
for (const [what, take, status, bugs] of REFUSING)
  test(`an error before the stream has its status: a handler that ${what}`, async (t) => {
    await using server = await startServer({}, [
      { ...echo, handler: async () => ({ kind: 'hijack', type: RAW, take }) },
    ]);
    const { head, stream } = await hijack(server, '/x/1');
    t.regex(head, new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*\r\nContent-Type: application/json\r\n`));
    t.regex((await readAll(stream)).toString(), /^\{"message":".+"\}\n$/);
    t.is(server.bugs.length, bugs);
    stream.end();
  });

test('an error behind the head ends the stream', async (t) => {
  await using server = await startServer({}, [
    route(async ({ stream }) => {
      stream.write('half');
      throw new HuskError('the container has gone', { kind: 'not-found' });
    }),
  ]);
  const { head, stream } = await hijack(server, '/x/1');
  t.regex(head, /101 UPGRADED/);
  t.is((await readAll(stream)).toString(), 'half');
  t.deepEqual(server.bugs, []);
});

test('a route that may hijack can answer in HTTP (exec/start, detached)', async (t) => {
  await using server = await startServer({}, [
    { ...echo, handler: async ({ body }) => ({ kind: 'json', status: 200, value: await body.json() }) },
  ]);
  const { status, json, headers } = await ask(server, 'POST', '/x/1', { body: { Detach: true } });
  t.deepEqual([status, json, headers.connection], [200, { Detach: true }, 'close']);
  const { head, stream } = await hijack(server, '/x/1', { body: { Detach: true } });
  t.regex(head, /^HTTP\/1\.1 200 OK\r\n/);
  stream.end();
});

test('what follows an upgrade is the stream, never a request', async (t) => {
  let called = 0;
  const secret: Route = { method: 'GET', path: '/secret', handler: () => (called++, { kind: 'empty', status: 200 }) };
  await using server = await startServer({}, [echo, secret]);
  const request = 'GET /secret HTTP/1.1\r\nHost: x\r\n\r\n';
  for (const upgrade of ['Connection: Upgrade\r\nUpgrade: tcp\r\n', '']) {
    const connection = await dial(server);
    connection.end(`POST /x/1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n${request}`);
    await readHead(connection);
    t.is((await readAll(connection)).toString(), `${request}.`);
  }
  t.is(called, 0);
});

test('a connection is not taken while an earlier request of it is unanswered', async (t) => {
  const waits = Promise.withResolvers<void>();
  const slow: Route = {
    method: 'GET',
    path: '/slow',
    handler: async () => {
      await waits.promise;
      return { kind: 'empty', status: 200 };
    },
  };
  let taken = false;
  await using server = await startServer({}, [slow, route(async () => void (taken = true))]);
  const connection = await dial(server);
  connection.write(
    'GET /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /x/1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
  );
  const closed = once(connection.resume(), 'close');
  connection.once('end', () => connection.end());
  connection.on('error', () => {});
  await closed;
  waits.resolve();
  t.false(taken);
});

for (const body of ['', 'Content-Length: 2\r\n'])
  test(`upgrade headers mean nothing to other routes, ${body === '' ? 'without' : 'with'} a body`, async (t) => {
    await using server = await startServer({}, [plain]);
    const connection = await dial(server);
    connection.write(
      `POST /plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${body}\r\n${body === '' ? '' : '{}'}`,
    );
    const text = (await readAll(connection)).toString();
    t.regex(text, /^HTTP\/1\.1 200 OK\r\nConnection: close\r\n[\s\S]*\r\n\r\nplain$/);
    connection.end();
  });

test('64 streams of one container, by whichever of its names, and no more', async (t) => {
  const engine = {
    get: (name: string) => ({ id: name === 'web' || name === 'abc' ? 'abc' : name }),
  } as unknown as Partial<Engine>;
  await using server = await startServer(engine, [echo]);
  const streams = await Promise.all(
    Array.from({ length: 64 }, (_, at) => hijack(server, `/x/${at % 2 === 0 ? 'web' : 'abc'}`)),
  );
  const refused = await hijack(server, '/x/web');
  t.regex(refused.head, /^HTTP\/1\.1 500 /);
  t.regex((await readAll(refused.stream)).toString(), /64 streams of web are open/);
  const other = await hijack(server, '/x/other');
  t.regex(other.head, /101 UPGRADED/);
  streams[0]!.stream.end();
  await readAll(streams[0]!.stream);
  const next = await hijack(server, '/x/web');
  t.regex(next.head, /101 UPGRADED/);
  for (const { stream } of [...streams, other, next]) stream.destroy();
});

test('a slow reader holds the source up: at most 1 MiB waits', async (t) => {
  let written = 0;
  const waits = Promise.withResolvers<void>();
  await using server = await startServer({}, [
    route(async ({ stream, signal }) => {
      const writer = new StreamWriter(stream, { multiplexed: true, signal });
      const piece = Buffer.alloc(256 << 10);
      while (!signal.aborted) {
        written += piece.length;
        const wrote = writer.write(STDOUT, piece);
        // The kernel's buffers are full when something is left in the stream's own.
        setImmediate(() => stream.writableNeedDrain && waits.resolve());
        await wrote;
      }
    }),
  ]);
  const { stream } = await hijack(server, '/x/1');
  await waits.promise;
  t.true(written < 2 << 20, `${written} bytes`);
  stream.destroy();
});

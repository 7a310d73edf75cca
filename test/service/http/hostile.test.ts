/** Clients that mean harm, or do it wrong: smuggling, floods, torn requests, slow readers, many at once. */
import { once } from 'node:events';
import test from 'ava';
import { random } from '../../fixtures/random.ts';
import type { Route } from '../../../src/service/http/contract.ts';
import { ask, begin, dial, readAll, startServer, type TestServer } from '../fixture.ts';

/** Routes that count their calls. */
function counted(): { routes: Route[]; called: string[] } {
  const called: string[] = [];
  const told = (path: string): void => void called.push(path);
  const text = (path: string): Route => ({
    method: 'POST',
    path,
    handler: async ({ body }) => {
      told(path);
      await body.json();
      return { kind: 'text', status: 200, text: 'ok' };
    },
  });
  const taking: Route = {
    method: 'POST',
    path: '/take/{id}',
    hijacks: true,
    handler: async () => {
      told('/take');
      return {
        kind: 'hijack',
        type: 'application/vnd.docker.raw-stream',
        async take(start) {
          start().stream.resume();
        },
      };
    },
  };
  const ping: Route = { method: 'GET', path: '/_ping', handler: () => ({ kind: 'text', status: 200, text: 'OK' }) };
  return { routes: [text('/body'), text('/secret'), taking, ping], called };
}

/** Sends bytes, closes this side, reads what comes. A connection that is reset has said what it had to say. */
async function raw(server: TestServer, bytes: string | Buffer): Promise<string> {
  const connection = await dial(server);
  connection.on('error', () => {});
  connection.end(bytes);
  return (await readAll(connection).catch(() => Buffer.alloc(0))).toString('latin1');
}

const JSON_TYPE = 'Content-Type: application/json\r\n';
const SECRET = 'POST /secret HTTP/1.1\r\nHost: x\r\n\r\n';
const SMUGGLED: [what: string, head: string, body: string][] = [
  ['both lengths', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SECRET}`],
  ['both lengths, the other way', 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `0\r\n\r\n${SECRET}`],
  ['two lengths', 'Content-Length: 0\r\nContent-Length: 44\r\n', SECRET],
  ['a length with a sign', 'Content-Length: +0\r\n', SECRET],
  ['a length of two numbers', 'Content-Length: 0, 44\r\n', SECRET],
  ['an endless length', `Content-Length: ${'9'.repeat(30)}\r\n`, SECRET],
  ['a coding behind chunked', 'Transfer-Encoding: chunked, identity\r\n', `0\r\n\r\n${SECRET}`],
  ['an unknown coding', 'Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${SECRET}`],
  ['a space before the colon', 'Transfer-Encoding : chunked\r\n', `0\r\n\r\n${SECRET}`],
  ['a folded header', 'X: a\r\n b\r\nTransfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n${SECRET}`],
  ['a NUL in a header', 'X: a\0b\r\n', SECRET],
];
for (const path of ['/body', '/take/1'])
  for (const [what, head, body] of SMUGGLED)
    test(`smuggling to ${path}: ${what}`, async (t) => {
      const { routes, called } = counted();
      await using server = await startServer({}, routes);
      const text = await raw(server, `POST ${path} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}${head}\r\n${body}`);
      t.false(called.includes('/secret'), text);
      t.true((text.match(/^HTTP\/1\.1 /gm) ?? []).length <= 1, text);
      t.regex(text, /^HTTP\/1\.1 400 |^$/);
      t.deepEqual(server.bugs, []);
    });

const REFUSED: [what: string, bytes: string, status: RegExp][] = [
  ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1\.1 400 /],
  ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', /^HTTP\/1\.1 400 /],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1\.1 400 |^$/],
  ['no Host', 'GET /_ping HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
  ['CONNECT', 'CONNECT /_ping HTTP/1.1\r\nHost: x\r\n\r\n', /^$/],
  [
    'a header of more than 1 MiB',
    `GET /_ping HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(1 << 20)}\r\n\r\n`,
    /^HTTP\/1\.1 431 /,
  ],
  [
    'headers of more than 1 MiB',
    `GET /_ping HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(200_000)}\r\n`,
    /^HTTP\/1\.1 431 /,
  ],
  ['a path out', 'GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 404 /],
  ['a path with NUL', 'GET /_ping%00 HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 404 /],
  ['a broken escape', 'GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 404 /],
  ['a broken escape in the query', 'GET /_ping?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 400 /],
  ['a version that is none', 'GET /v1.99/_ping HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 400 /],
  [
    'a body of another type',
    'POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}',
    /^HTTP\/1\.1 400 [\s\S]*unsupported Content-Type header \(text\/plain\): must be 'application\/json'/,
  ],
  [
    'a torn JSON',
    `POST /body HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}Content-Length: 2\r\n\r\n{"`,
    /400 [\s\S]*invalid JSON: unexpected EOF/,
  ],
  [
    'a header of 900 KiB is taken (dockerode)',
    `GET /_ping?${'a'.repeat(900 << 10)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    /^HTTP\/1\.1 200 /,
  ],
];
for (const [what, bytes, status] of REFUSED)
  test(`answered: ${what}`, async (t) => {
    await using server = await startServer({}, counted().routes);
    t.regex(await raw(server, bytes), status);
    t.is((await ask(server, 'GET', '/_ping')).text, 'OK');
    t.deepEqual(server.bugs, []);
  });

test('a body of more than 8 MiB, and one that nobody reads, still get an answer', async (t) => {
  await using server = await startServer({}, counted().routes);
  const body = Buffer.alloc(9 << 20, ' ');
  const { status, json } = await ask(server, 'POST', '/body', {
    body,
    headers: { 'Content-Type': 'application/json' },
  });
  t.deepEqual([status, json], [400, { message: 'the body is larger than 8 MiB' }]);
  t.is((await ask(server, 'POST', '/nope', { body })).status, 404);
});

test('pipelined requests have their answers in order, one at a time; too many end the connection', async (t) => {
  let running = 0;
  let most = 0;
  const slow: Route = {
    method: 'GET',
    path: '/{n}',
    handler: async ({ parameters }) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return { kind: 'text', status: 200, text: `<${parameters['n']}>` };
    },
  };
  await using server = await startServer({}, [slow]);
  const request = (n: number) => `GET /${n} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const text = await raw(server, [1, 2, 3, 4].map(request).join(''));
  t.deepEqual(text.match(/<\d>/g), ['<1>', '<2>', '<3>', '<4>']);
  t.is(most, 1);
  const many = await raw(server, Array.from({ length: 40 }, (_, n) => request(n)).join(''));
  t.true((many.match(/<\d+>/g) ?? []).length < 40);
});

test('a slow reader of an answer holds its source up', async (t) => {
  let pieces = 0;
  const waits = Promise.withResolvers<void>();
  const endless: Route = {
    method: 'GET',
    path: '/endless',
    handler: () => ({
      kind: 'bytes',
      type: 'application/x-tar',
      bytes: (async function* () {
        for (;;) {
          const before = ++pieces;
          setTimeout(() => before === pieces && waits.resolve(), 300);
          yield Buffer.alloc(64 << 10);
        }
      })(),
    }),
  };
  await using server = await startServer({}, [endless]);
  const { leave } = await begin(server, 'GET', '/endless');
  await waits.promise;
  t.true(pieces <= 32, `${pieces} pieces of 64 KiB`);
  leave();
});

test('HEAD of a stream is its head alone', async (t) => {
  let ended = false;
  const endless: Route = {
    method: 'GET',
    path: '/endless',
    handler: () => ({
      kind: 'lines',
      early: true,
      lines: (async function* () {
        try {
          for (;;) yield 1;
        } finally {
          ended = true;
        }
      })(),
    }),
  };
  await using server = await startServer({}, [endless]);
  const { status, body } = await ask(server, 'HEAD', '/endless');
  t.deepEqual([status, body.length], [200, 0]);
  t.false(ended && server.bugs.length > 0);
});

test('200 clients at once', async (t) => {
  await using server = await startServer({}, counted().routes);
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, at) =>
      at % 2 === 0 ? ask(server, 'GET', '/_ping') : ask(server, 'POST', '/body', { body: { at } }),
    ),
  );
  t.true(answers.every(({ status }) => status === 200));
});

/** cases of the fuzz; HUSK_FUZZ multiplies */
const CASES = 150 * Number(process.env['HUSK_FUZZ'] ?? 1);
const WORDS = [
  'GET ',
  'POST ',
  'HEAD ',
  '/_ping',
  '/body',
  '/take/1',
  '/secret',
  ' HTTP/1.1',
  ' HTTP/1.0',
  '\r\n',
  '\n',
  '\r\n\r\n',
  'Host: x\r\n',
  'Content-Length: 2\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: Upgrade\r\nUpgrade: tcp\r\n',
  'Connection: close\r\n',
  JSON_TYPE,
  'Expect: 100-continue\r\n',
  '{}',
  '{"a":',
  '0\r\n\r\n',
  '2\r\n{}\r\n',
  '\0',
  '%zz',
  '\xff',
  '?a=1&b=',
  'v1.44',
];
test('torn and shuffled requests: no bug, no crash, and it still serves', async (t) => {
  const seed = Date.now() % 1_000_000;
  const next = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  await using server = await startServer({}, counted().routes);
  for (let at = 0; at < CASES; at++) {
    const connection = await dial(server);
    connection.on('error', () => {}).resume();
    const closed = once(connection, 'close').catch(() => {});
    const sound = `${pick(['GET', 'POST'])} ${pick(['/_ping', '/body', '/take/1'])} HTTP/1.1\r\nHost: x\r\n`;
    const text =
      (next() < 0.6 ? sound : '') + Array.from({ length: Math.floor(next() * 8) }, () => pick(WORDS)).join('');
    const cut = Math.floor(next() * text.length);
    connection.write(Buffer.from(text.slice(0, cut), 'latin1'));
    connection.write(Buffer.from(text.slice(cut), 'latin1'));
    if (next() < 0.5) connection.destroy();
    else connection.end();
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 50).unref())]);
    connection.destroy();
  }
  t.is((await ask(server, 'GET', '/_ping')).text, 'OK', `seed ${seed}`);
  t.deepEqual(server.bugs, [], `seed ${seed}`);
});

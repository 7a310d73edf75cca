/** A file of http(s), from servers that mean well and from those that do not; all on this machine's loopback. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createServer as createRawServer, type AddressInfo } from 'node:net';
import { setDefaultCACertificates } from 'node:tls';
import test from 'ava';
import { HuskError } from '../../../../src/errors.ts';
import { parseSaid, type Said } from '../../../../src/engine/build/fetch/frames.ts';
import { fetchHttp } from '../../../../src/engine/build/fetch/http.ts';
import { selfSigned } from '../../../fixtures/certificate.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(answer: Answer): Promise<{ url: string; asked: IncomingMessage[] } & AsyncDisposable> {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    response.on('error', () => {});
    answer(request, response);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

interface Fetched {
  said: Said[];
  text: string;
}

async function fetched(
  url: string,
  {
    etags = [],
    maxSize = 1 << 20,
    ...bounds
  }: { etags?: string[]; maxSize?: number } & Parameters<typeof fetchHttp>[2] = {},
): Promise<Fetched> {
  const said: Said[] = [];
  const chunks: Buffer[] = [];
  await fetchHttp(
    { kind: 'http', url, etags, maxSize, userAgent: 'husk/test' },
    { say: (each) => void said.push(each), data: (bytes) => void chunks.push(Buffer.from(bytes)) },
    bounds,
  );
  return { said, text: Buffer.concat(chunks).toString() };
}

test('a file with what its headers say', async (t) => {
  await using server = await serve((_, response) => {
    response.setHeader('etag', '"one"').setHeader('last-modified', 'Wed, 21 Oct 2015 07:28:00 GMT').end('hello');
  });
  t.deepEqual(await fetched(`${server.url}/f`), {
    said: [{ type: 'answer', unchanged: false, etag: '"one"', lastModified: 'Wed, 21 Oct 2015 07:28:00 GMT', size: 5 }],
    text: 'hello',
  });
  const [{ headers }] = server.asked as [IncomingMessage];
  t.is(headers['accept-encoding'], 'identity');
  t.is(headers['user-agent'], 'husk/test');
  t.is(headers['if-none-match'], undefined);
});

test('an ETag that is known saves the file', async (t) => {
  await using server = await serve((_, response) => void response.writeHead(304, { etag: '"two"' }).end());
  t.deepEqual(await fetched(server.url, { etags: ['"one"', '"two"', 'no etag\r\nx: y'] }), {
    said: [{ type: 'answer', unchanged: true, etag: '"two"' }],
    text: '',
  });
  t.is(server.asked[0]!.headers['if-none-match'], '"one", "two"');
});

for (const [what, headers] of [
  ['another ETag', { etag: '"other"' }],
  ['no ETag', {}],
] as const)
  test(`304 with ${what} than was asked for: it is fetched without a condition`, async (t) => {
    await using server = await serve((request, response) => {
      if (request.headers['if-none-match'] !== undefined) response.writeHead(304, headers).end();
      else response.end('new');
    });
    t.is((await fetched(server.url, { etags: ['"one"'] })).text, 'new');
    t.is(server.asked.length, 2);
  });

for (const status of [401, 403, 404, 410, 204, 206])
  test(`status ${status} is no file`, async (t) => {
    await using server = await serve((_, response) => void response.writeHead(status).end());
    const error = await t.throwsAsync(fetched(server.url), { instanceOf: HuskError });
    t.is(error.message, `invalid response status ${status}`);
    t.is(server.asked.length, 1);
  });

test("a server's own failure is tried again, a few times", async (t) => {
  await using server = await serve((_, response) => void response.writeHead(503).end());
  await t.throwsAsync(fetched(server.url), { message: 'invalid response status 503' });
  t.is(server.asked.length, 3);
});

const HOSTILE: [what: string, answer: Answer, why: RegExp][] = [
  [
    'a body without end',
    (_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      };
      response.on('drain', more);
      more();
    },
    /larger than 1048576 bytes/,
  ],
  [
    'a length beyond the bound',
    (_, response) => void response.setHeader('content-length', '99999999999').write('x'),
    /larger than 1048576/,
  ],
  [
    'a length that is not kept',
    (_, response) => {
      response.setHeader('content-length', '100').write('abc');
      setImmediate(() => response.destroy());
    },
    /broke off/,
  ],
  ['a circle', (_, response) => void response.writeHead(302, { location: '/' }).end(), /more than 10 redirects/],
  [
    'a redirect to a file',
    (_, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    /redirects to a file: URL/,
  ],
  [
    'a redirect to another scheme',
    (_, response) => void response.writeHead(302, { location: 'gopher://h/' }).end(),
    /redirects to a gopher: URL/,
  ],
  ['a redirect to nothing', (_, response) => void response.writeHead(302, { location: 'http://' }).end(), /no URL/],
  [
    'headers without end',
    (_, response) => void response.writeHead(200, { x: 'y'.repeat(200_000) }).end(),
    /cannot reach/,
  ],
];
for (const [what, answer, why] of HOSTILE)
  test(`is refused: ${what}`, async (t) => {
    await using server = await serve(answer);
    await t.throwsAsync(fetched(server.url), { instanceOf: HuskError, message: why });
  });

test('a sender that is too slow is not waited for', async (t) => {
  await using server = await serve((_, response) => {
    const timer = setInterval(() => response.write('x'), 20);
    response.once('close', () => clearInterval(timer));
  });
  await t.throwsAsync(fetched(server.url, { slowest: { bytes: 1000, within: 200 } }), {
    message: /fewer than 1000 bytes/,
  });
  await t.throwsAsync(fetched(server.url, { slowest: { bytes: 1, within: 100 }, longest: 300 }), {
    message: /takes longer than/,
  });
});

test('a name and a password go to their own host, and to no other', async (t) => {
  await using other = await serve((_, response) => void response.end('there'));
  await using server = await serve((_, response) => void response.writeHead(302, { location: `${other.url}/x` }).end());
  t.is((await fetched(server.url.replace('//', '//user:secret@'))).text, 'there');
  t.is(server.asked[0]!.headers.authorization, `Basic ${Buffer.from('user:secret').toString('base64')}`);
  t.is(other.asked[0]!.headers.authorization, undefined);
  t.notRegex(JSON.stringify(other.asked[0]!.rawHeaders), /secret/);
});

test('nothing that fails tells a password', async (t) => {
  await using server = await serve((_, response) => void response.writeHead(302, { location: 'file:///x' }).end());
  const error = await t.throwsAsync(fetched(server.url.replace('//', '//user:secret@')));
  t.notRegex(error.message, /secret/);
});

test('https never leads to http', async (t) => {
  const { key, cert } = selfSigned();
  await using plain = await serve((_, response) => void response.end('plain'));
  const secure = createSecureServer({ key, cert }, (_, response) =>
    response.writeHead(302, { location: plain.url }).end(),
  );
  await new Promise<void>((listening) => secure.listen(0, '127.0.0.1', listening));
  const url = `https://127.0.0.1:${(secure.address() as AddressInfo).port}/`;
  const unknown = await t.throwsAsync(fetched(url), { instanceOf: HuskError });
  t.regex(unknown.message, /^cannot reach 127\.0\.0\.1:\d+: self-signed certificate$/);
  t.regex(unknown.fix!, /update-ca-certificates/);
  setDefaultCACertificates([cert]);
  await t.throwsAsync(fetched(url), { message: /redirects from https to http$/ });
  t.deepEqual(plain.asked, []);
  await new Promise((closed) => secure.close(closed));
});

test('whatever headers an answer has, what is said of it is well-formed, or it is refused', async (t) => {
  const parts = [
    'HTTP/1.1 200 OK',
    'HTTP/1.1 304 x',
    '\r\n',
    '\n',
    'ETag: ',
    '"a"',
    'W/',
    'Last-Modified: ',
    'Content-Length: ',
    '5',
    '-1',
    '99999999999999999999',
    'Transfer-Encoding: chunked',
    '\r\n\r\n',
    '0',
    'abc',
    '\0',
    '\xff',
    ': ',
    'Location: http://127.0.0.1:1/',
    ',',
  ];
  let random = 5;
  const next = (limit: number) => (random = (random * 48_271) % 2_147_483_647) % limit;
  const raw = createRawServer((socket) => {
    socket.on('error', () => {});
    const some = Array.from({ length: next(20) }, () => parts[next(parts.length)]).join('');
    socket.once('data', () => socket.end(Buffer.from(`HTTP/1.1 200 OK\r\n${some}\r\n\r\nxyz`, 'latin1')));
  });
  await new Promise<void>((listening) => raw.listen(0, '127.0.0.1', listening));
  const url = `http://127.0.0.1:${(raw.address() as AddressInfo).port}/`;
  let answers = 0;
  for (let round = 0; round < 60; round++)
    try {
      const { said } = await fetched(url, { attempts: 1 });
      for (const each of said) t.deepEqual(parseSaid(JSON.stringify(each)), each);
      answers++;
    } catch (error) {
      t.true(error instanceof HuskError, String(error));
    }
  t.true(answers > 3, `${answers}`);
  await new Promise((closed) => raw.close(closed));
});

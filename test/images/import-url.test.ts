/** `import URL`, from a server on loopback that is good, gone, lying or too generous. */
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { download } from '../../src/images/archive/download.ts';
import { tarball } from '../fixtures/tar.ts';
import { testStore } from './store.ts';

const TAR = tarball({ name: 'a', body: 'a' });

async function served(answer: RequestListener): Promise<{ url: (path: string) => URL } & AsyncDisposable> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: (path) => new URL(path, `http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => (server.closeAllConnections(), server.close(() => resolve()))),
  };
}

test('an archive behind a redirect becomes an image; its history has no secrets of the URL', async (t) => {
  await using server = await served(
    (request, response) =>
      void (request.url === '/from?sig=secret'
        ? response.writeHead(302, { location: '/to' }).end()
        : response.end(TAR)),
  );
  using s = testStore();
  const image = await s.store.import(server.url('/from?sig=secret'), { reference: 'x:1' });
  t.deepEqual(image.repoTags, ['x:1']);
  t.is(image.config.history?.[0]?.comment, `Imported from ${server.url('/from').href}`);
});

const REFUSED: [title: string, answer: RequestListener, message: RegExp][] = [
  [
    'not there',
    (_request, response) => void response.writeHead(404).end(),
    /^cannot import from http:\S+\/x: the server answers with status 404$/,
  ],
  ['no archive', (_request, response) => void response.end('x'.repeat(1000)), /./],
  ['empty', (_request, response) => void response.end(), /^the archive is empty$/],
  [
    'broken off',
    (_request, response) =>
      void (response.writeHead(200, { 'content-length': '99999' }), response.write(TAR, () => response.destroy())),
    /^cannot import from http:\S+\/x: /,
  ],
  [
    'too large, as it says itself',
    (_request, response) => void (response.writeHead(200, { 'content-length': '50001' }), response.write('x')),
    /^cannot import from http:\S+\/x: it is larger than 50000 bytes$/,
  ],
  [
    'gzip that is long and holds nothing',
    (_request, response) => void response.end(Buffer.concat(Array.from({ length: 5000 }, () => gzipSync('')))),
    /^cannot import from http:\S+\/x: it is larger than 50000 bytes$/,
  ],
  [
    'without end',
    (request, response) => {
      request.socket.on('error', () => {});
      const more = (): void => void response.write(Buffer.alloc(20_000), (error) => error ?? more());
      more();
    },
    /larger than 50000 bytes/,
  ],
  [
    'redirects without end',
    (_request, response) => void response.writeHead(302, { location: '/x' }).end(),
    /^cannot get http:\S+\/x: more than 10 redirects$/,
  ],
  [
    'a redirect to a file',
    (_request, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    /redirects to a file: URL$/,
  ],
  [
    'too large',
    (_request, response) => void response.end(Buffer.concat([TAR, Buffer.alloc(100_000)])),
    /larger than 50000 bytes/,
  ],
];
for (const [title, answer, message] of REFUSED) {
  test(`${title}: one line, and nothing stays`, async (t) => {
    await using server = await served(answer);
    using s = testStore({ config: { 'max-layer-size': 50_000 } });
    await t.throwsAsync(s.store.import(server.url('/x'), {}), { message });
    t.deepEqual([s.store.list(), s.names('layers')], [[], []]);
  });
}

for (const url of ['file:///etc/passwd', 'http://user:secret@127.0.0.1/x']) {
  test(`never asked: ${url}`, async (t) => {
    using s = testStore();
    const error = await t.throwsAsync(s.store.import(new URL(url), {}));
    t.notRegex(error.message, /secret/);
  });
}

test('a server that trickles is given up, one that a slow reader makes wait is not', async (t) => {
  await using server = await served(
    (request, response) => void (request.url === '/all' ? response.end(Buffer.alloc(200_000)) : trickle(response)),
  );
  let time = 0;
  const read = async (path: string, pace: { bytes: number; now: () => number }, work: () => void): Promise<number> => {
    let length = 0;
    for await (const chunk of download(server.url(path), { env: {}, maxSize: 1 << 20, pace: { ms: 1000, ...pace } })) {
      length += chunk.length;
      work();
    }
    return length;
  };
  await t.throwsAsync(
    read('/x', { bytes: 1000, now: () => (time += 100) }, () => {}),
    { message: /^cannot import from http:\S+\/x: only \d+ bytes came within 1 s$/ },
  );
  const slow = (): void => void (time += 5000);
  t.is(await read('/all', { bytes: 1 << 20, now: () => time }, slow), 200_000);
});

function trickle(response: ServerResponse): void {
  const timer = setInterval(() => response.write('x'), 5);
  response.once('close', () => clearInterval(timer));
}

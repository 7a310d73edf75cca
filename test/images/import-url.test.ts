/** `import URL`, from a server on loopback that is good, gone, lying or too generous. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
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

/** Each attack of a registry or an image ends in one clear line and leaves nothing half-made. */
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { gzipSync } from 'node:zlib';
import { HuskError } from '../../src/errors.ts';
import type { Handler, TestImage } from './hostile-registry.ts';
import { digestOf, hostileRegistry, tarOf, testImage } from './hostile-registry.ts';
import { testStore } from './store.ts';

const HEX = 'ab'.repeat(32);
const INDEX = 'application/vnd.oci.image.index.v1+json';

type Image = TestImage | TestImage[] | (() => TestImage | TestImage[]);

const refused = test.macro({
  async exec(t, image: Image, expected: RegExp, before?: Handler) {
    await using registry = await hostileRegistry(typeof image === 'function' ? image() : image, before);
    using s = testStore({ config: { 'max-layer-size': 8 << 20 } });
    const error = await t.throwsAsync(s.store.pull(`${registry.host}/x`), { instanceOf: HuskError });
    t.regex(error!.message, expected);
    t.notRegex(error!.message, /[\n\x1b]/);
    t.true(error!.message.length < 1000);
    t.deepEqual([s.store.list(), s.names('layers'), s.names('blobs'), s.names('tmp'), s.fsck()], [[], [], [], [], []]);
  },
  title: (title) => `refused: ${title}`,
});

/** the layer's or config's bytes replaced by others when asked for */
const instead =
  (pattern: RegExp, answer: Handler): Handler =>
  (request, response, url) =>
    pattern.test(url.pathname) && (answer(request, response, url), true);
const good = testImage();
const layerUrl = new RegExp(`/blobs/${good.manifest.layers[0]!.digest}$`);
const flipped = Buffer.from(good.layer);
flipped[flipped.length >> 1]! ^= 1;
const manifestWith = (change: (manifest: TestImage['manifest']) => void) => testImage({ manifest: change });
const sends =
  (status: number, body: string | Buffer, headers: Record<string, string> = {}): Handler =>
  (_request, response) =>
    void response.writeHead(status, headers).end(body);

test(
  'other bytes, same length',
  refused,
  good,
  /sends other bytes for sha256:|inflate|incorrect|gzip|does not have/,
  instead(layerUrl, sends(200, flipped)),
);
test(
  'a config with other bytes',
  refused,
  good,
  /sends other bytes for/,
  instead(
    new RegExp(good.manifest.config.digest),
    (_request, response) => void response.end(Buffer.alloc(good.manifest.config.size, 32)),
  ),
);
test(
  'a shorter layer with its true length',
  refused,
  good,
  /bytes there, the manifest says/,
  instead(layerUrl, (_request, response) => void response.writeHead(200, { 'content-length': 10 }).end('0123456789')),
);
test(
  'a longer layer with its true length',
  refused,
  good,
  /bytes there, the manifest says/,
  instead(layerUrl, (_request, response) => void response.end(Buffer.concat([good.layer, good.layer]))),
);
test(
  'an endless layer',
  refused,
  good,
  /sends more bytes/,
  instead(layerUrl, (_request, response) => {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write(good.layer));
    };
    response.on('drain', more);
    more();
  }),
);
test(
  'an endless config',
  refused,
  good,
  /sends more bytes/,
  instead(new RegExp(good.manifest.config.digest), (_request, response) => {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write(good.layer));
    };
    response.on('drain', more);
    more();
  }),
);
test('a range from elsewhere', refused, good, /asked for bytes from|bytes there/, (request, response, url) => {
  if (!layerUrl.test(url.pathname)) return false;
  if (!request.headers.range) {
    response.writeHead(200, { 'content-length': good.layer.length });
    response.write(good.layer.subarray(0, 2 << 20));
    setTimeout(() => response.destroy(), 50);
    return true;
  }
  response
    .writeHead(206, { 'content-range': `bytes 7-${good.layer.length - 1}/${good.layer.length}` })
    .end(good.layer.subarray(7));
  return true;
});

test(
  'a manifest over 4 MiB',
  refused,
  () => testImage({ bytes: (bytes) => Buffer.concat([bytes, Buffer.alloc(5 << 20, 32)]) }),
  /larger than 4194304 bytes/,
);
test(
  'an endless manifest',
  refused,
  good,
  /larger than 4194304 bytes/,
  instead(/manifests/, (_request, response) => {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write(good.layer));
    };
    response.on('drain', more);
    more();
  }),
);
test('a manifest that is not JSON', refused, testImage({ bytes: () => Buffer.from('<html>\x1b[2J') }), /is not JSON$/);
test('a manifest that is no object', refused, testImage({ bytes: () => Buffer.from('[1]') }), /is not a JSON object/);
test(
  'a manifest of deep nesting',
  refused,
  testImage({ bytes: () => Buffer.from('['.repeat(1 << 20)) }),
  /is not JSON/,
);
test(
  'a million layers',
  refused,
  () =>
    testImage({
      bytes: (bytes) =>
        Buffer.from(bytes.toString().replace(/"layers":\[.*\]/, `"layers":[${'0,'.repeat(1_000_000)}0]`)),
    }),
  /has 1000001 layers, more than 500/,
);
test(
  'a layer of negative size',
  refused,
  manifestWith((m) => {
    m.layers[0]!.size = -1;
  }),
  /layer 1 of .* has no valid size/,
);
test(
  'a layer of fractional size',
  refused,
  manifestWith((m) => {
    m.layers[0]!.size = 1.5;
  }),
  /has no valid size/,
);
test(
  'a layer of a size that is no number',
  refused,
  manifestWith((m) => {
    (m.layers[0] as Record<string, unknown>)['size'] = '12';
  }),
  /has no valid size/,
);
test(
  'a layer whose digest is a path',
  refused,
  manifestWith((m) => {
    m.layers[0]!.digest = `sha256:../../${'a'.repeat(58)}`;
  }),
  /has no sha256 digest/,
);
test(
  'a layer of another algorithm',
  refused,
  manifestWith((m) => {
    m.layers[0]!.digest = `md5:${'a'.repeat(32)}`;
  }),
  /has no sha256 digest/,
);
test(
  'a size lie: smaller',
  refused,
  manifestWith((m) => {
    m.layers[0]!.size -= 100;
  }),
  /bytes there, the manifest says/,
);
test(
  'a size lie: huge',
  refused,
  manifestWith((m) => {
    m.layers[0]!.size = Number.MAX_SAFE_INTEGER;
  }),
  /bytes there, the manifest says/,
);
test(
  'a huge config',
  refused,
  manifestWith((m) => {
    m.config.size = 2 ** 40;
  }),
  /the config of .* is larger than 4194304 bytes/,
);
test(
  'an unknown layer type',
  refused,
  manifestWith((m) => {
    m.layers[0]!.mediaType = 'application/x-shellscript\x1b[2J';
  }),
  /unsupported layer media type "application\/x-shellscript\\u001b/,
);
test(
  'an artifact',
  refused,
  manifestWith((m) => {
    m.config.mediaType = 'application/vnd.cncf.helm.config.v1+json';
  }),
  /is not an image/,
);
test(
  'schema 1',
  refused,
  testImage({ bytes: () => Buffer.from('{"schemaVersion":1,"fsLayers":[]}') }),
  /Docker schema 1/,
);
test(
  'no schema version',
  refused,
  manifestWith((m) => {
    m.schemaVersion = 3;
  }),
  /no schemaVersion 2/,
);
test(
  'index and manifest at once',
  refused,
  manifestWith((m) => {
    m['manifests'] = [];
  }),
  /both an index and a manifest/,
);
test(
  'more diff_ids than layers',
  refused,
  testImage({
    config: (c) => {
      c['rootfs'] = { type: 'layers', diff_ids: [`sha256:${HEX}`, `sha256:${HEX}`] };
    },
  }),
  /2 diff_ids, its manifest 1 layers/,
);
test(
  'no rootfs',
  refused,
  testImage({
    config: (c) => {
      delete c['rootfs'];
    },
  }),
  /no rootfs.diff_ids/,
);
test(
  'a diff_id that is a path',
  refused,
  testImage({
    config: (c) => {
      c['rootfs'] = { type: 'layers', diff_ids: ['sha256:../../../etc'] };
    },
  }),
  /diff_id that is no sha256/,
);
test(
  'a wrong diff_id',
  refused,
  testImage({
    config: (c) => {
      c['rootfs'] = { type: 'layers', diff_ids: [`sha256:${HEX}`] };
    },
  }),
  /have the digest sha256:.*, its image says sha256:abab/,
);
test(
  'Env that is no list',
  refused,
  testImage({
    config: (c) => {
      c['config'] = { Env: 'A=1' };
    },
  }),
  /wrong value in config.Env/,
);
test(
  'Env with a NUL',
  refused,
  testImage({
    config: (c) => {
      c['config'] = { Env: ['A=1\0B=2'] };
    },
  }),
  /wrong value in config.Env/,
);
test(
  'Labels that are no strings',
  refused,
  testImage({
    config: (c) => {
      c['config'] = { Labels: { a: {} } };
    },
  }),
  /wrong value in config.Labels/,
);
test(
  'a gzip bomb',
  refused,
  () => testImage({ tar: tarOf('zeros', Buffer.alloc(64 << 20)) }),
  /max-layer-size|larger than/,
);
test(
  'a layer that is not gzip',
  refused,
  testImage({ layer: Buffer.concat([Buffer.from('not gzip'), randomBytes(2 << 20)]) }),
  /header|gzip|decompress/i,
);
test(
  'a truncated gzip stream with the right digest',
  refused,
  testImage({ layer: gzipSync(tarOf('f', randomBytes(2 << 20))).subarray(0, 1 << 20) }),
  /end of file|truncated|gzip|decompress/i,
);
test(
  'an index that leads to an index',
  refused,
  () => {
    const inner = testImage({
      bytes: () =>
        Buffer.from(
          JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] }),
        ),
    });
    inner.manifestType = 'application/vnd.oci.image.index.v1+json';
    const outer = testImage({
      bytes: () =>
        Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            mediaType: 'application/vnd.oci.image.index.v1+json',
            manifests: [
              {
                mediaType: 'x',
                digest: digestOf(inner.manifestBytes),
                size: inner.manifestBytes.length,
                platform: { os: 'linux', architecture: 'amd64' },
              },
            ],
          }),
        ),
    });
    return [outer, inner];
  },
  /leads to another index/,
);
test(
  'an index without this platform',
  refused,
  testImage({
    type: INDEX,
    bytes: () =>
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          manifests: [
            { mediaType: 'x', digest: `sha256:${HEX}`, size: 1, platform: { os: 'windows', architecture: 'amd64' } },
            { mediaType: 'x', digest: `sha256:${HEX}`, size: 1, platform: { os: 'unknown', architecture: 'unknown' } },
          ],
        }),
      ),
  }),
  /^no matching manifest for linux\/amd64 in the manifest list entries$/,
);
test(
  'an index whose entry has another digest',
  refused,
  () => {
    const entry = testImage();
    return [
      testImage({
        type: INDEX,
        bytes: () =>
          Buffer.from(
            JSON.stringify({
              schemaVersion: 2,
              manifests: [
                {
                  mediaType: 'x',
                  digest: `sha256:${HEX}`,
                  size: entry.manifestBytes.length,
                  platform: { os: 'linux', architecture: 'amd64' },
                },
              ],
            }),
          ),
      }),
      entry,
    ];
  },
  /sends a manifest with digest/,
  (_request, response, url) =>
    url.pathname.endsWith(`manifests/sha256:${HEX}`) && (response.end(good.manifestBytes), true),
);

test(
  'a redirect loop',
  refused,
  good,
  /more than 10 redirects/,
  instead(/manifests/, (_request, response, url) => void response.writeHead(307, { location: url.pathname }).end()),
);
test(
  'a redirect to a file',
  refused,
  good,
  /redirects to a file: URL/,
  instead(/manifests/, sends(302, '', { location: 'file:///etc/passwd' })),
);
test(
  'a redirect to nowhere',
  refused,
  good,
  /redirects to something that is no URL/,
  instead(/manifests/, sends(302, '', { location: 'http://[' })),
);
test(
  '404 with an escape sequence in its message',
  refused,
  good,
  /manifest for .*x:latest not found: manifest unknown: bad {3}\[2J$/,
  instead(/manifests/, sends(404, '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"bad \\u001b\\n[2J"}]}')),
);
test(
  '403',
  refused,
  good,
  /pull access denied for .*, repository does not exist or may require authorization/,
  instead(/manifests/, sends(403, 'no')),
);
test('401 without a challenge', refused, good, /names no way to log in/, instead(/manifests/, sends(401, '')));
test(
  '401 with a realm that is no URL',
  refused,
  good,
  /without saying where to get it/,
  instead(/manifests/, sends(401, '', { 'www-authenticate': 'Bearer realm="nowhere"' })),
);
test('an endless token', refused, good, /larger than 65536 bytes/, (request, response, url) => {
  if (url.pathname === '/token') {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write(good.layer));
    };
    response.on('drain', more);
    more();
    return true;
  }
  return (
    url.pathname.includes('manifests') &&
    (response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token"` }).end(), true)
  );
});
test('a token with a line break', refused, good, /sends no token/, (request, response, url) => {
  if (url.pathname === '/token') {
    response.end('{"token":"a\\r\\nX-Evil: 1"}');
    return true;
  }
  return (
    url.pathname.includes('manifests') &&
    (response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token"` }).end(), true)
  );
});
test(
  'headers without end',
  refused,
  good,
  /cannot reach|broke off/,
  instead(/manifests/, (request) => {
    const { socket } = request;
    socket.write('HTTP/1.1 200 OK\r\n');
    const line = `X-A: ${'a'.repeat(1000)}\r\n`.repeat(100);
    const more = () => {
      while (!socket.destroyed && socket.write(line));
    };
    socket.on('drain', more);
    more();
  }),
);

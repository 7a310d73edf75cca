/** A registry that lies about a build cache: one clear line, no row, no layer, nothing half-made. */
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { cacheConfig, cacheManifest } from '../../../src/images/build-store/cache-manifest.ts';
import { OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from '../../../src/images/store/manifest.ts';
import { digestOf, hostileRegistry, tarOf, testImage, type Handler, type TestImage } from '../hostile-registry.ts';
import { testStore } from '../store.ts';

const KEY = '0'.repeat(64);
const { signal } = new AbortController();

const tar = tarOf('f', Buffer.from('what a step made'));
const layer = gzipSync(tar);
const descriptor = { mediaType: OCI_LAYER_GZIP, digest: digestOf(layer), size: layer.length };

/** A cache of one step, as a registry has it. */
function cache(blob = descriptor, diffId = digestOf(tar)): TestImage {
  const config = cacheConfig([{ key: KEY, diffId, made: 1 }], [diffId]);
  const manifestBytes = cacheManifest(config, [blob]);
  const blobs = new Map([
    [digestOf(config), config],
    [digestOf(layer), layer],
  ]);
  return { ...testImage(), manifestBytes, manifestType: OCI_MANIFEST, blobs };
}

const other = (manifest: object, type: string): TestImage => ({
  ...cache(),
  manifestBytes: Buffer.from(JSON.stringify(manifest)),
  manifestType: type,
});

async function fetch(image: TestImage | TestImage[], before?: Handler) {
  await using registry = await hostileRegistry(image, before);
  using own = testStore();
  using building = await own.store.building();
  const left = async () => [
    ...own.names('layers'),
    ...own.names('tmp'),
    ...own.fsck(),
    ...(await own.store.buildCache()).map(({ key }) => key),
  ];
  try {
    using found = await building.openCache({ type: 'registry', reference: `${registry.host}/x:cache` }, signal);
    return { layer: await found.fetch(KEY, { onBytes: () => {}, signal }), registry, left: await left() };
  } catch (error) {
    const said = (error as Error).message.replaceAll(registry.host, 'HOST');
    return { said, registry, left: await left() };
  }
}

test('an honest one gives the layer, and is asked for nothing that no step wants', async (t) => {
  const { layer: found, registry } = await fetch(cache());
  t.like(found, { diffId: digestOf(tar), size: tar.length, made: 1 });
  t.deepEqual(
    registry.requests.filter((each) => each.includes('/x/')).map((each) => each.replace(/sha256:.*/, 'sha256')),
    ['GET /v2/x/manifests/cache', 'GET /v2/x/blobs/sha256', 'GET /v2/x/blobs/sha256'],
  );
});

const at =
  (digest: string, body: Buffer): Handler =>
  (_request, response, url) =>
    url.pathname.endsWith(digest) && (response.writeHead(200, { 'content-length': body.length }).end(body), true);
const flipped = Buffer.from(layer);
flipped[flipped.length - 1]! ^= 1;
const config = [...cache().blobs.keys()][0]!;

const LIES: [what: string, image: TestImage | TestImage[], said: RegExp, before?: Handler][] = [
  [
    'a layer of another digest',
    cache(),
    /sends other bytes for|incorrect|does not have/,
    at(descriptor.digest, flipped),
  ],
  ['a layer of another length', cache({ ...descriptor, size: layer.length + 1 }), /the manifest says/],
  ['a layer of another diffID', cache(descriptor, digestOf('other')), /have the digest sha256:\w+, its image says/],
  ['no layer', cache({ ...descriptor, digest: digestOf('none') }), /blob unknown/],
  [
    'rows that are others',
    cache(),
    /sends (?:other|more) bytes for|the manifest says/,
    at(config, Buffer.from('{"version":1}')),
  ],
  ['a page of HTML', other({}, 'text/html'), /schemaVersion/],
  ['an image without a cache in it', testImage(), /the config of HOST\/x:cache has no build cache in it/],
  [
    "BuildKit's cache",
    other(
      {
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [{ ...descriptor, mediaType: 'application/vnd.buildkit.cacheconfig.v0' }],
      },
      OCI_INDEX,
    ),
    /^HOST\/x:cache is a cache of BuildKit's, whose keys nobody else can make$/,
  ],
  [
    'an index that has nothing for this machine',
    other(
      {
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [{ ...descriptor, mediaType: OCI_MANIFEST, platform: { os: 'plan9', architecture: 'mips' } }],
      },
      OCI_INDEX,
    ),
    /^HOST\/x:cache has nothing for linux\//,
  ],
];
for (const [what, image, said, before] of LIES)
  test(`nothing is taken: ${what}`, async (t) => {
    const found = await fetch(image, before);
    t.regex(found.said ?? 'it was taken', said);
    t.notRegex(found.said!, /[\n\x1b]/);
    t.deepEqual(found.left, []);
  });

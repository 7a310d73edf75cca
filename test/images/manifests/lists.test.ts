/** Lists of manifests: made, changed, pushed to Debian's registry and read back by skopeo; registries that lie. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../../src/images/store/manifest.ts';
import { busyboxLayout, missingImageTools, startRegistry, type Registry } from '../../fixtures/images.ts';
import { digestOf, hostileRegistry, testImage, type Handler, type TestImage } from '../hostile-registry.ts';
import { testStore, type TestStore } from '../store.ts';

const missing = missingImageTools();
const real = missing ? test.skip : test;
if (missing) test(`real registry: skipped: ${missing}`, (t) => t.pass());

const skopeo = (...args: string[]): string => execFileSync('skopeo', args, { encoding: 'utf8' });
const raw = (reference: string): string => skopeo('inspect', '--raw', '--tls-verify=false', `docker://${reference}`);
const arm = (): string => `oci:${busyboxLayout({ config: ['--architecture', 'arm64'] })}:latest`;
const amd = (): string => `oci:${busyboxLayout()}:latest`;

/** the names of two images of a registry, and of a list there */
async function twoOf(registry: Registry, format: 'oci' | 'v2s2' = 'oci'): Promise<[string, string, string]> {
  const one = await registry.push(amd(), 'one:1', { format });
  const two = await registry.push(arm(), 'some/two:2', { format });
  return [one, two, `${registry.host}/list:l`];
}

for (const [format, type, each] of [
  ['oci', OCI_INDEX, OCI_MANIFEST],
  ['v2s2', DOCKER_LIST, DOCKER_MANIFEST],
] as const)
  real(`${format}: a list of two repositories is made, shown and pushed, and skopeo copies all of it`, async (t) => {
    await using registry = await startRegistry();
    const [one, two, list] = await twoOf(registry, format);
    using s = testStore();
    const lists = await s.store.manifestLists();
    t.is(await lists.create(list, [one, two]), list);
    const { text, isList } = await lists.inspect(list);
    t.true(isList);
    const shown = JSON.parse(text) as { mediaType: string; manifests: Record<string, unknown>[] };
    t.is(shown.mediaType, type);
    t.deepEqual(
      shown.manifests.map(({ mediaType, platform }) => [mediaType, platform]),
      [
        [each, { architecture: 'amd64', os: 'linux' }],
        [each, { architecture: 'arm64', os: 'linux' }],
      ],
    );
    t.deepEqual(Object.keys(shown.manifests[0]!), ['mediaType', 'size', 'digest', 'platform']);
    t.is(shown.manifests[1]!['digest'], digestOf(raw(two)));
    const pushed: string[] = [];
    const digest = await lists.push(list, { onPushed: (reference) => pushed.push(reference) });
    t.deepEqual(
      pushed,
      [one, two].map((name) => `${registry.host}/list@${digestOf(raw(name))}`),
    );
    t.deepEqual([raw(list), digestOf(raw(list))], [text, digest]);
    // the local list is still there, and shown before the registry's
    t.is((await lists.inspect(list)).text, text);
    t.is(await lists.push(list, { purge: true }), digest);
    t.throws(() => lists.remove(list), { message: `No such manifest: ${list}` });
    t.is((await lists.inspect(list)).text, text);
    const folder = mkdtempSync(join(tmpdir(), 'husk-list-'));
    try {
      skopeo(
        '--insecure-policy',
        'copy',
        '--all',
        '--quiet',
        '--src-tls-verify=false',
        `docker://${list}`,
        `dir:${folder}`,
      );
      t.is(readFileSync(join(folder, 'manifest.json'), 'utf8'), text);
    } finally {
      rmSync(folder, { recursive: true });
    }
    using other = testStore();
    for (const architecture of ['amd64', 'arm64'])
      t.is(
        (await other.store.pull(list, { platform: { os: 'linux', architecture } })).image.config.architecture,
        architecture,
      );
    t.deepEqual([s.names('tmp'), other.fsck()], [[], []]);
  });

real('create, amend, annotate: each says what is wrong, and what is right lasts', async (t) => {
  await using registry = await startRegistry();
  const [one, two, list] = await twoOf(registry);
  using s = testStore();
  const lists = await s.store.manifestLists();
  const platforms = async () =>
    (JSON.parse((await lists.inspect(list)).text) as { manifests: { platform: object }[] }).manifests.map(
      ({ platform }) => platform,
    );
  await t.throwsAsync(lists.create(list, [`${registry.host}/none`]), {
    message: `no such manifest: ${registry.host}/none:latest`,
  });
  await t.throwsAsync(lists.inspect(list), { message: `no such manifest: ${list}` });
  await lists.create(list, [one, one]);
  t.is((await platforms()).length, 1);
  await t.throwsAsync(lists.create(list, [two]), {
    message: 'refusing to amend an existing manifest list with no --amend flag',
  });
  lists.annotate(list, one, { variant: 'v3', osVersion: '10', osFeatures: ['a', 'b'] });
  await lists.create(list, [one, two], { amend: true });
  t.deepEqual(await platforms(), [
    { architecture: 'amd64', os: 'linux', 'os.version': '10', 'os.features': ['a', 'b'], variant: 'v3' },
    { architecture: 'arm64', os: 'linux' },
  ]);
  t.throws(() => lists.annotate(list, two, { architecture: 'toaster' }), {
    message: 'manifest entry for image has unsupported os/arch combination: linux/toaster',
  });
  t.throws(() => lists.annotate(list, 'none', { os: 'linux' }), {
    message: `manifest for image none does not exist in ${list}`,
  });
  t.throws(() => lists.annotate('BAD', two, {}), {
    message:
      'annotate: error parsing name for manifest list BAD: invalid reference format: repository name (library/BAD) must be lowercase',
  });
  const single = await lists.inspect(two, { list });
  t.deepEqual([single.isList, single.manifests.map(({ reference }) => reference)], [false, [two]]);
  t.is(single.text, JSON.stringify(JSON.parse(raw(two)), undefined, '\t'));
  await t.throwsAsync(lists.inspect('none', { list }), { message: 'No such manifest: docker.io/library/none:latest' });
  // a list cannot be in a list
  await lists.push(list);
  await t.throwsAsync(lists.create(`${registry.host}/more`, [list]), { message: `${list} is a manifest list` });
  lists.remove(list);
  const { manifests } = await lists.inspect(list, { all: true });
  t.deepEqual(
    manifests.map(({ reference, digest }) => [reference, digest]),
    [one, two].map((name) => [`${list}@${digestOf(raw(name))}`, digestOf(raw(name))]),
  );
});

real('a registry with a password, and one that mounts nothing', async (t) => {
  await using registry = await startRegistry();
  await using closed = await startRegistry({ htpasswd: { user: 'me', password: 'secret' } });
  const [one] = await twoOf(registry);
  using s = testStore();
  const lists = await s.store.manifestLists();
  await t.throwsAsync(lists.inspect(`${closed.host}/x`), { message: 'no basic auth credentials' });
  await lists.create(`${closed.host}/list`, [one]);
  await t.throwsAsync(lists.push(`${closed.host}/list`), {
    message: `cannot use source images from a different registry than the target image: ${registry.host} != ${closed.host}`,
  });
});

test('blobs that a registry does not mount are copied', async (t) => {
  const image = testImage();
  const sent = new Map<string, number>();
  const puts: string[] = [];
  await using registry = await hostileRegistry(image, (request, response, url) => {
    if (request.method === 'HEAD') return (void response.writeHead(404).end(), true);
    if (request.method === 'POST')
      return (void response.writeHead(202, { location: '/v2/list/blobs/uploads/1' }).end(), true);
    if (request.method !== 'PUT') return false;
    let length = 0;
    request.on('data', (chunk: Buffer) => (length += chunk.length));
    request.on('end', () => {
      const digest = url.searchParams.get('digest');
      if (digest === null) puts.push(url.pathname);
      else sent.set(digest, length);
      response.writeHead(201).end();
    });
    return true;
  });
  using s = testStore();
  const lists = await s.store.manifestLists();
  await lists.create(`${registry.host}/list`, [`${registry.host}/x`]);
  await lists.push(`${registry.host}/list`);
  t.deepEqual(
    new Map([...sent].sort()),
    new Map([...image.blobs].map(([digest, { length }]) => [digest, length] as const).sort()),
  );
  t.deepEqual(puts, [`/v2/list/manifests/${digestOf(image.manifestBytes)}`, '/v2/list/manifests/latest']);
});

const IMAGE = testImage();
/** answers uploads with these headers, and takes what comes */
function posted(headers: Record<string, string>): Handler {
  return (request, response) => {
    if (request.method === 'POST') return (void response.writeHead(202, headers).end(), true);
    if (request.method !== 'PUT') return false;
    request.on('error', () => {}).resume();
    request.on('end', () => response.writeHead(201).end());
    return true;
  };
}
/** What a hostile registry answers to a push, the refusal, and how often the layer is fetched. */
const PUSHES: [what: string, answer: Handler, expected: RegExp, uploads: number][] = [
  ['no place to upload to', posted({}), /does not say where to upload to$/, 0],
  ['a place that is a file', posted({ location: 'file:///etc/passwd' }), /redirects to a file: URL$/, 0],
  ['a place that is no URL', posted({ location: 'http://[' }), /redirects to something that is no URL$/, 0],
  [
    'a refusal with escapes',
    (request, response) =>
      request.method === 'POST' &&
      (response.writeHead(400).end('{"errors":[{"code":"X","message":"\\u001b[2J\\u009bno\\nError: y"}]}'), true),
    /status 400: {2}\[2J no Error: y$/,
    0,
  ],
  [
    'other bytes than its own blob',
    (request, response, url) => {
      if (request.method === 'GET' && url.pathname.endsWith(IMAGE.manifest.layers[0]!.digest))
        return (void response.end(Buffer.alloc(IMAGE.layer.length)), true);
      return posted({ location: '/upload' })(request, response, url);
    },
    /sends other bytes for sha256:\w+: their digest is sha256:\w+$/,
    1,
  ],
  [
    'mounts that did not happen',
    (request, response) => {
      if (request.method === 'POST') return (void response.writeHead(201).end(), true);
      if (request.method !== 'PUT') return false;
      response.writeHead(400).end('{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}');
      return true;
    },
    /status 400: blob unknown$/,
    0,
  ],
];
for (const [what, answer, expected, uploads] of PUSHES)
  test(`hostile to a push: ${what}`, async (t) => {
    await using registry = await hostileRegistry(IMAGE, (request, response, url) =>
      request.method === 'HEAD' ? (response.writeHead(404).end(), true) : answer(request, response, url),
    );
    using s = testStore();
    const lists = await s.store.manifestLists();
    const list = `${registry.host}/list:1`;
    await lists.create(list, [`${registry.host}/x`]);
    await t.throwsAsync(lists.push(list, { purge: true }), { name: 'HuskError', message: expected });
    const layers = registry.requests.filter((request) => request.startsWith('GET') && request.includes('/blobs/'));
    t.is(layers.filter((request) => request.endsWith(IMAGE.manifest.layers[0]!.digest)).length, uploads);
    // what was not pushed is still there
    t.true((await lists.inspect(list)).isList);
  });

const LIST = (entries: unknown): TestImage['manifest'] =>
  ({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries }) as unknown as TestImage['manifest'];
/** @returns an image whose manifest is these bytes */
const served = (value: unknown, mediaType = OCI_INDEX): TestImage => {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
  return { ...testImage(), manifestBytes: bytes, manifestType: mediaType };
};
const ENTRY = { mediaType: OCI_MANIFEST, digest: `sha256:${'a'.repeat(64)}`, size: 5 };
const nested = Buffer.from(
  `{"schemaVersion":2,"config":${JSON.stringify(testImage().manifest.config)},"layers":[],"x":${'['.repeat(1e6)}${']'.repeat(1e6)}}`,
);

/** What a hostile registry sends, what is done with it, and the refusal. */
const HOSTILE: [what: string, image: TestImage, expected: RegExp, before?: Handler][] = [
  ['no JSON', served(Buffer.from('\x1b[2J')), /^the manifest sha256:\w+ is not JSON$/],
  ['nesting', served(nested, OCI_MANIFEST), /^the manifest sha256:\w+ is nested more than 64 levels deep$/],
  ['an endless manifest', served(Buffer.alloc((4 << 20) + 1, ' ')), /is larger than 4194304 bytes$/],
  ['both kinds in one', served({ ...testImage().manifest, manifests: [] }), /is both an index and a manifest$/],
  [
    'a digest that is a path',
    served(LIST([{ ...ENTRY, digest: 'sha256:../../x' }])),
    /^entry 1 of .* has no sha256 digest$/,
  ],
  ['a negative size', served(LIST([{ ...ENTRY, size: -1 }])), /^entry 1 of .* has no valid size$/],
  [
    'ten thousand entries',
    served(LIST(Array.from({ length: 10_000 }, () => ENTRY))),
    /has 10000 entries, more than 4096$/,
  ],
  [
    'three hundred manifests',
    served(LIST(Array.from({ length: 300 }, () => ENTRY))),
    /^the list has 300 manifests, more than 256$/,
  ],
  ['entries that are not there', served(LIST([ENTRY])), /^no such manifest: .*@sha256:a{64}$/],
  [
    'another manifest for a digest',
    served(LIST([ENTRY])),
    /sends a manifest with digest sha256:\w+ for sha256:a{64}$/,
    (_request, response, url) => url.pathname.includes('sha256:') && (response.end('hello'), true),
  ],
  [
    'a config that is another',
    testImage(),
    /sends other bytes for sha256:\w+: their digest is sha256:\w+$/,
    (_request, response, url) =>
      url.pathname.includes('/blobs/') && (response.end('x'.repeat(testImage().manifest.config.size)), true),
  ],
  [
    'an endless config',
    testImage({ manifest: (manifest) => (manifest.config.size = 5 << 20) }),
    /is larger than 4194304 bytes$/,
  ],
  [
    'a moved registry',
    testImage(),
    /redirects to a file: URL$/,
    (_request, response, url) =>
      url.pathname.includes('/manifests/') && (response.writeHead(307, { location: 'file:///etc/passwd' }).end(), true),
  ],
];
for (const [what, image, expected, before] of HOSTILE)
  test(`hostile: ${what}`, async (t) => {
    await using registry = await hostileRegistry(image, before);
    using s = testStore();
    const lists = await s.store.manifestLists();
    await t.throwsAsync(lists.inspect(`${registry.host}/x`, { all: true }), { name: 'HuskError', message: expected });
  });

test('a list of odd entries is shown as it is', async (t) => {
  const entries = [
    {
      ...ENTRY,
      platform: { os: 'win\u009b', architecture: 'a', 'os.version': 7, 'os.features': ['x', 8], variant: '' },
    },
    { ...ENTRY, mediaType: 'application/vnd.oci.empty', platform: 'none', extra: 1 },
  ];
  await using registry = await hostileRegistry(served(LIST(entries)));
  using s = testStore();
  const { text, manifests } = await (await s.store.manifestLists()).inspect(`${registry.host}/x`);
  t.deepEqual(manifests, []);
  t.deepEqual((JSON.parse(text) as { manifests: object[] }).manifests, [
    { ...ENTRY, platform: { architecture: 'a', os: 'win\u009b' } },
    { ...ENTRY, mediaType: 'application/vnd.oci.empty', platform: { architecture: '', os: '' } },
  ]);
});

test('a manifest without a platform cannot be pushed', async (t) => {
  const image = testImage({ config: (config) => delete config['os'] });
  await using registry = await hostileRegistry(image);
  using s = testStore();
  const lists = await s.store.manifestLists();
  const [list, one] = [`${registry.host}/list`, `${registry.host}/x:1`];
  await lists.create(list, [one]);
  await t.throwsAsync(lists.push(list), {
    message: `manifest ${one} must have an OS and Architecture to be pushed to a registry`,
  });
  t.throws(() => lists.annotate(list, one, { os: 'linux' }), { message: /combination: linux\/$/ });
  lists.annotate(list, one, { os: 'linux', architecture: 'arm64' });
});

const file = (s: TestStore): string => {
  const folder = join(s.paths.dataRoot, 'manifests');
  return join(folder, readdirSync(folder)[0]!);
};
const DAMAGE: [what: string, damage: (path: string) => void][] = [
  ['cut off', (path) => truncateSync(path, 100)],
  ['empty', (path) => truncateSync(path, 0)],
  ['nested', (path) => writeFileSync(path, '['.repeat(1000))],
  ['of another list', (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('/list:', '/other:'))],
  ['of a newer husk', (path) => writeFileSync(path, '{"version":2}')],
  ['too large', (path) => truncateSync(path, (48 << 20) + 1)],
];
test('a damaged file is named, and can be removed', async (t) => {
  await using registry = await hostileRegistry(testImage());
  using s = testStore();
  const lists = await s.store.manifestLists();
  const list = `${registry.host}/list`;
  for (const [what, damage] of DAMAGE) {
    await lists.create(list, [`${registry.host}/x`]);
    damage(file(s));
    const error = await t.throwsAsync(
      lists.inspect(list),
      { message: /^cannot read the manifest list .*\.json: / },
      what,
    );
    t.is((error as { fix?: string }).fix, `husk manifest rm ${list}:latest`);
    lists.remove(list);
  }
});

test('two lists are made at once, and two commands amend one list: nothing is lost', async (t) => {
  await using registry = await hostileRegistry(testImage());
  using s = testStore();
  const lists = await s.store.manifestLists();
  const [list, names] = [`${registry.host}/list`, ['a', 'b', 'c', 'd'].map((tag) => `${registry.host}/x:${tag}`)];
  await lists.create(list, [names[0]!]);
  await Promise.all(names.map((name) => lists.create(list, [name], { amend: true })));
  t.deepEqual((await lists.inspect(list)).manifests.map(({ reference }) => reference).sort(), names);
  const made = await Promise.allSettled(names.map((name) => lists.create(`${registry.host}/l`, [name])));
  t.is(made.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('an interrupted look says so, wherever it is', async (t) => {
  for (const stalls of ['/manifests/', '/blobs/']) {
    const controller = new AbortController();
    await using registry = await hostileRegistry(testImage(), (_request, response, url) => {
      if (!url.pathname.includes(stalls)) return false;
      response.write('{');
      setImmediate(() => controller.abort(new Error('interrupted')));
      return true;
    });
    using s = testStore();
    const lists = await s.store.manifestLists();
    const { signal } = controller;
    await t.throwsAsync(lists.inspect(`${registry.host}/x`, { signal }), { message: 'interrupted' }, stalls);
  }
});

test('a registry that is not on loopback has no plain HTTP, unless it is called insecure', async (t) => {
  const image = testImage();
  // The registry is behind a proxy, by a name that leads nowhere; a proxy of this kind makes no tunnels for TLS.
  await using proxy = await hostileRegistry(image);
  const address = `http://${proxy.host}`;
  using s = testStore({ env: { HTTP_PROXY: address, HTTPS_PROXY: address, DOCKER_CONFIG: '/nonexistent' } });
  const lists = await s.store.manifestLists();
  await t.throwsAsync(lists.inspect('registry.invalid/x'), { message: /^cannot reach registry\.invalid: / });
  t.deepEqual(proxy.requests, []);
  const { manifests } = await lists.inspect('registry.invalid/x', { insecure: true });
  t.is(manifests[0]!.digest, digestOf(image.manifestBytes));
});

/**
 * Pull from a real registry, of images made by umoci and skopeo; and from a registry that behaves badly but honestly.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Progress } from '../../src/images/store/contract.ts';
import { busyboxLayout, busyboxTar, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { digestOf, hostileRegistry, testImage } from './hostile-registry.ts';
import { testStore } from './store.ts';

const missing = missingImageTools();
const real = missing ? test.skip : test;
if (missing) test(`real registry: skipped: ${missing}`, (t) => t.pass());

const INDEX = 'application/vnd.oci.image.index.v1+json';
const sha = (file: string) => `sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}`;
/** what a person sees, without the figures */
const lines = (seen: Progress[]) =>
  seen.filter(({ status }) => status !== 'Downloading').map(({ id, status }) => (id ? `${id}: ${status}` : status));

real('OCI, Docker schema 2 and zstd give the same layer; the second pull fetches nothing', async (t) => {
  const layout = busyboxLayout();
  const diffId = sha(busyboxTar());
  await using registry = await startRegistry();
  using s = testStore();
  for (const [name, options] of [
    ['oci', {}],
    ['v2s2', { format: 'v2s2' }],
    ['zstd', { compress: 'zstd' }],
  ] as const) {
    const reference = await registry.push(`oci:${layout}:latest`, `a/busybox:${name}`, options);
    const { image, upToDate, digest } = await s.store.pull(reference);
    t.false(upToDate);
    t.deepEqual(
      image.layers.map((layer) => [layer.diffId, sha(layer.tar)]),
      [[diffId, diffId]],
    );
    t.true(image.repoTags.includes(reference));
    t.true(image.repoDigests.includes(`${registry.host}/a/busybox@${digest}`));
    t.true((await s.store.pull(reference)).upToDate);
    t.is((await s.store.pull(`${registry.host}/a/busybox@${digest}`)).image.id, image.id);
  }
  t.deepEqual(s.names('tmp'), []);
  t.deepEqual(s.fsck(), []);
});

real('Docker’s words, in Docker’s order', async (t) => {
  await using registry = await startRegistry();
  using s = testStore();
  const reference = await registry.push(`oci:${busyboxLayout()}:latest`, 'busybox:latest');
  const seen: Progress[] = [];
  const { digest } = await s.store.pull(reference.replace(/:latest$/, ''), {
    onProgress: (progress) => seen.push(progress),
  });
  const id = s.store.records.blobsOf(s.store.get(reference).id)[0]!.digest!.slice(7, 19);
  t.deepEqual(lines(seen), [
    'latest: Pulling from busybox',
    `${id}: Pulling fs layer`,
    `${id}: Verifying Checksum`,
    `${id}: Download complete`,
    `${id}: Extracting`,
    `${id}: Pull complete`,
    `Digest: ${digest}`,
    `Status: Downloaded newer image for ${reference}`,
  ]);
  seen.length = 0;
  await s.store.pull(reference, { onProgress: (progress) => seen.push(progress) });
  t.deepEqual(lines(seen), [
    'latest: Pulling from busybox',
    `Digest: ${digest}`,
    `Status: Image is up to date for ${reference}`,
  ]);
});

real('basic auth: Docker’s config.json, and a line that says what to do without it', async (t) => {
  await using registry = await startRegistry({ htpasswd: { user: 'someone', password: 'pass: word' } });
  const reference = await registry.push(`oci:${busyboxLayout()}:latest`, 'private:latest');
  const folder = mkdtempSync(join(tmpdir(), 'husk-docker-config-'));
  const env = { DOCKER_CONFIG: folder, PATH: `${folder}:${process.env['PATH']}` };
  try {
    const configs = {
      auth: { auths: { [registry.host]: { auth: Buffer.from('someone:pass: word').toString('base64') } } },
      'https key': {
        auths: { [`https://${registry.host}/v1/`]: { auth: Buffer.from('someone:pass: word').toString('base64') } },
      },
      'user and password': { auths: { [registry.host]: { username: 'someone', password: 'pass: word' } } },
      credHelpers: { credHelpers: { [registry.host]: 'husktest' }, auths: {} },
      credsStore: { credsStore: 'husktest' },
    };
    writeFileSync(
      join(folder, 'docker-credential-husktest'),
      `#!/bin/sh\nread host; [ "$1 $host" = "get ${registry.host}" ] && echo '{"ServerURL":"x","Username":"someone","Secret":"pass: word"}'\n`,
      { mode: 0o755 },
    );
    for (const [name, config] of Object.entries(configs)) {
      writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
      using s = testStore({ env });
      t.is((await s.store.pull(reference)).image.repoTags[0], reference, name);
    }
    writeFileSync(join(folder, 'config.json'), '{}');
    using none = testStore({ env });
    await t.throwsAsync(none.store.pull(reference), { message: 'no basic auth credentials' });
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ auths: { [registry.host]: { username: 'someone', password: 'wrong' } } }),
    );
    using wrong = testStore({ env });
    await t.throwsAsync(wrong.store.pull(reference), { message: /pull access denied for .*private/ });
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ credsStore: 'not-there' }));
    using absent = testStore({ env });
    await t.throwsAsync(absent.store.pull(reference), { message: /docker-credential-not-there: it is not installed/ });
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ credsStore: '../../bin/sh' }));
    using path = testStore({ env });
    await t.throwsAsync(path.store.pull(reference), { message: /not a program name/ });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

real('a multi-platform index made by skopeo and buildah’s peers: the right one is chosen', async (t) => {
  await using registry = await startRegistry();
  const folder = mkdtempSync(join(tmpdir(), 'husk-index-'));
  try {
    // two images that differ in their platform, and an index of both, put by hand as `buildah manifest push` does
    const put = async (url: string, body: Buffer | string, type: string) =>
      t.is(
        (
          await fetch(`http://${registry.host}${url}`, {
            method: 'PUT',
            body: new Uint8Array(Buffer.from(body)),
            headers: { 'content-type': type },
          })
        ).status,
        201,
      );
    const entries: object[] = [];
    for (const [architecture, variant] of [
      ['arm64', undefined],
      ['amd64', undefined],
      ['arm', 'v6'],
    ] as const) {
      const layout = busyboxLayout({ config: ['--architecture', architecture], tag: architecture });
      await registry.push(`oci:${layout}:${architecture}`, `multi:${architecture}`);
      const response = await fetch(`http://${registry.host}/v2/multi/manifests/${architecture}`, {
        headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
      });
      const bytes = Buffer.from(await response.arrayBuffer());
      entries.push({
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: digestOf(bytes),
        size: bytes.length,
        platform: { os: 'linux', architecture, variant },
      });
    }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: entries });
    await put('/v2/multi/manifests/latest', index, INDEX);
    using s = testStore();
    const pulled = await s.store.pull(`${registry.host}/multi`);
    t.is(pulled.digest, digestOf(index));
    t.is(pulled.image.config.architecture, 'amd64');
    t.is(
      (await s.store.pull(`${registry.host}/multi`, { platform: { os: 'linux', architecture: 'aarch64' } })).image
        .config.architecture,
      'arm64',
    );
    t.is(
      (await s.store.pull(`${registry.host}/multi`, { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }))
        .image.config.architecture,
      'arm',
    );
    await t.throwsAsync(s.store.pull(`${registry.host}/multi`, { platform: { os: 'linux', architecture: 's390x' } }), {
      message: 'no matching manifest for linux/s390x in the manifest list entries',
    });
    await t.throwsAsync(
      s.store.pull(`${registry.host}/multi:amd64`, { platform: { os: 'linux', architecture: 'arm64' } }),
      { message: /was found but does not match the specified platform: wanted linux\/arm64, actual: linux\/amd64/ },
    );
    t.deepEqual(s.fsck(), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

real('all tags', async (t) => {
  await using registry = await startRegistry();
  for (const tag of ['one', 'two']) await registry.push(`oci:${busyboxLayout()}:latest`, `tags:${tag}`);
  using s = testStore();
  await s.store.pull(`${registry.host}/tags`, { allTags: true });
  t.deepEqual(
    s.store.list().flatMap((image) => image.repoTags),
    [`${registry.host}/tags:one`, `${registry.host}/tags:two`],
  );
  await t.throwsAsync(s.store.pull(`${registry.host}/tags:one`, { allTags: true }), {
    message: "tag can't be used with --all-tags/-a",
  });
});

const HUSK_CACHE = 'application/vnd.husk.build-cache.v1+json';
/** What BuildKit writes: an index of layers, and of a config of its own. */
const BUILDKIT_CACHE = JSON.stringify({
  schemaVersion: 2,
  mediaType: INDEX,
  manifests: ['application/vnd.oci.image.layer.v1.tar+gzip', 'application/vnd.buildkit.cacheconfig.v0'].map(
    (mediaType) => ({ mediaType, digest: digestOf(mediaType), size: 3 }),
  ),
});

/** A registry whose repository has these tags. */
async function taggedRegistry(tags: Readonly<Record<string, { bytes: Buffer | string; type: string }>>) {
  return await hostileRegistry(testImage(), (_request, response, url) => {
    if (url.pathname.endsWith('/tags/list')) {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name: 'box', tags: Object.keys(tags) }));
      return true;
    }
    const tag = tags[url.pathname.split('/manifests/')[1] ?? ''];
    if (tag === undefined) return false;
    response.setHeader('content-type', tag.type);
    response.end(tag.bytes);
    return true;
  });
}

test('all tags: what is no image is left out with a line', async (t) => {
  const image = testImage();
  const cache = testImage({ manifest: (manifest) => (manifest.config.mediaType = HUSK_CACHE) });
  await using registry = await taggedRegistry({
    buildkit: { bytes: BUILDKIT_CACHE, type: INDEX },
    cache: { bytes: cache.manifestBytes, type: cache.manifestType },
    one: { bytes: image.manifestBytes, type: image.manifestType },
    two: { bytes: image.manifestBytes, type: image.manifestType },
  });
  using s = testStore();
  const repository = `${registry.host}/box`;
  const seen: Progress[] = [];
  await s.store.pull(repository, { allTags: true, onProgress: (progress) => seen.push(progress) });
  t.deepEqual(
    s.store.list().flatMap(({ repoTags }) => repoTags),
    [`${repository}:one`, `${repository}:two`],
  );
  t.deepEqual(
    lines(seen).filter((line) => line.startsWith('Skipped')),
    [
      `Skipped: ${repository}:buildkit: the index ${digestOf(BUILDKIT_CACHE)} is not an image: none of its entries is one`,
      `Skipped: ${repository}:cache: the manifest ${digestOf(cache.manifestBytes)} is not an image: its config has media type "${HUSK_CACHE}"`,
    ],
  );
  // Asked for by name it is an error.
  await t.throwsAsync(s.store.pull(`${repository}:buildkit`), {
    message: /is not an image: none of its entries is one$/,
  });
});

test('all tags: one that breaks the rules, and a repository without an image, fail', async (t) => {
  const image = testImage();
  using s = testStore();
  for (const [tags, message] of [
    [{ a: { bytes: BUILDKIT_CACHE, type: INDEX } }, /^no images found for .*: none of its 1 tags is one$/],
    [{}, /^no tags found for /],
    [
      {
        a: { bytes: image.manifestBytes, type: image.manifestType },
        b: { bytes: '{"schemaVersion":2,"manifests":[],"layers":[]}', type: INDEX },
      },
      /is both an index and a manifest$/,
    ],
  ] as const) {
    await using registry = await taggedRegistry(tags);
    const repository = `${registry.host}/box`;
    await t.throwsAsync(s.store.pull(repository, { allTags: true }), { message });
  }
});

real('what is not there', async (t) => {
  await using registry = await startRegistry();
  await registry.push(`oci:${busyboxLayout()}:latest`, 'busybox:latest');
  using s = testStore();
  await t.throwsAsync(s.store.pull(`${registry.host}/busybox:nope`), {
    message: /^manifest for .*\/busybox:nope not found: manifest unknown: manifest unknown$/,
  });
  await t.throwsAsync(s.store.pull(`${registry.host}/nope`), { message: /not found/ });
});

real('two processes pull the same image at once: both get it, it is fetched once', async (t) => {
  await using registry = await hostileRegistry(testImage(), (_request, response, url) => {
    // slow enough that both are there
    if (!url.pathname.includes('/blobs/')) return false;
    setTimeout(() => {
      if (!response.writableEnded) response.end(image.blobs.get(url.pathname.split('/').at(-1)!));
    }, 300);
    return true;
  });
  using one = testStore();
  using two = testStore({ dataRoot: one.paths.dataRoot });
  const program = `import { testStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))};
    const s = testStore({ dataRoot: process.argv[1] });
    console.log((await s.store.pull(process.argv[2])).image.id);`;
  const { promisify } = await import('node:util');
  const { execFile } = await import('node:child_process');
  const results = await Promise.all(
    [1, 2, 3].map(() =>
      promisify(execFile)(process.execPath, [
        '--disable-warning=ExperimentalWarning',
        '--input-type=module-typescript',
        '-e',
        program,
        one.paths.dataRoot,
        `${registry.host}/x`,
      ]),
    ),
  );
  t.is(new Set(results.map(({ stdout }) => stdout)).size, 1);
  t.is(registry.requests.filter((line) => line.includes(image.manifest.layers[0]!.digest)).length, 1);
  t.deepEqual(one.fsck(), []);
  t.is(two.store.list().length, 1);
});
const image = testImage();

test('a body that breaks off is taken up again where it broke', async (t) => {
  const good = testImage();
  const layer = good.manifest.layers[0]!.digest;
  let breaks = 0;
  await using registry = await hostileRegistry(good, (request, response, url) => {
    if (!url.pathname.endsWith(layer) || breaks === 2) return false;
    breaks++;
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(from ? 206 : 200, {
      'content-length': good.layer.length - from,
      ...(from ? { 'content-range': `bytes ${from}-${good.layer.length - 1}/${good.layer.length}` } : {}),
    });
    response.write(good.layer.subarray(from, from + (1 << 20)), () => setTimeout(() => response.destroy(), 20));
    return true;
  });
  using s = testStore();
  const { image: pulled } = await s.store.pull(`${registry.host}/x`);
  t.is(sha(pulled.layers[0]!.tar), pulled.layers[0]!.diffId);
  const ranges = registry.requests.filter((line) => line.includes(layer)).map((line) => line.split(' ')[2] ?? 'whole');
  t.is(ranges.length, 3);
  t.is(ranges[0], 'whole');
  t.regex(ranges[2]!, /^bytes=\d{7}-$/);
  t.deepEqual(s.names('tmp'), []);
});

test('a registry without ranges is read again from the start', async (t) => {
  const good = testImage();
  let broken = false;
  await using registry = await hostileRegistry(
    good,
    (_request, response, url) => {
      if (!url.pathname.endsWith(good.manifest.layers[0]!.digest) || broken) return false;
      broken = true;
      response.writeHead(200, { 'content-length': good.layer.length });
      response.write(good.layer.subarray(0, 2_000_000), () => setTimeout(() => response.destroy(), 20));
      return true;
    },
    { ranges: false },
  );
  using s = testStore();
  t.is((await s.store.pull(`${registry.host}/x`)).image.layers.length, 1);
  t.deepEqual(s.fsck(), []);
});

test('what a failed pull has fetched is not fetched again by the next', async (t) => {
  const good = testImage();
  const layer = good.manifest.layers[0]!.digest;
  let healthy = false;
  await using registry = await hostileRegistry(good, (_request, response, url) => {
    if (!url.pathname.endsWith(layer) || healthy) return false;
    // the connection breaks after half of it, and the registry then says it is gone
    if (registryRequests() > 1) return (void response.writeHead(404).end(), true);
    response.writeHead(200, { 'content-length': good.layer.length });
    response.write(
      good.layer.subarray(0, 2 << 20),
      () => void untilSize(part(), 1 << 20).then(() => setTimeout(() => response.destroy(), 20)),
    );
    return true;
  });
  const part = () => join(s.paths.tmp, `${layer.slice(7)}.partial`);
  function registryRequests(): number {
    return registry.requests.filter((line) => line.includes(layer)).length;
  }
  using s = testStore();
  await t.throwsAsync(s.store.pull(`${registry.host}/x`));
  t.deepEqual(s.names('tmp'), [`${layer.slice(7)}.partial`]);
  // what is on its way when a connection breaks may be lost with it
  const { size } = statSync(part());
  t.true(size >= 1 << 20 && size <= 2 << 20, `${size}`);
  healthy = true;
  await s.store.pull(`${registry.host}/x`);
  t.regex(registry.requests.at(-1)!, new RegExp(`bytes=${size}-$`));
  t.deepEqual([s.names('tmp'), s.fsck()], [[], []]);
});

async function untilSize(file: string, size: number): Promise<void> {
  while ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < size) await sleep(5);
}

test('a kept part that is wrong is found out, dropped, and the next pull is whole', async (t) => {
  const good = testImage();
  await using registry = await hostileRegistry(good);
  using s = testStore();
  const part = join(s.paths.tmp, `${good.manifest.layers[0]!.digest.slice(7)}.partial`);
  execFileSync('mkdir', ['-p', s.paths.tmp]);
  writeFileSync(part, Buffer.alloc(2 << 20, 7));
  await t.throwsAsync(s.store.pull(`${registry.host}/x`));
  t.false(existsSync(part));
  await s.store.pull(`${registry.host}/x`);
  writeFileSync(part, Buffer.alloc(20 << 20, 7));
  t.deepEqual(s.fsck(), []);
});

test('429 with Retry-After and 503 are tried again, 400 is not', async (t) => {
  let failures = [503, 429];
  await using registry = await hostileRegistry(testImage(), (_request, response, url) => {
    const status = url.pathname.includes('/manifests/') ? failures.shift() : undefined;
    if (status === undefined) return false;
    response.writeHead(status, { 'retry-after': '1' }).end();
    return true;
  });
  using s = testStore();
  const started = performance.now();
  await s.store.pull(`${registry.host}/x`);
  t.true(performance.now() - started > 1900);
  failures = [400];
  await t.throwsAsync(s.store.pull(`${registry.host}/x`), { message: /status 400/ });
});

test('an abort ends the pull at once', async (t) => {
  const good = testImage();
  await using registry = await hostileRegistry(good, (_request, response, url) => {
    if (!url.pathname.endsWith(good.manifest.layers[0]!.digest)) return false;
    response.writeHead(200, { 'content-length': good.layer.length });
    response.write(good.layer.subarray(0, 2 << 20));
    return true;
  });
  using s = testStore();
  const controller = new AbortController();
  const reason = new Error('interrupted');
  const pulling = t.throwsAsync(s.store.pull(`${registry.host}/x`, { signal: controller.signal }));
  while (!registry.requests.some((line) => line.includes(good.manifest.layers[0]!.digest))) await sleep(5);
  await sleep(50);
  controller.abort(reason);
  const aborted = performance.now();
  t.is(await pulling, reason);
  // a registry that falls silent is given up after a minute
  t.true(performance.now() - aborted < 30_000);
  t.deepEqual([s.names('layers'), s.store.list()], [[], []]);
});

test('mirrors are tried first, for docker.io only, and the hub’s failure is what is reported', async (t) => {
  const good = testImage();
  await using broken = await hostileRegistry(good, (_request, response) => (response.writeHead(500).end(), true));
  await using mirror = await hostileRegistry(good);
  using s = testStore({ config: { 'registry-mirrors': [`http://${broken.host}`, `http://${mirror.host}`] } });
  const { image: pulled } = await s.store.pull('thing:1');
  t.deepEqual(pulled.repoTags, ['thing:1']);
  t.true(mirror.requests.every((line) => line.includes('/v2/library/thing/')));
  await t.throwsAsync(s.store.pull('127.0.0.1:1/thing'), { message: /^cannot reach 127.0.0.1:1/ });
});

test('a repeated layer is fetched once', async (t) => {
  const double = testImage({
    config: (config) => {
      const [id] = (config['rootfs'] as { diff_ids: string[] }).diff_ids;
      config['rootfs'] = { type: 'layers', diff_ids: [id, id] };
    },
    manifest: (manifest) => {
      manifest.layers.push(manifest.layers[0]!);
    },
  });
  await using registry = await hostileRegistry(double);
  using s = testStore();
  t.is((await s.store.pull(`${registry.host}/x`)).image.layers.length, 2);
  t.is(registry.requests.filter((line) => line.includes(double.manifest.layers[0]!.digest)).length, 1);
});

test('a proxy from the environment is used, and not for what NO_PROXY names', async (t) => {
  const good = testImage();
  await using proxy = await hostileRegistry(
    good,
    (request) => ((request.url = request.url!.replace(/^http:\/\/[^/]+/, '')), false),
  );
  const env = { http_proxy: `http://${proxy.host}`, no_proxy: '127.0.0.1', DOCKER_CONFIG: '/nonexistent' };
  using s = testStore({ env, config: { 'insecure-registries': ['registry.invalid'] } });
  const { image: pulled } = await s.store.pull('registry.invalid/x');
  t.deepEqual(pulled.repoTags, ['registry.invalid/x:latest']);
  await using direct = await hostileRegistry(good);
  await s.store.pull(`${direct.host}/x`);
  t.true(direct.requests.length > 0);
});

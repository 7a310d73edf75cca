/** Push to a real registry, read back by skopeo and by ourselves. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Progress } from '../../src/images/store/contract.ts';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { hostileRegistry, testImage } from './hostile-registry.ts';
import { testStore } from './store.ts';

const missing = missingImageTools();
const real = missing ? test.skip : test;
if (missing) test(`real registry: skipped: ${missing}`, (t) => t.pass());

const inspect = (reference: string) =>
  JSON.parse(
    execFileSync('skopeo', ['inspect', '--tls-verify=false', `docker://${reference}`], { encoding: 'utf8' }),
  ) as { Digest: string; Layers: string[] };

for (const format of ['oci', 'v2s2'] as const)
  real(`${format}: to another registry, to another repository, and again`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    using s = testStore();
    const source = await from.push(`oci:${busyboxLayout()}:latest`, 'busybox:latest', { format });
    const { image, digest } = await s.store.pull(source);
    const target = `${to.host}/some/where:1`;
    s.store.tag(source, target);
    const seen: Progress[] = [];
    const pushed = await s.store.push(target, { onProgress: (progress) => seen.push(progress) });
    t.is(inspect(target).Digest, pushed.digest);
    const id = image.layers[0]!.diffId.slice(7, 19);
    t.deepEqual(
      seen
        .filter(({ status }) => status !== 'Pushing')
        .map((each) => (each.id ? `${each.id}: ${each.status}` : each.status)),
      [
        `The push refers to repository [${to.host}/some/where]`,
        `${id}: Preparing`,
        `${id}: Pushed`,
        `1: digest: ${pushed.digest} size: ${pushed.size}`,
      ],
    );
    using other = testStore();
    t.is((await other.store.pull(target)).image.id, image.id);
    // where the blobs are known the manifest stays what it was, and nothing is sent
    for (const [name, status] of [
      ['busybox:again', 'Layer already exists'],
      ['elsewhere:1', 'Mounted from busybox'],
    ] as const) {
      s.store.tag(source, `${from.host}/${name}`);
      const statuses: string[] = [];
      t.is(
        (await s.store.push(`${from.host}/${name}`, { onProgress: (progress) => statuses.push(progress.status) }))
          .digest,
        digest,
      );
      t.true(statuses.includes(status), statuses.join());
      t.is(inspect(`${from.host}/${name}`).Digest, digest);
    }
    t.deepEqual([s.names('tmp'), s.fsck()], [[], []]);
  });

real('with credentials, and without', async (t) => {
  await using open = await startRegistry();
  await using registry = await startRegistry({ htpasswd: { user: 'me', password: 'secret' } });
  const folder = mkdtempSync(join(tmpdir(), 'husk-docker-config-'));
  try {
    const source = await open.push(`oci:${busyboxLayout()}:latest`, 'busybox:latest');
    using s = testStore({ env: { DOCKER_CONFIG: folder, PATH: process.env['PATH'] } });
    await s.store.pull(source);
    s.store.tag(source, `${registry.host}/x`);
    await t.throwsAsync(s.store.push(`${registry.host}/x`), { message: 'no basic auth credentials' });
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ auths: { [registry.host]: { username: 'me', password: 'secret' } } }),
    );
    await s.store.push(`${registry.host}/x`);
    await t.throwsAsync(s.store.push(`${registry.host}/nothing`), {
      message: `An image does not exist locally with the tag: ${registry.host}/nothing`,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the token of one host does not go to where it wants the upload', async (t) => {
  const good = testImage();
  await using elsewhere = await hostileRegistry(
    good,
    (request, response) => (request.resume(), request.on('end', () => response.writeHead(201).end()), true),
    { address: '127.0.0.2' },
  );
  await using registry = await hostileRegistry(good, (request, response, url) => {
    if (url.pathname === '/token') return (void response.end('{"token":"secret"}'), true);
    const writes = request.method !== 'GET';
    if (writes && request.headers.authorization !== 'Bearer secret')
      return (
        void response
          .writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token"` })
          .end(),
        true
      );
    if (request.method === 'HEAD') return (void response.writeHead(404).end(), true);
    if (request.method === 'POST')
      return (void response.writeHead(202, { location: `http://${elsewhere.host}/upload?state=1` }).end(), true);
    if (request.method === 'PUT') return (void (request.resume(), response.writeHead(201).end()), true);
    return false;
  });
  using s = testStore();
  await s.store.pull(`${registry.host}/x`);
  s.store.tag(`${registry.host}/x`, `${registry.host}/y`);
  await s.store.push(`${registry.host}/y`);
  t.deepEqual(elsewhere.requests, ['PUT /upload', 'PUT /upload']);
  t.deepEqual(elsewhere.seen('authorization'), []);
});

test('an interrupted push says so, wherever it is', async (t) => {
  for (const stalls of ['HEAD', 'POST', 'PUT']) {
    const controller = new AbortController();
    await using registry = await hostileRegistry(testImage(), (request, response) => {
      if (request.method === 'GET') return false;
      if (request.method === stalls) return (setImmediate(() => controller.abort(new Error('interrupted'))), true);
      const answer = request.method === 'HEAD' ? response.writeHead(404) : response.writeHead(202, { location: '/up' });
      return (answer.end(), true);
    });
    using s = testStore();
    await s.store.pull(`${registry.host}/x`);
    s.store.tag(`${registry.host}/x`, `${registry.host}/y`);
    await t.throwsAsync(
      s.store.push(`${registry.host}/y`, { signal: controller.signal }),
      { message: 'interrupted' },
      stalls,
    );
    t.deepEqual(s.names('tmp'), []);
  }
});

/** Images on their way over the API, with Debian's registry and skopeo as judges where there are such. */
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../../fixtures/images.ts';
import { hostileRegistry, testImage } from '../../images/hostile-registry.ts';
import { begin } from '../fixture.ts';
import { judged } from '../judged.ts';
import { openImageApi, smallTar, type ImageApi } from './open-api.ts';

const missing = missingImageTools();
const real = missing ? test.skip : test;
if (missing) test(`real registry: skipped: ${missing}`, (t) => t.pass());

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const statuses = (lines: unknown[]): string[] =>
  (lines as { id?: string; status?: string }[]).flatMap(({ id, status }) =>
    status === undefined || status === 'Downloading' || status === 'Pushing' ? [] : [id ? `${id}: ${status}` : status],
  );
const pull = (api: ImageApi, query: string, headers: Record<string, string> = {}): ReturnType<typeof judged> =>
  judged(api.server, 'POST', `/v1.51/images/create?${query}`, { headers, lines: 'CreateImageInfo' });

real('pull, push and pull again: Docker’s lines, in order; skopeo finds what was pushed', async (t) => {
  await using registry = await startRegistry();
  const source = await registry.push(`oci:${busyboxLayout()}:latest`, 'busybox:1');
  const api = await openImageApi(t);
  const { lines } = await pull(api, `fromImage=${registry.host}/busybox&tag=1`, { 'X-Registry-Auth': 'e30=' });
  const image = api.store.get(source);
  const layer = statuses(lines)[1]!.slice(0, 12);
  t.deepEqual(lines[0], { status: 'Pulling from busybox', id: '1' });
  const digest = image.repoDigests[0]!.split('@')[1]!;
  t.deepEqual(statuses(lines), [
    '1: Pulling from busybox',
    `${layer}: Pulling fs layer`,
    `${layer}: Verifying Checksum`,
    `${layer}: Download complete`,
    `${layer}: Extracting`,
    `${layer}: Pull complete`,
    `Digest: ${digest}`,
    `Status: Downloaded newer image for ${source}`,
  ]);
  const again = await pull(api, `fromImage=${source}&tag=${digest}`);
  t.deepEqual(statuses(again.lines).at(-1), `Status: Image is up to date for ${registry.host}/busybox@${digest}`);
  await judged(api.server, 'POST', `/images/${source}/tag?repo=${registry.host}/other&tag=2`);
  const pushed = await judged(api.server, 'POST', `/v1.51/images/${registry.host}/other/push?tag=2`, {
    lines: 'PushImageInfo',
  });
  t.deepEqual(pushed.lines[0], { status: `The push refers to repository [${registry.host}/other]` });
  const { aux } = pushed.lines.at(-1) as { aux: { Tag: string; Digest: string; Size: number } };
  t.is(statuses(pushed.lines).at(-1), `2: digest: ${aux.Digest} size: ${aux.Size}`);
  t.is(aux.Tag, '2');
  const found = execFileSync('skopeo', ['inspect', '--tls-verify=false', `docker://${registry.host}/other:2`]);
  t.is((JSON.parse(found.toString()) as { Digest: string }).Digest, aux.Digest);
});

real('no tag is all tags, of a pull and of a push', async (t) => {
  await using registry = await startRegistry();
  for (const tag of ['1', '2']) await registry.push(`oci:${busyboxLayout()}:latest`, `busybox:${tag}`);
  const api = await openImageApi(t);
  const { lines } = await pull(api, `fromImage=${registry.host}/busybox`);
  t.deepEqual(
    statuses(lines)
      .filter((line) => line.includes('Pulling from'))
      .sort(),
    ['1: Pulling from busybox', '2: Pulling from busybox'],
  );
  const pushed = await judged(api.server, 'POST', `/images/${registry.host}/busybox/push`, { lines: 'PushImageInfo' });
  const aux = (pushed.lines as { aux?: { Tag: string } }[]).flatMap((line) => line.aux?.Tag ?? []);
  t.deepEqual(aux, ['1', '2']);
  t.is(statuses(pushed.lines).filter((line) => line.startsWith('The push refers to')).length, 1);
});

real('what a registry has under a name, without a pull', async (t) => {
  await using registry = await startRegistry();
  await registry.push(`oci:${busyboxLayout()}:latest`, 'busybox:1');
  const api = await openImageApi(t);
  const { status, json } = await judged(api.server, 'GET', `/v1.51/distribution/${registry.host}/busybox:1/json`);
  t.is(status, 200);
  t.like(json, { Platforms: [{ os: 'linux' }] });
  const none = await judged(api.server, 'GET', `/v1.51/distribution/${registry.host}/busybox:nope/json`);
  t.is(none.status, 404);
});

test('what is not there is 404 before the first byte, and so is what is not for everybody (podman#15828)', async (t) => {
  await using registry = await hostileRegistry(testImage(), (request, response) => {
    if (request.url === '/v2/') return false;
    if (request.url!.includes('/closed/'))
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end('{"errors":[]}');
    else response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    return true;
  });
  const api = await openImageApi(t);
  const nope = await pull(api, `fromImage=${registry.host}/nope&tag=1`);
  t.deepEqual(
    [nope.status, nope.json],
    [404, { message: `manifest for ${registry.host}/nope:1 not found: manifest unknown: manifest unknown` }],
  );
  const closed = await pull(api, `fromImage=${registry.host}/closed&tag=1`);
  t.is(closed.status, 404);
});

test('a pull that fails on its way says so in its last line', async (t) => {
  await using registry = await hostileRegistry(testImage(), (_request, response, url) => {
    if (!url.pathname.includes('/blobs/')) return false;
    response.writeHead(404).end('{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}');
    return true;
  });
  const api = await openImageApi(t);
  const { status, lines } = await pull(api, `fromImage=${registry.host}/x&tag=1`);
  t.is(status, 200);
  const last = lines.at(-1) as { error: string; errorDetail: { message: string } };
  t.is(last.error, last.errorDetail.message);
  t.regex(last.error, /blob unknown/);
});

test('credentials of a request go to the registry; the next request is nobody again', async (t) => {
  await using registry = await hostileRegistry(testImage(), (request, response) => {
    if (request.headers.authorization === `Basic ${Buffer.from('me:secret').toString('base64')}`) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end('{"errors":[]}');
    return true;
  });
  const api = await openImageApi(t);
  const auth = { 'X-Registry-Auth': encoded({ username: 'me', password: 'secret' }) };
  t.is((await pull(api, `fromImage=${registry.host}/x&tag=1`, auth)).status, 200);
  t.is((await pull(api, `fromImage=${registry.host}/y&tag=1`)).status, 404);
  const wrong = await judged(api.server, 'POST', `/images/${registry.host}/x/push?tag=1`, {
    headers: { 'X-Registry-Auth': 'nonsense' },
  });
  t.deepEqual(
    [wrong.status, (wrong.json as { message: string }).message.split('\n')[0]],
    [400, 'invalid X-Registry-Auth header'],
  );
});

test('a client that goes away ends the pull', async (t) => {
  const gone = Promise.withResolvers<void>();
  await using registry = await hostileRegistry(testImage(), (_request, response, url) => {
    if (!url.pathname.includes('/blobs/')) return false;
    response.writeHead(200, { 'content-length': '99999' });
    response.write('x');
    response.once('close', gone.resolve);
    return true;
  });
  const api = await openImageApi(t);
  const { stream, leave } = await begin(api.server, 'POST', `/images/create?fromImage=${registry.host}/x&tag=1`);
  stream.on('error', () => {});
  leave();
  await gone.promise;
  t.deepEqual(api.store.list(), []);
});

test('push of what is not here: Docker’s two lines', async (t) => {
  const api = await openImageApi(t);
  for (const query of ['?tag=1', '']) {
    const { status, lines } = await judged(api.server, 'POST', `/images/127.0.0.1:1/nope/push${query}`, {
      lines: 'PushImageInfo',
    });
    t.is(status, 200);
    t.deepEqual(lines[0], { status: 'The push refers to repository [127.0.0.1:1/nope]' });
    t.like(lines[1], { error: 'An image does not exist locally with the tag: 127.0.0.1:1/nope' });
  }
});

test('save and load: one, several, by id; quiet and not', async (t) => {
  const api = await openImageApi(t);
  for (const [repo, content] of [
    ['a:1', 'a'],
    ['b:1', 'b'],
  ] as const)
    await judged(api.server, 'POST', `/images/create?fromSrc=-&repo=${repo}`, {
      body: smallTar(content),
      lines: 'CreateImageInfo',
    });
  const id = api.store.get('b:1').id;
  const archive = await judgedArchive(api, '/images/get?names=a:1&names=b:1');
  const nameless = await judgedArchive(api, `/images/${id}/get`);
  const folder = mkdtempSync(join(tmpdir(), 'husk-saved-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'a.tar'), archive);
  const names = execFileSync('tar', ['-tf', join(folder, 'a.tar')], { encoding: 'utf8' });
  t.regex(names, /^manifest\.json$/m);
  const other = await openImageApi(t);
  const load = (body: Buffer, query = ''): ReturnType<typeof judged> =>
    judged(other.server, 'POST', `/images/load${query}`, { body, lines: 'BuildInfo' });
  const quiet = await load(archive, '?quiet=1');
  t.deepEqual(quiet.lines, [{ stream: 'Loaded image: a:1\n' }, { stream: 'Loaded image: b:1\n' }]);
  other.engine.images.remove('a:1', { inUse: () => [] });
  const loud = await load(archive);
  t.deepEqual(loud.lines.slice(-2), quiet.lines);
  t.like(loud.lines[0], { status: 'Loading layer' });
  other.engine.images.remove(id, { force: true, inUse: () => [] });
  t.deepEqual((await load(nameless, '?quiet=1')).lines, [{ stream: `Loaded image ID: ${id}\n` }]);
});

async function judgedArchive(api: ImageApi, path: string): Promise<Buffer> {
  const { head, stream } = await begin(api.server, 'GET', path);
  if (head.status !== 200 || head.headers['content-type'] !== 'application/x-tar')
    throw new Error(JSON.stringify(head));
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('import from a URL', async (t) => {
  const server = createServer((_request, response) => void response.end(smallTar('x')));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `127.0.0.1:${(server.address() as AddressInfo).port}/x.tar?secret=1`;
  const api = await openImageApi(t);
  const { lines } = await pull(
    api,
    `fromSrc=${encodeURIComponent(url)}&repo=x&tag=2&message=hello&changes=ENV%20A%3Db&changes=USER%20me`,
  );
  t.deepEqual(lines[0], { status: `Downloading from http://${url.replace(/\?.*/, '')}` });
  const image = api.store.get('x:2');
  t.deepEqual(lines.at(-1), { status: image.id });
  t.like(image.config, { comment: 'hello', config: { Env: ['A=b'], User: 'me' } } as object);
});

const WRONG: [what: string, method: string, path: string, status: number, message: RegExp][] = [
  ['no image', 'POST', '/images/create', 400, /^invalid reference format/],
  ['an image with a name that is none', 'POST', '/images/create?fromImage=A&tag=1', 400, /must be lowercase/],
  ['a tag that is none', 'POST', '/images/create?fromImage=a&tag=a%2Fb', 400, /^invalid reference format/],
  ['a platform that is none', 'POST', '/images/create?fromImage=a&tag=1&platform=a/b/c/d', 400, /^invalid platform/],
  ['an import of nothing', 'POST', '/images/create?fromSrc=-', 400, /^the archive is empty/],
  ['an import of no tar', 'POST', '/images/create?fromSrc=-&x', 500, /./],
  ['an import with a change that is none', 'POST', '/images/create?fromSrc=-&changes=NOPE', 400, /NOPE/],
  [
    'an import under a digest',
    'POST',
    `/images/create?fromSrc=-&repo=a@sha256:${'a'.repeat(64)}`,
    400,
    /cannot import digest reference/,
  ],
  ['an import from a URL that is none', 'POST', '/images/create?fromSrc=http%3A%2F%2F%3A', 400, /is no URL/],
  ['an import from a file of the host', 'POST', '/images/create?fromSrc=file%3A%2F%2F%2Fetc%2Fpasswd', 500, /./],
  ['a saving of nothing', 'GET', '/images/get', 400, /name 1 to 1024/],
  ['a saving of too much', 'GET', `/images/get?${'names=a&'.repeat(1025)}`, 400, /name 1 to 1024/],
  ['a saving of what is not there', 'GET', '/images/get?names=nosuch', 404, /^No such image: nosuch:latest/],
  ['a loading of no archive', 'POST', '/images/load', 500, /./],
  ['a distribution of what is no name', 'GET', '/distribution/A/json', 400, /must be lowercase/],
];
test('what cannot be done says why', async (t) => {
  const api = await openImageApi(t);
  for (const [what, method, path, status, message] of WRONG) {
    const body = path.endsWith('&x') || path.endsWith('/load') ? 'x'.repeat(2000) : undefined;
    const reply = await judged(api.server, method, path, { ...(body !== undefined && { body }) });
    t.is(reply.status, status, `${what}: ${reply.text.slice(0, 300)}`);
    t.regex((reply.json as { message: string }).message, message, what);
  }
  t.deepEqual(api.store.list(), []);
});

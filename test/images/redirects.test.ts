/** Redirects of a registry's requests: which are followed, and what never goes to the host they lead to. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Repository } from '../../src/images/registry/client.ts';
import { Transport } from '../../src/images/registry/transport.ts';
import { type Handler, type HostileRegistry, hostileRegistry, testImage } from './hostile-registry.ts';

const IMAGE = testImage();

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

/** answers everything with 202 and what it got */
const accepting: Handler = (request, response) => {
  void bodyOf(request).then((body) =>
    response.writeHead(202, { location: '/v2/x/blobs/uploads/1' }).end(`${request.method} ${body}`),
  );
  return true;
};
const redirecting =
  (status: number, to: () => string): Handler =>
  (request, response, url) => {
    if (url.pathname.endsWith('/there')) return accepting(request, response, url);
    response.writeHead(status, { location: to() }).end();
    return true;
  };

async function send(registry: HostileRegistry, method: 'POST' | 'PUT', body?: string): Promise<string> {
  using transport = new Transport({ userAgent: 'test', env: {} });
  const response = await transport.send({
    method,
    url: new URL(`http://${registry.host}/here`),
    headers: { authorization: 'Basic c2VjcmV0' },
    ...(body !== undefined && { body: Buffer.from(body) }),
  });
  return `${response.status} ${await bodyOf(response.body)}`;
}

for (const status of [307, 308]) {
  test(`a POST that is redirected by ${status} goes on with its method and body`, async (t) => {
    await using registry = await hostileRegistry(
      IMAGE,
      redirecting(status, () => '/there'),
    );
    t.is(await send(registry, 'POST', 'sent'), '202 POST sent');
    t.deepEqual(registry.seen('authorization'), ['Basic c2VjcmV0', 'Basic c2VjcmV0']);
  });
}

test('a POST that is redirected by 302 is not sent again: its method would change', async (t) => {
  await using registry = await hostileRegistry(
    IMAGE,
    redirecting(302, () => '/there'),
  );
  t.is(await send(registry, 'POST', 'sent'), '302 ');
});

test('without a body it goes to another host, without credentials', async (t) => {
  await using other = await hostileRegistry(IMAGE, accepting);
  await using registry = await hostileRegistry(
    IMAGE,
    redirecting(307, () => `http://${other.host}/there`),
  );
  t.is(await send(registry, 'POST'), '202 POST ');
  t.deepEqual(other.seen('authorization'), []);
});

test('a body, which may be a token, never goes to another host', async (t) => {
  await using other = await hostileRegistry(IMAGE, accepting);
  await using registry = await hostileRegistry(
    IMAGE,
    redirecting(307, () => `http://${other.host}/there`),
  );
  await t.throwsAsync(send(registry, 'POST', 'refresh_token=secret'), {
    message: /redirects a POST with a body to another host/,
  });
  t.deepEqual(other.requests, []);
});

test('a registry that moves its uploads is pushed to where they are', async (t) => {
  await using registry = await hostileRegistry(IMAGE, (request, response, url) => {
    if (request.method !== 'POST') return false;
    if (url.pathname === '/moved/') response.writeHead(202, { location: '/v2/x/blobs/uploads/1' }).end();
    else response.writeHead(308, { location: '/moved/' }).end();
    return true;
  });
  using transport = new Transport({ userAgent: 'test', env: {} });
  const endpoint = { host: registry.host, bases: [new URL(`http://${registry.host}/`)], insecure: true };
  t.is(
    (await new Repository({ transport, endpoint, path: 'x', env: {} }).startUpload())?.pathname,
    '/v2/x/blobs/uploads/1',
  );
});

test('a host that a redirect leads to gets no credentials, however it asks', async (t) => {
  await using thief = await hostileRegistry(IMAGE, (_request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="give"' }).end();
    return true;
  });
  await using registry = await hostileRegistry(IMAGE, (_request, response, url) => {
    if (!url.pathname.includes('/blobs/')) return false;
    response.writeHead(307, { location: `http://${thief.host}/blob` }).end();
    return true;
  });
  using transport = new Transport({ userAgent: 'test', env: {} });
  const endpoint = { host: registry.host, bases: [new URL(`http://${registry.host}/`)], insecure: true };
  const config = mkdtempSync(join(tmpdir(), 'husk-thief-'));
  t.teardown(() => rmSync(config, { recursive: true }));
  writeFileSync(
    join(config, 'config.json'),
    JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from('me:secret').toString('base64') } } }),
  );
  const env = { DOCKER_CONFIG: config };
  await t.throwsAsync(new Repository({ transport, endpoint, path: 'x', env }).blob(`sha256:${'a'.repeat(64)}`, 0, 5), {
    message: /pull access denied/,
  });
  t.deepEqual(thief.seen('authorization'), []);
  t.is(thief.requests.length, 1, 'it is not asked again');
});

/** Token and basic authorization against a registry in this process; and that credentials go nowhere else. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { parseChallenges } from '../../src/images/registry/challenge.ts';
import { endpoints } from '../../src/images/registry/endpoints.ts';
import { parseRetryAfter } from '../../src/images/registry/retry.ts';
import type { Handler } from './hostile-registry.ts';
import { hostileRegistry, testImage } from './hostile-registry.ts';
import { testStore } from './store.ts';

/** A registry whose /v2/ wants `Bearer good-N`, N as many as `uses` allows, from its own /token. */
function tokenRegistry(
  check: (request: IncomingMessage, query: URLSearchParams, body: string) => boolean,
  uses = Infinity,
): { handler: Handler; tokens: () => number } {
  let issued = 0;
  let used = 0;
  const handler: Handler = (request, response, url) => {
    if (url.pathname === '/token') {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        const query = request.method === 'POST' ? new URLSearchParams(body) : url.searchParams;
        if (!check(request, query, body)) return response.writeHead(401).end();
        used = 0;
        return response.end(
          JSON.stringify(
            request.method === 'POST'
              ? { access_token: `good-${++issued}` }
              : { token: `good-${++issued}`, expires_in: 60 },
          ),
        );
      });
      return true;
    }
    if (request.headers.authorization === `Bearer good-${issued}` && used++ < uses) return false;
    response
      .writeHead(401, {
        'www-authenticate': `Basic realm="x", Bearer realm="http://${request.headers.host}/token",service="the, \\"service\\"",scope="repository:x:pull"`,
      })
      .end();
    return true;
  };
  return { handler, tokens: () => issued };
}

function dockerConfig(config: (host: string) => object) {
  const folder = mkdtempSync(join(tmpdir(), 'husk-docker-config-'));
  return {
    env: { DOCKER_CONFIG: folder, PATH: process.env['PATH'] },
    write: (host: string) => writeFileSync(join(folder, 'config.json'), JSON.stringify(config(host))),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

test('an anonymous token: asked for once, for this repository, for pulling', async (t) => {
  const { handler, tokens } = tokenRegistry(
    (request, query) =>
      request.headers.authorization === undefined &&
      query.get('scope') === 'repository:some/x:pull' &&
      query.get('service') === 'the, "service"',
  );
  await using registry = await hostileRegistry(testImage(), handler);
  using s = testStore();
  await s.store.pull(`${registry.host}/some/x`);
  t.is(tokens(), 1);
});

test('a token that expires in the middle is fetched anew', async (t) => {
  const { handler, tokens } = tokenRegistry(() => true, 1);
  await using registry = await hostileRegistry(testImage(), handler);
  using s = testStore();
  await s.store.pull(`${registry.host}/x`);
  t.true(tokens() > 1);
});

test('a token for a user: basic auth at the realm, never at the registry', async (t) => {
  const { handler } = tokenRegistry(
    (request, query) => request.headers.authorization === basic('me:secret') && query.get('account') === 'me',
  );
  await using registry = await hostileRegistry(testImage(), handler);
  using docker = dockerConfig((host) => ({ auths: { [host]: { auth: Buffer.from('me:secret').toString('base64') } } }));
  docker.write(registry.host);
  using s = testStore({ env: docker.env });
  await s.store.pull(`${registry.host}/x`);
  t.is(registry.seen('authorization').filter((value) => value.startsWith('Basic')).length, 1);
});

test('an identity token: POST with grant_type=refresh_token', async (t) => {
  const { handler } = tokenRegistry(
    (request, query) =>
      request.method === 'POST' &&
      request.headers.authorization === undefined &&
      query.get('grant_type') === 'refresh_token' &&
      query.get('refresh_token') === 'refresh&me' &&
      query.get('client_id') === 'husk',
  );
  await using registry = await hostileRegistry(testImage(), handler);
  using docker = dockerConfig((host) => ({ auths: { [host]: { identitytoken: 'refresh&me' } } }));
  docker.write(registry.host);
  using s = testStore({ env: docker.env });
  await s.store.pull(`${registry.host}/x`);
  t.pass();
});

test('a realm that refuses', async (t) => {
  const { handler } = tokenRegistry(() => false);
  await using registry = await hostileRegistry(testImage(), handler);
  using s = testStore();
  await t.throwsAsync(s.store.pull(`${registry.host}/x`), {
    message: /\/token refuses a token for 127.0.0.1:\d+ without credentials$/,
  });
});

test('a registry that never accepts its own token is asked twice, not for ever', async (t) => {
  const { handler, tokens } = tokenRegistry(() => true, 0);
  await using registry = await hostileRegistry(testImage(), handler);
  using s = testStore();
  await t.throwsAsync(s.store.pull(`${registry.host}/x`), { message: /pull access denied/ });
  t.is(tokens(), 1);
});

test('credentials do not follow a redirect to another host, and do within the host', async (t) => {
  const image = testImage();
  await using elsewhere = await hostileRegistry(image, undefined, { address: '127.0.0.2' });
  const { handler } = tokenRegistry(() => true);
  await using registry = await hostileRegistry(image, (request, response, url) => {
    if (handler(request, response, url)) return true;
    if (url.pathname.includes('/blobs/'))
      return (
        void response
          .writeHead(307, { location: `http://someone:password@${elsewhere.host}${url.pathname}?signature=1` })
          .end(),
        true
      );
    if (url.pathname.endsWith('/manifests/latest'))
      return (void response.writeHead(302, { location: '/v2/x/manifests/again' }).end(), true);
    return false;
  });
  using s = testStore();
  await s.store.pull(`${registry.host}/x`);
  t.is(elsewhere.requests.length, 2);
  t.deepEqual([elsewhere.seen('authorization'), elsewhere.seen('cookie')], [[], []]);
  t.true(registry.requests.includes('GET /v2/x/manifests/again'));
});

test('credentials of one registry are not sent to another that redirects its realm to plain http elsewhere', async (t) => {
  // a registry that is not insecure may not name a realm without TLS: checked where the realm is read
  const { Authorization } = await import('../../src/images/registry/authorization.ts');
  const { Transport } = await import('../../src/images/registry/transport.ts');
  using transport = new Transport({ userAgent: 'husk' });
  const authorization = new Authorization({
    transport,
    host: 'secure.example',
    insecure: false,
    credentials: () => Promise.resolve({ kind: 'password', username: 'a', password: 'b' }),
  });
  await t.throwsAsync(authorization.answer('Bearer realm="http://127.0.0.1:1/token"', 'repository:x:pull', undefined), {
    message: /wants its credentials sent to http:\/\/127.0.0.1:1\/token, which is not https/,
  });
});

const challenge = test.macro({
  exec(t, header: string, expected: [string, Record<string, string>][]) {
    t.deepEqual(
      parseChallenges(header).map(({ scheme, parameters }): [string, Record<string, string>] => [
        scheme,
        { ...parameters },
      ]),
      expected,
    );
  },
  title: (_title, header: string, _expected?: unknown) => `challenge ${header.slice(0, 60)}`,
});
test(challenge, 'Basic', [['basic', {}]]);
test(challenge, 'Bearer realm="https://a/t",service="s",scope="a:b:pull,push"', [
  ['bearer', { realm: 'https://a/t', service: 's', scope: 'a:b:pull,push' }],
]);
test(challenge, 'basic realm="a \\"b\\"" , BEARER realm=x , service = "y"', [
  ['basic', { realm: 'a "b"' }],
  ['bearer', { realm: 'x', service: 'y' }],
]);
test(challenge, 'Bearer realm="unfinished', [['bearer', {}]]);
test(challenge, 'realm="x"', []);
test(challenge, ',,,', []);
test(challenge, `Bearer realm="${'a'.repeat(100_000)}"`, [['bearer', {}]]);
test(challenge, 'Bearer __proto__="x",realm="y",realm="z"', [['bearer', { ['__proto__']: 'x', realm: 'y' }]]);

test('which hosts may be spoken to without TLS', (t) => {
  const bases = (domain: string, config = {}) =>
    endpoints(domain, config).map((endpoint) => endpoint.bases.map((url) => url.origin).join(' '));
  t.deepEqual(bases('docker.io'), ['https://registry-1.docker.io']);
  t.deepEqual(bases('h.example:5000'), ['https://h.example:5000']);
  t.deepEqual(bases('h.example:5000', { 'insecure-registries': ['h.example:5000'] }), [
    'https://h.example:5000 http://h.example:5000',
  ]);
  t.deepEqual(bases('h.example', { 'insecure-registries': ['h.example:5000'] }), ['https://h.example']);
  t.deepEqual(bases('127.1.2.3:80'), ['https://127.1.2.3:80 http://127.1.2.3']);
  t.deepEqual(bases('127.0.0.1.example'), ['https://127.0.0.1.example']);
  t.deepEqual(bases('localhost:5000').length, 1);
  t.deepEqual(bases('docker.io', { 'registry-mirrors': ['https://m.example/base'] }), [
    'https://m.example',
    'https://registry-1.docker.io',
  ]);
  t.throws(() => endpoints('docker.io', { 'registry-mirrors': ['ftp://m'] }), {
    message: /must be a plain http or https URL/,
  });
  t.throws(() => endpoints('docker.io', { 'registry-mirrors': ['m'] }), { message: /is not a URL/ });
});

test('Retry-After', (t) => {
  t.is(parseRetryAfter('3'), 3000);
  t.is(parseRetryAfter('Thu, 01 Jan 1970 00:00:09 GMT', 4000), 5000);
  t.is(parseRetryAfter('Thu, 01 Jan 1970 00:00:01 GMT', 4000), 0);
  t.is(parseRetryAfter('soon'), undefined);
  t.is(parseRetryAfter(undefined), undefined);
});

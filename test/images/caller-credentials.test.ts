/**
 * Credentials that the caller of a pull, a push, a search or an inspection has given: whom they are told, and whom not.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Credentials } from '../../src/images/store/contract.ts';
import { hostileRegistry, testImage, type Handler } from './hostile-registry.ts';
import { testStore, type TestStore } from './store.ts';

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const CALLER: Credentials = { kind: 'password', username: 'caller', password: 'secret' };

/** Lets nobody in who does not send one of these headers. */
const gate =
  (scheme: 'Basic' | 'Bearer', ...accepted: string[]): Handler =>
  (request, response) => {
    if (accepted.includes(request.headers.authorization ?? '')) return false;
    response
      .writeHead(401, { 'www-authenticate': `${scheme} realm="http://${request.headers.host}/token"` })
      .end('{"errors":[]}');
    return true;
  };

/** A store whose user's own config has other credentials for the host. */
function storeOf(host: string): TestStore {
  const folder = mkdtempSync(join(tmpdir(), 'husk-docker-config-'));
  const auth = Buffer.from('config:other').toString('base64');
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }));
  const store = testStore({ env: { DOCKER_CONFIG: folder, PATH: process.env['PATH'] } });
  return {
    ...store,
    [Symbol.dispose]: () => (store[Symbol.dispose](), rmSync(folder, { recursive: true })),
  };
}

const asks: [what: string, ask: (s: TestStore, host: string, credentials?: Credentials | null) => Promise<unknown>][] =
  [
    ['pull', (s, host, credentials) => s.store.pull(`${host}/x:1`, { credentials })],
    ['distribution', (s, host, credentials) => s.store.distribution(`${host}/x:1`, { credentials })],
    ['search', (s, host, credentials) => s.store.search(`${host}/x`, { limit: 5, credentials }).catch(refusedOnly)],
  ];

/** The registry of these tests has no search; only a refusal is of interest. */
function refusedOnly(error: unknown): void {
  if ((error as { kind?: string }).kind === 'unauthorized') throw error;
}

for (const [what, ask] of asks) {
  test(`${what}: the caller's password goes before that of the config`, async (t) => {
    await using registry = await hostileRegistry(testImage(), gate('Basic', basic('caller:secret')));
    using s = storeOf(registry.host);
    await t.notThrowsAsync(ask(s, registry.host, CALLER));
    t.false(registry.seen('authorization').includes(basic('config:other')));
  });

  test(`${what}: nobody is nobody, whatever the config has`, async (t) => {
    await using registry = await hostileRegistry(testImage(), gate('Basic', basic('config:other')));
    using s = storeOf(registry.host);
    await t.throwsAsync(ask(s, registry.host, null), { message: /no basic auth credentials/ });
    t.deepEqual(registry.seen('authorization'), []);
    await t.notThrowsAsync(ask(s, registry.host));
  });
}

test('a registry token is sent as it is, and asked for no second time where it is refused', async (t) => {
  await using registry = await hostileRegistry(testImage(), gate('Bearer', 'Bearer given'));
  using s = storeOf(registry.host);
  const pull = (token: string): Promise<unknown> =>
    s.store.pull(`${registry.host}/x:1`, { credentials: { kind: 'registry-token', token } });
  await t.throwsAsync(pull('another'), { message: /^pull access denied/ });
  await t.throwsAsync(pull('given\r\nx-other: header'), { message: /does not accept the registry token$/ });
  await t.notThrowsAsync(pull('given'));
  t.false(registry.requests.includes('GET /token'));
});

test('a mirror is not told who the caller is', async (t) => {
  await using closed = await hostileRegistry(testImage(), gate('Basic', basic('caller:secret')));
  await using open = await hostileRegistry(testImage());
  using s = testStore({ config: { 'registry-mirrors': [`http://${closed.host}`, `http://${open.host}`] } });
  await s.store.pull('thing:1', { credentials: CALLER });
  t.true(closed.requests.length > 0);
  t.deepEqual([...closed.seen('authorization'), ...open.seen('authorization')], []);
});

test('a push tells who the caller is', async (t) => {
  await using from = await hostileRegistry(testImage());
  await using to = await hostileRegistry(testImage(), gate('Basic', basic('caller:secret')));
  using s = storeOf(to.host);
  await s.store.pull(`${from.host}/x:1`);
  s.store.tag(`${from.host}/x:1`, `${to.host}/x:1`);
  // this registry takes no manifests: only who asked is of interest
  await t.throwsAsync(s.store.push(`${to.host}/x:1`, { credentials: CALLER }));
  t.deepEqual([...new Set(to.seen('authorization'))], [basic('caller:secret')]);
  await t.throwsAsync(s.store.push(`${to.host}/x:1`, { credentials: null }), { message: /no basic auth credentials/ });
});

test('distribution: what the reference names, and its platform', async (t) => {
  const image = testImage();
  await using registry = await hostileRegistry(image);
  using s = testStore();
  const found = await s.store.distribution(`${registry.host}/x:1`);
  t.is(found.descriptor.size, image.manifestBytes.length);
  t.is(found.descriptor.mediaType, image.manifestType);
  t.deepEqual(
    found.platforms.map(({ os, architecture }) => [os, architecture]),
    [[image.config['os'], image.config['architecture']]],
  );
  t.deepEqual(s.store.list(), []);
});

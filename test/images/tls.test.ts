/** TLS: verified, unless the config names the host as insecure; plain HTTP only there. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'ava';
import { selfSigned } from '../fixtures/certificate.ts';
import { hostileRegistry, testImage } from './hostile-registry.ts';
import { testStore } from './store.ts';

const withOpenssl = existsSync('/usr/bin/openssl') ? test.serial : test.serial.skip;
if (!existsSync('/usr/bin/openssl')) test('TLS: skipped: openssl is not installed', (t) => t.pass());

/** every name leads to loopback */
function resolveToLoopback(): Disposable {
  const dns = createRequire(import.meta.url)('node:dns') as { lookup: unknown };
  const original = dns.lookup;
  dns.lookup = (
    _host: string,
    options: { all?: boolean },
    done: (error: null, address: unknown, family?: number) => void,
  ) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));
  return { [Symbol.dispose]: () => void (dns.lookup = original) };
}

withOpenssl('loopback needs no trusted certificate', async (t) => {
  await using registry = await hostileRegistry(testImage(), undefined, { tls: selfSigned() });
  using s = testStore();
  t.deepEqual((await s.store.pull(`${registry.host}/x`)).image.repoTags, [`${registry.host}/x:latest`]);
});

withOpenssl('any other host does, unless it is named as insecure', async (t) => {
  await using registry = await hostileRegistry(testImage(), undefined, { tls: selfSigned() });
  const port = registry.host.split(':')[1]!;
  using _dns = resolveToLoopback();
  const host = `registry.invalid:${port}`;
  using strict = testStore();
  await t.throwsAsync(strict.store.pull(`${host}/x`), { message: /^cannot reach registry.invalid:\d+: .*self-signed/ });
  t.deepEqual(registry.requests, []);
  using lax = testStore({ config: { 'insecure-registries': [host] } });
  t.deepEqual((await lax.store.pull(`${host}/x`)).image.repoTags, [`${host}/x:latest`]);
});

withOpenssl('a host that is not insecure is never spoken to in clear', async (t) => {
  await using registry = await hostileRegistry(testImage());
  const port = registry.host.split(':')[1]!;
  using _dns = resolveToLoopback();
  const host = `registry.invalid:${port}`;
  using strict = testStore();
  await t.throwsAsync(strict.store.pull(`${host}/x`), { message: /^cannot reach registry.invalid/ });
  t.deepEqual(registry.requests, []);
  using lax = testStore({ config: { 'insecure-registries': [host] } });
  t.is((await lax.store.pull(`${host}/x`)).image.layers.length, 1);
});

withOpenssl('a redirect from TLS to clear text is refused', async (t) => {
  await using plain = await hostileRegistry(testImage());
  await using registry = await hostileRegistry(
    testImage(),
    (_request, response, url) =>
      url.pathname.includes('/blobs/') &&
      (response.writeHead(307, { location: `http://${plain.host}${url.pathname}` }).end(), true),
    { tls: selfSigned() },
  );
  using s = testStore();
  await t.throwsAsync(s.store.pull(`${registry.host}/x`), { message: /redirects from https to http$/ });
  t.deepEqual(plain.requests, []);
});

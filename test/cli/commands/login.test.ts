/**
 * `login` and `logout` against a real registry with htpasswd, and with a credential helper that writes down what it is
 * told.
 */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { registryHost } from '../../../src/images/registry/registry-host.ts';
import { eraseCredentials, storeCredentials } from '../../../src/images/registry/credential-store.ts';
import { missingImageTools, startRegistry } from '../../fixtures/images.ts';
import { type Handler, hostileRegistry, testImage } from '../../images/hostile-registry.ts';
import { testStore } from '../../images/store.ts';
import { selfSigned } from '../../fixtures/certificate.ts';
import { fakeStdin, husk } from '../fake-context.ts';

function folder(): { path: string; config: string; env: NodeJS.ProcessEnv } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'husk-login-'));
  return {
    path,
    config: join(path, 'config.json'),
    env: { DOCKER_CONFIG: path, PATH: `${path}:${process.env['PATH']}`, HOME: path },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

const missing = missingImageTools();
const real = missing === undefined ? test : test.skip;

real(`a registry's yes and no${missing === undefined ? '' : ` (${missing})`}`, async (t) => {
  await using registry = await startRegistry({ htpasswd: { user: 'me', password: 'se:cret' } });
  using place = folder();
  const { env } = place;
  writeFileSync(place.config, JSON.stringify({ detachKeys: 'ctrl-x', auths: { other: { auth: 'eDp5' } } }));
  const no = await husk(['login', '-u', 'me', '--password-stdin', registry.host], { env, stdin: fakeStdin('wrong\n') });
  t.deepEqual(no, {
    code: 1,
    stdout: '',
    stderr: `Error: login attempt to ${registry.host} failed: unauthorized: incorrect username or password\n`,
  });
  t.is(JSON.parse(readFileSync(place.config, 'utf8')).auths[registry.host], undefined);

  const yes = await husk(['login', '-u', 'me', '--password-stdin', registry.host], {
    env,
    stdin: fakeStdin('se:cret\n'),
  });
  t.is(yes.stdout, 'Login Succeeded\n');
  t.regex(yes.stderr, /stored unencrypted/);
  t.deepEqual(JSON.parse(readFileSync(place.config, 'utf8')), {
    detachKeys: 'ctrl-x',
    auths: { other: { auth: 'eDp5' }, [registry.host]: { auth: Buffer.from('me:se:cret').toString('base64') } },
  });
  t.is(statSync(place.config).mode & 0o777, 0o600);

  t.is((await husk(['logout', registry.host], { env })).stdout, `Removing login credentials for ${registry.host}\n`);
  t.is((await husk(['logout', registry.host], { env })).stdout, `Not logged in to ${registry.host}\n`);
  t.deepEqual(Object.keys(JSON.parse(readFileSync(place.config, 'utf8')).auths), ['other']);
});

real('who has logged in signs in with what is stored, and after a logout is nobody', async (t) => {
  await using registry = await startRegistry({ htpasswd: { user: 'me', password: 'secret' } });
  using place = folder();
  const { env } = place;
  const login = (...words: string[]) => husk(['login', ...words, registry.host], { env, stdin: fakeStdin('secret\n') });
  t.is((await login('-u', 'me', '--password-stdin')).code, 0);
  const again = await login();
  t.deepEqual(again, {
    code: 0,
    stdout: 'Login Succeeded\n',
    stderr:
      "Authenticating with existing credentials... [Username: me]\nTo login with a different account, run 'husk logout' followed by 'husk login'\n",
  });
  writeFileSync(
    place.config,
    JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from('me:old').toString('base64') } } }),
  );
  const refused = await login();
  t.is(refused.code, 1);
  t.regex(
    refused.stderr,
    /Stored credentials invalid or expired\nError: cannot perform an interactive login from a non-TTY device\n/,
  );
  await husk(['logout', registry.host], { env });
  t.regex((await login()).stderr, /^Error: cannot perform an interactive login from a non-TTY device\n/);
});

test('who has logged out pulls as anybody: what is public, and nothing else', async (t) => {
  await using open = await hostileRegistry(testImage());
  await using closed = await hostileRegistry(testImage(), guarded(BASIC));
  using place = folder();
  for (const { host } of [open, closed])
    t.is(
      (await husk(['login', '-u', 'me', '--password-stdin', host], { env: place.env, stdin: fakeStdin('secret\n') }))
        .code,
      0,
    );
  using s = testStore({ env: place.env });
  for (const { host } of [open, closed]) await t.notThrowsAsync(s.store.pull(`${host}/in`));
  for (const { host } of [open, closed]) t.is((await husk(['logout', host], { env: place.env })).code, 0);
  open.requests.length = 0;
  await t.notThrowsAsync(s.store.pull(`${open.host}/out`));
  await t.throwsAsync(s.store.pull(`${closed.host}/out`), { message: /no basic auth credentials/ });
  t.is(open.seen('authorization').length, 0, 'who is not asked says nothing');
});

/** a registry that wants this user, over TLS or not */
const guarded =
  (authorization: string): Handler =>
  (request, response) => {
    if (request.headers.authorization === authorization) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
    return true;
  };
const BASIC = `Basic ${Buffer.from('me:secret').toString('base64')}`;

(existsSync('/usr/bin/openssl') ? test : test.skip)(
  'a loopback registry is asked over TLS first, and in clear where it has none',
  async (t) => {
    await using secure = await hostileRegistry(testImage(), guarded(BASIC), { tls: selfSigned() });
    await using plain = await hostileRegistry(testImage(), guarded(BASIC));
    for (const { host } of [secure, plain]) {
      using place = folder();
      const { code, stderr } = await husk(
        ['login', '-u', 'me', '--password-stdin', host.replace('127.0.0.1', 'localhost')],
        { env: place.env, stdin: fakeStdin('secret\n') },
      );
      t.is(code, 0, stderr);
    }
    t.deepEqual(secure.requests, ['GET /v2/', 'GET /v2/']);
  },
);

test("what a killed login left is in nobody's way", async (t) => {
  using place = folder();
  writeFileSync(join(place.path, `.config.json.${process.pid}`), 'half');
  t.is(await storeCredentials('h', { username: 'u', password: 'p' }, place.env), place.config);
  t.deepEqual(readdirSync(place.path).sort(), [`.config.json.${process.pid}`, 'config.json']);
});

test('a credential helper keeps the secret, and the file never sees it', async (t) => {
  using place = folder();
  writeFileSync(
    join(place.path, 'docker-credential-fake'),
    `#!/bin/sh\n{ echo "$1"; cat; echo; } >>${place.path}/told\n`,
  );
  chmodSync(join(place.path, 'docker-credential-fake'), 0o755);
  writeFileSync(place.config, JSON.stringify({ credsStore: 'fake', auths: { 'localhost:1': { auth: 'old' } } }));
  t.is(await storeCredentials('localhost:1', { username: 'me', password: 'secret' }, place.env), undefined);
  t.true(await eraseCredentials('localhost:1', place.env));
  t.is(
    readFileSync(join(place.path, 'told'), 'utf8'),
    'store\n{"ServerURL":"localhost:1","Username":"me","Secret":"secret"}\nerase\nlocalhost:1\n',
  );
  t.deepEqual(JSON.parse(readFileSync(place.config, 'utf8')), { credsStore: 'fake', auths: {} });
});

test("a helper's name is never a path, and its failure shows no secret", async (t) => {
  using place = folder();
  writeFileSync(place.config, JSON.stringify({ credsStore: '../../bin/sh' }));
  await t.throwsAsync(storeCredentials('h', { username: 'u', password: 'p' }, place.env), {
    message: /not a program name/,
  });
  writeFileSync(join(place.path, 'docker-credential-echo'), '#!/bin/sh\ncat; exit 1\n');
  chmodSync(join(place.path, 'docker-credential-echo'), 0o755);
  writeFileSync(place.config, JSON.stringify({ credsStore: 'echo' }));
  const error = await t.throwsAsync(storeCredentials('h', { username: 'u', password: 'topsecret' }, place.env));
  t.notRegex(error.message, /topsecret/);
});

const REFUSED: [words: string[], stderr: RegExp][] = [
  [['--password-stdin'], /the --password-stdin option requires --username to be set/],
  [['-p', 'x', '--password-stdin', '-u', 'y'], /cannot specify both --password and --password-stdin/],
  [['-u', 'y'], /cannot perform an interactive login from a non-TTY device/],
  [['-u', 'a:b', '-p', 'x'], /cannot have a colon/],
  [['a/../b c'], /non-TTY|not a registry/],
];
for (const [words, stderr] of REFUSED) {
  test(`refuses login ${words.join(' ')}`, async (t) => {
    using place = folder();
    t.regex((await husk(['login', ...words], { env: place.env })).stderr, stderr);
    t.false(existsSync(place.config));
  });
}

const HOSTS: [text: string | undefined, host: string][] = [
  [undefined, 'docker.io'],
  ['https://index.docker.io/v1/', 'docker.io'],
  ['localhost:5000/', 'localhost:5000'],
  ['http://h:1/v2/', 'h:1'],
  ['[::1]:5000', '[::1]:5000'],
];
for (const [text, host] of HOSTS) test(`${text} is ${host}`, (t) => t.is(registryHost(text), host));
for (const text of ['a b', '-x', 'h:x', 'u@h'])
  test(`${text} is no registry`, (t) => t.throws(() => registryHost(text), { message: /is not a registry/ }));

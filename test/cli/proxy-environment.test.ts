import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { proxyEnvironment } from '../../src/cli/proxy-environment.ts';
import { FakeOutput } from './fake-context.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-proxies-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

function of(config: string, asked: string[] = []): { env: string[]; said: string } {
  writeFileSync(join(folder, 'config.json'), config);
  const stderr = new FakeOutput();
  return { env: proxyEnvironment(asked, { env: { DOCKER_CONFIG: folder }, stderr }), said: stderr.text };
}
const proxies = (value: unknown) => JSON.stringify({ proxies: { default: value } });

for (const [title, config, asked, env] of [
  ['both spellings', proxies({ httpProxy: 'http://p:1' }), [], ['HTTP_PROXY=http://p:1', 'http_proxy=http://p:1']],
  [
    'every kind',
    proxies({ httpProxy: 'a', httpsProxy: 'b', noProxy: 'c', ftpProxy: 'd', allProxy: 'e' }),
    [],
    ['HTTP', 'HTTPS', 'NO', 'FTP', 'ALL'].flatMap((kind, index) => [
      `${kind}_PROXY=${'abcde'[index]}`,
      `${kind.toLowerCase()}_proxy=${'abcde'[index]}`,
    ]),
  ],
  [
    '-e wins, spelling by spelling',
    proxies({ httpProxy: 'a', noProxy: 'b' }),
    ['HTTP_PROXY=mine', 'no_proxy'],
    ['http_proxy=a', 'NO_PROXY=b'],
  ],
  ['an empty one', proxies({ httpProxy: '' }), [], []],
  ['what is inherited is no proxy', proxies({ constructor: 'x' }), [], []],
  ['none', '{}', [], []],
] as const)
  test(title, (t) => t.deepEqual(of(config, [...asked]), { env: [...env], said: '' }));

for (const [title, config] of [
  ['no text', proxies({ httpProxy: 7 })],
  ['no object', proxies('x')],
  ['no JSON', '{'],
] as const)
  test(`a config with ${title} is told in one line, and nothing is added`, (t) => {
    const { env, said } = of(config);
    t.deepEqual(env, []);
    t.regex(said, /^WARNING: Error loading config file: .*config\.json.*\n$/);
  });

/** What is part of a step's key, and what is not. */
import test from 'ava';
import type { RunMount, RunOperation } from '../../../src/images/build/operations.ts';
import { chainId, runKey, type RunSettings } from '../../../src/images/build-store/keys.ts';

const RUN: RunOperation = {
  kind: 'run',
  range: { start: 1, end: 1 },
  text: 'RUN x',
  createdBy: 'RUN x',
  argv: ['/bin/sh', '-c', 'x'],
  env: ['PATH=/bin'],
  hidden: [],
  cwd: '/',
  user: '',
  network: 'default',
  insecure: false,
  mounts: [],
  files: [],
};
const SETTINGS: RunSettings = { isolation: 'userns', hostNames: ['a', 'b'], shmSize: undefined, ulimits: [] };
const key = (
  operation: Partial<RunOperation> = {},
  settings: Partial<RunSettings> = {},
  parent = 'p',
  epoch?: number,
) => runKey(parent, { ...RUN, ...operation }, { ...SETTINGS, ...settings }, { inputs: new Map(), epoch });
const mounted = (mount: RunMount, input?: string) =>
  runKey('p', { ...RUN, mounts: [mount] }, SETTINGS, {
    inputs: new Map(input === undefined ? [] : [[0, input]]),
    epoch: undefined,
  });

const SAME: [string, string, string][] = [
  ['its place in the Dockerfile', key(), key({ range: { start: 7, end: 8 }, text: 'RUN  x' })],
  ['proxies', key(), key({ hidden: ['http_proxy=http://p'] })],
  ['the order of added hosts', key(), key({}, { hostNames: ['b', 'a'] })],
  [
    'the id of a cache',
    mounted({ type: 'cache', target: '/c', id: 'k' }),
    mounted({ type: 'cache', target: '/c', id: 'other' }),
  ],
  [
    'a default that is written out',
    mounted({ type: 'bind', target: '/c' }, 'd'),
    mounted({ type: 'bind', target: '/c', readOnly: true }, 'd'),
  ],
];
for (const [what, one, other] of SAME) test(`no part of the key: ${what}`, (t) => t.is(one, other));

const OTHER: [string, string, string][] = [
  ['the command', key(), key({ argv: ['x'] })],
  ['a variable', key(), key({ env: ['PATH=/bin', 'A=1'] })],
  ['the folder', key(), key({ cwd: '/w' })],
  ['the user', key(), key({ user: 'ann' })],
  ['the network', key(), key({ network: 'none' })],
  ['the security mode', key(), key({ insecure: true })],
  ['a here-document', key(), key({ files: [{ name: 'E', data: 'x' }] })],
  ['a name of an added host', key(), key({}, { hostNames: ['a'] })],
  ['a limit', key(), key({}, { ulimits: [{ name: 'nofile', soft: 1, hard: 1 }] })],
  ['shm', key(), key({}, { shmSize: 1 })],
  ['the isolation', key(), key({}, { isolation: 'vm' })],
  ['the layers below', key(), key({}, {}, 'q')],
  ['the epoch', key(), key({}, {}, 'p', 0)],
  ["a cache's target", mounted({ type: 'cache', target: '/c' }), mounted({ type: 'cache', target: '/d' })],
  ["a cache's mode", mounted({ type: 'cache', target: '/c' }), mounted({ type: 'cache', target: '/c', mode: 0o700 })],
  ["a cache's uid", mounted({ type: 'cache', target: '/c' }), mounted({ type: 'cache', target: '/c', uid: 1 })],
  ["a cache's gid", mounted({ type: 'cache', target: '/c' }), mounted({ type: 'cache', target: '/c', gid: 1 })],
  [
    'that a cache is read-only',
    mounted({ type: 'cache', target: '/c' }),
    mounted({ type: 'cache', target: '/c', readOnly: true }),
  ],
  ["a cache's seed", mounted({ type: 'cache', target: '/c' }, 'one'), mounted({ type: 'cache', target: '/c' }, 'two')],
  [
    'the id of a secret',
    mounted({ type: 'secret', target: '/s', id: 'a' }),
    mounted({ type: 'secret', target: '/s', id: 'b' }),
  ],
  ['what a bind shows', mounted({ type: 'bind', target: '/c' }, 'one'), mounted({ type: 'bind', target: '/c' }, 'two')],
];
for (const [what, one, other] of OTHER) test(`part of the key: ${what}`, (t) => t.not(one, other));

test('chainIDs are those of the OCI image specification', (t) => {
  const [a, b] = [`sha256:${'a'.repeat(64)}`, `sha256:${'b'.repeat(64)}`];
  t.is(chainId([]), '');
  t.is(chainId([a]), a);
  // printf 'sha256:aa… sha256:bb…' | sha256sum
  t.is(chainId([a, b]), 'sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c');
});

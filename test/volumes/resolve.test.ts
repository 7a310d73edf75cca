/**
 * What is mounted where: Docker's order, its refusals and their texts. Pure but for bind sources, which lie in a folder
 * of the test's own.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { MountRequest, ResolvedMount, ResolveRequest } from '../../src/volumes/contract.ts';
import { checkVolumeName } from '../../src/volumes/name.ts';
import { resolveMounts } from '../../src/volumes/resolve.ts';

let anonymous = 0;
const resolve = (request: Partial<ResolveRequest>): string[] =>
  resolveMounts(
    { mounts: [], ...request },
    {
      create: ({ name }) => ({
        name: name ?? `anon${anonymous++}`,
        createdAt: 0,
        anonymous: !name,
        driver: 'local',
        labels: {},
        options: {},
        mountpoint: `/v/${name ?? 'anon'}`,
      }),
    },
  ).map(
    ({ type, name, source, destination, readonly }) =>
      `${type} ${name?.startsWith('anon') ? 'anon' : (name ?? '-')} ${source || '-'} ${destination}${readonly ? ' ro' : ''}`,
  );

const mount = (text: string, more: Partial<MountRequest> = {}): MountRequest => {
  const [source, target] = text.split(':');
  return {
    type: source!.startsWith('/') ? 'bind' : 'volume',
    ...(source ? { source } : {}),
    target: target!,
    readonly: false,
    options: [],
    createSource: false,
    ...more,
  };
};
const bound = (destination: string, more: Partial<ResolvedMount> = {}): ResolvedMount => ({
  type: 'bind',
  source: '/tmp',
  destination,
  readonly: false,
  options: [],
  ...more,
});

for (const [title, request, expected] of [
  ['a named volume', { mounts: [mount('data:/d')] }, ['volume data /v/data /d']],
  ['an anonymous one', { mounts: [mount(':/d')] }, ['volume anon /v/anon /d']],
  ['a bind', { mounts: [mount('/tmp:/d', { readonly: true })] }, ['bind - /tmp /d ro']],
  ['a tmpfs', { mounts: [mount(':/d', { type: 'tmpfs' })] }, ['tmpfs - - /d']],
  [
    'an image, read-only whatever is asked for',
    { mounts: [mount('tools:/d', { type: 'image' })], images: new Map([['tools', 'sha256:ab']]) },
    ['image - tools /d ro'],
  ],
  [
    '--volumes-from, an image',
    {
      volumesFrom: ['c:rw'],
      mountsOf: () => [bound('/b', { type: 'image', image: 'sha256:ab', source: 'tools', readonly: true })],
    },
    ['image - tools /b ro'],
  ],
  ['destinations are cleaned', { mounts: [mount('/tmp:/a//b/../c/')] }, ['bind - /tmp /a/c']],
  [
    'shallow before deep',
    { mounts: [mount('x1:/a/b/c'), mount('x2:/a'), mount('x3:/a/b')] },
    ['volume x2 /v/x2 /a', 'volume x3 /v/x3 /a/b', 'volume x1 /v/x1 /a/b/c'],
  ],
  [
    "the image's volumes",
    { imageVolumes: ['/var/lib/db', '/log'] },
    ['volume anon /v/anon /log', 'volume anon /v/anon /var/lib/db'],
  ],
  [
    'what is typed wins over the image',
    { mounts: [mount('/tmp:/log')], imageVolumes: ['/log/', '/x'] },
    ['bind - /tmp /log', 'volume anon /v/anon /x'],
  ],
  ['--tmpfs wins over the image', { tmpfs: ['/log'], imageVolumes: ['/log'] }, []],
  [
    '--volumes-from',
    { volumesFrom: ['c'], mountsOf: () => [bound('/b'), bound('/t', { type: 'tmpfs' })] },
    ['bind - /tmp /b'],
  ],
  ['--volumes-from read-only', { volumesFrom: ['c:ro'], mountsOf: () => [bound('/b')] }, ['bind - /tmp /b ro']],
  [
    '--volumes-from keeps read-only',
    { volumesFrom: ['c:rw'], mountsOf: () => [bound('/b', { readonly: true })] },
    ['bind - /tmp /b ro'],
  ],
  [
    'what is typed wins over --volumes-from, and that over the image',
    {
      volumesFrom: ['c'],
      mountsOf: () => [bound('/b'), bound('/i')],
      mounts: [mount('data:/b')],
      imageVolumes: ['/i'],
    },
    ['bind - /tmp /i', 'volume data /v/data /b'],
  ],
  [
    'the last --volumes-from wins',
    { volumesFrom: ['one', 'two'], mountsOf: (name) => [bound('/b', { source: `/${name}` })] },
    ['bind - /two /b'],
  ],
] as [string, Partial<ResolveRequest>, string[]][]) {
  test(`resolve: ${title}`, (t) => t.deepEqual(resolve(request), expected));
}

for (const [title, request, message] of [
  ['the same place twice', { mounts: [mount('data:/d'), mount('/tmp:/d/')] }, 'Duplicate mount point: /d'],
  ['--tmpfs and -v at one place', { mounts: [mount('data:/d')], tmpfs: ['/d'] }, 'Duplicate mount point: /d'],
  [
    'a relative destination',
    { mounts: [mount('data:d')] },
    'invalid mount config for type "volume": invalid mount path: \'d\' mount path must be absolute',
  ],
  [
    'the root',
    { mounts: [mount('/tmp:/x/..')] },
    "invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
  ],
  [
    'no destination',
    { mounts: [mount('data:')] },
    'invalid mount config for type "volume": field Target must not be empty',
  ],
  [
    'a bind source that is not there',
    { mounts: [mount('/no/such/folder:/d')] },
    'invalid mount config for type "bind": bind source path does not exist: /no/such/folder',
  ],
  ['a NUL byte', { imageVolumes: ['/a\0b'] }, /NUL/],
  ['a path without end', { imageVolumes: [`/${'a'.repeat(5000)}`] }, /too long/],
  [
    'an image of a thousand volumes',
    { imageVolumes: Array.from({ length: 1000 }, (_, i) => `/v${i}`) },
    /more than 256/,
  ],
  [
    'an image without a name',
    { mounts: [mount(':/d', { type: 'image' })] },
    'invalid mount config for type "image": field Source must not be empty',
  ],
  ['an image that was not found', { mounts: [mount('tools:/d', { type: 'image' })] }, 'No such image: tools'],
  [
    'an option that an image has not',
    { mounts: [mount('tools:/d', { type: 'image', options: ['U'] })] },
    'invalid mount config for type "image": it has no option "U"',
  ],
  [
    'a path out of an image',
    { mounts: [mount('tools:/d', { type: 'image', options: ['image-subpath=a/../../b'] })] },
    'invalid mount config for type "image": subpath must be a relative path within the volume',
  ],
  [
    'an absolute path of an image',
    { mounts: [mount('tools:/d', { type: 'image', options: ['image-subpath=/a'] })] },
    'invalid mount config for type "image": subpath must be a relative path within the volume',
  ],
  [
    'a path of an image with a NUL byte',
    { mounts: [mount('tools:/d', { type: 'image', options: ['image-subpath=a\0b'] })] },
    'invalid mount config for type "image": subpath must be a relative path within the volume',
  ],
  ['an unknown container', { volumesFrom: ['x'] }, 'No such container: x'],
  ['nonsense after the container', { volumesFrom: ['x:abc'] }, /^invalid volumes-from/],
] as [string, Partial<ResolveRequest>, string | RegExp][]) {
  test(`refused: ${title}`, (t) => void t.throws(() => resolve(request), { message }));
}

test('refused before anything is made', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-resolve-'));
  t.throws(() => resolve({ mounts: [mount(`${folder}/made:/d`, { createSource: true }), mount('data:/d')] }));
  t.false(existsSync(join(folder, 'made')));
  t.deepEqual(resolve({ mounts: [mount(`${folder}/deep/made:/d`, { createSource: true })] }), [
    `bind - ${folder}/deep/made /d`,
  ]);
  t.true(existsSync(join(folder, 'deep/made')));
  rmSync(folder, { recursive: true });
});

for (const [name, ok] of [
  ['data', true],
  ['a1', true],
  ['A.b_c-d', true],
  ['a'.repeat(255), true],
  ['', false],
  ['.a', false],
  ['..', false],
  ['a/b', false],
  ['a b', false],
  ['-a', false],
  ['é1', false],
  ['a\n', false],
  ['a'.repeat(256), false],
] as [string, boolean][]) {
  test(`volume name ${JSON.stringify(name.slice(0, 20))} (${name.length}): ${ok}`, (t) => {
    if (ok) t.notThrows(() => checkVolumeName(name));
    else
      t.throws(() => checkVolumeName(name), {
        message:
          /^create .*includes invalid characters for a local volume name, only "\[a-zA-Z0-9\]\[a-zA-Z0-9_\.-\]" are allowed/s,
      });
  });
}
test('a name of one letter', (t) =>
  void t.throws(() => checkVolumeName('a'), {
    message: 'create a: volume name is too short, names should be at least two alphanumeric characters',
  }));

import test from 'ava';
import type { CreateOptions } from '../../../../src/engine/contract.ts';
import { readRequest } from '../../../../src/engine/request/request.ts';
import { keptIds } from '../../../../src/engine/create/spec/user-namespace.ts';
import { createOptions } from './options.ts';

const read = (asked: Partial<CreateOptions>) => readRequest(createOptions(asked));

const ME = { uid: 1000, gid: 100 };
const folder = {
  type: 'bind' as const,
  source: '/home/me',
  target: '/w',
  readonly: false,
  options: [],
  createSource: true,
};
const volume = { ...folder, type: 'volume' as const, source: 'v1' };

for (const [title, asked, kept] of [
  ['nothing', {}, undefined],
  ['keep-id', { userns: 'keep-id' }, ME],
  ['keep-id at another place', { userns: 'keep-id:uid=33,gid=34' }, { uid: 33, gid: 34 }],
  ['keep-id, one of them', { userns: 'keep-id:gid=34' }, { uid: 1000, gid: 34 }],
  ["one's own number and a folder", { user: '1000:100', mounts: [folder] }, ME],
  ["one's own uid alone and a folder", { user: '1000', mounts: [folder] }, ME],
  ['another group: it is meant', { user: '1000:0', mounts: [folder] }, undefined],
  ['somebody else and a folder', { user: '33:33', mounts: [folder] }, undefined],
  ['a name', { user: 'me', mounts: [folder] }, undefined],
  ["one's own number without a folder", { user: '1000:100' }, undefined],
  ["one's own number and a volume", { user: '1000:100', mounts: [volume] }, undefined],
  [
    "one's own number in another's namespace",
    { user: '1000:100', mounts: [folder], network: 'container:x' },
    undefined,
  ],
  ['private: said so', { user: '1000:100', mounts: [folder], userns: 'private' }, undefined],
] as const)
  test(title, (t) => t.deepEqual(keptIds(read(asked as never), ME), kept));

test('root is in no container', (t) => {
  t.throws(() => keptIds(read({ userns: 'keep-id' }), { uid: 0, gid: 0 }), {
    message: /the host's root is in no container/,
  });
  t.is(keptIds(read({ user: '0:0', mounts: [folder] }), { uid: 0, gid: 0 }), undefined);
});
for (const userns of [
  'keep-id:',
  'keep-id:uid',
  'keep-id:uid=-1',
  'keep-id:uid=2147483648',
  'keep-id:uid=1,x=2',
  'keep-id:uid=1;gid=2',
])
  test(`--userns ${userns} is refused`, (t) =>
    void t.throws(() => keptIds(read({ userns }), ME), { message: /unknown option/ }));

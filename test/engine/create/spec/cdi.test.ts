import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { cdiDevices } from '../../../../src/engine/create/cdi-files.ts';
import { gpuDevices, parseCdi } from '../../../../src/engine/create/spec/cdi.ts';
import { specOf } from './facts.ts';
import { isCdiDevice } from '../../../../src/notation/devices.ts';

const CDI = {
  cdiVersion: '0.6.0',
  kind: 'example.com/net',
  containerEdits: { env: ['ALL=1'] },
  devices: [
    {
      name: 'one',
      containerEdits: {
        env: ['ONE=1'],
        deviceNodes: [{ path: '/dev/mine', hostPath: '/dev/fuse', permissions: 'rw' }],
        mounts: [{ hostPath: '/lib/x', containerPath: '/x', options: ['ro', 'nosuid'] }],
        additionalGids: [44],
      },
    },
    { name: 'hooked', containerEdits: { hooks: [{ hookName: 'createContainer', path: '/bin/x' }] } },
  ],
};
const folder = mkdtempSync(join(tmpdir(), 'husk-cdi-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'a.json'), JSON.stringify(CDI));
writeFileSync(join(folder, 'notes.txt'), 'not read');

for (const [text, is] of [
  ['example.com/net=one', true],
  ['v/c=0:1', true],
  ['/dev/x', false],
  ['example.com/net', false],
  ['a/b/c=d', false],
  ['-a/b=c', false],
  [`a/b=${'c'.repeat(1000)}`, false],
] as const)
  test(`"${text.slice(0, 30)}" is${is ? '' : ' not'} a CDI device`, (t) => t.is(isCdiDevice(text), is));

test('a device brings what its kind and its own entry say', (t) => {
  const [edits] = cdiDevices(['example.com/net=one'], [folder]);
  t.deepEqual(edits, {
    env: ['ALL=1', 'ONE=1'],
    nodes: [{ host: '/dev/fuse', container: '/dev/mine', access: 'rw' }],
    groups: [44],
    hasHooks: false,
    mounts: [{ type: 'bind', source: '/lib/x', destination: '/x', options: ['rbind', 'ro', 'nosuid'] }],
  });
  const { spec } = specOf({ devices: ['example.com/net=one'] }, { facts: { cdi: [edits!] } });
  t.like(spec.linux.devices![0]!, { path: '/dev/mine', source: '/dev/fuse', access: 'rw' });
  t.true(spec.process.env.includes('ONE=1'));
  t.deepEqual(spec.process.user.additionalGroups, ['44']);
  t.true(spec.mounts.some(({ destination }) => destination === '/x'));
});
test('hooks are known, and not run', (t) => t.true(cdiDevices(['example.com/net=hooked'], [folder])[0]!.hasHooks));
test('a device that none has', (t) =>
  void t.throws(() => cdiDevices(['example.com/net=two'], [folder, '/nonexistent']), {
    message: 'CDI device injection failed: unresolvable CDI devices example.com/net=two',
  }));
test('the second folder wins', (t) => {
  const other = mkdtempSync(join(tmpdir(), 'husk-cdi-'));
  t.teardown(() => rmSync(other, { recursive: true, force: true }));
  writeFileSync(
    join(other, 'b.json'),
    JSON.stringify({ kind: 'example.com/net', devices: [{ name: 'one', containerEdits: { env: ['OTHER=1'] } }] }),
  );
  t.deepEqual(cdiDevices(['example.com/net=one'], [folder, other])[0]!.env, ['OTHER=1']);
});

for (const [title, value, says] of [
  ['no JSON', '{', /not JSON/],
  ['no object', '[]', /is no object/],
  ['no kind', '{}', /"kind" is no text/],
  ['a kind that is none', '{"kind":"../x"}', /is no kind/],
  [
    'too many devices',
    JSON.stringify({ kind: 'a/b', devices: Array.from({ length: 2000 }, () => ({ name: 'x' })) }),
    /"devices" is no list/,
  ],
  ['a name that leads on', JSON.stringify({ kind: 'a/b', devices: [{ name: '../x' }] }), /no device's name/],
  [
    'a relative node',
    JSON.stringify({ kind: 'a/b', devices: [{ name: 'x', containerEdits: { deviceNodes: [{ path: 'dev/x' }] } }] }),
    /not an absolute path/,
  ],
  [
    'a mount option of its own',
    JSON.stringify({
      kind: 'a/b',
      devices: [
        { name: 'x', containerEdits: { mounts: [{ hostPath: '/', containerPath: '/x', options: ['size=1'] }] } },
      ],
    }),
    /mount option "size=1"/,
  ],
  [
    'a variable without a name',
    JSON.stringify({ kind: 'a/b', devices: [{ name: 'x', containerEdits: { env: ['=x'] } }] }),
    /no environment variable/,
  ],
  [
    'a group that is none',
    JSON.stringify({ kind: 'a/b', devices: [{ name: 'x', containerEdits: { additionalGids: [-1] } }] }),
    /is no group/,
  ],
  [
    'permissions that are none',
    JSON.stringify({
      kind: 'a/b',
      devices: [{ name: 'x', containerEdits: { deviceNodes: [{ path: '/dev/x', permissions: 'rwx' }] } }],
    }),
    /no permissions/,
  ],
] as const)
  test(`a specification with ${title} is refused in one line`, (t) =>
    void t.throws(() => parseCdi(value, '/etc/cdi/x.json'), { message: says }));

for (const [text, devices] of [
  ['all', ['nvidia.com/gpu=all']],
  ['2', ['nvidia.com/gpu=0', 'nvidia.com/gpu=1']],
  ['device=1', ['nvidia.com/gpu=1']],
  ['"device=0,2",capabilities=utility', ['nvidia.com/gpu=0', 'nvidia.com/gpu=2']],
  ['count=all,driver=nvidia', ['nvidia.com/gpu=all']],
] as const)
  test(`--gpus ${text}`, (t) => t.deepEqual(gpuDevices(text), [...devices]));
for (const text of ['driver=amd', 'x=1', 'count=1,device=0', 'many', 'device=../x', '1000'])
  test(`--gpus ${text} is refused`, (t) => void t.throws(() => gpuDevices(text)));

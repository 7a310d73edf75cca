/**
 * Decisions, and the file work against plain folders that look like cgroupfs; the real one is tested where it is
 * delegated (test/vm-host).
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { findDelegation, ownPath, type Delegation } from '../../../src/container/cgroup/delegation.ts';
import { resourcesToFiles, sharesToWeight } from '../../../src/container/cgroup/files.ts';
import { parseCgroupStats } from '../../../src/container/cgroup/stats.ts';
import { checkCgroupParent, checkLimits, ContainerCgroup } from '../../../src/container/cgroup/cgroup.ts';
import type { Resources } from '../../../src/spec.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const MiB = 2 ** 20;
const files: [string, Resources, Record<string, string>][] = [
  ['nothing', {}, {}],
  [
    '-m alone: as much swap again',
    { memory: { limit: 64 * MiB, swap: 128 * MiB } },
    { 'memory.max': '67108864', 'memory.swap.max': '67108864' },
  ],
  [
    'swap equal to memory is no swap',
    { memory: { limit: 64 * MiB, swap: 64 * MiB } },
    { 'memory.max': '67108864', 'memory.swap.max': '0' },
  ],
  ['unlimited swap', { memory: { limit: 64 * MiB, swap: -1 } }, { 'memory.max': '67108864', 'memory.swap.max': 'max' }],
  ['reservation', { memory: { reservation: 32 * MiB } }, { 'memory.low': '33554432' }],
  ['--cpus 1.5', { cpu: { quota: 150_000, period: 100_000 } }, { 'cpu.max': '150000 100000' }],
  ['quota alone', { cpu: { quota: 50_000 } }, { 'cpu.max': '50000 100000' }],
  ['quota taken away', { cpu: { quota: -1, period: 100_000 } }, { 'cpu.max': 'max 100000' }],
  ['shares', { cpu: { shares: 1024 } }, { 'cpu.weight': '100' }],
  ['cpuset', { cpu: { cpus: '0-1', mems: '0' } }, { 'cpuset.cpus': '0-1', 'cpuset.mems': '0' }],
  ['pids', { pids: { limit: 100 } }, { 'pids.max': '100' }],
  ['no pids limit', { pids: { limit: -1 } }, { 'pids.max': 'max' }],
  ['blkio weight', { blockIO: { weight: 500 } }, { 'io.weight': 'default 4950' }],
  [
    'blkio weight of a device',
    { blockIO: { weightDevice: [{ major: 8, minor: 0, weight: 1000 }] } },
    { 'io.weight': '8:0 10000' },
  ],
  [
    'read rate',
    { blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }] } },
    { 'io.max': '8:0 rbps=1000' },
  ],
  ['unified', { unified: { 'memory.high': '1000' } }, { 'memory.high': '1000' }],
];
for (const [what, resources, wanted] of files)
  test(`files for ${what}`, (t) =>
    t.deepEqual(Object.fromEntries(resourcesToFiles(resources).files.map(({ name, value }) => [name, value])), wanted));

// runc 1.3.2, crun 1.23: the default is the default
for (const [shares, weight] of [
  [2, 1],
  [1, 1],
  [512, 59],
  [1024, 100],
  [2048, 174],
  [262144, 10000],
  [1e9, 10000],
] as const)
  test(`${shares} shares weigh ${weight}`, (t) => t.is(sharesToWeight(shares), weight));

for (const name of ['../cgroup.procs', 'cgroup.procs', 'memory/max', 'memory.max/../x', 'cgroup.kill', ''])
  test(`unified refuses "${name}"`, (t) =>
    void t.throws(() => resourcesToFiles({ unified: { [name]: '1' } }), { message: /unknown cgroup file/ }));

test('what cgroup v2 has not is discarded with the words of the daemon', (t) =>
  t.deepEqual(resourcesToFiles({ memory: { swappiness: 10, disableOOMKiller: true } }).warnings.length, 2));

const delegated = (...controllers: string[]): Delegation => ({ kind: 'delegated', path: '/x', controllers });
test('a limit whose controller is delegated is fine', (t) =>
  t.deepEqual(checkLimits({ memory: { limit: 64 * MiB } }, delegated('memory')), []));
test('no limits need nothing', (t) => t.deepEqual(checkLimits({}, { kind: 'none', reason: 'r', fix: 'f' }), []));
test('a limit without its controller is refused with the fix', (t) => {
  const error = t.throws(() => checkLimits({ cpu: { shares: 512 } }, delegated('memory', 'pids')), {
    message: 'cannot enforce --cpu-shares: the cgroup controller "cpu" is not delegated to you',
  })!;
  t.regex((error as { fix?: string }).fix!, /Delegate=cpu cpuset io memory pids/);
});
test('a limit where nothing is delegated says why', (t) =>
  void t.throws(
    () =>
      checkLimits(
        { pids: { limit: 5 } },
        { kind: 'none', reason: 'this host has no cgroup v2 at /sys/fs/cgroup', fix: 'f' },
      ),
    { message: 'cannot enforce --pids-limit: this host has no cgroup v2 at /sys/fs/cgroup' },
  ));

const SYSTEMD: Delegation = { kind: 'systemd', controllers: ['cpu'] };
for (const [parent, delegation, message] of [
  ['batch', delegated(), undefined],
  ['/batch/night', delegated(), undefined],
  ['batch.slice', SYSTEMD, undefined],
  ['batch', SYSTEMD, 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'],
  ['a/b.slice', SYSTEMD, 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'],
  ['../other', delegated(), 'invalid cgroup parent "../other"'],
  ['a/./b', delegated(), 'invalid cgroup parent "a/./b"'],
  ['/', delegated(), 'invalid cgroup parent "/"'],
  ['cgroup.procs', delegated(), 'invalid cgroup parent "cgroup.procs"'],
  [`husk-${'0'.repeat(64)}`, delegated(), `invalid cgroup parent "husk-${'0'.repeat(64)}"`],
  ['batch', { kind: 'none', reason: 'r', fix: 'f' }, 'cannot enforce --cgroup-parent: r'],
] as [string, Delegation, string | undefined][])
  test(`--cgroup-parent ${parent} (${delegation.kind}): ${message ?? 'fine'}`, (t) =>
    message === undefined
      ? t.notThrows(() => checkCgroupParent(parent, delegation))
      : void t.throws(() => checkCgroupParent(parent, delegation), { message }));

for (const [text, path] of [
  ['0::/a/b\n', '/a/b'],
  ['1:cpu:/x\n0::/\n', '/'],
  ['1:cpu:/x\n', undefined],
  ['0::/../x\n', undefined],
  ['', undefined],
] as const)
  test(`own path of ${JSON.stringify(text)}`, (t) => t.is(ownPath(text), path));

/** A folder like cgroupfs: what is written can be read. */
function fakeRoot(...paths: string[]): string {
  const root = temporaryFolder('husk-cgroup-');
  for (const path of ['', ...paths]) {
    mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, path, 'cgroup.procs'), '');
    writeFileSync(join(root, path, 'cgroup.controllers'), 'cpu memory pids\n');
    writeFileSync(join(root, path, 'cgroup.subtree_control'), '');
  }
  return root;
}

test('delegation: v1 host', (t) =>
  t.like(findDelegation({ unified: false }), { kind: 'none', reason: 'this host has no cgroup v2 at /sys/fs/cgroup' }));
test('delegation: own cgroup', (t) => {
  const root = fakeRoot('user');
  t.deepEqual(findDelegation({ root, self: '0::/user\n', uid: 1000, unified: true }), {
    kind: 'delegated',
    path: join(root, 'user'),
    controllers: ['cpu', 'memory', 'pids'],
  });
});
test('delegation: beside the leaf that husk runs in', (t) => {
  const root = fakeRoot('user', 'user/session');
  writeFileSync(join(root, 'user/session/cgroup.procs'), '7\n8\n');
  t.deepEqual(findDelegation({ root, self: '0::/user/session\n', uid: 1000, unified: true }), {
    kind: 'delegated',
    path: join(root, 'user'),
    controllers: ['cpu', 'memory', 'pids'],
  });
});
test('delegation: among the processes of others there are no controllers', (t) => {
  const root = fakeRoot('user');
  writeFileSync(join(root, 'user/cgroup.type'), 'domain\n');
  writeFileSync(join(root, 'user/cgroup.procs'), '7\n8\n');
  const delegation = findDelegation({ root, self: '0::/user\n', uid: 1000, unified: true });
  t.like(delegation, { kind: 'delegated', path: join(root, 'user'), controllers: [] });
  t.regex(
    (t.throws(() => checkLimits({ pids: { limit: 5 } }, delegation)) as { fix?: string }).fix!,
    /DelegateSubgroup/,
  );
});
test("delegation: slices are systemd's", (t) => {
  const root = fakeRoot('app.slice', 'app.slice/x.scope');
  writeFileSync(join(root, 'app.slice/x.scope/cgroup.procs'), '7\n8\n');
  t.like(findDelegation({ root, self: '0::/app.slice/x.scope\n', uid: 1000, unified: true }), {
    path: join(root, 'app.slice/x.scope'),
  });
});
test('delegation: root has a folder at the top', (t) => {
  const root = fakeRoot('system');
  t.deepEqual(findDelegation({ root, self: '0::/system\n', uid: 0, unified: true }), {
    kind: 'delegated',
    path: join(root, 'husk'),
    controllers: ['cpu', 'memory', 'pids'],
  });
});
test('delegation: by the systemd of the user', (t) => {
  const root = fakeRoot('user.slice/user-1000.slice/user@1000.service');
  const runtimeDir = temporaryFolder('husk-run-');
  mkdirSync(join(runtimeDir, 'systemd'));
  writeFileSync(join(runtimeDir, 'systemd/private'), '');
  t.deepEqual(
    findDelegation({
      root,
      self: '0::/user.slice/user-1000.slice/session-1.scope\n',
      uid: 1000,
      unified: true,
      runtimeDir,
    }),
    { kind: 'systemd', controllers: ['cpu', 'memory', 'pids'] },
  );
});
test('delegation: none', (t) =>
  t.like(findDelegation({ root: fakeRoot(), self: '0::/elsewhere\n', uid: 1000, unified: true }), {
    kind: 'none',
    reason: 'the cgroup /elsewhere is not delegated to you',
  }));

test('a cgroup is made with its limits, and the supervisor leaves the parent', (t) => {
  const parent = fakeRoot();
  writeFileSync(join(parent, 'cgroup.procs'), '42\n');
  const cgroup = ContainerCgroup.create(
    'abc',
    { pids: { limit: 7 }, memory: { limit: 64 * MiB } },
    { parent, supervisor: 42 },
  );
  t.is(cgroup.path, join(parent, 'husk-abc'));
  t.is(readFileSync(join(cgroup.path, 'pids.max'), 'utf8'), '7');
  t.is(readFileSync(join(cgroup.path, 'memory.max'), 'utf8'), '67108864');
  t.is(readFileSync(join(parent, 'supervisor-abc/cgroup.procs'), 'utf8'), '42');
  t.is(readFileSync(join(parent, 'cgroup.subtree_control'), 'utf8'), '+pids');
  cgroup.enter(77);
  t.deepEqual(cgroup.processes(), [77]);
});
test('others in the parent are not moved, nor the supervisor then', (t) => {
  const parent = fakeRoot();
  writeFileSync(join(parent, 'cgroup.procs'), '42\n43\n');
  ContainerCgroup.create('abc', {}, { parent, supervisor: 42 });
  t.false(existsSync(join(parent, 'supervisor-abc')));
});

for (const [text, killed] of [
  ['low 0\noom 1\noom_kill 1\n', true],
  ['oom_kill 0\n', false],
  [undefined, false],
] as const)
  test(`oom killed with ${JSON.stringify(text)}`, (t) => {
    const path = fakeRoot();
    if (text !== undefined) writeFileSync(join(path, 'memory.events'), text);
    t.is(ContainerCgroup.open(path).oomKilled(), killed);
  });

test('figures', (t) => {
  const text: Record<string, string> = {
    'cpu.stat': 'usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 9\nnr_throttled 2\nthrottled_usec 70\n',
    'memory.current': '1000\n',
    'memory.stat': 'anon 100\ninactive_file 300\n',
    'memory.max': 'max\n',
    'pids.current': '3\n',
    'pids.max': '100\n',
    'io.stat': '8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2\n7:1\nloop0 rbytes=9\n',
  };
  t.deepEqual(
    parseCgroupStats((file) => text[file]),
    {
      cpuNanoseconds: 1_500_000,
      userNanoseconds: 1_000_000,
      systemNanoseconds: 500_000,
      throttling: { periods: 9, throttledPeriods: 2, throttledNanoseconds: 70_000 },
      memoryBytes: 700,
      memoryUsageBytes: 1000,
      memory: { anon: 100, inactive_file: 300 },
      memoryLimitBytes: undefined,
      pids: 3,
      pidsLimit: 100,
      blockReadBytes: 11,
      blockWrittenBytes: 22,
      blocks: [
        { major: 8, minor: 0, readBytes: 10, writtenBytes: 20 },
        { major: 8, minor: 16, readBytes: 1, writtenBytes: 2 },
      ],
    },
  );
});
test('figures where no controller is', (t) =>
  t.deepEqual(
    parseCgroupStats(() => undefined),
    {
      cpuNanoseconds: 0,
      memoryBytes: 0,
      memoryLimitBytes: undefined,
      pids: 0,
      pidsLimit: undefined,
      blockReadBytes: 0,
      blockWrittenBytes: 0,
    },
  ));

/**
 * Which steps, in which order: what cannot be told by running one container, above all orders that matter for safety.
 */
import test from 'ava';
import type { LaunchPlan, Step } from '../../src/launch/plan.ts';
import { encodePlan } from '../../src/launch/encoding.ts';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from '../../src/container/namespaces.ts';
import { MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MS_RDONLY, MS_REC, MS_SLAVE } from '../../src/launch/mount-options.ts';
import { planContainer, planExec, type PlanContext, type PlanRootfs } from '../../src/container/plan.ts';
import { overlayOptions } from '../../src/container/rootfs.ts';
import type { Spec } from '../../src/spec.ts';
import { specOf } from '../engine/create/spec/facts.ts';

const OVERLAY: PlanRootfs = {
  kind: 'overlay',
  lower: ['/d/l/b', '/d/l/a'],
  upper: '/d/c/upper',
  work: '/d/c/work',
  merged: '/d/c/merged',
};
const ROOTLESS: PlanContext = { rootless: true, cgroup2: true };

function plan(
  options: Parameters<typeof specOf>[0] = {},
  context: Partial<PlanContext> = {},
  more: Parameters<typeof specOf>[1] = {},
  edit: (spec: Spec) => void = () => {},
): LaunchPlan {
  const { spec } = specOf(options, more);
  edit(spec);
  return planContainer(spec, OVERLAY, { ...ROOTLESS, ...context });
}

const ops = (steps: LaunchPlan) => steps.map((step) => (step.op === 'await' ? `await ${step.tag}` : step.op));
const at = (steps: LaunchPlan, op: string) => ops(steps).indexOf(op);
const mountsAt = (steps: LaunchPlan, target: string) =>
  steps.filter((step): step is Extract<Step, { op: 'mount' }> => step.op === 'mount' && step.target === target);

test('a whole plan fits its binary form', (t) => t.true(encodePlan(plan()).length < 64 * 1024));

test('namespaces in the order of runc', (t) => {
  const steps = plan({}, { waitFor: { cgroup: true, network: true, exec: true } });
  const upTo = steps.slice(0, at(steps, 'mount'));
  t.deepEqual(ops(upTo), [
    'parentDeathSignal',
    'unshare',
    'await idmap',
    'setgroups',
    'setgid',
    'setuid',
    'unshare',
    'fork',
    'parentDeathSignal',
    'setsid',
    'newSessionKeyring',
    'await cgroup',
    'loopbackUp',
    'unshare',
    'await network',
  ]);
  t.deepEqual(
    upTo.flatMap((step) => (step.op === 'unshare' ? [step.flags] : [])),
    [CLONE_NEWUSER, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID, CLONE_NEWCGROUP],
  );
});
test('in the guest there is no user namespace', (t) => {
  const steps = plan({}, { rootless: false }, { facts: { userNamespace: false } });
  t.false(ops(steps).includes('await idmap'));
  t.is(steps.find((step) => step.op === 'unshare')!.flags & CLONE_NEWUSER, 0);
});
test('joining: the user namespace first, and no id maps', (t) => {
  const steps = plan({ network: 'container:x' }, {}, { facts: { joined: { network: 7 } } });
  t.deepEqual(
    steps.filter((step) => step.op === 'setns'),
    [
      { op: 'setns', path: '/proc/7/ns/user', type: CLONE_NEWUSER },
      { op: 'setns', path: '/proc/7/ns/net', type: CLONE_NEWNET },
    ],
  );
  t.is(at(steps, 'await idmap'), -1);
  t.true(at(steps, 'setns') < at(steps, 'setuid') && at(steps, 'setuid') < at(steps, 'unshare'));
});

const order = (steps: LaunchPlan, ...wanted: string[]) => {
  const found = wanted.map((op) => ops(steps).lastIndexOf(op));
  return found.every((position, index) => position >= 0 && (index === 0 || position > found[index - 1]!));
};
test('without no_new_privs the filter comes while CAP_SYS_ADMIN is there', (t) =>
  t.true(
    order(
      plan(),
      'pivotRoot',
      'maskPath',
      'seccomp',
      'chdir',
      'environment',
      'setuser',
      'capabilities',
      'closeFrom',
      'exec',
    ),
  ));
test('with no_new_privs it comes last', (t) =>
  t.true(
    order(
      plan({ securityOpt: ['no-new-privileges'] }),
      'noNewPrivileges',
      'setuser',
      'capabilities',
      'seccomp',
      'closeFrom',
      'exec',
    ),
  ));
test('nothing is masked before the root is entered, nothing set after /proc/sys is read-only', (t) =>
  t.true(order(plan(), 'pivotRoot', 'setRoot', 'sethostname', 'writeFile', 'readonlyPath', 'maskPath')));
test('waiting for the start is before the filter', (t) =>
  t.true(order(plan({}, { waitFor: { exec: true } }), 'pivotRoot', 'await exec', 'seccomp', 'exec')));
test('the reaper comes after all that limits it', (t) =>
  t.true(order(plan({}, { init: true }), 'seccomp', 'capabilities', 'closeFrom', 'reaper', 'exec')));
test('the death signal is set again last', (t) => t.deepEqual(ops(plan()).slice(-2), ['parentDeathSignal', 'exec']));
test('no death signal', (t) => t.is(at(plan({}, { parentDeathSignal: 0 }), 'parentDeathSignal'), -1));
test('a terminal opens after the mounts, before the start', (t) =>
  t.true(order(plan({ tty: true }, { waitFor: { exec: true } }), 'pivotRoot', 'openPty', 'await exec')));
test('unconfined has no filter', (t) => t.is(at(plan({ securityOpt: ['seccomp=unconfined'] }), 'seccomp'), -1));
test('a filter is compiled once for a container and its execs', (t) => {
  const { spec } = specOf();
  const filter = (steps: LaunchPlan) => steps.find((step) => step.op === 'seccomp')!.filter;
  t.is(
    filter(planContainer(spec, OVERLAY, ROOTLESS)),
    filter(planExec(spec, spec.process, { pid: 9, rootless: true })),
  );
});

test('devices are bound when rootless', (t) => {
  t.like(mountsAt(plan(), '/dev/null')[0]!, { source: '/dev/null', create: 'file', inRoot: true });
  t.false(plan().some((step) => step.op === 'mknod' && step.path !== '/.dockerenv'));
});
test('and made in the guest', (t) => {
  const steps = plan({}, { rootless: false }, { facts: { userNamespace: false } });
  t.is(steps.filter((step) => step.op === 'mknod' && step.path !== '/.dockerenv').length, 6);
  t.deepEqual(mountsAt(steps, '/dev/null'), []);
});
test('the terminals of the host stay outside when privileged', (t) => {
  const steps = plan(
    { privileged: true },
    {},
    {
      facts: {
        allDevices: () =>
          ['ptmx', 'console', 'kmsg'].map((name) => ({ path: `/dev/${name}`, type: 'c' as const, major: 1, minor: 1 })),
      },
    },
  );
  t.deepEqual(
    ['/dev/ptmx', '/dev/console', '/dev/kmsg'].map((target) => mountsAt(steps, target).length),
    [0, 0, 1],
  );
});
test('a /dev of one’s own is left alone', (t) =>
  t.is(
    at(
      plan(
        {},
        {},
        {},
        (spec) =>
          void (spec.mounts = [
            ...spec.mounts.filter(({ destination }) => !destination.startsWith('/dev')),
            { destination: '/dev', type: 'bind', source: '/dev', options: ['rbind'] },
          ]),
      ),
      'symlink',
    ),
    -1,
  ));

const system: [string, Parameters<typeof specOf>[0], Partial<PlanContext>, string, string][] = [
  ['proc is new', {}, {}, '/proc', 'proc'],
  ['proc of the host pid namespace is bound', { pid: 'host' }, {}, '/proc', ''],
  ['sysfs is new', {}, {}, '/sys', 'sysfs'],
  ['sysfs of the host network is bound', { network: 'host' }, {}, '/sys', ''],
  ['cgroup2', {}, {}, '/sys/fs/cgroup', 'cgroup2'],
  ['no cgroup v2', {}, { cgroup2: false }, '/sys/fs/cgroup', 'tmpfs'],
];
for (const [what, options, context, target, fstype] of system)
  test(`system mount: ${what}`, (t) => {
    const [mount] = mountsAt(plan(options, context), target);
    t.is(mount!.fstype, fstype);
    t.true(mount!.noSymlinks);
  });
test("the host's cgroup2 below a bound /sys is covered first: no file system is mounted upon itself", (t) =>
  t.deepEqual(
    mountsAt(plan({ network: 'host' }, {}), '/sys/fs/cgroup').map(({ fstype }) => fstype),
    ['tmpfs', 'cgroup2'],
  ));
test('the guest mounts all anew, it is real root', (t) =>
  t.is(
    mountsAt(
      plan({ pid: 'host', network: 'host' }, { rootless: false }, { facts: { userNamespace: false } }),
      '/sys',
    )[0]!.fstype,
    'sysfs',
  ));
test('every mount of a spec stays in the root', (t) => {
  const steps = plan({ tmpfs: { '/t': '' } });
  const inside = steps.slice(at(steps, 'setRoot') + 1, at(steps, 'pivotRoot'));
  t.true(inside.length > 20);
  t.deepEqual(
    inside.filter((step) => !('inRoot' in step && step.inRoot)),
    [],
  );
});
test('a tmpfs takes the mode of what it covers, unless told', (t) => {
  const steps = plan({ tmpfs: { '/a': '', '/b': 'mode=700', '/c': 'size=1m' } });
  t.deepEqual(
    ['/a', '/b', '/c'].map((target) => mountsAt(steps, target)[0]!.modeFromTarget),
    [true, false, true],
  );
});
test('what a bind is made as is decided where it is made', (t) =>
  t.is(mountsAt(plan(), '/etc/hosts')[0]!.create, 'like-source'));
test('everything a mount is to be is in its one step: no path is looked up twice', (t) => {
  const steps = plan(
    { privileged: true, pid: 'host', network: 'host', tmpfs: { '/t': 'ro' } },
    {},
    {
      config: {
        mounts: [{ type: 'bind', source: '/s', destination: '/b', readonly: true, options: ['rslave', 'nosuid'] }],
      },
    },
  );
  const inside = steps.slice(at(steps, 'setRoot') + 1, at(steps, 'pivotRoot'));
  t.deepEqual(
    inside.filter(({ op }) => op === 'mountAttributes'),
    [],
  );
  t.deepEqual(
    inside.filter((step) => step.op === 'mount' && step.source === '' && step.fstype === ''),
    [],
  );
  t.like(mountsAt(steps, '/b')[0]!, {
    recursive: { set: MOUNT_ATTR_RDONLY },
    attributes: { set: MOUNT_ATTR_NOSUID },
    propagation: [MS_SLAVE | MS_REC],
  });
});

test('an image is an overlay that nothing is written to, bound read-only; of its path no link leads out', (t) => {
  const image = { destination: '/b', type: 'image', source: 'sha256:ab', subpath: 'etc', options: ['ro', 'rprivate'] };
  const steps = plan(
    {},
    {
      images: new Map([
        ['sha256:ab', { kind: 'overlay' as const, lower: ['/d/l/1', '/d/l/0'], target: '/d/c/images/ab' }],
      ]),
    },
    {},
    (spec) => void spec.mounts.push(image),
  );
  const [mounted] = mountsAt(steps, '/d/c/images/ab');
  t.like(mounted!, { fstype: 'overlay', flags: MS_RDONLY, data: 'lowerdir=1:0,userxattr' });
  t.like(mountsAt(steps, '/b')[0]!, {
    source: '/d/c/images/ab',
    data: 'etc',
    inRoot: true,
    create: 'like-source',
    attributes: { set: MOUNT_ATTR_RDONLY },
  });
  t.true(steps.indexOf(mounted!) < at(steps, 'pivotRoot'));
});
test('an image that is a disk of the machine is bound from where it is mounted', (t) => {
  const steps = plan(
    {},
    { rootless: false, images: new Map([['sha256:ab', { kind: 'directory' as const, path: '/run/husk/images/0' }]]) },
    { facts: { userNamespace: false } },
    (spec) => void spec.mounts.push({ destination: '/dev', type: 'image', source: 'sha256:ab', options: ['ro'] }),
  );
  t.like(mountsAt(steps, '/dev').at(-1)!, {
    source: '/run/husk/images/0',
    data: '',
    attributes: { set: MOUNT_ATTR_RDONLY },
  });
  t.is(at(steps, 'symlink'), -1, 'a /dev of its own is left alone');
});

// — the root —
const links = (count: number) =>
  Array.from({ length: count }, (_, index) => `/home/somebody/.local/share/husk/l/${String(index).padStart(12, '0')}`);
const rootfs = (lower: string[], folder = '/home/somebody/.local/share/husk/containers/'.padEnd(100, 'c')) => ({
  kind: 'overlay' as const,
  lower,
  upper: `${folder}/upper`,
  work: `${folder}/work`,
  merged: `${folder}/merged`,
});
test('127 layers, Docker’s most, fit into a page', (t) => {
  const { directory, data } = overlayOptions(rootfs(links(127)), { userXattr: true });
  t.is(directory, '/home/somebody/.local/share/husk/l');
  t.true(data.length < 4096);
  t.true(data.startsWith('lowerdir=000000000000:000000000001:'));
  t.true(data.endsWith(',userxattr'));
});
test('too many are refused before the kernel cuts them off', (t) =>
  void t.throws(() => overlayOptions(rootfs(links(400)), { userXattr: true }), {
    message: /cannot mount the 400 layers/,
  }));
test('one layer', (t) =>
  t.is(
    overlayOptions({ ...rootfs(['/a/b']), upper: '/u', work: '/w' }, { userXattr: false }).data,
    'lowerdir=b,upperdir=/u,workdir=/w',
  ));
test('layers of different folders', (t) =>
  t.deepEqual(overlayOptions({ ...rootfs(['/a/b/c', '/a/d']), upper: '/u', work: '/w' }, { userXattr: false }), {
    directory: '/a',
    data: 'lowerdir=b/c:d,upperdir=/u,workdir=/w',
  }));
test('a folder whose name begins with another’s', (t) =>
  t.is(
    overlayOptions({ ...rootfs(['/a/bc/d', '/a/b/d']), upper: '/u', work: '/w' }, { userXattr: false }).directory,
    '/a',
  ));
test('overlay’s own signs are escaped', (t) =>
  t.is(
    overlayOptions({ ...rootfs(['/a/b:c,d\\e']), upper: '/u,v', work: '/w:x' }, { userXattr: false }).data,
    'lowerdir=b\\:c\\,d\\\\e,upperdir=/u\\,v,workdir=/w\\:x',
  ));
test('a tree that is there is bound to itself', (t) =>
  t.like(
    planContainer(specOf().spec, { kind: 'directory', path: '/r' }, ROOTLESS).filter((step) => step.op === 'mount')[1]!,
    { source: '/r', target: '/r' },
  ));

// — hostile or wrong specs —
const wrong: [string, (spec: Spec) => void, RegExp][] = [
  [
    'a sysctl that leaves /proc/sys',
    (spec) => void (spec.linux.sysctl = { 'net/../../self/oom_score_adj': '1' }),
    /invalid sysctl name/,
  ],
  ['a sysctl with an empty part', (spec) => void (spec.linux.sysctl = { 'net..x': '1' }), /invalid sysctl name/],
  [
    'a relative mount',
    (spec) => void spec.mounts.push({ destination: 'x', type: 'tmpfs' }),
    /must be an absolute path/,
  ],
  [
    'a bind without a source',
    (spec) => void spec.mounts.push({ destination: '/x', type: 'bind' }),
    /needs an absolute source/,
  ],
  [
    'an image that the sandbox has not',
    (spec) => void spec.mounts.push({ destination: '/x', type: 'image', source: 'sha256:ab' }),
    /image "sha256:ab": the sandbox does not have it/,
  ],
  ['a mount without a type', (spec) => void spec.mounts.push({ destination: '/x', source: '/y' }), /has no type/],
  [
    'an unknown namespace',
    (spec) => void spec.linux.namespaces.push({ type: 'constructor' as 'pid' }),
    /unknown namespace type/,
  ],
  ['a namespace twice', (spec) => void spec.linux.namespaces.push({ type: 'pid' }), /twice/],
  ['no mount namespace', (spec) => void (spec.linux.namespaces = [{ type: 'pid' }]), /no mount namespace/],
  ['an unknown capability', (spec) => void spec.process.capabilities!.ambient.push('CAP_X'), /unknown capability/],
  [
    'an unknown rlimit',
    (spec) => void (spec.process.rlimits = [{ type: 'RLIMIT_X', soft: 1, hard: 1 }]),
    /unknown rlimit/,
  ],
  ['nothing to execute', (spec) => void (spec.process.args = []), /no command specified/],
];
for (const [what, edit, message] of wrong)
  test(`refused: ${what}`, (t) => void t.throws(() => plan({}, {}, {}, edit), { message }));

for (const [name, path] of [
  ['net.ipv4.ip_forward', 'net/ipv4/ip_forward'],
  ['net/ipv4/conf/eth0.1/forwarding', 'net/ipv4/conf/eth0.1/forwarding'],
  ['net.ipv4.conf.eth0/1.forwarding', 'net/ipv4/conf/eth0.1/forwarding'],
] as const)
  test(`sysctl ${name}`, (t) =>
    t.true(
      plan({}, {}, {}, (spec) => void (spec.linux.sysctl = { [name]: '1' })).some(
        (step) => step.op === 'writeFile' && step.path === `/proc/sys/${path}`,
      ),
    ));

for (const [value, wanted] of [
  [-1, 2n ** 64n - 1n],
  [1024, 1024n],
  [2 ** 64, 2n ** 64n - 1n],
] as const)
  test(`rlimit ${value}`, (t) =>
    t.like(
      plan({}, {}, {}, (spec) => void (spec.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 1, hard: value }])).find(
        (step) => step.op === 'rlimit',
      )!,
      { resource: 7, soft: 1n, hard: wanted },
    ));

// — exec —
test('exec joins what the container has of its own, and not what is the host’s', (t) => {
  const types = (options: Parameters<typeof specOf>[0]) => {
    const { spec } = specOf(options);
    const [, step] = planExec(spec, spec.process, { pid: 9, rootless: true });
    return step!.op === 'setnsPid' ? step.types : 0;
  };
  t.is(
    types({}),
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP,
  );
  t.is(
    types({ network: 'host', pid: 'host' }),
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP,
  );
});
test('exec is filtered and limited like the container', (t) => {
  const { spec } = specOf();
  t.true(
    order(
      planExec(spec, spec.process, { pid: 9, rootless: true }),
      'setnsPid',
      'setgroups',
      'fork',
      'seccomp',
      'setuser',
      'capabilities',
      'exec',
    ),
  );
});

import test from 'ava';
import { capabilityMask } from '../../../../src/container/capabilities.ts';
import type { CreateOptions } from '../../../../src/engine/contract.ts';
import { buildExec, type SpecFacts } from '../../../../src/engine/create/spec/build.ts';
import { DEFAULT_ULIMITS } from '../../../../src/engine/create/spec/ulimits.ts';
import { containerConfig, specOf } from './facts.ts';

const mountAt = (options: Partial<CreateOptions>, destination: string, more: Parameters<typeof specOf>[1] = {}) =>
  specOf(options, more).spec.mounts.find((mount) => mount.destination === destination);
const types = (spec: ReturnType<typeof specOf>['spec']) =>
  spec.linux.namespaces.map(({ type, path }) => (path ? `${type}=${path}` : type)).sort();

test('a bare run has the defaults of Docker', (t) => {
  const { spec, warnings } = specOf();
  t.deepEqual(warnings, []);
  t.deepEqual(
    spec.mounts.map(({ destination }) => destination),
    [
      '/proc',
      '/dev',
      '/dev/pts',
      '/sys',
      '/sys/fs/cgroup',
      '/dev/mqueue',
      '/dev/shm',
      '/etc/resolv.conf',
      '/etc/hostname',
      '/etc/hosts',
    ],
  );
  t.is(spec.hostname, 'c0ffee000000');
  t.deepEqual(spec.process.env, [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOSTNAME=c0ffee000000',
  ]);
  t.is(capabilityMask(spec.process.capabilities!.effective).toString(16), 'a80425fb');
  t.is(spec.process.noNewPrivileges, false);
  t.is(spec.linux.seccomp?.defaultAction, 'SCMP_ACT_ERRNO');
  t.is(spec.linux.maskedPaths!.length, 12);
  t.is(spec.linux.readonlyPaths!.length, 5);
  t.deepEqual(types(spec), ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts']);
  t.is(spec.root.readonly, false);
});

// — process —
test('a terminal sets TERM', (t) => t.true(specOf({ tty: true }).spec.process.env.includes('TERM=xterm')));
test('the environment overrides PATH, HOSTNAME and TERM in place', (t) =>
  t.deepEqual(specOf({ tty: true }, { config: { env: ['A=1', 'TERM=vt100', 'PATH=/x'] } }).spec.process.env, [
    'PATH=/x',
    'HOSTNAME=c0ffee000000',
    'TERM=vt100',
    'A=1',
  ]));
for (const [user, nonRoot] of [
  ['', false],
  ['0', false],
  ['0:5', false],
  ['00', false],
  ['1000', true],
  ['1000:1000', true],
  ['app', false],
  ['root', false],
] as const)
  test(`user "${user}" ${nonRoot ? 'has no' : 'may have'} permitted capabilities`, (t) => {
    const { process } = specOf({ user }).spec;
    t.is(process.capabilities!.permitted.length, nonRoot ? 0 : 14);
    t.is(process.capabilities!.bounding.length, 14);
    t.is(process.user.username, user);
  });
test('groups', (t) =>
  t.deepEqual(specOf({ groupAdd: ['audio', '44'] }).spec.process.user.additionalGroups, ['audio', '44']));
test('no-new-privileges', (t) => t.true(specOf({ securityOpt: ['no-new-privileges'] }).spec.process.noNewPrivileges));

const oom: [asked: number | undefined, set: number | undefined, warns: boolean][] = [
  [undefined, undefined, false],
  [0, undefined, false],
  [500, 500, false],
  [100, 100, false],
  [-500, 100, true],
];
for (const [asked, set, warns] of oom)
  test(`oom score adj ${asked} with an own one of 100 becomes ${set}`, (t) => {
    const { spec, warnings } = specOf({ oomScoreAdj: asked });
    t.is(spec.process.oomScoreAdj, set);
    t.is(warnings.length > 0, warns);
  });
test('oom score adj as real root', (t) =>
  t.is(specOf({ oomScoreAdj: -500 }, { facts: { userNamespace: false } }).spec.process.oomScoreAdj, -500));

// — names —
const names: [Partial<CreateOptions>, string | undefined, string][] = [
  [{}, 'c0ffee000000', 'c0ffee000000'],
  [{ hostname: 'me' }, 'me', 'me'],
  [{ network: 'host' }, 'hosty', 'hosty'],
  [{ network: 'host', hostname: 'me' }, 'me', 'me'],
  [{ uts: 'host' }, undefined, 'hosty'],
];
for (const [options, hostname, inEnv] of names)
  test(`hostname with ${JSON.stringify(options)}`, (t) => {
    const { spec } = specOf(options);
    t.is(spec.hostname, hostname);
    t.is(spec.process.env[1], `HOSTNAME=${inEnv}`);
  });

// — namespaces —
const ALL = ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'];
const spaces: [Partial<CreateOptions>, Partial<SpecFacts>, string[]][] = [
  [{ network: 'none' }, {}, ALL],
  [{ network: 'host' }, {}, ALL.filter((name) => name !== 'network')],
  [{ pid: 'host', ipc: 'host', uts: 'host' }, {}, ['cgroup', 'mount', 'network', 'user']],
  [{}, { userNamespace: false }, ALL.filter((name) => name !== 'user')],
  [
    { network: 'container:x' },
    { joined: { network: 7 } },
    ['cgroup', 'ipc', 'mount', 'network=/proc/7/ns/net', 'pid', 'user=/proc/7/ns/user', 'uts'],
  ],
  [
    { network: 'container:x' },
    { joined: { network: 7 }, userNamespace: false },
    ['cgroup', 'ipc', 'mount', 'network=/proc/7/ns/net', 'pid', 'uts'],
  ],
  [
    { ipc: 'container:x', pid: 'container:y' },
    { joined: { ipc: 7, pid: 8 }, userNamespaceOf: () => 'same' },
    ['cgroup', 'ipc=/proc/7/ns/ipc', 'mount', 'network', 'pid=/proc/8/ns/pid', 'user=/proc/8/ns/user', 'uts'],
  ],
];
for (const [options, facts, wanted] of spaces)
  test(`namespaces with ${JSON.stringify(options)}, ${JSON.stringify(facts)}`, (t) =>
    t.deepEqual(types(specOf(options, { facts }).spec), wanted));

// — mounts —
const mounts: [string, Partial<CreateOptions>, string, string[] | undefined][] = [
  ['shm size', { shmSize: 1024 }, '/dev/shm', ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=1024']],
  ['no shm', { ipc: 'none' }, '/dev/shm', undefined],
  ['shm of the host', { ipc: 'host' }, '/dev/shm', ['rbind', 'rprivate']],
  ['mqueue of the host', { ipc: 'host' }, '/dev/mqueue', ['rbind', 'rprivate']],
  ['sysfs', {}, '/sys', ['nosuid', 'noexec', 'nodev', 'ro']],
  ['sysfs when privileged', { privileged: true }, '/sys', ['nosuid', 'noexec', 'nodev']],
  [
    'sysfs when privileged and read-only',
    { privileged: true, readOnly: true },
    '/sys',
    ['nosuid', 'noexec', 'nodev', 'ro'],
  ],
  ['cgroup', {}, '/sys/fs/cgroup', ['ro', 'nosuid', 'noexec', 'nodev']],
  ['writable cgroup', { securityOpt: ['writable-cgroups=true'] }, '/sys/fs/cgroup', ['nosuid', 'noexec', 'nodev']],
  ['hosts', {}, '/etc/hosts', ['rbind', 'rprivate']],
  ['hosts when read-only', { readOnly: true }, '/etc/hosts', ['rbind', 'ro', 'rprivate']],
  ['tmpfs', { tmpfs: { '/t': '' } }, '/t', ['noexec', 'nosuid', 'nodev', 'rprivate']],
  [
    'tmpfs with options',
    { tmpfs: { '/t': 'exec,size=1m,mode=700' } },
    '/t',
    ['nosuid', 'nodev', 'rprivate', 'exec', 'size=1m', 'mode=700'],
  ],
];
for (const [what, options, destination, wanted] of mounts)
  test(`mount: ${what}`, (t) => t.deepEqual(mountAt(options, destination)?.options, wanted));

type Volume = Parameters<typeof containerConfig>[1] extends infer C
  ? NonNullable<NonNullable<C>['mounts' & keyof NonNullable<C>]> extends (infer M)[]
    ? M
    : never
  : never;
const bind = (changes: Partial<Volume>): Volume => ({
  type: 'bind',
  source: '/src',
  destination: '/v',
  readonly: false,
  options: [],
  ...changes,
});
const binds: [string, Partial<Volume>, Partial<SpecFacts>, string[]][] = [
  ['plain', {}, {}, ['rbind', 'rprivate']],
  ['read-only is recursive where the kernel can', { readonly: true }, {}, ['rbind', 'rro', 'rprivate']],
  ['read-only before Linux 5.12', { readonly: true }, { recursiveReadonly: false }, ['rbind', 'ro', 'rprivate']],
  [
    'read-only, what is below writable',
    { readonly: true, options: ['bind-recursive=writable'] },
    {},
    ['rbind', 'ro', 'rprivate'],
  ],
  ['not recursive', { readonly: true, options: ['bind-recursive=disabled'] }, {}, ['bind', 'ro', 'rprivate']],
  ['propagation', { options: ['rslave'] }, {}, ['rbind', 'rslave']],
  ['propagation of --mount', { options: ['bind-propagation=shared'] }, {}, ['rbind', 'shared']],
  ['labels and copying are the business of others', { options: ['z', 'U', 'nocopy'] }, {}, ['rbind', 'rprivate']],
  ['flags', { options: ['noexec', 'nosuid'] }, {}, ['rbind', 'noexec', 'nosuid', 'rprivate']],
];
for (const [what, changes, facts, wanted] of binds)
  test(`bind: ${what}`, (t) =>
    t.deepEqual(mountAt({}, '/v', { config: { mounts: [bind(changes)] }, facts })?.options, wanted));
test('a shared mount needs the root to be a slave', (t) =>
  t.is(specOf({}, { config: { mounts: [bind({ options: ['rshared'] })] } }).spec.linux.rootfsPropagation, 'rslave'));
test('a mode that is none', (t) =>
  void t.throws(() => specOf({}, { config: { mounts: [bind({ options: ['rx'] })] } }), {
    message: 'invalid mode: rx',
  }));
test('--mount type=tmpfs', (t) =>
  t.deepEqual(
    mountAt({}, '/v', {
      config: {
        mounts: [bind({ type: 'tmpfs', source: '', options: ['tmpfs-size=1000', 'tmpfs-mode=700'], readonly: true })],
      },
    })?.options,
    ['noexec', 'nosuid', 'nodev', 'rprivate', 'size=1000', 'mode=700', 'ro'],
  ));
test('deep mounts come after shallow ones, and paths are cleaned', (t) => {
  const volumes = ['/a/b/c', '/a', '/a/../x//y/'].map((destination) => bind({ destination }));
  t.deepEqual(
    specOf({}, { config: { mounts: volumes } })
      .spec.mounts.slice(7)
      .map(({ destination }) => destination),
    ['/a', '/etc/resolv.conf', '/etc/hostname', '/etc/hosts', '/x/y', '/a/b/c'],
  );
});
test('a volume replaces a default', (t) =>
  t.is(mountAt({}, '/etc/hosts', { config: { mounts: [bind({ destination: '/etc/hosts' })] } })!.source, '/src'));
test('a /dev of one’s own takes all below along', (t) =>
  t.deepEqual(
    specOf({}, { config: { mounts: [bind({ destination: '/dev' })] } })
      .spec.mounts.filter(({ destination }) => destination.startsWith('/dev'))
      .map(({ source }) => source),
    ['/src'],
  ));
test('shareable ipc binds the folder others can bind too', (t) =>
  t.is(mountAt({ ipc: 'shareable' }, '/dev/shm', { facts: { shm: '/d/shm' } })!.source, '/d/shm'));

// — security —
test('privileged: every capability, nothing masked, no seccomp, the devices of the host', (t) => {
  const { linux, process } = specOf({ privileged: true }).spec;
  t.is(process.capabilities!.bounding.length, 41);
  t.deepEqual([linux.maskedPaths, linux.readonlyPaths, linux.seccomp], [[], [], undefined]);
  t.deepEqual(
    linux.devices!.map(({ path }) => path),
    ['/dev/kmsg'],
  );
});
test('seccomp=unconfined', (t) => t.is(specOf({ securityOpt: ['seccomp=unconfined'] }).spec.linux.seccomp, undefined));
test('seccomp of a file', (t) =>
  t.is(
    specOf({ securityOpt: ['seccomp={"defaultAction":"SCMP_ACT_LOG"}'] }).spec.linux.seccomp!.defaultAction,
    'SCMP_ACT_LOG',
  ));
test('seccomp of a file holds when privileged', (t) =>
  t.is(
    specOf({ privileged: true, securityOpt: ['seccomp={"defaultAction":"SCMP_ACT_LOG"}'] }).spec.linux.seccomp!
      .defaultAction,
    'SCMP_ACT_LOG',
  ));
test('a capability opens its calls', (t) => {
  const has = (options: Partial<CreateOptions>) =>
    specOf(options).spec.linux.seccomp!.syscalls!.some(({ names }) => names.includes('mount'));
  t.deepEqual([has({}), has({ capAdd: ['SYS_ADMIN'] })], [false, true]);
});
test('systempaths=unconfined', (t) =>
  t.deepEqual(specOf({ securityOpt: ['systempaths=unconfined'] }).spec.linux.maskedPaths, []));
test('thermal folders are masked where they are', (t) =>
  t.true(
    specOf({}, { facts: { thermalCpus: [0, 3] } }).spec.linux.maskedPaths!.includes(
      '/sys/devices/system/cpu/cpu3/thermal_throttle',
    ),
  ));

// — devices —
test('--device in a VM: what every Linux has', (t) =>
  t.like(specOf({ devices: ['/dev/fuse'] }, { facts: { userNamespace: false } }).spec.linux.devices![0]!, {
    major: 10,
    minor: 229,
  }));
test("--device in a VM: what is the host's is refused", (t) =>
  void t.throws(
    () =>
      specOf(
        { devices: ['/dev/sda'] },
        { facts: { userNamespace: false, devicesAt: (path) => [{ path, type: 'b', major: 8, minor: 0 }] } },
      ),
    { message: /^cannot give \/dev\/sda to a virtual machine/ },
  ));
test('--device', (t) =>
  t.like(specOf({ devices: ['/dev/fuse:/dev/f:r'] }).spec.linux.devices![0]!, {
    path: '/dev/f',
    source: '/dev/fuse',
    major: 10,
    minor: 229,
  }));
test('--device with a folder', (t) =>
  t.deepEqual(
    specOf({ devices: ['/dev/snd:/dev/sound'] }).spec.linux.devices!.map(({ path }) => path),
    ['/dev/sound/seq', '/dev/sound/by-path/x'],
  ));

// — sysctls —
test('low ports are free in a network namespace of one’s own', (t) =>
  t.deepEqual(specOf().spec.linux.sysctl, { 'net.ipv4.ip_unprivileged_port_start': '0' }));
test('every group there is may ping', (t) =>
  t.is(specOf({}, { facts: { pingGroups: '0 65536' } }).spec.linux.sysctl!['net.ipv4.ping_group_range'], '0 65536'));
test('who joins a network has the names of the one that has it', (t) => {
  const { spec } = specOf(
    { network: 'container:x' },
    { facts: { joined: { network: 7 }, joinedNames: { hostname: 'theirs', domainname: 'example' } } },
  );
  t.like(spec, { hostname: 'theirs', domainname: 'example' });
  t.true(spec.process.env.includes('HOSTNAME=theirs'));
});
test('/.dockerenv is made', (t) => t.deepEqual(specOf().spec.root.emptyFiles, ['/.dockerenv']));
test('a joined network is left as it is', (t) =>
  t.deepEqual(specOf({ network: 'container:x' }, { facts: { joined: { network: 7 } } }).spec.linux.sysctl, {}));
test('--sysctl wins', (t) =>
  t.is(
    specOf({ sysctls: { 'net.ipv4.ip_unprivileged_port_start': '80' } }).spec.linux.sysctl![
      'net.ipv4.ip_unprivileged_port_start'
    ],
    '80',
  ));

// — what is refused, in Docker's words —
const refused: [Partial<CreateOptions>, string, Partial<SpecFacts>?][] = [
  [{ capAdd: ['NOPE'] }, 'invalid capability: unknown capability: "NOPE"'],
  [{ securityOpt: ['nope'] }, 'invalid --security-opt 1: "nope"'],
  [{ securityOpt: ['nope=1'] }, 'invalid --security-opt 2: "nope=1"'],
  [{ securityOpt: ['no-new-privileges=maybe'] }, 'invalid --security-opt 2: "no-new-privileges=maybe"'],
  [{ sysctls: { 'kernel.panic': '1' } }, 'sysctl "kernel.panic" is not in a separate kernel namespace'],
  [{ sysctls: { 'kernel/panic': '1' } }, 'sysctl "kernel/panic" is not in a separate kernel namespace'],
  [
    { sysctls: { 'net.core.somaxconn': '1' }, network: 'host' },
    'sysctl "net.core.somaxconn" not allowed in host network namespace',
  ],
  [
    { sysctls: { 'kernel.shmmax': '1' }, ipc: 'host' },
    'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace',
  ],
  [
    { sysctls: { 'kernel.hostname': 'x' } },
    'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field',
  ],
  [{ ipc: 'nope' }, '--ipc: invalid IPC mode: nope'],
  [{ pid: 'nope' }, '--pid: invalid PID mode'],
  [{ uts: 'nope' }, '--uts: invalid UTS mode'],
  [{ pid: 'container:' }, '--pid: invalid container format container:<name|id>'],
  [{ network: 'container:y' }, 'cannot join the network namespace of a non running container: y'],
  [
    { network: 'container:y', pid: 'container:z' },
    'cannot join namespaces of two containers that are in different user namespaces',
    { joined: { network: 7, pid: 8 } },
  ],
  [
    { devices: ['/dev/nope'] },
    'error gathering device information while adding custom device "/dev/nope": no such file or directory',
  ],
  [{ devices: ['/dev/fuse:/dev/fuse:rx'] }, 'invalid device specification: /dev/fuse:/dev/fuse:rx'],
  [{ devices: ['/dev/fuse:relative'] }, 'relative is not an absolute path'],
  [{ shmSize: -1 }, 'SHM size can not be less than 0'],
  [{ tmpfs: { '/t': 'nope' } }, 'invalid tmpfs option ["nope"]'],
  [{ oomScoreAdj: 1001 }, 'Invalid value 1001, range for oom score adj is [-1000, 1000]'],
  [{ ulimits: [{ name: 'nope', soft: 1, hard: 1 }] }, 'invalid ulimit type: nope'],
  [
    { ulimits: [{ name: 'nofile', soft: 10, hard: 5 }] },
    'ulimit soft limit must be less than or equal to hard limit: 10 > 5',
  ],
  [
    { ulimits: [{ name: 'nofile', soft: 10, hard: 5000 }] },
    'cannot raise the ulimit nofile to 5000: your own hard limit is 4096',
    { hardLimit: () => 4096 },
  ],
];
for (const [options, message, facts] of refused)
  test(`refused: ${JSON.stringify(options)}`, (t) => void t.throws(() => specOf(options, { facts }), { message }));

// — limits —
/** the defaults of every container, by the caller's own hard limits */
const DEFAULTS: [
  what: string,
  facts: Partial<SpecFacts>,
  limits: [nofile: number[], nproc: number[], sigpending: number[]],
][] = [
  [
    "in a guest: as Docker's",
    {},
    [
      [1_048_576, 1_048_576],
      [-1, -1],
      [-1, -1],
    ],
  ],
  [
    'in user namespaces: as much as the caller has',
    { reach: (name) => ({ nofile: 4096, nproc: 500 })[name] },
    [
      [4096, 4096],
      [500, 500],
      [-1, -1],
    ],
  ],
];
for (const [what, facts, [nofile, nproc, sigpending]] of DEFAULTS)
  test(`limits without a flag ${what}`, (t) => {
    const { rlimits } = specOf({}, { facts: { ...facts, defaultUlimits: DEFAULT_ULIMITS } }).spec.process;
    t.deepEqual(
      rlimits!.map(({ type, soft, hard }) => [type, soft, hard]),
      [
        ['RLIMIT_NOFILE', ...nofile!],
        ['RLIMIT_NPROC', ...nproc!],
        ['RLIMIT_SIGPENDING', ...sigpending!],
      ],
    );
  });
test('a flag goes before the defaults, and says so when it cannot be', (t) => {
  const facts = { defaultUlimits: DEFAULT_ULIMITS, reach: () => 4096 };
  t.deepEqual(specOf({ ulimits: [{ name: 'nofile', soft: 10, hard: 5000 }] }, { facts }).spec.process.rlimits![0], {
    type: 'RLIMIT_NOFILE',
    soft: 10,
    hard: 5000,
  });
  t.throws(
    () =>
      specOf({ ulimits: [{ name: 'nofile', soft: 10, hard: 5000 }] }, { facts: { ...facts, hardLimit: () => 4096 } }),
    { message: /your own hard limit is 4096/ },
  );
});

const MiB = 2 ** 20;
const limits: [Partial<CreateOptions['resources']>, object][] = [
  [{}, {}],
  [{ memory: 64 * MiB }, { memory: { limit: 64 * MiB, swap: 128 * MiB } }],
  [{ memory: 64 * MiB, memorySwap: -1 }, { memory: { limit: 64 * MiB, swap: -1 } }],
  [{ memorySwap: -1 }, { memory: { swap: -1 } }],
  [{ cpus: 1.5 }, { cpu: { period: 100_000, quota: 150_000 } }],
  [
    { cpuPeriod: 50_000, cpuQuota: 25_000, cpuShares: 512, cpusetCpus: '0,2-3' },
    { cpu: { shares: 512, period: 50_000, quota: 25_000, cpus: '0,2-3' } },
  ],
  [{ pidsLimit: 10 }, { pids: { limit: 10 } }],
  [{ pidsLimit: -1 }, {}],
  [
    { blkioWeight: 300, deviceReadBps: ['/dev/sda:1mb'], deviceWriteIops: ['/dev/sda:100'] },
    {
      blockIO: {
        weight: 300,
        throttleReadBpsDevice: [{ major: 8, minor: 0, rate: MiB }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 100 }],
      },
    },
  ],
];
for (const [resources, wanted] of limits)
  test(`limits ${JSON.stringify(resources)}`, (t) => t.deepEqual(specOf({ resources }).spec.linux.resources, wanted));

const outOfRange: [Partial<CreateOptions['resources']>, string][] = [
  [{ memory: 6 * MiB - 1 }, 'Minimum memory limit allowed is 6MB'],
  [
    { memory: 64 * MiB, memorySwap: 32 * MiB },
    'Minimum memoryswap limit should be larger than memory limit, see usage',
  ],
  [{ memorySwap: 32 * MiB }, 'You should always set the Memory limit when using Memoryswap limit, see usage'],
  [{ memorySwappiness: 101 }, 'Invalid value: 101, valid memory swappiness range is 0-100'],
  [{ memoryReservation: 1 }, 'Minimum memory reservation allowed is 6MB'],
  [
    { memory: 32 * MiB, memoryReservation: 64 * MiB },
    'Minimum memory limit can not be less than memory reservation limit, see usage',
  ],
  [{ cpus: 5 }, 'Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available'],
  [{ cpus: 0.001 }, 'Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available'],
  [{ cpus: 1, cpuPeriod: 50_000 }, 'Conflicting options: Nano CPUs and CPU Period cannot both be set.'],
  [{ cpus: 1, cpuQuota: 50_000 }, 'Conflicting options: Nano CPUs and CPU Quota cannot both be set.'],
  [{ cpuPeriod: 999 }, 'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)'],
  [{ cpuQuota: 999 }, 'CPU cfs quota can not be less than 1ms (i.e. 1000)'],
  [{ cpusetCpus: '0-4' }, 'Requested CPUs are not available - requested 0-4, available: 0-3'],
  [{ cpusetCpus: 'x' }, 'Invalid value x for cpuset cpus'],
  [{ cpusetCpus: '0-99999' }, 'Invalid value 0-99999 for cpuset cpus'],
  [{ cpusetMems: '1' }, 'Requested memory nodes are not available - requested 1, available: 0'],
  [{ blkioWeight: 9 }, 'Range of blkio weight is from 10 to 1000'],
  [{ deviceReadBps: ['/dev/nope:1'] }, 'no such block device: /dev/nope'],
  [{ deviceReadIops: ['sda:1'] }, 'bad format for device path: sda:1'],
  [{ deviceReadIops: ['/dev/sda'] }, 'bad format: /dev/sda'],
];
for (const [resources, message] of outOfRange)
  test(`out of range: ${JSON.stringify(resources)}`, (t) => void t.throws(() => specOf({ resources }), { message }));

// — exec —
const exec = (options: Partial<Parameters<typeof buildExec>[2]>, create: Partial<CreateOptions> = {}) => {
  const config = containerConfig(create, { env: ['A=1', 'B=2'], workdir: '/w' });
  return buildExec(config, specOf(create, { config: { env: config.env, workdir: '/w' } }).spec, {
    command: ['ls'],
    interactive: false,
    tty: false,
    detach: false,
    env: [],
    privileged: false,
    ...options,
  });
};
test('exec inherits', (t) =>
  t.like(exec({}), {
    args: ['ls'],
    cwd: '/w',
    user: { username: '' },
    terminal: false,
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOSTNAME=c0ffee000000', 'A=1', 'B=2'],
  }));
test('exec -e overrides and removes', (t) =>
  t.deepEqual(exec({ env: ['A=9', 'B', 'C=3'] }).env.slice(2), ['A=9', 'C=3']));
test('exec -u -w -t', (t) =>
  t.like(exec({ user: '5', workdir: '/x', tty: true }), {
    cwd: '/x',
    terminal: true,
    user: { username: '5' },
    capabilities: { permitted: [] },
  }));
test('exec has no more than the container', (t) =>
  t.is(exec({}, { capDrop: ['ALL'] }).capabilities!.bounding.length, 0));
test('exec --privileged', (t) =>
  t.is(exec({ privileged: true }, { capDrop: ['ALL'] }).capabilities!.permitted.length, 41));
test('exec of nothing', (t) => void t.throws(() => exec({ command: [] }), { message: 'No exec command specified' }));

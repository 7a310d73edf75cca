/** What create refuses before there is a record. */
import test from 'ava';
import type { CreateOptions } from '../../../../src/engine/contract.ts';
import { readRequest } from '../../../../src/engine/request/request.ts';
import { checkForIsolation, checkRequest } from '../../../../src/engine/create/spec/check.ts';
import type { Isolation } from '../../../../src/sandbox.ts';
import { createOptions } from './options.ts';

const check = (
  options: Partial<CreateOptions>,
  { isolation = 'userns', selinux = false }: { isolation?: Isolation; selinux?: boolean } = {},
) => {
  const request = readRequest(createOptions(options));
  checkRequest(request, { selinux });
  checkForIsolation(request, isolation);
};

const REFUSED: [
  title: string,
  options: Partial<CreateOptions>,
  message: RegExp | string,
  how?: { isolation?: Isolation; selinux?: boolean },
][] = [
  ['an unknown capability to add', { capAdd: ['NOPE'] }, 'invalid capability: unknown capability: "NOPE"'],
  ['an unknown capability to drop', { capDrop: ['CAP_NOPE'] }, 'invalid capability: unknown capability: "CAP_NOPE"'],
  ['an unknown security option', { securityOpt: ['nonsense=1'] }, 'invalid --security-opt 2: "nonsense=1"'],
  [
    'no-new-privileges of something',
    { securityOpt: ['no-new-privileges=maybe'] },
    'invalid --security-opt 2: "no-new-privileges=maybe"',
  ],
  ['system paths of something', { securityOpt: ['systempaths=all'] }, 'invalid --security-opt 2: "systempaths=all"'],
  ['a seccomp profile that is none', { securityOpt: ['seccomp={"syscalls":3}'] }, /seccomp profile/],
  [
    'an AppArmor profile',
    { securityOpt: ['apparmor=docker-default'] },
    /^--security-opt apparmor=docker-default: husk confines by namespaces, capabilities and seccomp, and loads no AppArmor profile$/,
  ],
  [
    'an SELinux label where it would be missed',
    { securityOpt: ['label=type:svirt_t'] },
    '--security-opt label=type:svirt_t: husk sets no SELinux labels',
    { selinux: true },
  ],
  ['a label of an unknown kind', { securityOpt: ['label=colour:red'] }, /^bad label option "colour:red"/],
  [
    "a name in the host's UTS namespace",
    { hostname: 'x', uts: 'host' },
    'conflicting options: hostname and the UTS mode',
  ],
  [
    "a name in another's network",
    { hostname: 'x', network: 'container:y' },
    'conflicting options: hostname and the network mode',
  ],
  ['--ipc of something', { ipc: 'some' }, '--ipc: invalid IPC mode: some'],
  ['--pid of something', { pid: 'some' }, '--pid: invalid PID mode'],
  ['--uts of something', { uts: 'container:x' }, '--uts: invalid UTS mode'],
  ['--userns of something', { userns: 'auto' }, '--userns: invalid USER mode'],
  ['--userns of another container', { userns: 'container:x' }, '--userns: invalid USER mode'],
  [
    'rules for devices in a user namespace',
    { deviceRules: ['c 42:* rmw'] },
    /^--device-cgroup-rule "c 42:\* rmw": a rule for devices is a program that only the host's root may load$/,
  ],
  [
    'a rule for devices that is none',
    { deviceRules: ['x 1:1 r'] },
    "invalid device cgroup format 'x 1:1 r'",
    { isolation: 'vm' },
  ],
  [
    "a disk's size in a user namespace",
    { storageSize: 2 ** 30 },
    /^--storage-opt size: in user namespaces a container writes to the disk of the data root/,
  ],
  ["a disk larger than a machine's", { storageSize: 2 ** 40 }, /from 16 MiB to 64 GiB$/, { isolation: 'vm' }],
  ['--userns host', { userns: 'host' }, /^--userns host: root of a container is never root of the host/],
  [
    '--userns host in a VM',
    { userns: 'host' },
    /^--userns host: root of a container is never root of the host/,
    { isolation: 'vm' },
  ],
  ['--cgroupns of something', { cgroupns: 'container:x' }, '--cgroupns: invalid CGROUP mode'],
  [
    '--cgroupns host in a VM',
    { cgroupns: 'host' },
    /^--cgroupns host is not possible with --isolation=vm/,
    { isolation: 'vm' },
  ],
  ['a host name with --uts host', { uts: 'host', hostname: 'x' }, 'conflicting options: hostname and the UTS mode'],
  [
    "a host name in another's network",
    { network: 'container:x', hostname: 'x' },
    'conflicting options: hostname and the network mode',
  ],
  [
    "DNS in another's network",
    { network: 'container:x', dns: ['1.1.1.1'] },
    'conflicting options: dns and the network mode',
  ],
  [
    "hosts in another's network",
    { network: 'container:x', extraHosts: ['a:1.1.1.1'] },
    'conflicting options: custom host-to-IP mapping and the network mode',
  ],
  [
    "ports published in another's network",
    { network: 'container:x', publish: ['80:80'] },
    'conflicting options: port publishing and the container type network mode',
  ],
  [
    "ports exposed in another's network",
    { network: 'container:x', expose: ['80'] },
    'conflicting options: port exposing and the container type network mode',
  ],
  [
    'a sysctl of the host',
    { sysctls: { 'kernel.panic': '1' } },
    'sysctl "kernel.panic" is not in a separate kernel namespace',
  ],
  [
    "a network sysctl in the host's network",
    { network: 'host', sysctls: { 'net.ipv4.ip_forward': '1' } },
    'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
  ],
  [
    "an ipc sysctl in the host's",
    { ipc: 'host', sysctls: { 'kernel.shmmax': '1' } },
    'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace',
  ],
  [
    'a device to read only',
    { devices: ['/dev/fuse:/dev/fuse:r'] },
    /^--device \/dev\/fuse:\/dev\/fuse:r: a user namespace cannot narrow the use of a device to "r"/,
  ],
  ['a device to make only', { devices: ['/dev/fuse:m'] }, /cannot narrow the use of a device to "m"/],
  [
    'a device of no mode',
    { devices: ['/dev/fuse:/dev/fuse:x'] },
    'invalid device specification: /dev/fuse:/dev/fuse:x',
  ],
  ['an unknown ulimit', { ulimits: [{ name: 'dreams', soft: 1, hard: 1 }] }, 'invalid ulimit type: dreams'],
  ['an oom score out of range', { oomScoreAdj: 1001 }, 'Invalid value 1001, range for oom score adj is [-1000, 1000]'],
  ['a tmpfs option there is not', { tmpfs: { '/t': 'nonsense' } }, 'invalid tmpfs option ["nonsense"]'],
];
for (const [title, options, message, how] of REFUSED)
  test(`refused: ${title}`, (t) => void t.throws(() => check(options, how), { message }));

const ACCEPTED: [title: string, options: Partial<CreateOptions>, how?: { isolation?: Isolation; selinux?: boolean }][] =
  [
    ['nothing', {}],
    ['capabilities in any spelling', { capAdd: ['net_admin', 'CAP_SYS_TIME'], capDrop: ['ALL'] }],
    [
      'no confinement',
      {
        securityOpt: [
          'seccomp=unconfined',
          'apparmor=unconfined',
          'label=disable',
          'systempaths=unconfined',
          'no-new-privileges:false',
        ],
      },
    ],
    ['no label where SELinux is', { securityOpt: ['label:disable'] }, { selinux: true }],
    ['a label where nobody reads it', { securityOpt: ['label=type:svirt_t'] }],
    ["the host's cgroup namespace", { cgroupns: 'host' }],
    ['a device with all but making it', { devices: ['/dev/fuse:rw'] }],
    ['privileged', { privileged: true }, { isolation: 'vm' }],
    ["ports exposed in the host's network", { network: 'host', expose: ['80'] }],
  ];
for (const [title, options, how] of ACCEPTED) test(`accepted: ${title}`, (t) => t.notThrows(() => check(options, how)));

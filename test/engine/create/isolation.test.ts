/** The choice of isolation, case by case; the host is made up. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { CreateOptions, MountRequest } from '../../../src/engine/contract.ts';
import { readRequest } from '../../../src/engine/request/request.ts';
import { chooseIsolation, type ChoiceHost } from '../../../src/engine/create/isolation.ts';
import { machineLimitProblem } from '../../../src/engine/create/unenforceable-limits.ts';
import { createOptions } from './spec/options.ts';

const FAST = { fit: true, reason: '3200 million guest instructions a second', instructionsPerSecond: 3.2e9 };
const SLOW = {
  fit: false,
  reason: 'under 4 million guest instructions a second: this KVM interprets its guests',
  instructionsPerSecond: 4e6,
};
const NONE = { fit: false, reason: 'this host has no /dev/kvm', instructionsPerSecond: 0 };
const FORBIDDEN = {
  fit: false,
  reason: '/dev/kvm may not be opened by you (sudo usermod -aG kvm $USER)',
  instructionsPerSecond: 0,
};
const PARTS = {
  fit: false,
  reason: "the VM's parts are not built: /x/vmlinux (make set-up-vm vm)",
  instructionsPerSecond: 0,
};

function host(t: ExecutionContext, verdict: typeof FAST): ChoiceHost & { dataRoot: string } {
  const dataRoot = mkdtempSync(join(tmpdir(), 'husk-choice-'));
  t.teardown(() => rmSync(dataRoot, { recursive: true }));
  const bootId = join(dataRoot, 'boot_id');
  writeFileSync(bootId, 'first\n');
  return {
    dataRoot,
    bootId,
    verdict: async () => verdict,
    notShareable: (path) => (path === '/socket' ? 'a socket leads elsewhere' : undefined),
    networkProblem: ({ network }) =>
      network.kind === 'named' && network.name === 'closed'
        ? '/dev/net/tun: permission denied (fix: open it)'
        : undefined,
    limitProblem: async ({ resources }) =>
      resources.cpuShares ? 'cannot enforce --cpu-shares on a virtual machine' : undefined,
  };
}

const mount = (changes: Partial<MountRequest> = {}): MountRequest => ({
  type: 'bind',
  source: '/folder',
  target: '/t',
  readonly: false,
  options: [],
  createSource: true,
  ...changes,
});
const asked = (changes: Partial<CreateOptions> = {}) =>
  readRequest(createOptions({ isolation: 'auto', network: '', ...changes }));

type Case = [what: string, verdict: typeof FAST, options: Partial<CreateOptions>, isolation: string, warning?: string];
const USERNS = 'containers run in user namespaces, not in virtual machines: ';
const THIS = ': this container runs in user namespaces, not in a virtual machine: ';
const NAMESPACE = 'a virtual machine shares no namespace with the host or with other containers';

const CASES: Case[] = [
  ['all is well', FAST, {}, 'vm'],
  ['userns by name', FAST, { isolation: 'userns' }, 'userns'],
  ['vm by name', FAST, { isolation: 'vm' }, 'vm'],
  ['vm by name on a slow KVM', SLOW, { isolation: 'vm' }, 'vm'],
  ['no device', NONE, {}, 'userns', USERNS + NONE.reason],
  ['not permitted', FORBIDDEN, {}, 'userns', USERNS + FORBIDDEN.reason],
  ['parts missing', PARTS, {}, 'userns', USERNS + PARTS.reason],
  ['slow', SLOW, {}, 'userns', USERNS + SLOW.reason],
  ['--network none', FAST, { network: 'none' }, 'vm'],
  ['--network bridge', FAST, { network: 'bridge' }, 'vm'],
  ["--network of one's own, ports, links", FAST, { network: 'mine', publish: ['80:80'], links: ['a:b'] }, 'vm'],
  [
    'a network that no machine can be on here',
    FAST,
    { network: 'closed' },
    'userns',
    'this container runs in user namespaces, not in a virtual machine: /dev/net/tun: permission denied (fix: open it)',
  ],
  ['--network host', FAST, { network: 'host' }, 'userns', `--network host${THIS}${NAMESPACE}`],
  ['--network container', FAST, { network: 'container:x' }, 'userns', `--network container:x${THIS}${NAMESPACE}`],
  ['--network host where there is no VM anyway', NONE, { network: 'host' }, 'userns', USERNS + NONE.reason],
  ['--pid host', FAST, { pid: 'host' }, 'userns', `--pid host${THIS}${NAMESPACE}`],
  ['--pid container', FAST, { pid: 'container:x' }, 'userns', `--pid container:x${THIS}${NAMESPACE}`],
  ['--ipc private', FAST, { ipc: 'private' }, 'vm'],
  ['--ipc shareable', FAST, { ipc: 'shareable' }, 'userns', `--ipc shareable${THIS}${NAMESPACE}`],
  ['--uts host', FAST, { uts: 'host' }, 'userns', `--uts host${THIS}${NAMESPACE}`],
  ['--cgroupns host', FAST, { cgroupns: 'host' }, 'userns', `--cgroupns host${THIS}${NAMESPACE}`],
  ['--device of any Linux', FAST, { devices: ['/dev/fuse', '/dev/net/tun:/dev/tun:rw'] }, 'vm'],
  [
    '--device',
    FAST,
    { devices: ['/dev/fuse', '/dev/sda'] },
    'userns',
    `--device /dev/sda${THIS}a virtual machine has none of the host's devices`,
  ],
  ['--egress', FAST, { egress: ['example.com:443', 'public'] }, 'vm'],
  ['-m and --cpus', FAST, { resources: { memory: 1e9, cpus: 2 } }, 'vm'],
  [
    '--cpu-shares',
    FAST,
    { resources: { cpuShares: 512 } },
    'userns',
    'this container runs in user namespaces, not in a virtual machine: cannot enforce --cpu-shares on a virtual machine',
  ],
  ['a folder', FAST, { mounts: [mount()] }, 'vm'],
  ['a folder that -v will make', FAST, { mounts: [mount({ source: '/gone' })] }, 'vm'],
  [
    'a socket',
    FAST,
    { mounts: [mount({ source: '/socket' })] },
    'userns',
    `-v /socket:/t${THIS}a socket leads elsewhere`,
  ],
  ['a volume', FAST, { mounts: [mount({ type: 'volume', source: 'v' })] }, 'vm'],
  [
    'propagation',
    FAST,
    { mounts: [mount({ options: ['rslave'] })] },
    'userns',
    `-v /folder:/t${THIS}mounts do not propagate into a virtual machine`,
  ],
  ['a great many folders', FAST, { mounts: Array.from({ length: 256 }, () => mount()) }, 'vm'],
  [
    'more images than a machine has places for',
    FAST,
    { mounts: Array.from({ length: 8 }, (_, index) => mount({ type: 'image', source: `i${index}` })) },
    'userns',
    `--mount type=image (8 of them)${THIS}a virtual machine has disks for 7`,
  ],
  [
    'one image eight times',
    FAST,
    { mounts: Array.from({ length: 8 }, () => mount({ type: 'image', source: 'i' })) },
    'vm',
    undefined,
  ],
  [
    'too many folders',
    FAST,
    { mounts: Array.from({ length: 257 }, () => mount()) },
    'userns',
    `-v (257 of them)${THIS}a virtual machine has room for 256`,
  ],
  ['many tmpfs', FAST, { mounts: Array.from({ length: 9 }, () => mount({ type: 'tmpfs' })) }, 'vm'],
];

for (const [what, verdict, options, isolation, warning] of CASES)
  test(what, async (t) => {
    const here = host(t, verdict);
    t.deepEqual(await chooseIsolation(asked(options), here, here), {
      isolation,
      ...(warning !== undefined && { warning }),
    } as never);
  });

for (const [what, verdict, options, message] of [
  ['no device', NONE, {}, 'cannot run a container in a VM: this host has no /dev/kvm'],
  ['not permitted', FORBIDDEN, {}, `cannot run a container in a VM: ${FORBIDDEN.reason}`],
  ['parts missing', PARTS, {}, `cannot run a container in a VM: ${PARTS.reason}`],
  ['--network host', FAST, { network: 'host' }, `--network host is not possible with --isolation=vm: ${NAMESPACE}`],
  [
    '--network container',
    FAST,
    { network: 'container:other' },
    `--network container:other is not possible with --isolation=vm: ${NAMESPACE}`,
  ],
  ['--pid host', FAST, { pid: 'host' }, `--pid host is not possible with --isolation=vm: ${NAMESPACE}`],
  [
    '--device',
    FAST,
    { devices: ['/dev/sda'] },
    "--device /dev/sda is not possible with --isolation=vm: a virtual machine has none of the host's devices",
  ],
  [
    'a socket',
    FAST,
    { mounts: [mount({ source: '/socket' })] },
    '-v /socket:/t is not possible with --isolation=vm: a socket leads elsewhere',
  ],
] as const)
  test(`vm by name never falls back: ${what}`, async (t) => {
    const here = host(t, verdict);
    await t.throwsAsync(
      chooseIsolation(asked({ isolation: 'vm', ...(options as Partial<CreateOptions>) }), here, here),
      { message, name: 'HuskError' },
    );
  });

test("what is the host's is said once a boot and reason; what was asked for each time", async (t) => {
  const here = host(t, NONE);
  const warns = async (verdict: typeof FAST, options: Partial<CreateOptions> = {}) =>
    (await chooseIsolation(asked(options), here, { ...here, verdict: async () => verdict })).warning !== undefined;
  t.true(await warns(NONE));
  t.false(await warns(NONE));
  t.false(await warns(NONE, { network: 'host' }));
  t.true(await warns(SLOW));
  t.false(await warns(SLOW));
  t.true(await warns(FAST, { network: 'host' }));
  t.true(await warns(FAST, { network: 'host' }));
  writeFileSync(here.bootId, 'second\n');
  t.true(await warns(SLOW));
  t.false(await warns(SLOW));
});

test('where nothing can be kept it is said again', async (t) => {
  const here = { ...host(t, NONE), dataRoot: '/dev/null' };
  for (let i = 0; i < 2; i++) t.regex((await chooseIsolation(asked(), here, here)).warning!, /no \/dev\/kvm/);
});

test('limits that only containers of one kernel can share are told by their own rules', (t) => {
  t.is(machineLimitProblem(asked({ resources: { memory: 1 << 30 } })), undefined);
  t.regex(
    machineLimitProblem(asked({ resources: { cpuShares: 512 } }))!,
    /^cannot enforce --cpu-shares on a virtual machine: /,
  );
  t.regex(machineLimitProblem(asked({ cgroupParent: '/x' }))!, /--cgroup-parent/);
  t.is(machineLimitProblem(asked({ resources: { memory: 1 } })), undefined);
});

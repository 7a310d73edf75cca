/**
 * Which limits a virtual machine holds, and what it says of the others. What it holds is measured in
 * test/vmm/limits.test.ts.
 */
import test from 'ava';
import type { Resources } from '../../../src/spec.ts';
import { checkMachineLimits } from '../../../src/engine/create/machine-limits.ts';
import { guestResources } from '../../../src/vmm/limits.ts';

const RATE = [{ major: 8, minor: 0, rate: 1000 }];
const ONE_NODE = { memoryNodes: 1 };

for (const [flag, asked] of [
  ['--cpu-shares', { cpu: { shares: 512 } }],
  ['--blkio-weight', { blockIO: { weight: 100 } }],
  ['--blkio-weight-device', { blockIO: { weightDevice: [{ major: 8, minor: 0, weight: 10 }] } }],
  ['--device-read-bps', { blockIO: { throttleReadBpsDevice: RATE } }],
  ['--device-write-bps', { blockIO: { throttleWriteBpsDevice: RATE } }],
  ['--device-read-iops', { blockIO: { throttleReadIOPSDevice: RATE } }],
  ['--device-write-iops', { blockIO: { throttleWriteIOPSDevice: RATE } }],
] as [string, Resources][])
  test(`${flag} is refused`, (t) =>
    void t.throws(() => checkMachineLimits({}, asked, ONE_NODE), {
      message: new RegExp(`^cannot enforce ${flag} on a virtual machine: `),
    }));

test('--cgroup-parent is refused', (t) =>
  void t.throws(() => checkMachineLimits({ cgroupParent: 'x' }, {}, ONE_NODE), {
    message: /^cannot enforce --cgroup-parent on a virtual machine: /,
  }));
test('--cpuset-mems is refused where there is a choice', (t) =>
  void t.throws(() => checkMachineLimits({}, { cpu: { mems: '0' } }, { memoryNodes: 2 }), {
    message: /^cannot enforce --cpuset-mems /,
  }));
test('--cpuset-mems of the only node is fine', (t) =>
  t.deepEqual(checkMachineLimits({}, { cpu: { mems: '0' } }, ONE_NODE), []));
test('memory, CPU time and processes are fine', (t) =>
  t.deepEqual(
    checkMachineLimits(
      {},
      {
        memory: { limit: 2 ** 26, swap: 2 ** 27 },
        cpu: { quota: 50_000, period: 100_000, cpus: '0' },
        pids: { limit: 5 },
      },
      ONE_NODE,
    ),
    [],
  ));
test('what is discarded is told', (t) =>
  t.regex(checkMachineLimits({}, { memory: { swappiness: 5 } }, ONE_NODE).join(), /Memory swappiness discarded/));

for (const [title, all, guest] of [
  ["CPUs of the host are not the guest's", { cpu: { cpus: '3', mems: '0' } }, {}],
  [
    'CPU time is',
    { cpu: { cpus: '3', quota: 5, period: 10 }, pids: { limit: 3 } },
    { cpu: { quota: 5, period: 10 }, pids: { limit: 3 } },
  ],
  ['nothing stays nothing', {}, {}],
] as [string, Resources, Resources][])
  test(`guest's cgroup: ${title}`, (t) => t.deepEqual(guestResources(all), guest));

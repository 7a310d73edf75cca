/** Limits of RUN steps: wrong ones are refused in Docker's words, and those that nobody enforces here by their flag. */
import test from 'ava';
import { findDelegation } from '../../../../src/container/cgroup/delegation.ts';
import { runLimits } from '../../../../src/engine/build/run/run-limits.ts';
import type { BuildLimits } from '../../../../src/engine/build-contract.ts';

const MiB = 2 ** 20;
const limited = (limits: BuildLimits, cgroupParent?: string) =>
  runLimits({ limits, ...(cgroupParent !== undefined && { cgroupParent }) }, () => {});

const WRONG: [BuildLimits, RegExp][] = [
  [{ memory: 1 }, /^Minimum memory limit allowed is 6MB$/],
  [{ memory: 64 * MiB, memorySwap: 32 * MiB }, /^Minimum memoryswap limit should be larger than memory limit/],
  [{ memorySwap: 64 * MiB }, /^You should always set the Memory limit when using Memoryswap limit/],
  [{ cpus: 100_000 }, /^Range of CPUs is from 0\.01 to /],
  [{ cpus: 1, cpuQuota: 5000 }, /^Conflicting options: Nano CPUs and CPU Quota/],
  [{ cpusetCpus: '0-' }, /^Invalid value 0- for cpuset cpus$/],
];
for (const [limits, said] of WRONG)
  test(`refused: ${JSON.stringify(limits)}`, (t) => {
    t.throws(() => limited(limits), { message: said, name: 'HuskError' });
  });

const delegation = findDelegation({ runtimeDir: process.env['XDG_RUNTIME_DIR'] });
const CONTROLLERS = delegation.kind === 'none' ? [] : delegation.controllers;
for (const [limits, flag, controller, expected] of [
  [{ memory: 64 * MiB }, '--memory', 'memory', { memory: { limit: 64 * MiB, swap: 128 * MiB } }],
  [{ cpus: 0.5 }, '--cpus', 'cpu', { cpu: { period: 100_000, quota: 50_000 } }],
  [{ cpuShares: 512 }, '--cpu-shares', 'cpu', { cpu: { shares: 512 } }],
] as const)
  test(`${flag} is a limit, or refused where nobody enforces it`, (t) => {
    if (CONTROLLERS.includes(controller)) t.deepEqual(limited(limits), { resources: expected });
    else t.throws(() => limited(limits), { message: new RegExp(`^cannot enforce .*${flag}`), name: 'HuskError' });
  });

test('a parent that leads up is refused, as is any where no cgroup can be made', (t) => {
  t.throws(() => limited({}, '../x'), { message: /^(invalid cgroup parent|cannot enforce --cgroup-parent)/ });
});

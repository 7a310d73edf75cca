import test from 'ava';
import type { ResourceRequest } from '../../../src/engine/contract.ts';
import { discardLimits } from '../../../src/engine/create/discard-limits.ts';

const MEMORY =
  'Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.';
const SWAP =
  'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.';
const CPUSET = 'Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.';

/** @returns what stays, and the texts, where the limits named cannot be enforced */
function discard(asked: ResourceRequest, ...unenforceable: (keyof ResourceRequest)[]) {
  const { resources, warnings } = discardLimits(asked, (limits) =>
    unenforceable.every((name) => limits[name] === undefined),
  );
  return [resources, warnings];
}

const CASES: [name: string, found: unknown[], expected: unknown[]][] = [
  ['nothing is asked', discard({}, 'memory'), [{}, []]],
  ['all of it can be', discard({ memory: 1, cpus: 2 }), [{ memory: 1, cpus: 2 }, []]],
  [
    'zero is no limit',
    discard({ memory: 0, deviceReadBps: [] }, 'memory', 'deviceReadBps'),
    [{ memory: 0, deviceReadBps: [] }, []],
  ],
  ['one cannot', discard({ memory: 1, cpus: 2 }, 'memory'), [{ cpus: 2 }, [MEMORY]]],
  ['swap goes with memory', discard({ memory: 1, memorySwap: 2 }, 'memory'), [{}, [MEMORY]]],
  ['swap alone cannot', discard({ memory: 1, memorySwap: 2 }, 'memorySwap'), [{ memory: 1 }, [SWAP]]],
  ['a text is told once', discard({ cpusetCpus: '0', cpusetMems: '0' }, 'cpusetCpus', 'cpusetMems'), [{}, [CPUSET]]],
];
for (const [name, found, expected] of CASES) test(name, (t) => t.deepEqual(found, expected));

test('what is wrong anywhere is refused and not discarded', (t) => {
  t.throws(
    () =>
      discardLimits({ memory: 1 }, () => {
        throw new Error('Minimum memory limit allowed is 6MB');
      }),
    { message: /Minimum memory/ },
  );
});

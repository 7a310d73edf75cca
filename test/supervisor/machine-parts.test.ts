/** The size of a container's machine. */
import { totalmem } from 'node:os';
import test from 'ava';
import { machineSize } from '../../src/supervisor/machine-parts.ts';
import type { Task } from '../../src/supervisor/protocol/protocol.ts';

const MIB = 1 << 20;
const limited = { linux: { resources: { memory: { limit: 64 * MIB } } } } as Task['spec'];

test('it is the one that was counted by who started the container, whatever this process sees of the host', (t) => {
  const size = { memory: 2 * totalmem(), cpus: 1000 };
  t.is(machineSize({ size, spec: limited }), size);
});

test('it is counted from the limits where nobody has, and after they were changed', (t) => {
  const { memory, cpus } = machineSize({ size: undefined, spec: limited });
  t.true(memory > 64 * MIB && memory < totalmem());
  t.true(cpus >= 1 && cpus <= 2);
});

/** One sample of a container, with the host's CPUs beside it. */
import test from 'ava';
import { parseHostCpu } from '../../../src/engine/look/stats.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

const STAT = `cpu  1 20 300 4000 50000 600000 7000000 80000000 1 1
cpu0 1 20 300 4000 50000 600000 7000000 80000000 1 1
cpu1 0 0 0 0 0 0 0 0 0 0
cpu13 0 0 0 0 0 0 0 0 0 0
intr 1 2 3
ctxt 5
cpus 7
`;
const HOSTS: [what: string, text: string, expected: { nanoseconds: number; online: number }][] = [
  // idle and waiting too, stolen time and guests not, as Docker's daemon
  ['three CPUs', STAT, { nanoseconds: 7_654_321 * 10_000_000, online: 3 }],
  ['nothing', '', { nanoseconds: 0, online: 0 }],
];
for (const [what, text, expected] of HOSTS)
  test(`/proc/stat of ${what}`, (t) => t.deepEqual(parseHostCpu(text), expected));

test('a sample has the time of all CPUs of this host, which goes on', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ command: ['sleep', '1000'] }));
  await t.throwsAsync(engine.stats(id), { message: /is not running/ });
  await engine.start(id);
  const first = await engine.stats(id);
  t.true(first.hostCpu.online >= 1 && first.hostCpu.nanoseconds > 0);
  t.like(first, { cpuNanoseconds: 1, memoryBytes: 2 });
  for (;;) {
    const { hostCpu } = await engine.stats(id);
    t.is(hostCpu.online, first.hostCpu.online);
    if (hostCpu.nanoseconds > first.hostCpu.nanoseconds) break;
  }
});

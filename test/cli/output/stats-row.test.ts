/** A row of `stats` for given samples. */
import test from 'ava';
import { statsRow, type Sample, type StatsOf } from '../../../src/cli/output/stats-row.ts';

const ID = 'c0ffee'.padEnd(64, '0');
const sample = (at: number, cpuMs: number, more: Partial<Sample['stats']> = {}): Sample => ({
  at,
  startedAt: 'x',
  stats: {
    cpuNanoseconds: cpuMs * 1e6,
    memoryBytes: 5 * 2 ** 20,
    memoryLimitBytes: 2 ** 30,
    pids: 3,
    pidsLimit: undefined,
    networkReceivedBytes: 1234,
    networkSentBytes: 0,
    blockReadBytes: 5_000_000,
    blockWrittenBytes: 17,
    ...more,
  },
});
const of = (differences: Partial<StatsOf>): StatsOf => ({
  id: ID,
  name: 'web',
  container: ID,
  sample: undefined,
  before: undefined,
  ...differences,
});

const CASES: [name: string, StatsOf, expected: Record<string, string>][] = [
  [
    'not answered yet',
    of({}),
    {
      CPUPerc: '--',
      MemUsage: '-- / --',
      MemPerc: '--',
      NetIO: '--',
      BlockIO: '--',
      PIDs: '--',
      ID: 'c0ffee000000',
      Name: 'web',
      Container: 'c0ffee000000',
    },
  ],
  [
    'one sample',
    of({ sample: sample(1000, 10) }),
    { CPUPerc: '--', MemUsage: '5MiB / 1GiB', MemPerc: '0.49%', NetIO: '1.23kB / 0B', BlockIO: '5MB / 17B', PIDs: '3' },
  ],
  ['two samples', of({ before: sample(1000, 10), sample: sample(2000, 1510) }), { CPUPerc: '150.00%' }],
  [
    'a process that ended took its time along',
    of({ before: sample(1000, 10), sample: sample(2000, 5) }),
    { CPUPerc: '0.00%' },
  ],
  ['no time has passed', of({ before: sample(1000, 10), sample: sample(1000, 15) }), { CPUPerc: '0.00%' }],
  [
    'stopped',
    of({ sample: null }),
    { CPUPerc: '0.00%', MemUsage: '0B / 0B', MemPerc: '0.00%', NetIO: '0B / 0B', BlockIO: '0B / 0B', PIDs: '0' },
  ],
  ['what was typed', of({ container: 'we' }), { Container: 'we' }],
  [
    'figures no machine has (a guest may say anything)',
    of({ before: sample(0, 0), sample: sample(1, 1e300, { memoryBytes: 1e300, memoryLimitBytes: 1, pids: 1e21 }) }),
    { PIDs: '1e+21' },
  ],
];
for (const [name, row, expected] of CASES) test(name, (t) => t.like(statsRow(row, { truncate: true }), expected));

test('--no-trunc', (t) => t.is(statsRow(of({}), { truncate: false })['ID'], ID));

/** What a hostile guest may say of its processes. */
import test from 'ava';
import { checkTable } from '../../src/vmm/process-table.ts';

const BROKEN: unknown[] = [
  undefined,
  null,
  7,
  'x',
  [],
  {},
  { titles: ['PID'] },
  { titles: [], processes: [] },
  { titles: [1], processes: [] },
  { titles: ['PID'], processes: [['1', '2']] },
  { titles: ['PID'], processes: [[1]] },
  { titles: ['PID'], processes: ['1'] },
  { titles: Array(65).fill('x'), processes: [] },
  { titles: ['x'.repeat(300_000)], processes: [] },
];
for (const [index, value] of BROKEN.entries())
  test(`refused: ${JSON.stringify(value)?.slice(0, 60)} (${index})`, (t) =>
    void t.throws(() => checkTable(value), { message: /something else than a table/ }));

test('no line, no escape sequence, no flood', (t) => {
  const { titles, processes } = checkTable({
    titles: ['PID', 'CMD'],
    processes: [
      ['1', 'a\nb\x1b[2J\x9b'],
      ...Array.from({ length: 100_000 }, (_, index) => [String(index), 'x'.repeat(100)]),
    ],
  });
  t.deepEqual(titles, ['PID', 'CMD']);
  t.deepEqual(processes[0], ['1', 'a?b?[2J?']);
  t.true(processes.length < 3000);
});

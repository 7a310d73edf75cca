/** `top`: which rows of ps(1) are a container's. What husk shows without ps is in container/ps.test.ts. */
import test from 'ava';
import { parsePs } from '../../../src/engine/look/top.ts';

const OWN = new Set([20, 30]);
const CASES: [title: string, output: string, rows: string[][]][] = [
  [
    'strangers are left out',
    '  PID COMMAND\n   10 sh\n   20 sleep\n   30 cat\n',
    [
      ['20', 'sleep'],
      ['30', 'cat'],
    ],
  ],
  ['a command keeps its words', 'PID CMD\n20 sleep 5 | x\n', [['20', 'sleep 5 | x']]],
  [
    'threads go with their process',
    'PID LWP CMD\n10 - sh\n- 10 -\n20 - sleep\n- 20 -\n',
    [
      ['20', '-', 'sleep'],
      ['-', '20', '-'],
    ],
  ],
  ['a row that is cut short is none', 'CMD PID\nx\nsleep 20\n', [['sleep', '20']]],
  ['nothing', 'PID CMD\n', []],
];
for (const [title, output, rows] of CASES) test(title, (t) => t.deepEqual(parsePs(output, OWN).processes, rows));

test('without a column of pids there is nothing to tell by', (t) =>
  t.throws(() => parsePs('CMD\nsleep\n', OWN), { message: "Couldn't find PID field in ps output" }));

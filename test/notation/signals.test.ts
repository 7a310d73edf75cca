import { constants } from 'node:os';
import test from 'ava';
import { parseSignal, signalName } from '../../src/notation/signals.ts';

const good: [string, number][] = [
  ['TERM', 15],
  ['SIGTERM', 15],
  ['sigterm', 15],
  ['15', 15],
  ['9', 9],
  ['KILL', 9],
  ['64', 64],
  ['CLD', 17],
  ['IOT', 6],
  ['POLL', 29],
  ['RTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['RTMAX', 64],
  ['RTMAX-14', 50],
  ['34', 34],
];
for (const [text, number] of good) test(`signal ${text} is ${number}`, (t) => t.is(parseSignal(text), number));

for (const text of [
  '',
  '0',
  '65',
  '-1',
  'NOPE',
  'SIG',
  'RTMIN-1',
  'RTMAX+1',
  'RTMIN+31',
  '9x',
  ' 9',
  '__proto__',
  '99999999999999999999',
])
  test(`not a signal: "${text}"`, (t) =>
    void t.throws(() => parseSignal(text), { message: `invalid signal: ${text}` }));

test('names as this kernel has them', (t) => {
  for (const [name, number] of Object.entries(constants.signals))
    if (name !== 'SIGUNUSED') t.is(parseSignal(name), number, name);
});
for (const [number, name] of [
  [1, 'SIGHUP'],
  [15, 'SIGTERM'],
  [31, 'SIGSYS'],
  [34, 'SIGRTMIN'],
  [37, 'SIGRTMIN+3'],
  [64, 'SIGRTMIN+30'],
  [32, '32'],
] as const)
  test(`${number} is called ${name}`, (t) => t.is(signalName(number), name));

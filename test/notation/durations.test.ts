/** Durations as Go reads them, in nanoseconds. */
import test from 'ava';
import { parseDuration } from '../../src/notation/durations.ts';

for (const [text, value] of [
  ['0', 0],
  ['1s', 1e9],
  ['1m30s', 90e9],
  ['1.5h', 5400e9],
  ['100ms', 1e8],
  ['1us', 1000],
  ['1µs', 1000],
  ['-2s', -2e9],
  ['+1s', 1e9],
  ['.5s', 5e8],
] as const)
  test(text, (t) => t.is(parseDuration(text), value));

/** Messages as docker 28 prints them. */
for (const [text, message] of [
  ['', 'time: invalid duration ""'],
  ['z', 'time: invalid duration "z"'],
  ['1', 'time: missing unit in duration "1"'],
  ['1q', 'time: unknown unit "q" in duration "1q"'],
] as const)
  test(`refused: ${JSON.stringify(text)}`, (t) => t.throws(() => parseDuration(text), { message }));

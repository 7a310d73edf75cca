import test from 'ava';
import { editDistance, nearest } from '../../src/notation/nearest.ts';

const CASES: [typed: string, words: string[], meant: string | undefined][] = [
  ['rnu', ['run', 'rm', 'rmi'], 'run'],
  ['stpo', ['stop', 'start'], 'stop'],
  ['imgaes', ['image', 'images', 'import'], 'images'],
  ['foo', ['run', 'rm'], undefined],
  ['insp', ['inspect', 'images'], 'inspect'],
  ['', ['a'], undefined],
  ['x'.repeat(1000), ['x'], undefined],
];

for (const [typed, words, meant] of CASES)
  test(`${typed.slice(0, 10)} means ${meant}`, (t) => t.is(nearest(typed, words), meant));

test('an adjacent swap is one slip', (t) => t.is(editDistance('ab', 'ba'), 1));

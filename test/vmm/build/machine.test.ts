/** What a guest says was left out of a layer: lines for a person, whatever they are. */
import test from 'ava';
import { leftOutOf } from '../../../src/vmm/build/machine.ts';

for (const [what, answer, expected] of [
  ['lines', { leftOut: ['/s is left out'] }, ['/s is left out']],
  ['no answer', undefined, []],
  ['another shape', { leftOut: { length: 1e9 } }, []],
  ['things that are no texts', { leftOut: [7, null, 'a', {}] }, ['a']],
  ['escapes', { leftOut: ['a\u001b[2Jb\nc'] }, ['a [2Jb c']],
] as const)
  test(`what was left out: ${what}`, (t) => {
    t.deepEqual(leftOutOf(answer), [...expected]);
  });

test('what was left out is bounded', (t) => {
  const lines = leftOutOf({ leftOut: Array.from({ length: 100_000 }, () => 'x'.repeat(10_000)) });
  t.is(lines.length, 11);
  t.true(lines.every((line) => line.length < 5000));
});

/**
 * Go's globs (path.Match) as filters have them: the cases of Go's own path/match_test.go are facts about it. Its
 * regular expressions are in engine/filters.test.ts.
 */
import test from 'ava';
import { goGlob } from '../../src/notation/go-pattern.ts';

const CASES: [pattern: string, subject: string, matches: boolean | 'bad'][] = [
  ['abc', 'abc', true],
  ['*', 'abc', true],
  ['*c', 'abc', true],
  ['a*', 'abc', true],
  ['a*', 'ab/c', false],
  ['a*/b', 'abc/b', true],
  ['a*/b', 'a/c/b', false],
  ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
  ['a*b?c*x', 'abxbbxdbxebxczzy', false],
  ['ab[c]', 'abc', true],
  ['ab[b-d]', 'abc', true],
  ['ab[e-g]', 'abc', false],
  ['ab[^c]', 'abc', false],
  ['ab[^e-g]', 'abc', true],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'ab', false],
  ['a?b', 'a☺b', true],
  ['a[^a]b', 'a☺b', true],
  ['[\\]a]', ']', true],
  ['[\\-]', '-', true],
  ['[x\\-]', '-', true],
  ['a?b', 'a/b', false],
  ['a.c', 'abc', false],
  ['a+', 'aa', false],
  ['[]a]', ']', 'bad'],
  ['[-]', '-', 'bad'],
  ['[x-]', 'x', 'bad'],
  ['[-x]', 'x', 'bad'],
  ['\\', 'a', 'bad'],
  ['[a-b-c]', 'a', 'bad'],
  ['[', 'a', 'bad'],
  ['[^bc', 'a', 'bad'],
  ['a[', 'ab', 'bad'],
  ['[z-a]', 'a', 'bad'],
];

for (const [pattern, subject, matches] of CASES)
  test(`${pattern} and ${subject}: ${matches}`, (t) => {
    if (matches === 'bad')
      t.throws(() => goGlob(pattern, 'reference pattern'), {
        message: `invalid reference pattern ${JSON.stringify(pattern)}: syntax error in pattern`,
      });
    else t.is(goGlob(pattern, 'reference pattern')(subject), matches);
  });

test('a pattern of many stars is matched at once', (t) =>
  t.false(goGlob('*a'.repeat(30), 'pattern')(`${'a'.repeat(250)}b`)));

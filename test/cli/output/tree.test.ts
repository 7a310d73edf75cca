import test from 'ava';
import { hasUnicode, treeLines } from '../../../src/cli/output/tree.ts';

const ROOTS = [
  { text: 'one', branches: [{ text: 'a', branches: [{ text: 'x' }, { text: 'y' }] }, { text: 'b' }] },
  { text: 'two' },
];

test('with lines of Unicode', (t) =>
  t.deepEqual(treeLines(ROOTS, { unicode: true }), ['one', '├─ a', '│  ├─ x', '│  └─ y', '└─ b', 'two']));

test('with lines of ASCII', (t) =>
  t.deepEqual(treeLines(ROOTS, { unicode: false }), ['one', '|- a', '|  |- x', '|  `- y', '`- b', 'two']));

test('what a locale has', (t) => {
  t.true(hasUnicode({ LANG: 'en_GB.UTF-8' }));
  t.true(hasUnicode({ LC_CTYPE: 'C.utf8', LANG: 'C' }));
  t.false(hasUnicode({ LC_ALL: 'C', LANG: 'en_GB.UTF-8' }));
  t.false(hasUnicode({}));
});

import test from 'ava';
import { ellipsis, table, width } from '../../../src/cli/output/table.ts';

test('cells are at least 10 wide, three apart, the last one bare', (t) => {
  t.is(
    table([
      ['A', 'B', 'C'],
      ['twelve chars', 'x', 'y'],
    ]),
    'A              B         C\ntwelve chars   x         y\n',
  );
});
test('wide characters take two columns', (t) =>
  t.is(
    table([
      ['日本語日本語', 'x'],
      ['a', 'y'],
    ]),
    '日本語日本語   x\na              y\n',
  ));
test('a combining mark takes none', (t) => t.is(width('e\u0301'), 1));
test('ellipsis', (t) => {
  t.is(ellipsis('abcdef', 6), 'abcdef');
  t.is(ellipsis('abcdefg', 6), 'abcde…');
  t.is(ellipsis('日本語', 4), '日…');
});

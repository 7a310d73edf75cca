/** Lines round a place: BuildKit's form, and nothing that a terminal would obey. */
import test from 'ava';
import { excerpt } from '../../../src/images/build/excerpt.ts';

const LINES = ['FROM a', 'RUN b \\', ' c', 'RUN d', 'RUN e', ''];

const shows = test.macro({
  exec(t, start: number, end: number, expected: string[]) {
    t.is(excerpt(LINES, { start, end }), expected.join('\n'));
  },
  title: (_, start, end) => `lines ${String(start)}-${String(end)}`,
});
test(shows, 1, 1, ['   1 | >>> FROM a', '   2 |     RUN b \\', '   3 |      c']);
test(shows, 2, 3, ['   1 |     FROM a', '   2 | >>> RUN b \\', '   3 | >>>  c', '   4 |     RUN d']);
test(shows, 5, 5, ['   3 |      c', '   4 |     RUN d', '   5 | >>> RUN e', '   6 |     ']);
test(shows, 5, 99, ['   4 |     RUN d', '   5 | >>> RUN e', '   6 | >>> ']);
test(shows, 7, 7, []);
test(shows, 0, 0, []);

test('control characters are shown, not sent', (t) => {
  const lines = ['RUN \x1b[2J\x07\tx\x9b31m\r', 'x'.repeat(600)];
  t.is(excerpt(lines, { start: 1, end: 2 }), `   1 | >>> RUN \\x1b[2J\\x07\tx\\x9b31m\n   2 | >>> ${'x'.repeat(500)}…`);
});

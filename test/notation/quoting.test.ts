import test from 'ava';
import { goQuote, parseCsvRecord } from '../../src/notation/quoting.ts';

test('goQuote escapes what Go does', (t) => t.is(goQuote('a"\\\n\t\x01\x7fé'), '"a\\"\\\\\\n\\t\\x01\\x7fé"'));

test('csv records', (t) => {
  t.deepEqual(parseCsvRecord('a,,b'), ['a', '', 'b']);
  t.deepEqual(parseCsvRecord('a,'), ['a', '']);
  t.deepEqual(parseCsvRecord('"a"'), ['a']);
  t.throws(() => parseCsvRecord('a"b'), { message: /bare " in non-quoted-field/ });
  t.throws(() => parseCsvRecord('"a"b'), { message: /extraneous or missing "/ });
});

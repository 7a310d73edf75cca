import test from 'ava';
import { goLocalTime, humanSize } from '../../../src/cli/output/units.ts';

const SIZES: [bytes: number, digits: number, text: string][] = [
  [0, 4, '0B'],
  [999, 4, '999B'],
  [1000, 4, '1kB'],
  [1023, 4, '1.023kB'],
  [4_264_000, 3, '4.26MB'],
  [7_654_321, 3, '7.65MB'],
  [123_456_789, 3, '123MB'],
  [1_999_999, 4, '2MB'],
  [1.5e9, 3, '1.5GB'],
  [2e12, 4, '2TB'],
  [999_999, 3, '1000kB'],
];
for (const [bytes, digits, text] of SIZES)
  test(`${bytes} bytes, ${digits} digits`, (t) => t.is(humanSize(bytes, digits), text));

test("Go's form of a time", (t) =>
  t.is(goLocalTime(Date.parse('2026-01-02T03:04:05.678Z'), 'UTC'), '2026-01-02 03:04:05 +0000 UTC'));

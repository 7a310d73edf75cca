import test from 'ava';
import { logPrefix } from '../../src/notation/log-prefix.ts';

const LINE = { time: '2026-01-02T03:04:05.06Z', attributes: { b: "it's (1)", a: 'x y' } };

const CASES: [timestamps: boolean, details: boolean, expected: string][] = [
  [false, false, ''],
  [true, false, '2026-01-02T03:04:05.060000000Z '],
  [false, true, 'a=x+y,b=it%27s+%281%29 '],
  [true, true, '2026-01-02T03:04:05.060000000Z a=x+y,b=it%27s+%281%29 '],
];
for (const [timestamps, details, expected] of CASES)
  test(`time ${timestamps}, attributes ${details}`, (t) => t.is(logPrefix({ timestamps, details })(LINE), expected));

test('a line without attributes has an empty place for them, as with Docker', (t) =>
  t.is(logPrefix({ timestamps: false, details: true })({ time: LINE.time }), ' '));

import test from 'ava';
import { parseMoment } from '../../src/notation/moments.ts';

const NOW = Date.parse('2026-01-02T03:04:05Z');

const CASES: [text: string, ms: number][] = [
  ['42m', NOW - 42 * 60_000],
  ['1h30m', NOW - 5_400_000],
  ['1700000000', 1_700_000_000_000],
  ['1700000000.5', 1_700_000_000_500],
  ['2026-01-02T03:04:05Z', NOW],
  ['2026-01-02T03:04:05.250Z', NOW + 250],
  ['2026-01-02T05:04:05+02:00', NOW],
  ['2026-01-02T03:04Z', NOW - 5000],
  ['2026-01-02Z', Date.parse('2026-01-02T00:00:00Z')],
  ['2026-01-02+02:00', Date.parse('2026-01-01T22:00:00Z')],
  ['-10s', NOW + 10_000],
];

for (const [text, ms] of CASES) test(text, (t) => t.is(parseMoment(text, NOW), BigInt(ms) * 1_000_000n));

const TO_THE_NANOSECOND: [text: string, ns: bigint][] = [
  ['2026-01-02T03:04:05.123456789Z', 1_767_323_045_123_456_789n],
  ['2026-01-02T05:04:05.000000001+02:00', 1_767_323_045_000_000_001n],
  ['2026-01-02T05:04:05.1+0200', 1_767_323_045_100_000_000n],
  ['1700000000.000000001', 1_700_000_000_000_000_001n],
  ['-1.5', -1_500_000_000n],
];
for (const [text, ns] of TO_THE_NANOSECOND) test(`${text} to the nanosecond`, (t) => t.is(parseMoment(text, NOW), ns));

test('a bare date is local midnight', (t) =>
  t.is(parseMoment('2026-01-02', NOW), BigInt(new Date(2026, 0, 2).getTime()) * 1_000_000n));

for (const text of ['', 'yesterday', '2026-13-01', '9'.repeat(13), '1.'.padEnd(12, '1'), '2026-01-02T25:00Z']) {
  test(`refuses ${JSON.stringify(text)}`, (t) =>
    t.throws(() => parseMoment(text, NOW), { message: `invalid time: ${JSON.stringify(text)}` }));
}

import test from 'ava';
import { ago, goLocalTime, humanDuration, humanSize } from '../../../src/cli/output/units.ts';

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

const S = 1000,
  M = 60 * S,
  H = 60 * M,
  D = 24 * H;
/** docker/go-units HumanDuration */
const DURATIONS: [ms: number, text: string][] = [
  [0, 'Less than a second'],
  [999, 'Less than a second'],
  [S, '1 second'],
  [59 * S, '59 seconds'],
  [M, 'About a minute'],
  [119 * S, 'About a minute'],
  [2 * M, '2 minutes'],
  [59 * M, '59 minutes'],
  [H, 'About an hour'],
  [89 * M, 'About an hour'],
  [90 * M, '2 hours'],
  [47 * H, '47 hours'],
  [2 * D, '2 days'],
  [13 * D, '13 days'],
  [14 * D, '2 weeks'],
  [59 * D, '8 weeks'],
  [60 * D, '2 months'],
  [729 * D, '24 months'],
  [730 * D, '2 years'],
];
for (const [ms, text] of DURATIONS) test(`${ms} ms`, (t) => t.is(humanDuration(ms), text));

test('a time to come is now', (t) => t.is(ago(2000, 1000), 'Less than a second ago'));
test("Go's form of a time", (t) =>
  t.is(goLocalTime(Date.parse('2026-01-02T03:04:05.678Z'), 'UTC'), '2026-01-02 03:04:05 +0000 UTC'));

import test from 'ava';
import { ago, humanDuration } from '../../src/notation/elapsed.ts';

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

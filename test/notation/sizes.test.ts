import test from 'ava';
import { readSize } from '../../src/notation/sizes.ts';

for (const [text, step, bytes] of [
  ['10m', 1000, 10_000_000],
  ['10m', 1024, 10_485_760],
  ['1.5 GB', 1000, 1_500_000_000],
  ['64MiB', 1024, 67_108_864],
  ['0', 1000, 0],
  // go-units knows `m`, `mb` and `mib`
  ['10mi', 1000, undefined],
  ['-1', 1000, undefined],
  ['9999p', 1024, undefined],
] as const)
  test(`${text} counted in ${step}s`, (t) => t.is(readSize(text, step), bytes));

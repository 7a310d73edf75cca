/** Sizes as Docker's flags have them, in powers of 1024 or 1000. */
import test from 'ava';
import { parseBytes, readSize } from '../../src/notation/sizes.ts';

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

for (const [text, value] of [
  ['0', 0],
  ['32', 32],
  ['32b', 32],
  ['32k', 32_768],
  ['32KB', 32_768],
  ['32KiB', 32_768],
  ['64m', 67_108_864],
  ['1g', 1_073_741_824],
  ['1.5gb', 1_610_612_736],
  ['1 k', 1024],
  ['1t', 1_099_511_627_776],
] as const)
  test(`bytes: ${text}`, (t) => t.is(parseBytes(text), value));

/** Messages as docker 28 prints them. */
for (const [text, message] of [
  ['', "invalid size: ''"],
  ['-1', "invalid size: '-1'"],
  ['1x', "invalid size: '1x'"],
  ['1kk', "invalid size: '1kk'"],
  ['99999999t', "invalid size: '99999999t'"],
] as const)
  test(`refused: ${JSON.stringify(text)}`, (t) => t.throws(() => parseBytes(text), { message }));

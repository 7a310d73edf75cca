import test from 'ava';
import { parseDuration } from '../../src/notation/durations.ts';
import { parseBool, parseCpus, parseInteger, parseUint16 } from '../../src/notation/scalars.ts';
import { parseBytes } from '../../src/notation/sizes.ts';

type Case = [text: string, value: unknown];

const GOOD: [name: string, parse: (text: string) => unknown, cases: Case[]][] = [
  [
    'bool',
    parseBool,
    [
      ['1', true],
      ['t', true],
      ['TRUE', true],
      ['True', true],
      ['0', false],
      ['F', false],
      ['false', false],
    ],
  ],
  [
    'integer',
    parseInteger,
    [
      ['0', 0],
      ['12', 12],
      ['-12', -12],
      ['+5', 5],
      ['0x10', 16],
      ['0b101', 5],
      ['0o17', 15],
      ['017', 15],
      ['1_000', 1000],
    ],
  ],
  [
    'uint16',
    parseUint16,
    [
      ['0', 0],
      ['65535', 65_535],
      ['0x10', 16],
    ],
  ],
  [
    'bytes',
    parseBytes,
    [
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
    ],
  ],
  [
    'duration',
    parseDuration,
    [
      ['0', 0],
      ['1s', 1e9],
      ['1m30s', 90e9],
      ['1.5h', 5400e9],
      ['100ms', 1e8],
      ['1us', 1000],
      ['1µs', 1000],
      ['-2s', -2e9],
      ['+1s', 1e9],
      ['.5s', 5e8],
    ],
  ],
  [
    'cpus',
    parseCpus,
    [
      ['1', 1],
      ['1.5', 1.5],
      ['0.000000001', 1e-9],
      ['1/2', 0.5],
      ['1e-1', 0.1],
      ['.25', 0.25],
    ],
  ],
];

for (const [name, parse, cases] of GOOD) {
  for (const [text, value] of cases) test(`${name}: ${text}`, (t) => t.is(parse(text), value));
}

/** Messages as docker 28 prints them. */
const BAD: [name: string, parse: (text: string) => unknown, text: string, message: string][] = [
  ['bool', parseBool, 'yes', 'strconv.ParseBool: parsing "yes": invalid syntax'],
  ['integer', parseInteger, 'x', 'strconv.ParseInt: parsing "x": invalid syntax'],
  ['integer', parseInteger, '', 'strconv.ParseInt: parsing "": invalid syntax'],
  ['integer', parseInteger, '1.5', 'strconv.ParseInt: parsing "1.5": invalid syntax'],
  [
    'integer',
    parseInteger,
    '99999999999999999999',
    'strconv.ParseInt: parsing "99999999999999999999": value out of range',
  ],
  ['uint16', parseUint16, '-1', 'strconv.ParseUint: parsing "-1": invalid syntax'],
  ['uint16', parseUint16, '65536', 'strconv.ParseUint: parsing "65536": value out of range'],
  ['bytes', parseBytes, '', "invalid size: ''"],
  ['bytes', parseBytes, '-1', "invalid size: '-1'"],
  ['bytes', parseBytes, '1x', "invalid size: '1x'"],
  ['bytes', parseBytes, '1kk', "invalid size: '1kk'"],
  ['bytes', parseBytes, '99999999t', "invalid size: '99999999t'"],
  ['duration', parseDuration, '', 'time: invalid duration ""'],
  ['duration', parseDuration, 'z', 'time: invalid duration "z"'],
  ['duration', parseDuration, '1', 'time: missing unit in duration "1"'],
  ['duration', parseDuration, '1q', 'time: unknown unit "q" in duration "1q"'],
  ['cpus', parseCpus, 'foo', 'failed to parse foo as a rational number'],
  ['cpus', parseCpus, '1/0', 'failed to parse 1/0 as a rational number'],
  ['cpus', parseCpus, '0.00000000001', 'value is too precise'],
];

for (const [name, parse, text, message] of BAD)
  test(`${name} refuses ${JSON.stringify(text)}`, (t) => t.throws(() => parse(text), { message }));

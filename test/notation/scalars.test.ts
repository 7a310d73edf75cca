/** Single values as Go's programs read them, and what those say of the others. */
import test from 'ava';
import { parseBool, parseCpus, parseInteger, parseUint16 } from '../../src/notation/scalars.ts';

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
  ['cpus', parseCpus, 'foo', 'failed to parse foo as a rational number'],
  ['cpus', parseCpus, '1/0', 'failed to parse 1/0 as a rational number'],
  ['cpus', parseCpus, '0.00000000001', 'value is too precise'],
];

for (const [name, parse, text, message] of BAD)
  test(`${name} refuses ${JSON.stringify(text)}`, (t) => t.throws(() => parse(text), { message }));

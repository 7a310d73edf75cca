/** Queries as Docker reads them: Go's encoding, booleans, numbers, times, filters; and what is refused. */
import test from 'ava';
import { readQuery } from '../../../src/service/http/query.ts';

const read = (text: string) => readQuery(`/x?${text}`);

for (const [value, expected] of [
  ['', false],
  ['0', false],
  ['no', false],
  ['False', false],
  ['none', false],
  ['%20NO%20', false],
  ['1', true],
  ['true', true],
  ['yes', true],
  ['2', true],
  ['off', true],
] as const)
  test(`boolean ${JSON.stringify(value)}`, (t) => t.is(read(`a=${value}`).boolean('a', !expected), expected));

test('a boolean that is not there is what the caller says', (t) => {
  t.deepEqual([read('').boolean('a'), read('').boolean('a', true), read('a').boolean('a', true)], [false, true, false]);
});

const TEXTS: [query: string, expected: string | undefined][] = [
  ['a=b', 'b'],
  ['a=b+c%2Bd', 'b c+d'],
  ['a=%7B%22k%22%3A1%7D', '{"k":1}'],
  ['a', undefined],
  ['a=', undefined],
  ['b=1', undefined],
  ['a=1&a=2', '1'],
  ['&&a=x&', 'x'],
  ['a=b=c', 'b=c'],
  ['%61=1', '1'],
  ['a=?', '?'],
  ['__proto__=1', undefined],
];
for (const [query, expected] of TEXTS) test(`text ${query}`, (t) => t.is(read(query).text('a'), expected));

test('all values, and whether there is one', (t) => {
  const query = read('names=a&names=b&c');
  t.deepEqual(query.all('names'), ['a', 'b']);
  t.deepEqual(query.all('x'), []);
  t.deepEqual([query.has('c'), query.has('x'), readQuery('/x').has('c')], [true, false, false]);
});

const NUMBERS: [text: string, expected: number | undefined][] = [
  ['5', 5],
  ['-1', -1],
  ['%2B7', 7],
  ['', undefined],
];
for (const [text, expected] of NUMBERS) test(`integer ${text}`, (t) => t.is(read(`n=${text}`).integer('n'), expected));

const MOMENTS: [text: string, expected: bigint | undefined][] = [
  ['1700000000', 1_700_000_000_000_000_000n],
  ['1700000000.000000001', 1_700_000_000_000_000_001n],
  ['2023-11-14T22:13:20Z', 1_700_000_000_000_000_000n],
  ['2023-11-14T22:13:20.5%2B00:00', 1_700_000_000_500_000_000n],
  ['0', undefined],
  ['', undefined],
];
for (const [text, expected] of MOMENTS) test(`moment ${text}`, (t) => t.is(read(`s=${text}`).moment('s'), expected));

const FILTERS: [json: string, expected: Record<string, string[]>][] = [
  ['{"label":{"a=b":true,"c":true}}', { label: ['a=b', 'c'] }],
  ['{"label":["a=b"]}', { label: ['a=b'] }],
  ['{"status":{}}', { status: [] }],
  ['{"label":null}', { label: [] }],
  ['{}', {}],
  ['null', {}],
];
for (const [json, expected] of FILTERS)
  test(`filters ${json}`, (t) =>
    t.deepEqual({ ...read(`filters=${encodeURIComponent(json)}`).filters(['label', 'status']) }, expected));

test('filters under another name, and none', (t) => {
  t.deepEqual({ ...read('f=%7B%22a%22:%5B%22b%22%5D%7D').filters(['a'], 'f') }, { a: ['b'] });
  t.deepEqual({ ...read('').filters(['a']) }, {});
});

test('json', (t) => {
  t.deepEqual(read('j=%5B1%5D').json('j'), [1]);
  t.is(read('j=null').json('j'), null);
  t.is(read('j=').json('j'), undefined);
});

const many = (count: number) =>
  JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, []])));
const REFUSED: [what: string, run: () => unknown, message: string | RegExp][] = [
  ['a broken escape', () => read('a=%zz'), 'invalid URL escape "%zz"'],
  ['half an escape', () => read('a=%'), 'invalid URL escape "%"'],
  ['bytes that are no UTF-8', () => read('a=%ff'), /^invalid URL escape/],
  ['a broken escape in a name', () => read('%zz=1'), 'invalid URL escape "%zz"'],
  ['a semicolon', () => read('a=1;b=2'), 'invalid semicolon separator in query'],
  ['no number', () => read('n=x').integer('n'), 'invalid value for n: "x" is no whole number'],
  ['a fraction', () => read('n=1.5').integer('n'), 'invalid value for n: "1.5" is no whole number'],
  ['hexadecimal', () => read('n=0x10').integer('n'), /no whole number$/],
  ['a number beyond 2^53', () => read('n=9007199254740993').integer('n'), /no whole number$/],
  ['a long text is cut', () => read(`n=${'x'.repeat(5000)}`).integer('n'), /^invalid value for n: "x{100}…" is/],
  ['no time', () => read('s=soon').moment('s'), /^invalid time: "soon"/],
  ['no JSON', () => read('j={').json('j'), 'invalid value for j: "{" is no JSON'],
  ['filters that are no JSON', () => read('filters={').filters([]), 'invalid filter'],
  ['filters in a list', () => read('filters=[]').filters([]), 'invalid filter'],
  ['filters in a text', () => read('filters="a"').filters([]), 'invalid filter'],
  ['a filter of numbers', () => read('filters={"a":[1]}').filters(['a']), 'invalid filter'],
  ['a filter of no booleans', () => read('filters={"a":{"b":"x"}}').filters(['a']), 'invalid filter'],
  ['a filter in a text', () => read('filters={"a":"b"}').filters(['a']), 'invalid filter'],
  ['an unknown filter', () => read('filters={"nope":["x"]}').filters(['a']), "invalid filter 'nope'"],
  ['a property of every object', () => read('filters={"toString":["x"]}').filters([]), "invalid filter 'toString'"],
  ['__proto__', () => read('filters={"__proto__":["x"]}').filters([]), "invalid filter '__proto__'"],
  ['a line break in a filter', () => read('filters={"a%5Cnb":[]}').filters([]), String.raw`invalid filter 'a\nb'`],
  ['too many filters', () => read(`filters=${many(65)}`).filters([]), 'invalid filter: more than 64 of them'],
  [
    'too many values',
    () => read(`filters={"a":[${'"x",'.repeat(4096)}"x"]}`).filters(['a']),
    'invalid filter: more than 4096 values',
  ],
];
for (const [what, run, message] of REFUSED)
  test(`refused: ${what}`, (t) => {
    const error = t.throws(run, { name: 'HuskError', message });
    t.is((error as { kind?: string }).kind, 'invalid');
  });

/**
 * The filters of `ps` and `container prune`: what each finds, and what is refused before a container is looked at. A
 * filter a line.
 */
import test from 'ava';
import type { Container, Filters } from '../../../src/engine/contract.ts';
import { containerFilter, pruneFilter } from '../../../src/engine/record/filters.ts';

const container = {
  id: 'c0ffee'.padEnd(64, '0'),
  name: 'web-1',
  createdAt: 1_000_000,
  state: { status: 'exited', exitCode: 3 },
  config: {
    labels: { a: 'b', empty: '' },
    mounts: [],
    isolation: 'userns',
    options: {
      network: 'default',
      publish: ['127.0.0.1:8080:80', '5000-5010:50-60/udp'],
      expose: ['443', '9000-9010'],
    },
  },
} as unknown as Container;
const context = {
  ancestors: () => new Set<string>(),
  find: () => container,
  networks: () => [{ id: 'beef', name: 'two' }],
};
const finds = (filters: Filters) => containerFilter(filters, context)(container);

for (const [filter, value, found] of [
  ['publish', '80', true],
  ['publish', '80/tcp', true],
  ['publish', '80/udp', false],
  ['publish', '8080', false],
  ['publish', '55/udp', true],
  ['publish', '70-90', true],
  ['publish', '60-70/udp', true],
  ['publish', '81-90', false],
  ['expose', '443/tcp', true],
  ['expose', '9010-9020', true],
  ['expose', '9011', false],
  ['name', '', true],
  ['name', 'eb', true],
  ['name', '^/web-1$', true],
  ['name', '^web-1$', true],
  ['name', '^eb', false],
  ['name', '(?i)WEB', true],
  ['name', '[[:digit:]]$', true],
  ['name', '\\Aweb-\\d\\z', true],
  ['id', '^c0ffee', true],
  ['id', 'ffee$', false],
  // V8's own engine would need hours for this one
  ['id', '^(0|c|f|e|0ff|c0)*(0+)+x$', false],
  ['label', 'a', true],
  ['label', 'a=b', true],
  ['label', 'a=c', false],
  ['label', 'empty', true],
  ['label', 'empty=', true],
  // what every object of JavaScript has is no label
  ['label', 'constructor', false],
  ['label', '__proto__', false],
  ['label', 'toString=', false],
  ['network', 'two', true],
  ['network', 'beef', true],
  // the network that it was made with, and has left
  ['network', 'bridge', false],
  ['exited', '3', true],
  ['exited', '-1', false],
  ['exited', '+3', true],
] as const)
  test(`${filter}=${value}: ${found}`, (t) => t.is(finds({ [filter]: [value] }), found));

const REFUSED: [filters: Filters, message: string | RegExp][] = [
  ...['', 'x', '80-', '-80', '123456', '80/tcp/x'].map((value): [Filters, string] => [
    { publish: [value] },
    `invalid filter 'publish=${value}'`,
  ]),
  ...['constructor', 'hasOwnProperty', 'toString', 'nosuch'].map((key): [Filters, string] => [
    { [key]: ['x'] },
    `invalid filter '${key}'`,
  ]),
  [Object.fromEntries([['__proto__', ['x']]]), "invalid filter '__proto__'"],
  [{ exited: ['99999999999'] }, "invalid filter 'exited=99999999999'"],
  [{ exited: ['x'] }, "invalid filter 'exited=x'"],
  [{ name: ['['] }, 'invalid filter name "[": it is no regular expression: missing closing ]: `[`'],
  // what Go's expressions have not
  [{ name: ['(?=web)'] }, /^invalid filter name "\(\?=web\)": it is no regular expression: /],
  [{ name: ['(w)\\1'] }, /^invalid filter name .*: it is no regular expression: invalid escape sequence/],
  [{ id: ['x'.repeat(5000)] }, /^invalid filter id "x{80}…": a pattern may have 4096 characters$/],
];
for (const [filters, message] of REFUSED)
  test(`refused: ${JSON.stringify(filters).slice(0, 60)}`, (t) => t.throws(() => finds(filters), { message }));

const PRUNED: [filters: Filters, found: boolean][] = [
  [{}, true],
  [{ label: ['a'] }, true],
  [{ label: ['constructor'] }, false],
  [{ 'label!': ['constructor'] }, true],
  [{ 'label!': ['a'] }, false],
  [{ until: ['1001'] }, true],
  [{ until: ['999'] }, false],
  [{ until: ['1h'] }, true],
];
for (const [filters, found] of PRUNED)
  test(`prune ${JSON.stringify(filters)}: ${found}`, (t) => t.is(pruneFilter(filters, 5_000_000)(container), found));

for (const [filters, message] of [
  [{ constructor: ['x'] }, "invalid filter 'constructor'"],
  [{ status: ['exited'] }, "invalid filter 'status'"],
  // also where another filter leaves nothing to look at
  [{ label: ['nosuch'], until: ['x'] }, "invalid filter 'until=x'"],
] as [Filters, string][])
  test(`prune refuses ${JSON.stringify(filters)}`, (t) => t.throws(() => pruneFilter(filters), { message }));

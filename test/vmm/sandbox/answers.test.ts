/** A guest's sample of stats: whatever it says, it has the right shape and is small. */
import test from 'ava';
import { checkStats, checkWatched } from '../../../src/vmm/sandbox/answers.ts';

const ZEROS = {
  cpuNanoseconds: 0,
  memoryBytes: 0,
  memoryLimitBytes: 0,
  pids: 0,
  pidsLimit: undefined,
  networkReceivedBytes: 0,
  networkSentBytes: 0,
  blockReadBytes: 0,
  blockWrittenBytes: 0,
};
const INTERFACE = {
  receivedBytes: 1,
  receivedPackets: 2,
  receiveErrors: 3,
  receiveDropped: 4,
  sentBytes: 5,
  sentPackets: 6,
  sendErrors: 7,
  sendDropped: 8,
};
const WHOLE = {
  ...ZEROS,
  cpuNanoseconds: 3,
  userNanoseconds: 1,
  systemNanoseconds: 2,
  throttling: { periods: 1, throttledPeriods: 2, throttledNanoseconds: 3 },
  memoryUsageBytes: 9,
  memory: { anon: 4, inactive_file: 5 },
  interfaces: { eth0: INTERFACE, 'eth0.7': INTERFACE },
  blocks: [{ major: 254, minor: 1, readBytes: 1, writtenBytes: 2 }],
};
const many = <T>(value: T) => Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`a${index}`, value]));

const ANSWERS: [what: string, answer: unknown, expected: object][] = [
  ['a whole one', WHOLE, WHOLE],
  ['one of an older agent', { ...ZEROS, cpuNanoseconds: 7 }, { ...ZEROS, cpuNanoseconds: 7 }],
  ['nothing', null, ZEROS],
  ['a list', [1, 2], ZEROS],
  ['a text', 'stats', ZEROS],
  [
    'numbers that are none',
    { cpuNanoseconds: -1, pids: 'x', memoryBytes: Infinity, pidsLimit: {} },
    { ...ZEROS, pidsLimit: 0 },
  ],
  ['parts that are none', { memory: 'x', interfaces: [], blocks: {}, throttling: null }, ZEROS],
  [
    'names that cannot be',
    JSON.parse(
      '{"memory":{"__proto__":1,"A":2,"a b":3,"":4,"ok":5},"interfaces":{"__proto__":{},"a/b":{},"0123456789abcdef":{}}}',
    ),
    { ...ZEROS, memory: { ok: 5 }, interfaces: {} },
  ],
  [
    'entries that are none',
    { memory: { anon: 'x' }, interfaces: { eth0: 1 }, blocks: [null] },
    {
      ...ZEROS,
      memory: { anon: 0 },
      interfaces: { eth0: Object.fromEntries(Object.keys(INTERFACE).map((name) => [name, 0])) },
      blocks: [{ major: 0, minor: 0, readBytes: 0, writtenBytes: 0 }],
    },
  ],
];
for (const [what, answer, expected] of ANSWERS)
  test(what, (t) => t.deepEqual<object, object>(checkStats(answer), expected));

test('entries by the thousand', (t) => {
  const { memory, interfaces, blocks } = checkStats({
    memory: many(1),
    interfaces: many(INTERFACE),
    blocks: Array.from({ length: 5000 }, () => WHOLE.blocks[0]),
  });
  t.deepEqual([Object.keys(memory!).length, Object.keys(interfaces!).length, blocks!.length], [128, 128, 128]);
});

for (const [answer, isWatched] of [
  [{ watched: true }, true],
  [{ watched: false }, false],
  [{ watched: 1 }, false],
  [{}, false],
  [[], false],
  [undefined, false],
  [null, false],
  ['watched', false],
] as const)
  test(`whether anybody watches, as a guest says it: ${JSON.stringify(answer)}`, (t) =>
    t.is(checkWatched(answer), isWatched));

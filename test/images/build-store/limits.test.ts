/** How much of the build cache may stay, by the words of BuildKit and of daemon.json. */
import test from 'ava';
import { parseConfig } from '../../../src/config.ts';
import { bytesToKeep, cacheRules, type CacheRule } from '../../../src/images/build-store/limits.ts';
import type { CacheLimits } from '../../../src/images/store/contract.ts';

const KEEPS: [limits: CacheLimits, free: number, keep: number][] = [
  [{}, 0, 0],
  [{ reserved: 0, maxUsed: 0, minFree: 0 }, 0, 0],
  [{ reserved: 10 }, 0, 10],
  [{ maxUsed: 10 }, 0, 10],
  [{ reserved: 20, maxUsed: 10 }, 0, 20],
  // 100 are used, and 30 more are to be free
  [{ minFree: 50 }, 20, 70],
  [{ minFree: 50 }, 60, Number.POSITIVE_INFINITY],
  [{ minFree: 50, maxUsed: 80 }, 20, 70],
  [{ minFree: 50, maxUsed: 60 }, 20, 60],
  [{ minFree: 500, reserved: 5 }, 0, 5],
];
for (const [limits, free, keep] of KEEPS)
  test(`of 100 bytes ${keep} stay: ${JSON.stringify(limits)}, ${free} free`, (t) => {
    t.is(bytesToKeep(100, { free }, limits), keep);
  });

const GIB = 2 ** 30;
const DISK = { total: 1e12, free: 5e11 };
const rules = (gc?: object, disk = DISK) =>
  cacheRules(gc === undefined ? {} : parseConfig(JSON.stringify({ builder: { gc } }), 'f'), disk);
const RULES: [gc: object | undefined, CacheRule[]][] = [
  [undefined, [{ limits: { maxUsed: 1e11 }, unusedFor: 0, all: false }]],
  [{}, [{ limits: { maxUsed: 1e11 }, unusedFor: 0, all: false }]],
  [{ enabled: false, defaultKeepStorage: '1GB' }, []],
  [{ defaultKeepStorage: '20GB' }, [{ limits: { reserved: 20 * GIB }, unusedFor: 0, all: false }]],
  [
    { defaultReservedSpace: '1GB', defaultMaxUsedSpace: '2GB', defaultMinFreeSpace: '3GB' },
    [{ limits: { reserved: GIB, maxUsed: 2 * GIB, minFree: 3 * GIB }, unusedFor: 0, all: false }],
  ],
  [
    {
      policy: [
        { keepStorage: '1GB', filter: ['unused-for=2h'] },
        { maxUsedSpace: '5GB', keepDuration: '1m', all: true },
      ],
    },
    [
      { limits: { reserved: GIB }, unusedFor: 7_200_000, all: false },
      { limits: { maxUsed: 5 * GIB }, unusedFor: 60_000, all: true },
    ],
  ],
  [{ policy: [] }, []],
];
for (const [gc, expected] of RULES)
  test(`builder.gc ${JSON.stringify(gc)}`, (t) => void t.deepEqual(rules(gc), expected));

test('a small disk has room for two gigabytes', (t) => {
  t.deepEqual(rules({}, { total: 1e9, free: 1 })[0]!.limits, { maxUsed: 2e9 });
});

for (const [gc, said] of [
  [{ defaultKeepStorage: 'much' }, /defaultKeepStorage: "much" cannot be read/],
  [{ policy: [{ filter: ['type==source.local'] }] }, /filter: "type==source.local" cannot be read/],
  [{ policy: [{ keepDuration: 'long' }] }, /"long" cannot be read/],
  [{ defaultKeepStorage: 5 }, /"builder" must be/],
  [{ policy: [{ maxUsed: '5' }] }, /"builder" must be/],
  [{ rules: [] }, /"builder" must be/],
  [[], /"builder" must be/],
] as const)
  test(`refused: builder.gc ${JSON.stringify(gc)}`, (t) => {
    t.throws(() => rules(gc), { message: said, name: 'HuskError' });
  });

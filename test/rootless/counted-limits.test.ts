/** The limits that are counted for a user namespace, as steps; what they do is in users-namespace.test.ts. */
import test from 'ava';
import {
  COUNTED,
  COUNTED_BUT_PROCESSES,
  mayRaiseLimits,
  PROCESSES,
  putBackLimits,
  raiseLimits,
  raiseProcesses,
  readLimits,
} from '../../src/rootless/counted-limits.ts';

const LIMITS = readLimits(`Limit                     Soft Limit           Hard Limit           Units
Max processes             60                   4000                 processes
Max open files            1024                 524288               files
Max locked memory         65536                unlimited            bytes
Max pending signals       100                  200                  signals
Max msgqueue size         819200               819200               bytes
`);
const INFINITY = 2n ** 64n - 1n;

test('soft and hard ones are read by their names', (t) => {
  t.deepEqual(LIMITS, {
    soft: {
      'Max processes': 60,
      'Max locked memory': 65536,
      'Max pending signals': 100,
      'Max msgqueue size': 819200,
    },
    hard: {
      'Max processes': 4000,
      'Max locked memory': Infinity,
      'Max pending signals': 200,
      'Max msgqueue size': 819200,
    },
  });
});

test('they are raised to the hard ones, and put back', (t) => {
  t.deepEqual(raiseLimits(COUNTED_BUT_PROCESSES, LIMITS), [
    { op: 'rlimit', resource: 8, soft: INFINITY, hard: INFINITY },
    { op: 'rlimit', resource: 11, soft: 200n, hard: 200n },
    { op: 'rlimit', resource: 12, soft: 819200n, hard: 819200n },
  ]);
  t.deepEqual(putBackLimits(COUNTED, LIMITS), [
    { op: 'rlimit', resource: 6, soft: 60n, hard: 4000n },
    { op: 'rlimit', resource: 8, soft: 65536n, hard: INFINITY },
    { op: 'rlimit', resource: 11, soft: 100n, hard: 200n },
    { op: 'rlimit', resource: 12, soft: 819200n, hard: 819200n },
  ]);
});

test('that of processes goes beyond the hard one for who may', (t) => {
  const [resource] = PROCESSES;
  t.deepEqual(raiseProcesses(LIMITS, true), { op: 'rlimit', resource, soft: INFINITY, hard: INFINITY });
  t.deepEqual(raiseProcesses(LIMITS, false), { op: 'rlimit', resource, soft: 4000n, hard: 4000n });
});

test('who may is told by CAP_SYS_RESOURCE', (t) => {
  t.true(mayRaiseLimits('Name:\tx\nCapEff:\t0000000001000000\n'));
  t.false(mayRaiseLimits('Name:\tx\nCapEff:\t000001fffeffffff\n'));
  t.false(mayRaiseLimits('Name:\tx\n'));
});

import test from 'ava';
import { parseUlimit } from '../../src/notation/ulimits.ts';

for (const [text, soft, hard] of [
  ['nofile=1024:2048', 1024, 2048],
  ['nofile=1024', 1024, 1024],
  ['core=-1', -1, -1],
  ['core=0:-1', 0, -1],
] as const)
  test(text, (t) => t.like(parseUlimit(text), { soft, hard }));

for (const [text, message] of [
  ['nofile', 'invalid ulimit argument: nofile'],
  ['files=1', 'invalid ulimit type: files'],
  ['constructor=1', 'invalid ulimit type: constructor'],
  ['core=1:2:3', 'too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`'],
  ['core=2:1', 'ulimit soft limit must be less than or equal to hard limit: 2 > 1'],
  ['core=-1:1', 'ulimit soft limit must be less than or equal to hard limit: -1 > 1'],
] as const)
  test(`refused: ${text}`, (t) => t.throws(() => parseUlimit(text), { message }));

import test from 'ava';
import { pingGroupRange } from '../../../../src/engine/create/spec/ping-groups.ts';

const line = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });

for (const [title, map, range] of [
  ['an ordinary user', [line(0, 1000, 1), line(1, 100_000, 65_536)], '0 65536'],
  [
    'a user above the subordinate ids: all of these, not root, who needs none of it',
    [line(0, 900_000, 1), line(1, 100_000, 65_536)],
    '1 65536',
  ],
  [
    'the caller at its own place',
    [line(0, 100_999, 1), line(1, 100_000, 999), line(1000, 1000, 1), line(1001, 101_000, 64_536)],
    '1000 65536',
  ],
  ['one range', [line(0, 1_000_000_000, 65_536)], '0 65535'],
  ['none', [], undefined],
] as const)
  test(title, (t) => t.is(pingGroupRange(map), range));

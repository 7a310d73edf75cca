import test from 'ava';
import { naturalOrder } from '../../src/notation/natural-order.ts';

for (const sorted of [
  ['Net3', 'abc', 'net2', 'net10'],
  ['80/tcp -> 0.0.0.0:8080', '80/tcp -> [::]:8080', '443/tcp -> 0.0.0.0:443'],
  ['a', 'a-', 'a1', 'a01', 'a2', 'ab'],
  ['', '0', '00', 'x'],
])
  test(sorted.join(' '), (t) => t.deepEqual(sorted.toReversed().sort(naturalOrder), sorted));

/** Which parts of a disk were written since a moment, in whole MiB. */
import test from 'ava';
import { WrittenChunks } from '../../../src/vmm/devices/block/written-chunks.ts';

const MIB = 1 << 20;

const CASES: [what: string, size: number, writes: [number, number][], ranges: [number, number][]][] = [
  ['nothing', 4 * MIB, [], []],
  ['a write of nothing', 4 * MIB, [[MIB, 0]], []],
  ['one byte', 4 * MIB, [[MIB + 5, 1]], [[MIB, MIB]]],
  ['a byte on either side of an edge', 4 * MIB, [[2 * MIB - 1, 2]], [[MIB, 2 * MIB]]],
  ['the last sector of a disk of no whole MiB', 3 * MIB + 512, [[3 * MIB, 512]], [[3 * MIB, 512]]],
  [
    'several, again and again',
    8 * MIB,
    [
      [0, 1],
      [5 * MIB, MIB],
      [5 * MIB, 1],
      [6 * MIB, 1],
    ],
    [
      [0, MIB],
      [5 * MIB, 2 * MIB],
    ],
  ],
  ['all', 4 * MIB, [[0, 4 * MIB]], [[0, 4 * MIB]]],
];
for (const [what, size, writes, ranges] of CASES)
  test(what, (t) => {
    const written = new WrittenChunks(size);
    for (const [position, length] of writes) written.add(position, length);
    t.deepEqual(
      [...written.ranges()].map(({ offset, length }) => [offset, length]),
      ranges,
    );
  });

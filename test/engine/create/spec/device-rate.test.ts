import test from 'ava';
import { deviceRate } from '../../../../src/engine/create/spec/limits.ts';

/** what a library caller may write, and what the command line has made of it */
const RATES: [entry: string, bytes: boolean, rate: number][] = [
  ['/dev/sda:1048576', true, 1_048_576],
  ['/dev/sda:1mb', true, 1_048_576],
  ['/dev/sda:2k', true, 2048],
  ['/dev/sda:100', false, 100],
];
for (const [entry, bytes, rate] of RATES)
  test(entry, (t) => t.deepEqual(deviceRate(entry, { bytes }), { path: '/dev/sda', rate }));

for (const [entry, bytes] of [
  ['/dev/sda:1mb', false],
  ['/dev/sda:', true],
  ['sda:1', true],
] as const)
  test(`refused: ${entry} of ${bytes ? 'bytes' : 'operations'}`, (t) =>
    void t.throws(() => deviceRate(entry, { bytes }), { message: /bad format|invalid rate/ }));

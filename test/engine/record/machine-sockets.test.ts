/** What a machine's monitor is told of the sockets that are mounted. */
import { fstatSync } from 'node:fs';
import test from 'ava';
import { takeSockets } from '../../../src/engine/record/machine-sockets.ts';

const MAPS = {
  uid: [
    { containerID: 0, hostID: 1000, size: 1 },
    { containerID: 1, hostID: 100_000, size: 65_536 },
  ],
  gid: [
    { containerID: 0, hostID: 1001, size: 1 },
    { containerID: 1, hostID: 200_000, size: 65_536 },
  ],
};
const socket = (uid: number, gid: number) => ({ path: '/nowhere/socket', uid, gid, mode: 0o660 });

test("owners are told as the monitor's user namespace shows them", async (t) => {
  const asked = [socket(1000, 1001), socket(100_004, 200_000), socket(0, 42)];
  using taken = await takeSockets(asked, { maps: MAPS, isRoot: false });
  t.deepEqual(taken.owners, [
    { uid: 0, gid: 0, mode: 0o660 },
    { uid: 5, gid: 1, mode: 0o660 },
    { uid: 65_534, gid: 65_534, mode: 0o660 },
  ]);
  t.is(taken.descriptors.relay.length, 1);
  t.true(fstatSync(taken.descriptors.relay[0]!).isSocket());
});

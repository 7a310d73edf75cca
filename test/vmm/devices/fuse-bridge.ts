/**
 * Mounts a folder through the file system device on this machine's own kernel: what /dev/fuse asks goes into a
 * virtqueue, what the device answers goes back. The kernel's FUSE client is the same as in a guest, so a POSIX program
 * can judge the device where there is no KVM. Root, in a mount namespace of its own:
 * `unshare -m node fuse-bridge.ts FOLDER MOUNT-POINT`; prints a line when it is mounted.
 */
import { openSync, read, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { mount } from '../../../src/host/kernel/mount.ts';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { OP } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { DATA, Driver } from '../driver.ts';

const [HIGH_PRIORITY, REQUESTS] = [0, 1];
/** 1 MiB of a write, its headers */
const ROOM = (1 << 20) + 0x10000;
const REPLY = DATA + 0x200000;
const SILENT = new Set<number>([OP.FORGET, OP.BATCH_FORGET]);

const [folder, target] = process.argv.slice(2) as [string, string];
const driver = new Driver(
  new Fs({
    tag: 'bridge',
    path: folder,
    readOnly: process.argv[4] === 'ro',
    ownership: sameOwners,
    freshness: { milliseconds: 0 },
  }),
).start();
const device = openSync('/dev/fuse', 'r+');
mount('bridge', target, 'fuse', 0, `fd=${device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`);
console.log('mounted');

const buffer = Buffer.alloc(ROOM);
const readSome = promisify(read);
for (;;) {
  const { bytesRead } = await readSome(device, buffer, 0, ROOM, null).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENODEV') process.exit(0); // unmounted
    // a request that was interrupted before it was read
    if (error.code === 'ENOENT' || error.code === 'EINTR') return { bytesRead: 0 };
    throw error;
  });
  if (bytesRead === 0) continue;
  driver.memory.write(DATA, buffer.subarray(0, bytesRead));
  const opcode = buffer.readUInt32LE(4);
  if (SILENT.has(opcode)) {
    driver.request(HIGH_PRIORITY, [{ address: DATA, length: bytesRead }]);
    continue;
  }
  if (opcode === OP.INTERRUPT) continue;
  driver.chain(REQUESTS, 0, [
    { address: DATA, length: bytesRead },
    { address: REPLY, length: ROOM, write: true },
  ]);
  driver.offer(REQUESTS, 0);
  let done = driver.completed(REQUESTS)[0];
  while (done === undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    done = driver.completed(REQUESTS)[0];
  }
  if (driver.needsReset) throw new Error(driver.reports.join());
  try {
    writeSync(device, driver.memory.live(REPLY, done.written));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // whoever asked has been killed
  }
}

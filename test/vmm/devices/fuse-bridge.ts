/**
 * Mounts a folder through the file system device on this machine's own kernel: what /dev/fuse asks goes into a
 * virtqueue, what the device answers goes back. The kernel's FUSE client is the same as in a guest, so a POSIX program
 * can judge the device where there is no KVM. Root, in a mount namespace of its own:
 * `unshare -m node fuse-bridge.ts FOLDER MOUNT-POINT [ro] [keep]`; prints a line when it is mounted.
 *
 * With `keep` names and attributes are kept as a guest of ours keeps them until the host changes something, except that
 * this machine's kernel knows no table of changes: for measuring what lifetimes are worth where the host is quiet.
 */
import { openSync, read, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { mount } from '../../../src/host/kernel/mount.ts';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { CHANGES_ADDRESS } from '../../../src/vmm/devices/fs/share/config.ts';
import { ENTRY_OUT, OP } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { DATA, Driver } from '../driver.ts';

const [HIGH_PRIORITY, REQUESTS] = [0, 1];
/** 1 MiB of a write, its headers */
const ROOM = (1 << 20) + 0x10000;
const REPLY = DATA + 0x200000;
/** behind the data */
const TABLE = REPLY + 0x200000;
/** replies that begin with struct fuse_entry_out, and with struct fuse_attr_out */
const ENTRIES = new Set<number>([OP.LOOKUP, OP.CREATE, OP.MKDIR, OP.MKNOD, OP.SYMLINK, OP.LINK, OP.TMPFILE]);
const ATTRIBUTES = new Set<number>([OP.GETATTR, OP.SETATTR]);
/** seconds */
const LONG = 3600;
const SILENT = new Set<number>([OP.FORGET, OP.BATCH_FORGET]);

const [folder, target] = process.argv.slice(2) as [string, string];
const keep = process.argv.includes('keep');
const driver = new Driver(
  new Fs({
    tag: 'bridge',
    path: folder,
    readOnly: process.argv.includes('ro'),
    ownership: sameOwners,
  }),
).start({ config: keep ? { [CHANGES_ADDRESS]: TABLE } : {} });
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
    writeSync(device, withLongLives(opcode, driver.memory.live(REPLY, done.written)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // whoever asked has been killed
  }
}

/** Turns lifetimes that end with a change into long ones. */
function withLongLives(opcode: number, reply: Uint8Array): Uint8Array {
  const view = new DataView(reply.buffer, reply.byteOffset, reply.byteLength);
  const lengthen = (at: number) => {
    if (at + 8 <= reply.length && view.getUint32(at + 4, true) >= 0x8000_0000)
      view.setBigUint64(at, BigInt(LONG), true);
  };
  if (ENTRIES.has(opcode)) for (const at of [16, 24]) lengthen(16 + at);
  else if (ATTRIBUTES.has(opcode)) lengthen(16);
  else if (opcode === OP.READDIRPLUS)
    for (let at = 16; at + ENTRY_OUT < reply.length;) {
      for (const field of [16, 24]) lengthen(at + field);
      // struct fuse_dirent: ino, off, namelen, type, name padded to 8 bytes
      at += ENTRY_OUT + Math.ceil((24 + view.getUint32(at + ENTRY_OUT + 16, true)) / 8) * 8;
    }
  return reply;
}

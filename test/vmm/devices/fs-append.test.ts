/**
 * O_APPEND belongs to each write: what a guest's program appends goes to the end as it is at that moment, what its page
 * cache writes back has its place.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { OP, WRITE_CACHE } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { DATA, Driver } from '../driver.ts';

const QUEUE = 1;
const REPLY = DATA + 0x10_0000;
const ROOM = 4096;
const O_RDWR = 2;
const O_APPEND = 0o2000;
const ROOT = 1;

for (const [title, opened, written, expected] of [
  ['appended', O_APPEND, { openFlags: O_APPEND, flags: 0 }, 'contentsNEW'],
  ['from a shared mapping of a handle that appends', O_APPEND, { openFlags: O_APPEND, flags: WRITE_CACHE }, 'NEWtents'],
  ['after fcntl(2) took O_APPEND away', O_APPEND, { openFlags: 0, flags: 0 }, 'NEWtents'],
  ['after fcntl(2) set it', 0, { openFlags: O_APPEND, flags: 0 }, 'contentsNEW'],
] as const)
  test(title, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-append-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'file'), 'contents');
    const fs = new Fs({
      tag: 'test',
      path: folder,
      readOnly: false,
      ownership: sameOwners,
    });
    using driver = new Driver(fs).start();
    const ask = (opcode: number, node: number, ...body: Buffer[]): Buffer => {
      const bytes = Buffer.concat(body);
      const header = Buffer.alloc(40);
      header.writeUInt32LE(40 + bytes.length, 0);
      header.writeUInt32LE(opcode, 4);
      header.writeBigUInt64LE(BigInt(node), 16);
      driver.memory.write(DATA, Buffer.concat([header, bytes]));
      const done = driver.request(QUEUE, [
        { address: DATA, length: 40 + bytes.length },
        { address: REPLY, length: ROOM, write: true },
      ]);
      const reply = Buffer.from(driver.memory.live(REPLY, done!.written));
      t.is(reply.readInt32LE(4), 0, `opcode ${opcode}`);
      return reply.subarray(16);
    };
    const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
    ask(OP.INIT, 0, u32(7, 40, 65_536, 0xffff_ffff));
    const node = Number(ask(OP.LOOKUP, ROOT, Buffer.from('file\0')).readBigUInt64LE(0));
    const handle = ask(OP.OPEN, node, u32(O_RDWR | opened, 0)).readUInt32LE(0);
    // struct fuse_write_in
    ask(OP.WRITE, node, u32(handle, 0, 0, 0, 3, written.flags, 0, 0, written.openFlags, 0), Buffer.from('NEW'));
    t.is(readFileSync(join(folder, 'file'), 'utf8'), expected);
  });

/**
 * Random rings and registers against every device: whatever a driver does, a device answers, ignores it or asks to be
 * reset; it never throws out of the transport, never works without bound, never reaches outside guest memory (which
 * would be a RangeError, or a fault of the whole process). The seed is in the title; HUSK_FUZZ_SECONDS lengthens the
 * run.
 */
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { packetPair } from '../../../src/host/streams/packet-fd.ts';
import { Balloon } from '../../../src/vmm/devices/balloon/device.ts';
import { Backing } from '../../../src/vmm/devices/block/backing.ts';
import { Block } from '../../../src/vmm/devices/block/device.ts';
import { Console } from '../../../src/vmm/devices/console/device.ts';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { Net } from '../../../src/vmm/devices/net/device.ts';
import { frameFilter } from '../../../src/vmm/devices/net/filter.ts';
import { PacketLink } from '../../../src/vmm/devices/net/link.ts';
import { Rng } from '../../../src/vmm/devices/rng/device.ts';
import type { VirtioDevice } from '../../../src/vmm/devices/virtio/device.ts';
import { Vsock } from '../../../src/vmm/devices/vsock/device.ts';
import { removeFolder } from '../../fixtures/temporary.ts';
import { DATA, Driver, EVERY_FRAME, INDIRECT, NEXT, WRITE } from '../driver.ts';

const SECONDS = Number(process.env['HUSK_FUZZ_SECONDS'] ?? 2);
/**
 * milliseconds of CPU time one kick may take: small beside "forever". Not of the clock: a guest may ask for synchronous
 * writes, and others use the disk
 */
const KICK_LIMIT = 2000;

/** xorshift32: the same run for the same seed */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function fuzzOnce(driver: Driver, pick: (below: number) => number): void {
  const queues = driver.transport.queues.length;
  const queue = pick(queues);
  const { available, descriptors } = driver.rings(queue);
  const address = () =>
    [
      DATA + pick(0x1000),
      DATA + pick(0x1000),
      DATA + pick(0x800000),
      driver.memory.size - pick(64),
      pick(0x20000),
      descriptors + pick(128),
      pick(2 ** 31) * 2 ** 20,
      2 ** 64 - pick(4096),
    ][pick(8)]!;
  const length = () => [16, 1, 44, 12, 512, 4096, pick(65536), 0, pick(0x7fffffff), 0xffff_ffff][pick(10)]!;
  const flags = () => [0, NEXT, WRITE, NEXT | WRITE, INDIRECT, pick(65536)][pick(6)]!;
  switch (pick(10)) {
    case 0:
    case 1:
    case 2: {
      // a chain that is nearly right
      const count = 1 + pick(4);
      let writing = false;
      for (let i = 0; i < count; i++) {
        writing ||= pick(3) === 0;
        driver.descriptor(queue, i, {
          address: DATA + pick(0x10000),
          length: [16, 44, 512, 4096, 1][pick(5)]!,
          flags: (i < count - 1 ? NEXT : 0) | (writing ? WRITE : 0),
          next: i + 1,
        });
      }
      for (let i = 0; i < 64; i++) driver.memory.write(DATA + pick(0x10000), Uint8Array.of(pick(256)));
      // plausible headers: small numbers in little-endian words
      for (let i = 0; i < 16; i++)
        driver.memory.writeU32(DATA + pick(0x4000) * 4, [pick(16), pick(4), GUEST, HOST, pick(2 ** 31)][pick(5)]!);
      if (pick(2) === 0) {
        // the first buffer as a FUSE request: length, opcode, node, then small numbers and names
        const head = DATA + pick(0x100) * 64;
        driver.descriptor(queue, 0, { address: head, length: 40 + pick(128), flags: NEXT, next: 1 });
        driver.descriptor(queue, 1, { address: DATA + 0x20000, length: 4096, flags: WRITE, next: 0 });
        driver.memory.live(head, 200).fill(0);
        driver.memory.writeU32(head, 40 + pick(128));
        driver.memory.writeU32(head + 4, pick(53));
        driver.memory.writeU32(head + 16, 1 + pick(3));
        for (let i = 0; i < 12; i++)
          driver.memory.writeU32(head + 40 + i * 4, [0, 1, 2, pick(8), 0x100, 0o100644, pick(2 ** 31)][pick(7)]!);
        driver.memory.write(
          head + 40 + pick(6) * 8,
          Buffer.from(
            ['a\0b\0', 'file\0', '../x\0', '..\0', '.\0', 'up\0', 'a/b\0', '\0', 'user.x\0', 'abcdefgh'][pick(10)]!,
          ),
        );
      }
      driver.offer(queue, 0);
      return;
    }
    case 3:
      driver.descriptor(queue, pick(8), { address: address(), length: length(), flags: flags(), next: pick(10) });
      return;
    case 4: {
      for (let i = 0; i < 4; i++)
        driver.rawDescriptor(DATA + i * 16, { address: address(), length: length(), flags: flags(), next: pick(6) });
      driver.descriptor(queue, 0, { address: DATA, length: 16 * (1 + pick(5)), flags: INDIRECT, next: 0 });
      driver.offer(queue, 0);
      return;
    }
    case 5:
      driver.memory.writeU16(available + 2, driver.memory.readU16(available + 2) + pick(4));
      driver.transport.kick();
      return;
    case 6:
      driver.memory.writeU16(available + 2 * pick(12), pick(65536));
      driver.transport.kick();
      return;
    case 7:
      driver.write(pick(0x110) & ~3, [0, 1, 8, pick(16), pick(2 ** 31)][pick(5)]!);
      return;
    case 8:
      driver.transport.write(pick(0x200), new Uint8Array(pick(9)).fill(pick(256)));
      return;
    default:
      if (driver.needsReset || pick(8) === 0) driver.start({ eventIndex: pick(2) === 0 });
      else driver.offer(queue, pick(8));
  }
}

const GUEST = 3;
const HOST = 2;

const DEVICES: Record<string, (folder: string) => VirtioDevice & { after?: () => void }> = {
  rng: () => new Rng(),
  console: () => new Console(() => {}),
  balloon: () => new Balloon(),
  block: (folder) => {
    writeFileSync(join(folder, 'disk'), Buffer.alloc(1024 * 1024));
    return new Block(Backing.file(join(folder, 'disk'), { readOnly: false }), { serial: 'fuzz' });
  },
  'read-only block': (folder) => {
    writeFileSync(join(folder, 'disk'), Buffer.alloc(64 * 1024 + 77));
    return new Block(
      new Backing([{ path: join(folder, 'disk'), offset: 7, length: 64 * 1024 + 3 }], { readOnly: true }),
      { serial: 'fuzz' },
    );
  },
  vsock: () => {
    const vsock = new Vsock();
    for (let port = 0; port < 8; port++) vsock.listen(port, (connection) => connection.pipe(connection));
    return vsock;
  },
  fs: (folder) => {
    // what is fuzzed is one level down, so that a write outside of it would be seen
    const share = join(folder, 'share');
    mkdirSync(share);
    writeFileSync(join(share, 'file'), 'contents');
    symlinkSync('..', join(share, 'up'));
    return new Fs({ tag: 'fuzz', path: share, readOnly: false, ownership: sameOwners });
  },
  net: () => {
    const [ours, theirs] = packetPair();
    ours.release();
    return new Net(new PacketLink(theirs.release()), {
      mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
      filter: frameFilter,
    });
  },
  'net with traffic': () => {
    const [near, far] = packetPair();
    const link = new PacketLink(far.release());
    const other = new PacketLink(near.release());
    // frames of all lengths come while the driver does what it likes
    const timer = setInterval(() => {
      for (let i = 0; i < 8; i++) {
        other.room(1 + ((i * 9973) % 60_000)).fill(i);
        other.send();
      }
      while (other.peek() !== undefined) other.drop();
    }, 1);
    timer.unref();
    return new Net(link, { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtu: 65_520, filter: EVERY_FRAME });
  },
};

for (const [name, make] of Object.entries(DEVICES)) {
  const seed = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
  test.serial(`${name} survives random drivers (seed ${seed})`, async (t) => {
    t.timeout(SECONDS * 1000 + 60_000);
    const folder = mkdtempSync(join(tmpdir(), 'husk-fuzz-'));
    t.teardown(() => removeFolder(folder));
    using driver = new Driver(make(folder), { memory: 16 * 1024 * 1024 }).start();
    const pick = random(seed);
    const end = performance.now() + SECONDS * 1000;
    let steps = 0;
    let resets = 0;
    while (performance.now() < end) {
      for (let i = 0; i < 200; i++, steps++) {
        const before = process.threadCpuUsage();
        fuzzOnce(driver, pick);
        const { user, system } = process.threadCpuUsage(before);
        const took = (user + system) / 1000;
        if (took > KICK_LIMIT) t.fail(`step ${steps} took ${took} ms`);
      }
      await turn();
      if (driver.needsReset) resets++;
      driver.reports.length = 0;
      // and it is still a device: an honest driver gets it going again
      driver.start();
      t.is(driver.status & 64, 0);
    }
    t.log(`${steps} steps, ${resets} failed devices`);
    t.true(name !== 'fs' || readdirSync(folder).length === 1, 'something was made outside of the shared folder');
    t.true(resets > 0, 'the fuzzer never broke a rule: it tests nothing');
  });
}

/**
 * A machine saved and gone on with in another one: guests of a few bytes on any /dev/kvm, and files that are refused.
 */
import { accessSync, constants, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import test from 'ava';
import { Rng } from '../../src/vmm/devices/rng/device.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { GuestMemory } from '../../src/vmm/memory/guest-memory.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';
import { readState, writeState } from '../../src/vmm/snapshot/machine-state.ts';
import { writeMemory } from '../../src/vmm/snapshot/memory-file.ts';

const MEMORY = 64 * MIB;
/** 0x100_0000 is KERNEL_START */
const COUNTER = 0x100_1000;
/** xor ebx, ebx; again: inc rbx; mov [COUNTER], rbx; mov al, bl; mov dx, COM1; out dx, al; jmp again */
const CODE = [
  0x31, 0xdb, 0x48, 0xff, 0xc3, 0x48, 0x89, 0x1c, 0x25, 0x00, 0x10, 0x00, 0x01, 0x88, 0xd8, 0x66, 0xba, 0xf8, 0x03,
  0xee, 0xeb, 0xec,
];

/** An ELF of one segment at KERNEL_START. */
function kernel(path: string): string {
  const bytes = Buffer.alloc(0x2000);
  bytes.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(62, 18);
  bytes.writeBigUInt64LE(0x100_0000n, 24);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(1, 64);
  bytes.writeBigUInt64LE(0x1000n, 72);
  bytes.writeBigUInt64LE(0x100_0000n, 88);
  bytes.writeBigUInt64LE(BigInt(CODE.length), 96);
  bytes.writeBigUInt64LE(0x2000n, 104);
  Buffer.from(CODE).copy(bytes, 0x1000);
  writeFileSync(path, bytes);
  return path;
}

const folder = mkdtempSync(join(tmpdir(), 'husk-snapshot-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));
const config = (onSerial: (byte: number) => void) => ({
  kernel: kernel(join(folder, 'kernel')),
  commandLine: '',
  memory: MEMORY,
  cpus: 1,
  devices: [new Rng()],
  onSerial,
});

let usable = true;
try {
  accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
} catch {
  usable = false;
}
const onKvm = usable ? test.serial : test.serial.skip;

onKvm(
  `a guest goes on at the very next instruction, in another machine${usable ? '' : ' (needs /dev/kvm)'}`,
  async (t) => {
    const state = join(folder, 'state');
    const memory = join(folder, 'memory');
    const bytes: number[] = [];
    const enough = Promise.withResolvers<void>();
    using first = new Machine(config((byte) => void (bytes.push(byte) === 300 && enough.resolve())));
    const ended = first.run();
    await enough.promise;
    await first.pause();
    writeState(await first.save(), state);
    writeMemory(first.memory, memory);
    const saved = bytes.length;
    first.resume();
    await first.stop();
    t.deepEqual(await ended, { kind: 'stopped' });

    for (let round = 0; round < 2; round++) {
      const more: number[] = [];
      const again = Promise.withResolvers<void>();
      using second = new Machine(
        config((byte) => void (more.push(byte) === 300 && again.resolve())),
        { state: readState(state), memory },
      );
      const secondEnded = second.run();
      await again.promise;
      await second.stop();
      await secondEnded;
      // no byte twice, none missing: the exit that was being answered is neither lost nor repeated
      t.deepEqual(
        more.slice(0, 300),
        Array.from({ length: 300 }, (_, i) => (saved + 1 + i) & 0xff),
      );
      t.true(second.memory.readU64(COUNTER) >= saved + 300);
    }
  },
);

test('memory: a file with holes where it is zero', (t) => {
  using memory = GuestMemory.allocate(8 * MIB);
  memory.write(5 * MIB, Buffer.from('here'));
  const path = join(folder, 'holes');
  writeMemory(memory, path);
  t.is(statSync(path).size, 8 * MIB);
  t.true(statSync(path).blocks * 512 < MIB);
  using again = GuestMemory.allocate(8 * MIB);
  again.load(path);
  t.is(Buffer.from(again.copy(5 * MIB, 4)).toString(), 'here');
  again.write(5 * MIB, Buffer.from('HERE'));
  using third = GuestMemory.allocate(8 * MIB);
  third.load(path);
  t.is(Buffer.from(third.copy(5 * MIB, 4)).toString(), 'here');
  using small = GuestMemory.allocate(4 * MIB);
  t.throws(() => small.load(path), { message: /has 8388608 bytes, the machine 4194304/ });
});

test('guest memory that is given back and taken again is zero', (t) => {
  const first = GuestMemory.allocate(4 * MIB);
  first.write(MIB, Buffer.from('secret'));
  first[Symbol.dispose]();
  using second = GuestMemory.allocate(4 * MIB);
  t.deepEqual(second.copy(MIB, 6), new Uint8Array(6));
});

test('a state that is none, or another version’s, is refused', (t) => {
  const path = join(folder, 'bad');
  writeFileSync(path, 'nonsense');
  t.throws(() => readState(path), { message: /^cannot read the snapshot .*bad: / });
  writeFileSync(path, serialize({ version: 0 }));
  t.throws(() => readState(path), { message: /bad has version 0, this husk reads 1$/ });
  writeFileSync(path, serialize(null));
  t.throws(() => readState(path), { message: /has version undefined/ });
});

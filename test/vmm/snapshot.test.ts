/**
 * A machine saved and gone on with in another one: guests of a few bytes on any /dev/kvm, and files that are refused.
 */
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { after } from '../../src/long-timer.ts';
import { Rng } from '../../src/vmm/devices/rng/device.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { GuestMemory } from '../../src/vmm/memory/guest-memory.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';
import type { VcpuState } from '../../src/vmm/snapshot/kvm-state.ts';
import { STATE_VERSION, readState, writeState, type MachineState } from '../../src/vmm/snapshot/machine-state.ts';
import { writeMemory } from '../../src/vmm/snapshot/memory-file.ts';

const MEMORY = 64 * MIB;
/** 0x100_0000 is KERNEL_START */
const COUNTER = 0x100_1000;
/** xor ebx, ebx; again: inc rbx; mov [COUNTER], rbx; mov al, bl; mov dx, COM1; out dx, al; jmp again */
const CODE = [
  0x31, 0xdb, 0x48, 0xff, 0xc3, 0x48, 0x89, 0x1c, 0x25, 0x00, 0x10, 0x00, 0x01, 0x88, 0xd8, 0x66, 0xba, 0xf8, 0x03,
  0xee, 0xeb, 0xec,
];

/** again: rdtsc; shl rdx, 32; or rax, rdx; mov [COUNTER], rax; mov dx, COM1; out dx, al; jmp again */
const CLOCK_CODE = [
  0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x89, 0x04, 0x25, 0x00, 0x10, 0x00, 0x01, 0x66, 0xba,
  0xf8, 0x03, 0xee, 0xeb, 0xe8,
];
/** IA32_TSC */
const TSC = 0x10;

/** An ELF of one segment at KERNEL_START. */
function kernel(path: string, code: readonly number[]): string {
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
  bytes.writeBigUInt64LE(BigInt(code.length), 96);
  bytes.writeBigUInt64LE(0x2000n, 104);
  Buffer.from(code).copy(bytes, 0x1000);
  writeFileSync(path, bytes);
  return path;
}

const folder = mkdtempSync(join(tmpdir(), 'husk-snapshot-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));
const config = (onSerial: (byte: number) => void, code: readonly number[] = CODE) => ({
  kernel: kernel(join(folder, 'kernel'), code),
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

onKvm(`a guest saved in its first second does not count it again${usable ? '' : ' (needs /dev/kvm)'}`, async (t) => {
  const memory = join(folder, 'memory-of-clock');
  const first = Promise.withResolvers<void>();
  using machine = new Machine(config(() => first.resolve(), CLOCK_CODE));
  const ended = machine.run();
  await first.promise;
  // The more it has counted, the surer it is that a count from zero is seen. KVM counts so only where the host's own
  // counter is stable, which an emulated host's is not.
  await after(300);
  await machine.pause();
  const state = await machine.save();
  writeMemory(machine.memory, memory);
  await machine.stop();
  await ended;
  const [, saved] = state.vcpus[0]!.msrs.find(([index]) => index === TSC)!;
  const more = Promise.withResolvers<void>();
  let bytes = 0;
  // the second byte: the first may be of a count that was read before
  using again = new Machine(
    config(() => void (++bytes === 2 && more.resolve()), CLOCK_CODE),
    { state, memory },
  );
  const againEnded = again.run();
  await more.promise;
  await again.stop();
  await againEnded;
  const count = again.memory.readU64(COUNTER);
  t.true(count >= saved, `${count} after ${saved}`);
});

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

const plain = {
  memory: MEMORY,
  vcpus: [{}],
  devices: [{ device: 'rng' }],
} as unknown as MachineState;

const damages: [title: string, damage: (file: Buffer) => Uint8Array, message: RegExp][] = [
  ['empty', () => Buffer.alloc(0), /^cannot read the snapshot .*: it is none of husk$/],
  ['of something else', () => Buffer.from('nonsense'.repeat(20)), /: it is none of husk$/],
  ['cut in its header', (file) => file.subarray(0, 43), /: it is none of husk$/],
  ['cut in its body', (file) => file.subarray(0, -1), /: it has \d+ bytes of state, not \d+$/],
  ['longer', (file) => Buffer.concat([file, Buffer.alloc(8)]), /: it has \d+ bytes of state, not \d+$/],
  ['of another length', (file) => (file.writeUInt32LE(7, 8), file), /: it has \d+ bytes of state, not 7$/],
  ['with a bit changed', (file) => ((file[60]! ^= 4), file), /: its bytes have changed$/],
  ['with another digest', (file) => ((file[12]! ^= 1), file), /: its bytes have changed$/],
  [
    'of another version',
    (file) => (file.writeUInt32LE(1, 4), file),
    new RegExp(`^the snapshot .* has version 1, this husk reads ${STATE_VERSION}$`),
  ],
];
for (const [title, damage, message] of damages)
  test(`a state that is ${title} is refused`, (t) => {
    const path = join(folder, `damaged ${title}`);
    writeState(plain, path);
    t.deepEqual(readState(path), plain);
    writeFileSync(path, damage(readFileSync(path)));
    t.throws(() => readState(path), { name: 'HuskError', message });
  });

test('a state that is not there is said so', (t) => {
  t.throws(() => readState(join(folder, 'nowhere')), {
    message: /^cannot read the snapshot .*nowhere: .*ENOENT|no such/,
  });
});

const others: [title: string, change: Partial<MachineState>, message: RegExp][] = [
  [
    'CPUs',
    { vcpus: [{}, {}] as MachineState['vcpus'] },
    /^cannot restore a machine of \d+ bytes, 2 CPUs .* into one of .*, 1 CPUs/,
  ],
  ['memory', { memory: 2 * MEMORY }, /^cannot restore a machine of 134217728 bytes.* into one of 67108864 bytes/],
  ['devices', { devices: [] }, /the devices  into one of .* the devices rng$/],
  ['kinds of devices', { devices: [{ device: 'balloon' }] as MachineState['devices'] }, /balloon into one of .* rng$/],
];
for (const [title, change, message] of others)
  test(`a state with other ${title} than the machine is refused`, (t) => {
    const snapshot = { state: { ...plain, ...change }, memory: '' };
    t.throws(
      () =>
        new Machine(
          config(() => {}),
          snapshot,
        ),
      { name: 'HuskError', message },
    );
  });

const hosts: [title: string, change: (vcpu: VcpuState) => void, message: RegExp][] = [
  [
    'a CPU that has less',
    ({ cpuid }) => void cpuid.pop(),
    /^cannot restore a machine on another CPU, or under another KVM/,
  ],
  ['a CPU with other features', ({ cpuid }) => void (cpuid[1]!.edx ^= 1), /^cannot restore a machine on another CPU/],
  [
    'a faster TSC',
    (vcpu) => void (vcpu.tscKhz = 2 * vcpu.tscKhz + 1),
    /^cannot restore a machine whose TSC counts at \d+ kHz: this host's has \d+$/,
  ],
  [
    'registers that it does not have',
    ({ msrs }) => void msrs.push([0x1234_5678, 1n]),
    /KVM refuses 0x1 in MSR 0x12345678 of vCPU 0$/,
  ],
];
for (const [title, change, message] of hosts)
  onKvm(`a state of ${title} is refused`, async (t) => {
    const [state, memory] = [join(folder, `state ${title}`), join(folder, `memory ${title}`)];
    using first = new Machine(config(() => {}));
    const saved = await first.save();
    writeMemory(first.memory, memory);
    change(saved.vcpus[0]!);
    writeState(saved, state);
    t.throws(
      () =>
        new Machine(
          config(() => {}),
          { state: readState(state), memory },
        ),
      { name: 'HuskError', message },
    );
  });

onKvm('a state of a core with other caches and another frequency goes on, and is saved with them again', async (t) => {
  const memory = join(folder, 'memory of another core');
  using first = new Machine(config(() => {}));
  const state = await first.save();
  writeMemory(first.memory, memory);
  const { cpuid } = state.vcpus[0]!;
  const described = cpuid.filter((entry) => entry.function === 0x4 || entry.function === 0x8000_0006);
  t.true(described.length > 0);
  for (const entry of described) entry.ecx ^= 0x100;
  cpuid.push({ function: 0x16, index: 0, flags: 0, eax: 1200, ebx: 3400, ecx: 100, edx: 0 });
  using second = new Machine(
    config(() => {}),
    { state, memory },
  );
  t.deepEqual((await second.save()).vcpus[0]!.cpuid, cpuid);
});

onKvm('a memory of another length is refused', async (t) => {
  const memory = join(folder, 'short');
  using first = new Machine(config(() => {}));
  const state = await first.save();
  writeFileSync(memory, Buffer.alloc(4096));
  t.throws(
    () =>
      new Machine(
        config(() => {}),
        { state, memory },
      ),
    { message: /short has 4096 bytes, the machine 67108864$/ },
  );
});

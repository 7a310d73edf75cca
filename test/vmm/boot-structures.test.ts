/** What the guest kernel reads before it runs: ELF, zero page, MP table, CPUID. Bytes in, bytes out; no KVM. */
import test from 'ava';
import { MP_TABLE_ADDRESS, MP_TABLE_END } from '../../src/vmm/boot/addresses.ts';
import { E820_RAM, zeroPage } from '../../src/vmm/boot/boot-params.ts';
import { filterCpuid } from '../../src/vmm/boot/cpuid.ts';
import { parseElf } from '../../src/vmm/boot/elf.ts';
import { MAX_CPUS, mpTable } from '../../src/vmm/boot/mp-table.ts';
import type { CpuidEntry } from '../../src/vmm/kvm/requests.ts';

const WINDOW = { start: 0x100000, end: 0x4000000 };
const FILE_SIZE = 0x10000;

/** An ELF head with two segments, then what `change` does to it. */
function elf(change: (view: DataView) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array(64 + 2 * 56);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7f454c46, false);
  view.setUint8(4, 2);
  view.setUint8(5, 1);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(24, 0x1000000n, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 2, true);
  for (const [i, address] of [0x1000000n, 0x2000000n].entries()) {
    const at = 64 + i * 56;
    view.setUint32(at, 1, true);
    view.setBigUint64(at + 8, BigInt(0x1000 * (i + 1)), true);
    view.setBigUint64(at + 24, address, true);
    view.setBigUint64(at + 32, 0x800n, true);
    view.setBigUint64(at + 40, 0x1000n, true);
  }
  change(view);
  return bytes;
}

test('an ELF kernel is its loadable segments and its entry', (t) => {
  t.deepEqual(parseElf(elf(), FILE_SIZE, WINDOW), {
    entry: 0x1000000,
    segments: [
      { fileOffset: 0x1000, fileLength: 0x800, address: 0x1000000, memoryLength: 0x1000 },
      { fileOffset: 0x2000, fileLength: 0x800, address: 0x2000000, memoryLength: 0x1000 },
    ],
  });
});

for (const [name, change] of Object.entries<(view: DataView) => void>({
  'another magic': (v) => v.setUint8(0, 0x4d),
  '32-bit': (v) => v.setUint8(4, 1),
  'another machine': (v) => v.setUint16(18, 183, true),
  'a shared object': (v) => v.setUint16(16, 3, true),
  'no program headers': (v) => v.setUint16(56, 0, true),
  'more program headers than the head holds': (v) => v.setUint16(56, 3, true),
  'a table that wraps': (v) => v.setBigUint64(32, 2n ** 64n - 8n, true),
  'a segment beyond the file': (v) => v.setBigUint64(64 + 8, 0xf900n, true),
  'an offset that wraps': (v) => v.setBigUint64(64 + 8, 2n ** 64n - 16n, true),
  'a segment below the kernel’s place': (v) => v.setBigUint64(64 + 24, 0x1000n, true),
  'a segment beyond RAM': (v) => v.setBigUint64(64 + 24, 0x3fff800n, true),
  'an address that wraps': (v) => v.setBigUint64(64 + 24, 2n ** 64n - 0x800n, true),
  'more file than memory': (v) => v.setBigUint64(64 + 32, 0x2000n, true),
  'more memory than there is': (v) => v.setBigUint64(64 + 40, 2n ** 63n, true),
  'overlapping segments': (v) => v.setBigUint64(64 + 56 + 24, 0x1000800n, true),
  'an entry outside': (v) => v.setBigUint64(24, 0x1001000n, true),
})) {
  test(`an ELF file with ${name} is refused`, (t) => {
    t.throws(() => parseElf(elf(change), FILE_SIZE, WINDOW), { message: /^cannot boot the kernel: / });
  });
}

test('a truncated head is refused at every length', (t) => {
  const whole = elf();
  for (let length = 0; length < whole.length; length++)
    t.throws(() => parseElf(whole.subarray(0, length), FILE_SIZE, WINDOW));
});

test('the zero page names memory, command line and initrd', (t) => {
  const view = new DataView(
    zeroPage({
      commandLineAddress: 0x20000,
      e820: [{ start: 0x100000, length: 0x7f00000, type: E820_RAM }],
      initrd: { address: 0x1_2345_6000, length: 99 },
    }).buffer,
  );
  t.is(view.getUint32(0x202, true), 0x53726448);
  t.is(view.getUint16(0x1fe, true), 0xaa55);
  t.is(view.getUint32(0x228, true), 0x20000);
  t.is(view.getUint8(0x1e8), 1);
  t.deepEqual(
    [view.getBigUint64(0x2d0, true), view.getBigUint64(0x2d8, true), view.getUint32(0x2e0, true)],
    [0x100000n, 0x7f00000n, 1],
  );
  t.deepEqual(
    [view.getUint32(0x218, true), view.getUint32(0x0c0, true), view.getUint32(0x21c, true)],
    [0x2345_6000, 1, 99],
  );
});

test('the MP table sums to zero and fits, for every number of CPUs', (t) => {
  for (let cpus = 1; cpus <= MAX_CPUS; cpus++) {
    const bytes = mpTable(cpus);
    t.true(MP_TABLE_ADDRESS + bytes.length <= MP_TABLE_END);
    const sum = (part: Uint8Array) => part.reduce((total, byte) => (total + byte) & 0xff, 0);
    t.is(sum(bytes.subarray(0, 16)), 0);
    const length = new DataView(bytes.buffer).getUint16(16 + 4, true);
    t.is(length, bytes.length - 16);
    t.is(sum(bytes.subarray(16)), 0);
  }
  t.throws(() => mpTable(0));
  t.throws(() => mpTable(MAX_CPUS + 1));
});

/** what a generous host would offer: every bit of these leaves */
const everything: CpuidEntry[] = [
  0, 1, 4, 5, 6, 7, 0xa, 0xb, 0xd, 0x12, 0x14, 0x4000_0000, 0x4000_0001, 0x8000_0000, 0x8000_0001, 0x8000_0007,
  0x8000_0008, 0x8000_000a, 0x8000_001f,
].map((leaf) => ({
  function: leaf,
  index: 0,
  flags: 0,
  eax: 0xffff_ffff,
  ebx: 0xffff_ffff,
  ecx: 0xffff_ffff,
  edx: 0xffff_ffff,
}));
const leaf = (entries: CpuidEntry[], number: number, index = 0) =>
  entries.find((entry) => entry.function === number && entry.index === index);
const has = (value: number | undefined, bit: number) => ((value! >>> bit) & 1) === 1;

test('CPUID: leaves without a rule are not shown', (t) => {
  const shown = filterCpuid(everything, { id: 0, cpus: 1, tscDeadline: true });
  // MONITOR, performance counters, SGX, PT, SVM, SEV
  for (const number of [5, 0xa, 0x12, 0x14, 0x8000_000a, 0x8000_001f]) t.is(leaf(shown, number), undefined);
});

test('CPUID: no nested virtualisation, no monitor, no enclaves; a hypervisor, x2APIC and the deadline timer', (t) => {
  const shown = filterCpuid(everything, { id: 0, cpus: 1, tscDeadline: true });
  const one = leaf(shown, 1)!;
  for (const bit of [3, 5, 6]) t.false(has(one.ecx, bit));
  for (const bit of [21, 24, 31]) t.true(has(one.ecx, bit));
  t.false(has(leaf(shown, 0x8000_0001)!.ecx, 2));
  t.false(has(leaf(shown, 7)!.ebx, 2));
  t.false(
    has(
      leaf(
        filterCpuid(
          everything.map((e) => ({ ...e, ecx: 0 })),
          { id: 0, cpus: 1, tscDeadline: false },
        ),
        1,
      )!.ecx,
      24,
    ),
  );
});

test('CPUID: each vCPU has its id and the guest’s topology', (t) => {
  const shown = filterCpuid(everything, { id: 3, cpus: 6, tscDeadline: true });
  t.is(leaf(shown, 1)!.ebx >>> 24, 3);
  t.is((leaf(shown, 1)!.ebx >>> 16) & 0xff, 8);
  t.is(leaf(shown, 0xb, 0)!.edx, 3);
  t.deepEqual([leaf(shown, 0xb, 1)!.eax, leaf(shown, 0xb, 1)!.ebx, leaf(shown, 0xb, 1)!.edx], [3, 6, 3]);
  t.is(leaf(shown, 0x8000_0008)!.ecx & 0xff, 5);
});

/** KVM itself, with guests of a few bytes: any /dev/kvm will do, however slow. */
import { accessSync, constants, readdirSync } from 'node:fs';
import test from 'ava';
import { EventFd } from '../../src/host/streams/eventfd.ts';
import { Mapping } from '../../src/host/memory/mapping.ts';
import { KERNEL_START } from '../../src/vmm/boot/addresses.ts';
import { filterCpuid } from '../../src/vmm/boot/cpuid.ts';
import { enterLongMode, writeBootTables } from '../../src/vmm/boot/long-mode.ts';
import { denyCounters } from '../../src/vmm/kvm/msr-filter.ts';
import { Kvm } from '../../src/vmm/kvm/system.ts';
import type { VcpuEnd } from '../../src/vmm/kvm/vcpu.ts';
import type { Vm } from '../../src/vmm/kvm/vm.ts';
import { GuestMemory } from '../../src/vmm/memory/guest-memory.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';

/** inside the boot page tables' identity map, outside of RAM */
const DEVICE = 0x2000_0000;
/** a byte written here ends the guest */
const END_PORT = 0x64;

const u32 = (value: number) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
/** 64-bit code, Intel SDM vol. 2 */
const CODE = {
  pointAtDevice: [0xbb, ...u32(DEVICE)],
  set: (value: number) => [0xb8, ...u32(value)],
  store: (offset: number) => [0x89, 0x43, offset],
  load: (offset: number) => [0x8b, 0x43, offset],
  out32: (port: number) => [0xe7, port],
  out8: (port: number) => [0xe6, port],
  in32: (port: number) => [0xe5, port],
  selectMsr: (index: number) => [0xb9, ...u32(index), 0x31, 0xd2],
  wrmsr: [0x0f, 0x30],
  rdmsr: [0x0f, 0x32],
  undefined: [0x0f, 0x0b],
  loop: [0xeb, 0xfe],
};

interface Seen {
  out: [port: number, value: number][];
  written: [address: number, bytes: string][];
  read: number[];
  end: VcpuEnd;
}

/** Runs code until it writes to END_PORT or `during` stops it. */
async function run(
  code: number[][],
  options: {
    devices?: (vm: Vm) => void;
    during?: (stop: () => void, pause: () => Promise<void>, resume: () => void) => void;
  } = {},
): Promise<Seen> {
  using kvm = Kvm.open();
  using memory = GuestMemory.allocate(2 * MIB);
  using vm = kvm.createVm();
  memory.attach(vm);
  options.devices?.(vm);
  memory.write(KERNEL_START, Uint8Array.from([...code, CODE.out8(END_PORT), CODE.loop].flat()));
  writeBootTables(memory);
  using vcpu = vm.createVcpu(0);
  vcpu.setCpuid(filterCpuid(kvm.supportedCpuid(), { id: 0, cpus: 1, tscDeadline: false }));
  enterLongMode(vcpu, KERNEL_START);
  const seen: Omit<Seen, 'end'> = { out: [], written: [], read: [] };
  const ended = vcpu.run({
    portIn: (port) => 0x1000_0000 + port,
    portOut: (port, _size, value) => {
      if (port === END_PORT) vcpu.stop();
      else seen.out.push([port, value]);
    },
    mmioRead: (address, data) => {
      seen.read.push(address);
      data.fill(0x11);
    },
    mmioWrite: (address, data) => void seen.written.push([address, Buffer.from(data).toString('hex')]),
  });
  options.during?.(
    () => vcpu.stop(),
    () => vcpu.pause(),
    () => vcpu.resume(),
  );
  return { ...seen, end: await ended };
}

let usable = true;
try {
  accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
} catch {
  usable = false;
}
const onKvm = usable ? test.serial : test.serial.skip;
const title = (text: string) => (usable ? text : `${text} (needs /dev/kvm)`);

onKvm(title('ports: what the guest writes and reads'), async (t) => {
  const seen = await run([CODE.set(0x1234_5678), CODE.out32(0x80), CODE.in32(0x70), CODE.out32(0x81)]);
  t.deepEqual(seen.out, [
    [0x80, 0x1234_5678],
    [0x81, 0x1000_0070],
  ]);
  t.deepEqual(seen.end, { kind: 'stopped' });
});

onKvm(title('addresses that are no memory leave the guest'), async (t) => {
  const seen = await run([CODE.pointAtDevice, CODE.set(0xaabb_ccdd), CODE.store(8), CODE.load(4), CODE.out32(0x80)]);
  t.deepEqual(seen.written, [[DEVICE + 8, 'ddccbbaa']]);
  t.deepEqual(seen.read, [DEVICE + 4]);
  t.deepEqual(seen.out, [[0x80, 0x1111_1111]]);
});

onKvm(title('a read-only page is read without an exit and written with one'), async (t) => {
  using page = Mapping.anonymous(4096);
  new DataView(page.buffer).setUint32(4, 0x7654_3210, true);
  const seen = await run(
    [CODE.pointAtDevice, CODE.load(4), CODE.out32(0x80), CODE.store(4), CODE.load(4), CODE.out32(0x81)],
    { devices: (vm) => vm.addMemory(DEVICE, page, { readOnly: true }) },
  );
  t.deepEqual(seen.read, []);
  t.deepEqual(seen.written, [[DEVICE + 4, '10325476']]);
  t.deepEqual(seen.out, [
    [0x80, 0x7654_3210],
    [0x81, 0x7654_3210],
  ]);
});

onKvm(title('an ioeventfd takes the write, on a read-only page, too; with a match only that value'), async (t) => {
  using page = Mapping.anonymous(4096);
  using any = new EventFd();
  using one = new EventFd();
  const seen = await run(
    [CODE.pointAtDevice, CODE.set(5), CODE.store(0x50), CODE.set(1), CODE.store(0x64), CODE.set(3), CODE.store(0x64)],
    {
      devices: (vm) => {
        vm.addMemory(DEVICE, page, { readOnly: true });
        vm.addIoEventFd(DEVICE + 0x50, 4, any);
        vm.addIoEventFd(DEVICE + 0x64, 4, one, { match: 1 });
      },
    },
  );
  t.true(any.drain());
  t.true(one.drain());
  t.deepEqual(seen.written, [[DEVICE + 0x64, '03000000']]);
});

onKvm(title('an exception without a table to handle it is a triple fault'), async (t) => {
  const { end } = await run([CODE.undefined]);
  t.deepEqual(end, { kind: 'triple-fault' });
});

/** AMD's fourth legacy counter, Intel's first: Linux tries out such ones as it boots */
for (const [msr, access] of [
  [0xc001_0007, 'wrmsr'],
  [0xc001_0000, 'rdmsr'],
  [0xc1, 'wrmsr'],
  [0x186, 'rdmsr'],
] as const) {
  onKvm(title(`a performance counter (${access} of 0x${msr.toString(16)}) is a fault in the guest`), async (t) => {
    const { end, out } = await run([CODE.selectMsr(msr), CODE.set(0xabcd), CODE[access], CODE.out32(0x80)], {
      devices: (vm) => denyCounters(vm.fd),
    });
    t.deepEqual({ end, out }, { end: { kind: 'triple-fault' }, out: [] });
  });
}

onKvm(title("other model-specific registers are the guest's"), async (t) => {
  const STAR = 0xc000_0081;
  const { out } = await run(
    [CODE.selectMsr(STAR), CODE.set(5), CODE.wrmsr, CODE.set(0), CODE.rdmsr, CODE.out32(0x80)],
    { devices: (vm) => denyCounters(vm.fd) },
  );
  t.deepEqual(out, [[0x80, 5]]);
});

onKvm(title('a guest that never leaves is stopped, and pauses before'), async (t) => {
  const { end } = await run([CODE.loop], {
    during: (stop, pause, resume) => {
      void (async () => {
        await pause();
        resume();
        await pause();
        resume();
        stop();
      })();
    },
  });
  t.deepEqual(end, { kind: 'stopped' });
});

onKvm(title('a VM leaves no descriptor behind'), async (t) => {
  await run([]);
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 10; i++) await run([]);
  // The test runner's own come and go; a leak would be ten at least.
  t.true(readdirSync('/proc/self/fd').length < before + 8);
});

test('a file that is not KVM is refused in one line', (t) => {
  t.throws(() => Kvm.open('/dev/null'), { message: '/dev/null is not KVM' });
  t.throws(() => Kvm.open('/no/such/kvm'), { message: 'cannot open /no/such/kvm: ENOENT' });
});

/**
 * Measures how fast this host's KVM runs guest supervisor code, for `--isolation=auto` and `husk doctor`. Hardware runs
 * one instruction a cycle or more. A KVM that interprets its guests (nested on a host without nested paging, or pure
 * software) runs a few million a second, and a container there would be hundreds of times slower than in user
 * namespaces.
 */
import { enterLongMode, writeBootTables } from './long-mode.ts';
import { filterCpuid } from './cpuid.ts';
import { KERNEL_START } from './addresses.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { IDENTITY_MAP_ADDRESS, MIB, TSS_ADDRESS } from '../memory/layout.ts';
import { Kvm } from '../kvm/system.ts';
import { startTimer } from '../../long-timer.ts';

/** iterations of the loop, which take 3 ms on a slow hardware CPU */
const ITERATIONS = 5_000_000;
/** milliseconds after which the answer is "slow" and the guest is stopped */
const PATIENCE = 250;
/**
 * guest instructions a second below which `auto` does not choose KVM; the bound lies between the slowest hardware and
 * the fastest interpreter, far from both
 */
export const FIT_SPEED = 100_000_000;

const PROBE_PORT = 0x64;

/** @returns 64-bit code: mov rcx, ITERATIONS; dec rcx; jnz -5; out PROBE_PORT, al; jmp self */
function program(): Uint8Array {
  const code = Uint8Array.from([
    0x48,
    0xc7,
    0xc1,
    0,
    0,
    0,
    0,
    0x48,
    0xff,
    0xc9,
    0x75,
    0xfb,
    0xe6,
    PROBE_PORT,
    0xeb,
    0xfe,
  ]);
  new DataView(code.buffer).setUint32(3, ITERATIONS, true);
  return code;
}

export interface KvmSpeed {
  /** guest instructions a second; an upper bound when `exact` is false, because the guest was stopped before its end */
  instructionsPerSecond: number;
  exact: boolean;
  fit: boolean;
}

/**
 * The measurement takes 3 ms on hardware, and a quarter of a second at most.
 * @throws HuskError `unsupported` when there is no /dev/kvm to open
 */
export async function measureKvm(): Promise<KvmSpeed> {
  using kvm = Kvm.open();
  using memory = GuestMemory.allocate(2 * MIB);
  using vm = kvm.createVm();
  vm.setIntelScratch(TSS_ADDRESS, IDENTITY_MAP_ADDRESS);
  memory.attach(vm);
  memory.write(KERNEL_START, program());
  writeBootTables(memory);
  using vcpu = vm.createVcpu(0);
  vcpu.setCpuid(filterCpuid(kvm.supportedCpuid(), { id: 0, cpus: 1, tscDeadline: false }));
  enterLongMode(vcpu, KERNEL_START);
  const start = performance.now();
  let end: number | undefined;
  const cancel = startTimer(PATIENCE, () => vcpu.stop());
  await vcpu.run({
    portIn: () => 0,
    portOut: () => {
      end = performance.now();
      vcpu.stop();
    },
    mmioRead: () => {},
    mmioWrite: () => {},
  });
  cancel();
  // One iteration of the loop is two instructions.
  const instructionsPerSecond = (2 * ITERATIONS) / (((end ?? performance.now()) - start) / 1000);
  return {
    instructionsPerSecond,
    exact: end !== undefined,
    fit: end !== undefined && instructionsPerSecond >= FIT_SPEED,
  };
}

/**
 * What KVM holds of a machine: registers of the vCPUs, interrupt controllers, timer, clock; as plain data. The
 * structures are the kernel's own, kept as bytes and given back unread (include/uapi/linux/kvm.h,
 * arch/x86/include/uapi/asm/kvm.h); they fit a host with the same kernel interface and a CPU that has what the guest
 * was shown.
 */
import {
  CLOCK_SIZE,
  CLOCK_VALUE,
  IRQCHIPS,
  IRQCHIP_SIZE,
  KVM_GET_CLOCK,
  KVM_GET_DEBUGREGS,
  KVM_GET_IRQCHIP,
  KVM_GET_LAPIC,
  KVM_GET_MP_STATE,
  KVM_GET_PIT2,
  KVM_GET_VCPU_EVENTS,
  KVM_GET_XCRS,
  KVM_GET_XSAVE,
  KVM_SET_CLOCK,
  KVM_SET_DEBUGREGS,
  KVM_SET_IRQCHIP,
  KVM_SET_LAPIC,
  KVM_SET_MP_STATE,
  KVM_SET_MSRS,
  KVM_SET_PIT2,
  KVM_SET_VCPU_EVENTS,
  KVM_SET_XCRS,
  KVM_SET_XSAVE,
  PIT_STATE_SIZE,
  type CpuidEntry,
} from '../kvm/requests.ts';
import type { Kvm } from '../kvm/system.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { Vm } from '../kvm/vm.ts';

export interface VcpuState {
  cpuid: CpuidEntry[];
  msrs: [index: number, value: bigint][];
  regs: Uint8Array;
  sregs: Uint8Array;
  /** each by its structure's name in PARTS */
  parts: Record<string, Uint8Array>;
}

export interface VmState {
  irqchips: Uint8Array[];
  pit: Uint8Array;
  /** nanoseconds of kvmclock */
  clock: bigint;
}

/**
 * The remaining structures, in the order they must be given back: XSAVE before what interprets it, the local APIC after
 * the MSR that switches it to x2APIC mode, what is pending after the registers it will be delivered with, and last
 * whether the CPU runs at all.
 */
const PARTS = [
  { name: 'xcrs', get: KVM_GET_XCRS, set: KVM_SET_XCRS, size: 392, capability: 'XCRS' },
  { name: 'xsave', get: KVM_GET_XSAVE, set: KVM_SET_XSAVE, size: 4096 },
  { name: 'debugregs', get: KVM_GET_DEBUGREGS, set: KVM_SET_DEBUGREGS, size: 128 },
  { name: 'lapic', get: KVM_GET_LAPIC, set: KVM_SET_LAPIC, size: 1024 },
  { name: 'events', get: KVM_GET_VCPU_EVENTS, set: KVM_SET_VCPU_EVENTS, size: 64 },
  { name: 'mp_state', get: KVM_GET_MP_STATE, set: KVM_SET_MP_STATE, size: 4 },
] as const;

/** IA32_TSC_DEADLINE: armed only in an APIC that has been restored, so after it */
const TSC_DEADLINE = 0x6e0;

/** Of a paused vCPU. @param cpuid as it was set: KVM gives it back only with what changed at run time */
export function saveVcpu(kvm: Kvm, vcpu: Vcpu, cpuid: CpuidEntry[]): VcpuState {
  // mp_state first: reading it makes KVM take in start-up interrupts that have arrived
  const parts = Object.fromEntries(
    PARTS.toReversed()
      .filter((part) => isThere(kvm, part))
      .map(({ name, get, size }) => [name, vcpu.get(get, size, `read ${name}`)]),
  );
  return { cpuid, msrs: vcpu.getMsrs(kvm.savedMsrs()), regs: vcpu.getRegs(), sregs: vcpu.getSregs(), parts };
}

/** Into a vCPU that has not run. */
export function restoreVcpu(kvm: Kvm, vcpu: Vcpu, state: VcpuState): void {
  vcpu.setCpuid(state.cpuid);
  vcpu.setSregs(state.sregs);
  vcpu.setRegs(state.regs);
  setMsrs(
    vcpu,
    state.msrs.filter(([index]) => index !== TSC_DEADLINE),
  );
  for (const part of PARTS) {
    const bytes = state.parts[part.name];
    if (bytes !== undefined && isThere(kvm, part)) vcpu.set(part.set, bytes, `set ${part.name}`);
  }
  setMsrs(
    vcpu,
    state.msrs.filter(([index]) => index === TSC_DEADLINE),
  );
}

/**
 * Some that can be read refuse to be written with what was read when it is their default (a feature the guest was not
 * shown): zero means untouched.
 */
function setMsrs(vcpu: Vcpu, msrs: VcpuState['msrs']): void {
  for (const msr of msrs) {
    try {
      vcpu.setMsrs(KVM_SET_MSRS, [msr]);
    } catch (error) {
      if (msr[1] !== 0n) throw error;
    }
  }
}

const isThere = (kvm: Kvm, part: (typeof PARTS)[number]) => !('capability' in part) || kvm.check(part.capability) !== 0;

export function saveVm(vm: Vm): VmState {
  const irqchips = IRQCHIPS.map((chip) => {
    const bytes = new Uint8Array(IRQCHIP_SIZE);
    bytes[0] = chip;
    return vm.exchange(KVM_GET_IRQCHIP, bytes, `read interrupt controller ${chip}`);
  });
  const clock = vm.exchange(KVM_GET_CLOCK, new Uint8Array(CLOCK_SIZE), 'read the clock');
  return {
    irqchips,
    pit: vm.exchange(KVM_GET_PIT2, new Uint8Array(PIT_STATE_SIZE), 'read the timer'),
    clock: new DataView(clock.buffer).getBigUint64(CLOCK_VALUE, true),
  };
}

/** After `restoreVcpu` of every vCPU: the controllers deliver into their local APICs. */
export function restoreVm(vm: Vm, state: VmState): void {
  for (const chip of state.irqchips) vm.exchange(KVM_SET_IRQCHIP, chip.slice(), 'set an interrupt controller');
  vm.exchange(KVM_SET_PIT2, state.pit.slice(), 'set the timer');
  const clock = new Uint8Array(CLOCK_SIZE);
  new DataView(clock.buffer).setBigUint64(CLOCK_VALUE, state.clock, true);
  vm.exchange(KVM_SET_CLOCK, clock, 'set the clock');
}

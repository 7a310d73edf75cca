/**
 * Saves and restores what KVM holds of a machine, as plain data: the vCPUs' registers, the interrupt controllers, the
 * timer and the clock. The structures are the kernel's own (include/uapi/linux/kvm.h, arch/x86/include/uapi/asm/kvm.h),
 * kept as bytes and given back without being read. They fit a host that has the same kernel interface and a CPU with
 * all that the guest was shown.
 */
import { HuskError } from '../../errors.ts';
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
  /** kHz at which the guest's TSC counts; 0 where KVM does not say */
  tscKhz: number;
  msrs: [index: number, value: bigint][];
  regs: Uint8Array;
  sregs: Uint8Array;
  /** the structures of PARTS, each under its name there; a host without XSAVE has no `xcrs` */
  parts: Record<string, Uint8Array>;
}

export interface VmState {
  irqchips: Uint8Array[];
  pit: Uint8Array;
  /** nanoseconds of kvmclock */
  clock: bigint;
}

/**
 * The remaining structures, in the order in which they must be given back: XSAVE before what interprets it, the local
 * APIC after the MSR that switches it to x2APIC mode, pending events after the registers that they will be delivered
 * with, and last whether the CPU runs at all.
 */
const PARTS = [
  { name: 'xcrs', get: KVM_GET_XCRS, set: KVM_SET_XCRS, size: 392, capability: 'XCRS' },
  { name: 'xsave', get: KVM_GET_XSAVE, set: KVM_SET_XSAVE, size: 4096 },
  { name: 'debugregs', get: KVM_GET_DEBUGREGS, set: KVM_SET_DEBUGREGS, size: 128 },
  { name: 'lapic', get: KVM_GET_LAPIC, set: KVM_SET_LAPIC, size: 1024 },
  { name: 'events', get: KVM_GET_VCPU_EVENTS, set: KVM_SET_VCPU_EVENTS, size: 64 },
  { name: 'mp_state', get: KVM_GET_MP_STATE, set: KVM_SET_MP_STATE, size: 4 },
] as const;

/** IA32_TSC, the time-stamp counter */
const TSC = 0x10;
/** no machine counts that far: centuries at any rate there is */
const FAR_TSC = 1n << 62n;

/** IA32_TSC_DEADLINE is set after the local APIC, because only an APIC that has been restored can arm its timer. */
const TSC_DEADLINE = 0x6e0;

/**
 * Hyper-V's registers (arch/x86/include/asm/hyperv-tlfs.h), which KVM lists for every guest. No guest of husk is shown
 * Hyper-V; reading one makes KVM set up all of Hyper-V for the vCPU.
 */
const HYPERV_MSRS = { first: 0x4000_0000, last: 0x4000_01ff };

/**
 * parts per million by which KVM lets a guest's TSC rate differ from the host's without scaling it (tsc_tolerance_ppm)
 */
const TSC_TOLERANCE = 250;

/** Saves a paused vCPU. @param cpuid the CPUID that was set, because KVM returns it with what changed at run time */
export function saveVcpu(kvm: Kvm, vcpu: Vcpu, cpuid: CpuidEntry[]): VcpuState {
  const read = ({ name, get, size }: (typeof PARTS)[number]) => [name, vcpu.get(get, size, `read ${name}`)] as const;
  const parts = PARTS.filter((part) => isThere(kvm, part));
  // Reading mp_state makes KVM take in start-up interrupts that have arrived, so it comes before everything else.
  const state = parts.filter(({ name }) => name === 'mp_state').map(read);
  // Any request may move the vCPU to this CPU of the host and find its timer expired there: KVM then clears the
  // deadline and posts the interrupt into the local APIC. Read in this order a timer may be saved twice, never lost.
  const msrs = vcpu.getMsrs(kvm.savedMsrs().filter((index) => index < HYPERV_MSRS.first || index > HYPERV_MSRS.last));
  state.push(...parts.filter(({ name }) => name !== 'mp_state').map(read));
  return {
    cpuid,
    tscKhz: tscKhz(kvm, vcpu),
    msrs,
    regs: vcpu.getRegs(),
    sregs: vcpu.getSregs(),
    parts: Object.fromEntries(state),
  };
}

function tscKhz(kvm: Kvm, vcpu: Vcpu): number {
  return kvm.check('GET_TSC_KHZ') === 0 ? 0 : vcpu.tscKhz();
}

/**
 * Makes KVM take the TSC that is restored next as it is; called for the first vCPU alone, before any is restored. KVM
 * takes a write that lies within a second of what the counter would be by now for an attempt to synchronize CPUs, and
 * goes on with its own value (kvm_synchronize_tsc; Linux before 6.7 also against the counter's start): a machine that
 * was saved in its first second would count from zero again, and its timers be late by as much. The other vCPUs' values
 * lie near the first one's, with which they are to be synchronized.
 */
export function forgetTscStart(vcpu: Vcpu): void {
  setMsrs(vcpu, [[TSC, FAR_TSC]]);
}

/**
 * Restores the state into a vCPU that has not run.
 * @throws HuskError `unsupported` on a host whose TSC has another rate
 */
export function restoreVcpu(kvm: Kvm, vcpu: Vcpu, state: VcpuState): void {
  const khz = tscKhz(kvm, vcpu);
  if (Math.abs(khz - state.tscKhz) * 1_000_000 > khz * TSC_TOLERANCE)
    throw new HuskError(`cannot restore a machine whose TSC counts at ${state.tscKhz} kHz: this host's has ${khz}`, {
      kind: 'unsupported',
    });
  vcpu.setCpuid(state.cpuid);
  vcpu.setSregs(state.sregs);
  vcpu.setRegs(state.regs);
  const msrs = changedMsrs(vcpu, state.msrs);
  setMsrs(
    vcpu,
    msrs.filter(([index]) => index !== TSC_DEADLINE),
  );
  for (const part of PARTS) {
    const bytes = state.parts[part.name];
    if (bytes !== undefined && isThere(kvm, part)) vcpu.set(part.set, bytes, `set ${part.name}`);
  }
  setMsrs(
    vcpu,
    msrs.filter(([index]) => index === TSC_DEADLINE),
  );
}

/**
 * @returns the MSRs that a new vCPU has not by itself. KVM refuses a write of the very value read where that is the
 * default of a feature that the guest was not shown, and tells the host's kernel log of others.
 */
function changedMsrs(vcpu: Vcpu, msrs: VcpuState['msrs']): VcpuState['msrs'] {
  const own = new Map(vcpu.getMsrs(msrs.map(([index]) => index)));
  return msrs.filter(([index, value]) => own.get(index) !== value);
}

function setMsrs(vcpu: Vcpu, msrs: VcpuState['msrs']): void {
  const [refused] = vcpu.setMsrs(msrs);
  if (refused === undefined) return;
  const [index, value] = refused;
  throw new HuskError(
    `cannot restore a machine: KVM refuses 0x${value.toString(16)} in MSR 0x${index.toString(16)} of vCPU ${vcpu.id}`,
    { kind: 'unsupported' },
  );
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

/** Restores a VM's state, after `restoreVcpu` of every vCPU: the controllers deliver into the vCPUs' local APICs. */
export function restoreVm(vm: Vm, state: VmState): void {
  for (const chip of state.irqchips) vm.exchange(KVM_SET_IRQCHIP, chip.slice(), 'set an interrupt controller');
  vm.exchange(KVM_SET_PIT2, state.pit.slice(), 'set the timer');
  const clock = new Uint8Array(CLOCK_SIZE);
  new DataView(clock.buffer).setBigUint64(CLOCK_VALUE, state.clock, true);
  vm.exchange(KVM_SET_CLOCK, clock, 'set the clock');
}

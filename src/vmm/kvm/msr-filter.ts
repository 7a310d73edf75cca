/**
 * This file names the model-specific registers that a guest may not touch though KVM would let it: the performance
 * counters. The guest's CPUID says that there are none, but AMD's four oldest counters have no CPUID bit, so KVM gives
 * them to every guest on an AMD CPU. With them a guest could count the host's cache misses; and Linux, which probes
 * them while it boots, fills the host's kernel log where KVM has no counters to give. With the filter each access
 * faults in the guest and the host logs nothing.
 */
import { Mapping } from '../../host/memory/mapping.ts';
import { ioctl } from '../../host/kernel/ioctl.ts';
import {
  KVM_MSR_FILTER_READ,
  KVM_MSR_FILTER_WRITE,
  KVM_X86_SET_MSR_FILTER,
  MSR_FILTER,
  MSR_FILTER_RANGE,
} from './requests.ts';

/** the first register of each range and how many it has; Intel SDM vol. 4 table 2-2, AMD APM vol. 2 appendix A */
const COUNTERS: readonly [base: number, count: number][] = [
  [0xc1, 8], // IA32_PMC
  [0x186, 8], // IA32_PERFEVTSEL
  [0x309, 4], // IA32_FIXED_CTR
  [0x38d, 4], // IA32_FIXED_CTR_CTRL, IA32_PERF_GLOBAL_STATUS, _CTRL, _OVF_CTRL
  [0x4c1, 8], // IA32_A_PMC
  [0xc000_0300, 4], // PerfCntrGlobalStatus, Ctl, StatusClr, StatusSet
  [0xc001_0000, 8], // PERF_LEGACY_CTL, PERF_LEGACY_CTR
  [0xc001_0200, 12], // PERF_CTL, PERF_CTR
];
/** bytes of one range's bitmap. A set bit allows its register; no bit is ever set. */
const BITMAP_BYTES = 4096;

/** Sets the filter of a VM. The call must come before its first vCPU is made. @throws SyscallError */
export function denyCounters(vm: number): void {
  using bitmap = Mapping.anonymous(BITMAP_BYTES);
  const bytes = new Uint8Array(MSR_FILTER.size);
  const view = new DataView(bytes.buffer);
  for (const [i, [base, count]] of COUNTERS.entries()) {
    const at = MSR_FILTER.ranges + i * MSR_FILTER_RANGE.size;
    view.setUint32(at + MSR_FILTER_RANGE.flags, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, true);
    view.setUint32(at + MSR_FILTER_RANGE.nmsrs, count, true);
    view.setUint32(at + MSR_FILTER_RANGE.base, base, true);
    // Safety: KVM copies one bit for each register, rounded up to eight bytes, before the call returns.
    view.setBigUint64(at + MSR_FILTER_RANGE.bitmap, BigInt(bitmap.address), true);
  }
  ioctl(vm, KVM_X86_SET_MSR_FILTER, bytes, 'keep the guest from performance counters');
}

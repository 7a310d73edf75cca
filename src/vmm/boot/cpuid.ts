/**
 * The CPUID filter narrows what KVM supports on this host (KVM_GET_SUPPORTED_CPUID), leaf by leaf, to what a husk guest
 * is meant to see.
 *
 * The rules are an allow-list: a leaf without a rule is not shown. Rules take away what the guest cannot use (nested
 * virtualisation, performance counters, power management, tracing, enclaves) and put in what only the VMM knows (APIC
 * ids, topology, the hypervisor bit, the TSC-deadline timer). Register and bit names are those of Intel SDM vol. 2 §
 * CPUID, AMD APM vol. 3 appendix E, Documentation/virt/kvm/x86/cpuid.rst.
 */
import { KVM_CPUID_FLAG_SIGNIFICANT_INDEX, type CpuidEntry } from '../kvm/requests.ts';

export interface CpuidOptions {
  /** this vCPU's id, which is its APIC id */
  id: number;
  cpus: number;
  /** whether KVM has KVM_CAP_TSC_DEADLINE_TIMER: the supported CPUID does not show this timer */
  tscDeadline: boolean;
}

type Rule = (entry: CpuidEntry, options: CpuidOptions) => void;

const bit = (n: number) => 2 ** n;
const clear = (value: number, ...bits: number[]) => bits.reduce((rest, n) => (rest & ~bit(n)) >>> 0, value);
const set = (value: number, ...bits: number[]) => bits.reduce((all, n) => (all | bit(n)) >>> 0, value);
/** the number of bits that `cpus` ids need */
const shiftOf = (cpus: number) => Math.ceil(Math.log2(Math.max(cpus, 1)));

const asSupported: Rule = () => {};

/** the highest basic leaf that is shown: the topology leaf */
const MAX_BASIC_LEAF = 0x1f;

const RULES: Record<number, Rule> = {
  // The leaf gives the highest basic leaf, and the vendor, which stays the host's: user programs choose their code by
  // it.
  0x0: (entry) => {
    entry.eax = Math.min(entry.eax, MAX_BASIC_LEAF);
  },
  0x1: (entry, { id, cpus, tscDeadline }) => {
    // EBX gives the initial APIC id and the number of logical CPUs; the CLFLUSH line size stays.
    entry.ebx = ((entry.ebx & 0xff00) | (Math.min(2 ** shiftOf(cpus), 255) << 16) | (id << 24)) >>> 0;
    // hidden: DTES64 2, MONITOR 3, DS-CPL 4, VMX 5, SMX 6, EIST 7, TM2 8, CNXT-ID 10, SDBG 11, xTPR 14, PDCM 15, DCA 18
    entry.ecx = set(
      clear(entry.ecx, 2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 18),
      21 /* x2APIC: in KVM's irqchip */,
      31 /* hypervisor */,
    );
    if (tscDeadline) entry.ecx = set(entry.ecx, 24);
    // hidden: MTRR 12 (the guest kernel has no use for them), DS 21, ACPI 22, TM 29, PBE 31
    entry.edx = clear(entry.edx, 12, 21, 22, 29, 31);
    entry.edx = cpus > 1 ? set(entry.edx, 28) : clear(entry.edx, 28);
  },
  // cache descriptors (Intel)
  0x2: asSupported,
  // Deterministic cache parameters (Intel): the cores in the package and the CPUs that share the cache are the guest's,
  // not the host's.
  0x4: (entry, { cpus }) => {
    const level = (entry.eax >>> 5) & 7;
    const sharing = level < 3 ? 0 : 2 ** shiftOf(cpus) - 1;
    if ((entry.eax & 0x1f) !== 0)
      entry.eax = ((entry.eax & 0x3fff) | (sharing << 14) | ((2 ** shiftOf(cpus) - 1) << 26)) >>> 0;
  },
  // Thermal and power features: the guest sees only ARAT, "the APIC timer never stops", without which Linux wants
  // another timer.
  0x6: (entry) => {
    entry.eax = bit(2);
    entry.ebx = entry.ecx = entry.edx = 0;
  },
  0x7: (entry) => {
    if (entry.index !== 0) return;
    // hidden: SGX 2, HLE 4, RTM 11 (both withdrawn by microcode), RDT-M 12, MPX 14, RDT-A 15, PT 25
    entry.ebx = clear(entry.ebx, 2, 4, 11, 12, 14, 15, 25);
    // hidden: WAITPKG 5, TME 13, bus-lock detect 24, ENQCMD 29, SGX_LC 30, PKS 31
    entry.ecx = clear(entry.ecx, 5, 13, 24, 29, 30, 31);
    // hidden: PCONFIG 18, architectural LBR 19
    entry.edx = clear(entry.edx, 18, 19);
  },
  // Extended topology: each core has one thread, and there is one package.
  0xb: topology,
  0x1f: topology,
  // The sizes of XSAVE areas must be the host's.
  0xd: asSupported,
  // TSC and core frequency, where the host reports them
  0x15: asSupported,
  0x16: asSupported,
  // AMX tiles appear in the supported list only when KVM may use them.
  0x1d: asSupported,
  0x1e: asSupported,
  // KVM's signature and its paravirtual features: kvmclock, PV EOI, PV TLB flush, PV IPIs, steal time. None costs
  // anything to offer.
  0x4000_0000: (entry) => {
    entry.eax = 0x4000_0001;
  },
  0x4000_0001: asSupported,
  0x8000_0000: (entry) => {
    entry.eax = Math.min(entry.eax, 0x8000_0021);
  },
  0x8000_0001: (entry) => {
    // hidden: CMP_LEGACY 1, SVM 2, OSVW 9, IBS 10, SKINIT 12, WDT 13, LWP 15, NODEID_MSR 19, TOPOEXT 22, performance
    // counters 23 24 28
    entry.ecx = clear(entry.ecx, 1, 2, 9, 10, 12, 13, 15, 19, 22, 23, 24, 28);
  },
  // brand string
  0x8000_0002: asSupported,
  0x8000_0003: asSupported,
  0x8000_0004: asSupported,
  // caches (AMD)
  0x8000_0005: asSupported,
  0x8000_0006: asSupported,
  // Of the power-management features the guest sees only the invariant TSC.
  0x8000_0007: (entry) => {
    entry.eax = entry.ebx = entry.ecx = 0;
    entry.edx &= bit(8);
  },
  // The address widths stay the host's; the number of cores is the guest's.
  0x8000_0008: (entry, { cpus }) => {
    entry.ecx = (cpus - 1) | (shiftOf(cpus) << 12);
    entry.edx = 0;
  },
  // properties of AMD's instructions that need no support from the VMM (null segment selectors, automatic IBRS, …)
  0x8000_0021: asSupported,
};

/**
 * Leaves that describe caches and frequencies and name no instruction. On a host whose cores are of two kinds they
 * differ with the core on which KVM was asked (Intel SDM vol. 3 § hybrid), so a saved machine goes on with those it was
 * saved with.
 */
const DESCRIPTIONS: ReadonlySet<number> = new Set([0x2, 0x4, 0x15, 0x16, 0x8000_0005, 0x8000_0006]);

/** @returns what a CPU can do: two that are the same in this run the same machine */
export const abilitiesOf = (cpuid: readonly CpuidEntry[]): CpuidEntry[] =>
  cpuid.filter((entry) => !DESCRIPTIONS.has(entry.function));

function topology(entry: CpuidEntry, { id, cpus }: CpuidOptions): void {
  const shift = shiftOf(cpus);
  const level = entry.index;
  entry.flags |= KVM_CPUID_FLAG_SIGNIFICANT_INDEX;
  if (level === 0) [entry.eax, entry.ebx, entry.ecx] = [0, 1, (1 << 8) | level];
  else if (level === 1) [entry.eax, entry.ebx, entry.ecx] = [shift, cpus, (2 << 8) | level];
  else [entry.eax, entry.ebx, entry.ecx] = [0, 0, level];
  entry.edx = id;
}

/** @param supported KVM_GET_SUPPORTED_CPUID's entries @returns new entries for one vCPU */
export function filterCpuid(supported: CpuidEntry[], options: CpuidOptions): CpuidEntry[] {
  const kept = supported.filter((entry) => RULES[entry.function] !== undefined).map((entry) => ({ ...entry }));
  // The guest needs its APIC id in 32 bits even where the host has no extended topology.
  for (const index of [0, 1]) {
    if (!kept.some((entry) => entry.function === 0xb && entry.index === index))
      kept.push({ function: 0xb, index, flags: KVM_CPUID_FLAG_SIGNIFICANT_INDEX, eax: 0, ebx: 0, ecx: 0, edx: 0 });
  }
  const basic = kept.find((entry) => entry.function === 0);
  if (basic !== undefined) basic.eax = Math.max(basic.eax, 0xb);
  for (const entry of kept) RULES[entry.function]!(entry, options);
  return kept;
}

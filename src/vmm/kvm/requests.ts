/**
 * KVM's ioctl numbers, capabilities and structure layouts, all from include/uapi/linux/kvm.h and
 * arch/x86/include/uapi/asm/kvm.h. Offsets are bytes from the start of the structure named; sizes are its whole size.
 */
import { _IO, _IOR, _IOW, _IOWR } from '../../host/kernel/ioctl.ts';

const KVMIO = 0xae;

export const KVM_API_VERSION = 12;

/** requests on /dev/kvm */
export const KVM_GET_API_VERSION = _IO(KVMIO, 0x00);
export const KVM_CREATE_VM = _IO(KVMIO, 0x01);
export const KVM_CHECK_EXTENSION = _IO(KVMIO, 0x03);
export const KVM_GET_MSR_INDEX_LIST = _IOWR(KVMIO, 0x02, 4);
export const KVM_GET_VCPU_MMAP_SIZE = _IO(KVMIO, 0x04);
export const KVM_GET_SUPPORTED_CPUID = _IOWR(KVMIO, 0x05, 8);

/** requests on a VM */
export const KVM_CREATE_VCPU = _IO(KVMIO, 0x41);
export const KVM_SET_USER_MEMORY_REGION = _IOW(KVMIO, 0x46, 32);
export const KVM_SET_TSS_ADDR = _IO(KVMIO, 0x47);
export const KVM_SET_IDENTITY_MAP_ADDR = _IOW(KVMIO, 0x48, 8);
export const KVM_CREATE_IRQCHIP = _IO(KVMIO, 0x60);
export const KVM_GET_IRQCHIP = _IOWR(KVMIO, 0x62, 520);
export const KVM_SET_IRQCHIP = _IOR(KVMIO, 0x63, 520);
export const KVM_SET_CLOCK = _IOW(KVMIO, 0x7b, 48);
export const KVM_GET_CLOCK = _IOR(KVMIO, 0x7c, 48);
export const KVM_GET_PIT2 = _IOR(KVMIO, 0x9f, 112);
export const KVM_SET_PIT2 = _IOW(KVMIO, 0xa0, 112);
export const KVM_IRQFD = _IOW(KVMIO, 0x76, 32);
export const KVM_CREATE_PIT2 = _IOW(KVMIO, 0x77, 64);
export const KVM_IOEVENTFD = _IOW(KVMIO, 0x79, 64);
/** struct kvm_msr_filter; since Linux 5.10 */
export const KVM_X86_SET_MSR_FILTER = _IOW(KVMIO, 0xc6, 392);

/** requests on a vCPU */
export const KVM_RUN = _IO(KVMIO, 0x80);
export const KVM_GET_REGS = _IOR(KVMIO, 0x81, 144);
export const KVM_SET_REGS = _IOW(KVMIO, 0x82, 144);
export const KVM_GET_SREGS = _IOR(KVMIO, 0x83, 312);
export const KVM_SET_SREGS = _IOW(KVMIO, 0x84, 312);
export const KVM_GET_MSRS = _IOWR(KVMIO, 0x88, 8);
export const KVM_SET_MSRS = _IOW(KVMIO, 0x89, 8);
export const KVM_SET_FPU = _IOW(KVMIO, 0x8d, 416);
export const KVM_GET_LAPIC = _IOR(KVMIO, 0x8e, 1024);
export const KVM_SET_LAPIC = _IOW(KVMIO, 0x8f, 1024);
export const KVM_SET_CPUID2 = _IOW(KVMIO, 0x90, 8);
export const KVM_GET_MP_STATE = _IOR(KVMIO, 0x98, 4);
export const KVM_SET_MP_STATE = _IOW(KVMIO, 0x99, 4);
export const KVM_GET_VCPU_EVENTS = _IOR(KVMIO, 0x9f, 64);
export const KVM_SET_VCPU_EVENTS = _IOW(KVMIO, 0xa0, 64);
export const KVM_GET_DEBUGREGS = _IOR(KVMIO, 0xa1, 128);
export const KVM_SET_DEBUGREGS = _IOW(KVMIO, 0xa2, 128);
export const KVM_GET_XSAVE = _IOR(KVMIO, 0xa4, 4096);
export const KVM_SET_XSAVE = _IOW(KVMIO, 0xa5, 4096);
export const KVM_GET_TSC_KHZ = _IO(KVMIO, 0xa3);
export const KVM_GET_XCRS = _IOR(KVMIO, 0xa6, 392);
export const KVM_SET_XCRS = _IOW(KVMIO, 0xa7, 392);

/** capabilities: the argument of KVM_CHECK_EXTENSION */
export const CAPABILITIES = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  SET_TSS_ADDR: 4,
  EXT_CPUID: 7,
  NR_VCPUS: 9,
  IRQFD: 32,
  PIT2: 33,
  IOEVENTFD: 36,
  XCRS: 56,
  GET_TSC_KHZ: 61,
  SET_IDENTITY_MAP_ADDR: 37,
  MAX_VCPUS: 66,
  TSC_DEADLINE_TIMER: 72,
  READONLY_MEM: 81,
  IMMEDIATE_EXIT: 136,
  X86_MSR_FILTER: 189,
} as const;

/** struct kvm_userspace_memory_region */
export const MEMORY_REGION = {
  slot: 0,
  flags: 4,
  guestPhysAddr: 8,
  memorySize: 16,
  userspaceAddr: 24,
  size: 32,
} as const;
export const KVM_MEM_READONLY = 2;

/** struct kvm_irqfd */
export const IRQFD = { fd: 0, gsi: 4, flags: 8, resamplefd: 12, size: 32 } as const;

/** struct kvm_ioeventfd */
export const IOEVENTFD = { datamatch: 0, addr: 8, len: 16, fd: 20, flags: 24, size: 64 } as const;
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;

/** struct kvm_run, the page mapped from the vCPU's fd */
export const RUN = {
  immediateExit: 1,
  exitReason: 8,
  /** for KVM_EXIT_FAIL_ENTRY */
  hardwareEntryFailureReason: 32,
  /** for KVM_EXIT_IO */
  ioDirection: 32,
  ioSize: 33,
  ioPort: 34,
  ioCount: 36,
  ioDataOffset: 40,
  /** for KVM_EXIT_MMIO */
  mmioPhysAddr: 32,
  mmioData: 40,
  mmioLength: 48,
  mmioIsWrite: 52,
  /** for KVM_EXIT_INTERNAL_ERROR */
  internalSuberror: 32,
  /** for KVM_EXIT_SYSTEM_EVENT */
  systemEventType: 32,
} as const;
export const KVM_EXIT_IO_OUT = 1;

export const EXIT = {
  UNKNOWN: 0,
  IO: 2,
  HLT: 5,
  MMIO: 6,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
} as const;

/** struct kvm_segment */
export const SEGMENT = {
  base: 0,
  limit: 8,
  selector: 12,
  type: 14,
  present: 15,
  dpl: 16,
  db: 17,
  s: 18,
  l: 19,
  g: 20,
  avl: 21,
  unusable: 22,
  size: 24,
} as const;

/** struct kvm_sregs */
export const SREGS = {
  cs: 0,
  ds: 24,
  es: 48,
  fs: 72,
  gs: 96,
  ss: 120,
  tr: 144,
  ldt: 168,
  gdt: 192,
  idt: 208,
  cr0: 224,
  cr2: 232,
  cr3: 240,
  cr4: 248,
  cr8: 256,
  efer: 264,
  apicBase: 272,
  size: 312,
} as const;
/** struct kvm_dtable */
export const DTABLE = { base: 0, limit: 8 } as const;

/** struct kvm_regs */
export const REGS = {
  rax: 0,
  rbx: 8,
  rcx: 16,
  rdx: 24,
  rsi: 32,
  rdi: 40,
  rsp: 48,
  rbp: 56,
  rip: 128,
  rflags: 136,
  size: 144,
} as const;

/** struct kvm_cpuid2 header, struct kvm_cpuid_entry2 */
export const CPUID_HEADER_SIZE = 8;
export const CPUID_ENTRY = { function: 0, index: 4, flags: 8, eax: 12, ebx: 16, ecx: 20, edx: 24, size: 40 } as const;
export const KVM_CPUID_FLAG_SIGNIFICANT_INDEX = 1;

/** struct kvm_cpuid_entry2 */
export interface CpuidEntry {
  function: number;
  index: number;
  flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** struct kvm_msrs header, struct kvm_msr_entry */
export const MSRS_HEADER_SIZE = 8;
export const MSR_ENTRY = { index: 0, data: 8, size: 16 } as const;

/**
 * struct kvm_msr_filter: flags (0 allows every register that no range names), then sixteen struct kvm_msr_filter_range
 */
export const MSR_FILTER = { ranges: 8, size: 392 } as const;
export const MSR_FILTER_RANGE = { flags: 0, nmsrs: 4, base: 8, bitmap: 16, size: 24 } as const;
export const KVM_MSR_FILTER_READ = 1;
export const KVM_MSR_FILTER_WRITE = 2;

/** struct kvm_pit_config, which begins with its flags */
export const PIT_CONFIG_SIZE = 64;
export const KVM_PIT_SPEAKER_DUMMY = 1;

/** struct kvm_irqchip: chip_id, padding, state; its chips are the two PICs and the IOAPIC */
export const IRQCHIP_SIZE = 520;
export const IRQCHIPS = [0, 1, 2];
/** struct kvm_clock_data: clock in ns, flags, …; KVM_SET_CLOCK reads only the clock */
export const CLOCK_SIZE = 48;
export const CLOCK_VALUE = 0;
/** struct kvm_pit_state2 */
export const PIT_STATE_SIZE = 112;

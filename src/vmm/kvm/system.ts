/**
 * The Kvm class is `/dev/kvm`: it opens the device, says what it can do, and makes a VM. It never touches guest memory.
 */
import { closeSync, openSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import { ioctl } from '../../host/kernel/ioctl.ts';
import { SyscallError } from '../../host/libc.ts';
import {
  CAPABILITIES,
  CPUID_ENTRY,
  CPUID_HEADER_SIZE,
  KVM_API_VERSION,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_MSR_INDEX_LIST,
  KVM_GET_SUPPORTED_CPUID,
  KVM_GET_VCPU_MMAP_SIZE,
  type CpuidEntry,
} from './requests.ts';
import { Vm } from './vm.ts';

const DEVICE = '/dev/kvm';
/** The VMM does not start without these capabilities; every kernel since 4.12 that runs guests at all has them. */
const NEEDED: (keyof typeof CAPABILITIES)[] = [
  'IRQCHIP',
  'USER_MEMORY',
  'EXT_CPUID',
  'IRQFD',
  'IOEVENTFD',
  'READONLY_MEM',
  'IMMEDIATE_EXIT',
];
/** Linux returns fewer than 100 entries today; KVM answers E2BIG if this bound is ever too small. */
const MAX_CPUID_ENTRIES = 256;
/** Linux lists some 150 MSRs today; KVM answers E2BIG if this bound is ever too small. */
const MAX_MSRS = 1024;

export interface KvmCapability {
  name: string;
  /** 0 when absent, else 1 or the capability's own figure */
  value: number;
  needed: boolean;
}

/**
 * @returns the capabilities that the VMM needs or makes use of, as this host has them
 * @throws HuskError when /dev/kvm does not open or is not KVM
 */
export function kvmCapabilities(path?: string): KvmCapability[] {
  using kvm = Kvm.openUnchecked(path);
  return (Object.keys(CAPABILITIES) as (keyof typeof CAPABILITIES)[]).map((name) => ({
    name,
    value: kvm.check(name),
    needed: NEEDED.includes(name),
  }));
}

export class Kvm implements Disposable {
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** @throws HuskError `unsupported` when there is no usable /dev/kvm, with what to change */
  static open(path?: string): Kvm {
    const kvm = Kvm.openUnchecked(path);
    const missing = NEEDED.filter((name) => kvm.check(name) === 0);
    if (missing.length === 0) return kvm;
    kvm[Symbol.dispose]();
    throw new HuskError(`${path ?? DEVICE} lacks ${missing.map((name) => `KVM_CAP_${name}`).join(', ')}`, {
      kind: 'unsupported',
      fix: 'a kernel of 4.12 or later has them',
    });
  }

  /** Opens the device like `open`, but whatever it lacks, for a caller that asks what that is. */
  static openUnchecked(path: string = DEVICE): Kvm {
    let fd: number;
    try {
      fd = openSync(path, 'r+');
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const fix =
        code === 'EACCES'
          ? 'add yourself to the kvm group (sudo usermod -aG kvm $USER) and log in again'
          : 'load the kvm module, or switch virtualisation on in the firmware';
      throw new HuskError(`cannot open ${path}: ${code}`, { kind: 'unsupported', fix, cause: error });
    }
    const kvm = new Kvm(fd);
    try {
      kvm.#checkVersion(path);
    } catch (error) {
      kvm[Symbol.dispose]();
      throw error;
    }
    return kvm;
  }

  #checkVersion(path: string): void {
    let version: number;
    try {
      version = ioctl(this.fd, KVM_GET_API_VERSION, 0, `ask ${path} for its version`);
    } catch (error) {
      throw new HuskError(`${path} is not KVM`, { kind: 'unsupported', cause: error });
    }
    if (version !== KVM_API_VERSION)
      throw new HuskError(`${path} speaks KVM API version ${version}, not ${KVM_API_VERSION}`, { kind: 'unsupported' });
  }

  /** @returns 0 when absent, else 1 or the capability's own figure */
  check(capability: keyof typeof CAPABILITIES): number {
    return ioctl(this.fd, KVM_CHECK_EXTENSION, CAPABILITIES[capability], `ask KVM for ${capability}`);
  }

  /** bytes of struct kvm_run and what follows it */
  vcpuMmapSize(): number {
    return ioctl(this.fd, KVM_GET_VCPU_MMAP_SIZE, 0, 'ask KVM for the size of its run page');
  }

  /** @returns all that this host and KVM can give a guest, which is the most that the CPUID filter may show */
  supportedCpuid(): CpuidEntry[] {
    const bytes = new Uint8Array(CPUID_HEADER_SIZE + MAX_CPUID_ENTRIES * CPUID_ENTRY.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MAX_CPUID_ENTRIES, true);
    ioctl(this.fd, KVM_GET_SUPPORTED_CPUID, bytes, 'ask KVM for the CPUID it supports');
    const count = view.getUint32(0, true);
    return Array.from({ length: count }, (_, entry) => {
      const at = (field: number) => view.getUint32(CPUID_HEADER_SIZE + entry * CPUID_ENTRY.size + field, true);
      return {
        function: at(CPUID_ENTRY.function),
        index: at(CPUID_ENTRY.index),
        flags: at(CPUID_ENTRY.flags),
        eax: at(CPUID_ENTRY.eax),
        ebx: at(CPUID_ENTRY.ebx),
        ecx: at(CPUID_ENTRY.ecx),
        edx: at(CPUID_ENTRY.edx),
      };
    });
  }

  /** @returns the MSRs that make up a vCPU's state: KVM_GET_MSR_INDEX_LIST */
  savedMsrs(): number[] {
    const bytes = new Uint8Array(4 * (1 + MAX_MSRS));
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MAX_MSRS, true);
    ioctl(this.fd, KVM_GET_MSR_INDEX_LIST, bytes, 'ask KVM which MSRs to save');
    return Array.from({ length: view.getUint32(0, true) }, (_, i) => view.getUint32(4 * (1 + i), true));
  }

  createVm(): Vm {
    for (;;) {
      try {
        return new Vm(ioctl(this.fd, KVM_CREATE_VM, 0, 'make a VM'), this.vcpuMmapSize());
      } catch (error) {
        // KVM_CREATE_VM fails with EINTR when a signal arrives while KVM takes the address space's locks
        // (mm_take_all_locks); the call is then made again.
        if (error instanceof SyscallError && error.code === 'EINTR') continue;
        if (error instanceof SyscallError && error.code === 'EBUSY')
          throw new HuskError('cannot make a VM: another hypervisor holds the CPU', {
            kind: 'unsupported',
            cause: error,
          });
        throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/**
 * The Vm class is one VM: its memory slots, its interrupt controllers, and the eventfds that are bound to guest
 * addresses (ioeventfd) and to interrupt lines (irqfd).
 */
import { Fd } from '../../host/fd.ts';
import type { EventFd } from '../../host/streams/eventfd.ts';
import { ioctl } from '../../host/kernel/ioctl.ts';
import {
  IOEVENTFD,
  IRQFD,
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_CREATE_VCPU,
  KVM_IOEVENTFD,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IRQFD,
  KVM_MEM_READONLY,
  KVM_PIT_SPEAKER_DUMMY,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_TSS_ADDR,
  KVM_SET_USER_MEMORY_REGION,
  MEMORY_REGION,
  PIT_CONFIG_SIZE,
} from './requests.ts';
import { Vcpu } from './vcpu.ts';

export class Vm implements Disposable {
  readonly fd: number;
  readonly #vcpuMmapSize: number;
  #nextSlot = 0;

  constructor(fd: number, vcpuMmapSize: number) {
    this.fd = fd;
    this.#vcpuMmapSize = vcpuMmapSize;
  }

  /**
   * Places the pages that Intel's CPUs need in guest-physical space while a vCPU is in real mode: three for a TSS and
   * one for an identity map. AMD's CPUs ignore both.
   */
  setIntelScratch(tssAddress: number, identityMapAddress: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(identityMapAddress), true);
    ioctl(this.fd, KVM_SET_IDENTITY_MAP_ADDR, bytes, 'place the identity map page');
    ioctl(this.fd, KVM_SET_TSS_ADDR, tssAddress, 'place the TSS pages');
  }

  /** Makes the PIC, the IOAPIC and the local APICs in the kernel; the call must come before the first vCPU is made. */
  createIrqchip(): void {
    ioctl(this.fd, KVM_CREATE_IRQCHIP, 0, 'make the interrupt controllers');
  }

  /** Makes the 8254 timer in the kernel, with port 0x61. */
  createPit(): void {
    const bytes = new Uint8Array(PIT_CONFIG_SIZE);
    new DataView(bytes.buffer).setUint32(0, KVM_PIT_SPEAKER_DUMMY, true);
    ioctl(this.fd, KVM_CREATE_PIT2, bytes, 'make the timer');
  }

  /**
   * Makes part of a mapping guest-physical memory. Addresses, offset and length are in bytes and page-aligned.
   * @param options.readOnly a guest's write then leaves KVM_RUN as MMIO (or signals an ioeventfd); its reads do not
   */
  addMemory(
    guestAddress: number,
    mapping: { address: number; length: number },
    options: { offset?: number; length?: number; readOnly?: boolean } = {},
  ): void {
    const offset = options.offset ?? 0;
    const length = options.length ?? mapping.length - offset;
    if (offset < 0 || length <= 0 || offset + length > mapping.length)
      throw new RangeError('memory slot outside its mapping');
    const bytes = new Uint8Array(MEMORY_REGION.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(MEMORY_REGION.slot, this.#nextSlot++, true);
    view.setUint32(MEMORY_REGION.flags, options.readOnly ? KVM_MEM_READONLY : 0, true);
    view.setBigUint64(MEMORY_REGION.guestPhysAddr, BigInt(guestAddress), true);
    view.setBigUint64(MEMORY_REGION.memorySize, BigInt(length), true);
    // Safety: the range was just checked to lie inside the mapping, which the Machine disposes of only after this fd.
    view.setBigUint64(MEMORY_REGION.userspaceAddr, BigInt(mapping.address + offset), true);
    ioctl(this.fd, KVM_SET_USER_MEMORY_REGION, bytes, `map guest memory at 0x${guestAddress.toString(16)}`);
  }

  /**
   * Binds an eventfd to an MMIO address: a guest's write of `length` bytes there signals the eventfd and does not leave
   * KVM_RUN.
   * @param options.match binds only writes of this value
   */
  addIoEventFd(guestAddress: number, length: 1 | 2 | 4 | 8, event: EventFd, options: { match?: number } = {}): void {
    const bytes = new Uint8Array(IOEVENTFD.size);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(IOEVENTFD.addr, BigInt(guestAddress), true);
    view.setUint32(IOEVENTFD.len, length, true);
    view.setInt32(IOEVENTFD.fd, event.fd, true);
    if (options.match !== undefined) {
      view.setBigUint64(IOEVENTFD.datamatch, BigInt(options.match), true);
      view.setUint32(IOEVENTFD.flags, KVM_IOEVENTFD_FLAG_DATAMATCH, true);
    }
    ioctl(this.fd, KVM_IOEVENTFD, bytes, `bind an eventfd to guest address 0x${guestAddress.toString(16)}`);
  }

  /** Binds an eventfd to an interrupt line (GSI): signalling the eventfd raises an edge on the line. */
  addIrqFd(gsi: number, event: EventFd): void {
    const bytes = new Uint8Array(IRQFD.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(IRQFD.fd, event.fd, true);
    view.setUint32(IRQFD.gsi, gsi, true);
    ioctl(this.fd, KVM_IRQFD, bytes, `bind an eventfd to interrupt ${gsi}`);
  }

  /** Makes any request that takes or fills one fixed structure. */
  exchange(request: number, bytes: Uint8Array, what: string): Uint8Array {
    ioctl(this.fd, request, bytes, what);
    return bytes;
  }

  createVcpu(id: number): Vcpu {
    return new Vcpu(ioctl(this.fd, KVM_CREATE_VCPU, id, `make vCPU ${id}`), id, this.#vcpuMmapSize);
  }

  [Symbol.dispose](): void {
    new Fd(this.fd).close();
  }
}

/**
 * The Vcpu class is one vCPU: its registers, and the loop that runs it.
 *
 * KVM_RUN blocks a thread that runs no JavaScript (src/host/kernel/ioctl-thread.ts). An eventfd reports every exit to
 * the event loop of the thread that owns the devices, which handles the exit and lets the vCPU go on. So device state
 * has one owner and needs no locks.
 */
import { constants } from 'node:os';
import { Fd } from '../../host/fd.ts';
import { INTERRUPT_SIGNAL, installInterruptHandler } from '../../host/kernel/interrupt-signal.ts';
import { errnoName } from '../../host/libc.ts';
import { ioctl } from '../../host/kernel/ioctl.ts';
import { IoctlThread } from '../../host/kernel/ioctl-thread.ts';
import { Mapping } from '../../host/memory/mapping.ts';
import { watchReadable, type Watch } from '../../host/streams/poll.ts';
import {
  CPUID_ENTRY,
  CPUID_HEADER_SIZE,
  EXIT,
  KVM_EXIT_IO_OUT,
  KVM_GET_MSRS,
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_GET_TSC_KHZ,
  KVM_RUN,
  KVM_SET_CPUID2,
  KVM_SET_MSRS,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  MSRS_HEADER_SIZE,
  MSR_ENTRY,
  REGS,
  RUN,
  SREGS,
  type CpuidEntry,
} from './requests.ts';

/** Answers a vCPU's exits. Port values are little-endian numbers of `size` bytes; MMIO passes the bytes themselves. */
export interface ExitHandler {
  portIn(port: number, size: number): number;
  portOut(port: number, size: number, value: number): void;
  mmioRead(address: number, data: Uint8Array): void;
  mmioWrite(address: number, data: Uint8Array): void;
}

/** Why a vCPU stopped for good. */
export type VcpuEnd =
  /** `stop()` or the handler asked for the end */
  | { kind: 'stopped' }
  /** a triple fault: the guest reboots by one, or its kernel has crashed */
  | { kind: 'triple-fault' }
  | { kind: 'failed'; message: string };

const { EAGAIN, EINTR } = constants.errno;

/** KVM takes fewer than 256 (MAX_IO_MSRS, arch/x86/kvm/x86.c) */
const MAX_MSRS_AT_ONCE = 255;

/** the most data of one string instruction's exit in bytes: Linux uses one page at most */
const MAX_IO_COUNT = 4096;

export class Vcpu implements Disposable {
  readonly fd: number;
  readonly id: number;
  readonly #page: Mapping;
  readonly #run: DataView;
  readonly #data: Uint8Array;
  #stopping = false;
  /** whether the vCPU is in KVM_RUN, or on the way in or out */
  #running = false;
  #paused = false;
  #ended: ((end: VcpuEnd) => void) | undefined;
  #whenIdle: (() => void)[] = [];
  #handler: ExitHandler | undefined;
  #thread: IoctlThread | undefined;
  #watch: Watch | undefined;

  constructor(fd: number, id: number, mmapSize: number) {
    this.fd = fd;
    this.id = id;
    this.#page = Mapping.shared(fd, mmapSize);
    this.#run = new DataView(this.#page.buffer);
    this.#data = new Uint8Array(this.#page.buffer);
  }

  /**
   * Sets the vCPU's CPUID. The call must come before `setSregs`, because KVM refuses EFER.LME to a CPU whose CPUID has
   * no long mode.
   */
  setCpuid(entries: CpuidEntry[]): void {
    const bytes = new Uint8Array(CPUID_HEADER_SIZE + entries.length * CPUID_ENTRY.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, entries.length, true);
    for (const [i, entry] of entries.entries()) {
      const base = CPUID_HEADER_SIZE + i * CPUID_ENTRY.size;
      for (const field of ['function', 'index', 'flags', 'eax', 'ebx', 'ecx', 'edx'] as const)
        view.setUint32(base + CPUID_ENTRY[field], entry[field], true);
    }
    ioctl(this.fd, KVM_SET_CPUID2, bytes, `set the CPUID of vCPU ${this.id}`);
  }

  /** @returns struct kvm_sregs, laid out as SREGS says */
  getSregs(): Uint8Array {
    const bytes = new Uint8Array(SREGS.size);
    ioctl(this.fd, KVM_GET_SREGS, bytes, `read the system registers of vCPU ${this.id}`);
    return bytes;
  }

  setSregs(bytes: Uint8Array): void {
    ioctl(this.fd, KVM_SET_SREGS, bytes, `set the system registers of vCPU ${this.id}`);
  }

  getRegs(): Uint8Array {
    const bytes = new Uint8Array(REGS.size);
    ioctl(this.fd, KVM_GET_REGS, bytes, `read the registers of vCPU ${this.id}`);
    return bytes;
  }

  instructionPointer(): bigint {
    return new DataView(this.getRegs().buffer).getBigUint64(REGS.rip, true);
  }

  setRegs(bytes: Uint8Array): void {
    ioctl(this.fd, KVM_SET_REGS, bytes, `set the registers of vCPU ${this.id}`);
  }

  /** Makes any request that takes one fixed structure. */
  set(request: number, bytes: Uint8Array, what: string): void {
    ioctl(this.fd, request, bytes, `${what} of vCPU ${this.id}`);
  }

  /** Makes any request that fills one fixed structure. @param size bytes */
  get(request: number, size: number, what: string): Uint8Array {
    const bytes = new Uint8Array(size);
    ioctl(this.fd, request, bytes, `${what} of vCPU ${this.id}`);
    return bytes;
  }

  /** kHz at which the guest's TSC counts */
  tscKhz(): number {
    return ioctl(this.fd, KVM_GET_TSC_KHZ, 0, `read the TSC rate of vCPU ${this.id}`);
  }

  /** @returns the values of those `indexes` that this CPU has, because KVM lists some that it then refuses to read */
  getMsrs(indexes: readonly number[]): [index: number, value: bigint][] {
    const found: [number, bigint][] = [];
    for (let rest = indexes; rest.length > 0;) {
      const batch = rest.slice(0, MAX_MSRS_AT_ONCE);
      const bytes = msrsOf(batch.map((index) => [index, 0n]));
      // KVM fills the entries in turn, and stops at the first that it refuses.
      const done = ioctl(this.fd, KVM_GET_MSRS, bytes, `read MSRs of vCPU ${this.id}`);
      const view = new DataView(bytes.buffer);
      for (const [i, index] of batch.slice(0, done).entries())
        found.push([index, view.getBigUint64(MSRS_HEADER_SIZE + i * MSR_ENTRY.size + MSR_ENTRY.data, true)]);
      rest = rest.slice(done === batch.length ? done : done + 1);
    }
    return found;
  }

  /** Sets MSRs in turn. @returns those that remain, the first of which KVM refuses; none when all are set */
  setMsrs(msrs: readonly [index: number, value: bigint][]): readonly [index: number, value: bigint][] {
    for (let rest = msrs; rest.length > 0;) {
      const batch = rest.slice(0, MAX_MSRS_AT_ONCE);
      const done = ioctl(this.fd, KVM_SET_MSRS, msrsOf(batch), `set MSRs of vCPU ${this.id}`);
      rest = rest.slice(done);
      if (done < batch.length) return rest;
    }
    return [];
  }

  /** Runs the vCPU until the guest ends or `stop()` is called. The promise never rejects. */
  run(handler: ExitHandler): Promise<VcpuEnd> {
    if (this.#handler !== undefined) throw new Error(`vCPU ${this.id} already runs`);
    installInterruptHandler();
    this.#handler = handler;
    return new Promise((resolve) => {
      this.#ended = resolve;
      this.#running = true;
      const thread = new IoctlThread(this.fd, KVM_RUN);
      this.#thread = thread;
      this.#watch = watchReadable(thread.done.fd, () => {
        if (thread.done.drain()) this.#returned(thread);
      });
    });
  }

  #returned(thread: IoctlThread): void {
    this.#running = false;
    const end = this.#exited(thread.result);
    if (end !== undefined) this.#end(end);
    else if (this.#stopping) this.#end({ kind: 'stopped' });
    // The next KVM_RUN completes an exit that was answered (api.rst § KVM_RUN), and does nothing else while
    // `immediate_exit` is set.
    else if (this.#paused && thread.result === -EINTR) this.#idle();
    else this.#enter();
  }

  #enter(): void {
    this.#running = true;
    this.#thread!.go();
  }

  /**
   * Handles one exit.
   * @param result what KVM_RUN returned: -errno when it failed
   * @returns why the vCPU must not run again; undefined when it may
   */
  #exited(result: number): VcpuEnd | undefined {
    // EINTR comes from a kick or any other signal, EAGAIN from a vCPU that was woken before its start-up interrupt.
    if (result === -EINTR || result === -EAGAIN) return undefined;
    if (result < 0) return { kind: 'failed', message: `vCPU ${this.id}: KVM_RUN: ${errnoName(-result)}` };
    const reason = this.#run.getUint32(RUN.exitReason, true);
    const handler = this.#handler!;
    try {
      switch (reason) {
        case EXIT.IO:
          this.#portExit(handler);
          return undefined;
        case EXIT.MMIO: {
          const address =
            this.#run.getUint32(RUN.mmioPhysAddr, true) + this.#run.getUint32(RUN.mmioPhysAddr + 4, true) * 2 ** 32;
          const length = Math.min(this.#run.getUint32(RUN.mmioLength, true), 8);
          const data = this.#data.subarray(RUN.mmioData, RUN.mmioData + length);
          if (this.#run.getUint8(RUN.mmioIsWrite) !== 0) handler.mmioWrite(address, data);
          else handler.mmioRead(address, data);
          return undefined;
        }
        case EXIT.INTR:
        case EXIT.HLT:
          return undefined;
        case EXIT.SHUTDOWN:
          return { kind: 'triple-fault' };
        case EXIT.FAIL_ENTRY:
          return {
            kind: 'failed',
            message: `vCPU ${this.id}: the CPU refused to enter the guest (0x${this.#run.getBigUint64(RUN.hardwareEntryFailureReason, true).toString(16)})`,
          };
        case EXIT.INTERNAL_ERROR:
          return {
            kind: 'failed',
            message: `vCPU ${this.id}: KVM internal error ${this.#run.getUint32(RUN.internalSuberror, true)} at rip 0x${this.instructionPointer().toString(16)}`,
          };
        case EXIT.SYSTEM_EVENT:
          return { kind: 'triple-fault' };
        default:
          return { kind: 'failed', message: `vCPU ${this.id}: unexpected exit ${reason}` };
      }
    } catch (error) {
      return { kind: 'failed', message: `vCPU ${this.id}: ${(error as Error).message}` };
    }
  }

  #portExit(handler: ExitHandler): void {
    const size = this.#run.getUint8(RUN.ioSize);
    const port = this.#run.getUint16(RUN.ioPort, true);
    const count = Math.min(this.#run.getUint32(RUN.ioCount, true), MAX_IO_COUNT);
    const out = this.#run.getUint8(RUN.ioDirection) === KVM_EXIT_IO_OUT;
    let offset = Number(this.#run.getBigUint64(RUN.ioDataOffset, true));
    for (let i = 0; i < count; i++, offset += size) {
      if (out)
        handler.portOut(
          port,
          size,
          size === 1
            ? this.#run.getUint8(offset)
            : size === 2
              ? this.#run.getUint16(offset, true)
              : this.#run.getUint32(offset, true),
        );
      else {
        const value = handler.portIn(port, size);
        if (size === 1) this.#run.setUint8(offset, value);
        else if (size === 2) this.#run.setUint16(offset, value, true);
        else this.#run.setUint32(offset, value, true);
      }
    }
  }

  #end(end: VcpuEnd): void {
    this.#watch?.close();
    this.#watch = undefined;
    // The thread has returned from KVM_RUN and waits, so joining it takes no time.
    this.#thread?.[Symbol.dispose]();
    this.#thread = undefined;
    this.#ended!(end);
    this.#idle();
  }

  #idle(): void {
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Brings the vCPU out of the guest for good; `run()`'s promise resolves with `stopped`. */
  stop(): void {
    this.#stopping = true;
    if (this.#running) this.#kick();
    else if (this.#paused) this.#end({ kind: 'stopped' });
  }

  /** The promise resolves once the vCPU is out of the guest and stays out. */
  pause(): Promise<void> {
    this.#paused = true;
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle.push(resolve);
      this.#kick();
    });
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#run.setUint8(RUN.immediateExit, 0);
    if (this.#handler !== undefined && !this.#running && !this.#stopping) this.#enter();
  }

  /** Makes KVM_RUN return: `immediate_exit` covers the moment before KVM_RUN, the signal covers the time inside it. */
  #kick(): void {
    this.#run.setUint8(RUN.immediateExit, 1);
    this.#thread?.interrupt(INTERRUPT_SIGNAL);
  }

  /** Frees the vCPU, which is allowed only after `run()`'s promise has resolved. */
  [Symbol.dispose](): void {
    if (this.#running) throw new Error(`vCPU ${this.id} is still running`);
    this.#page[Symbol.dispose]();
    new Fd(this.fd).close();
  }
}

/** @returns struct kvm_msrs */
function msrsOf(msrs: readonly (readonly [index: number, value: bigint])[]): Uint8Array {
  const bytes = new Uint8Array(MSRS_HEADER_SIZE + msrs.length * MSR_ENTRY.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, msrs.length, true);
  for (const [i, [index, value]] of msrs.entries()) {
    view.setUint32(MSRS_HEADER_SIZE + i * MSR_ENTRY.size + MSR_ENTRY.index, index, true);
    view.setBigUint64(MSRS_HEADER_SIZE + i * MSR_ENTRY.size + MSR_ENTRY.data, value, true);
  }
  return bytes;
}

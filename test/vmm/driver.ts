/**
 * A virtio driver in a few lines, for tests: it owns guest memory and drives one device through its transport the way
 * Linux does (virtio 1.2 §3.1, §4.2), or the way a hostile guest would. No KVM is needed.
 */
import type { FrameFilter } from '../../src/vmm/devices/net/filter.ts';
import type { VirtioDevice } from '../../src/vmm/devices/virtio/device.ts';
import { MmioTransport } from '../../src/vmm/devices/virtio/transport.ts';
import { GuestMemory } from '../../src/vmm/memory/guest-memory.ts';

/** for what is said of frames whatever is in them */
export const EVERY_FRAME: FrameFilter = { mayLeave: () => true, mayEnter: () => true };

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

/** register offsets, §4.2.2 */
const REGISTER = {
  deviceFeatures: 0x10,
  deviceFeaturesSel: 0x14,
  driverFeatures: 0x20,
  driverFeaturesSel: 0x24,
  queueSel: 0x30,
  queueNumMax: 0x34,
  queueNum: 0x38,
  queueReady: 0x44,
  status: 0x70,
  desc: 0x80,
  driver: 0x90,
  device: 0xa0,
};
const CONFIG = 0x100;
const EVENT_IDX = 1n << 29n;

export interface Buffer16 {
  address: number;
  length: number;
  flags: number;
  next: number;
}

/** Rings of queue q lie at RINGS + q * RING_STRIDE; data is the test's own, from DATA on. */
const RINGS = 0x10000;
const RING_STRIDE = 0x4000;
export const DATA = 0x100000;

export class Driver {
  readonly memory: GuestMemory;
  readonly transport: MmioTransport;
  readonly page = new Uint8Array(4096);
  readonly reports: string[] = [];
  /** times the interrupt line was raised */
  interrupts = 0;
  readonly queueSize: number;
  #available: number[] = [];
  #usedSeen: number[] = [];

  constructor(device: VirtioDevice, options: { memory?: number; queueSize?: number; settle?: () => void } = {}) {
    this.memory = GuestMemory.allocate(options.memory ?? 16 * 1024 * 1024);
    this.queueSize = options.queueSize ?? 8;
    this.transport = new MmioTransport(device, {
      memory: this.memory,
      page: this.page,
      interrupt: () => {
        this.interrupts++;
      },
      settle: options.settle ?? (() => device.settle?.()),
      report: (message) => this.reports.push(message),
    });
  }

  register(offset: number): number {
    return new DataView(this.page.buffer).getUint32(offset, true);
  }

  write(offset: number, value: number): void {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, value >>> 0, true);
    this.transport.write(offset, data);
  }

  offered(): bigint {
    this.write(REGISTER.deviceFeaturesSel, 0);
    const low = BigInt(this.register(REGISTER.deviceFeatures));
    this.write(REGISTER.deviceFeaturesSel, 1);
    return low | (BigInt(this.register(REGISTER.deviceFeatures)) << 32n);
  }

  /**
   * reset, features, configuration, queues, DRIVER_OK. @param options.without feature bits not to take
   * @param options.config 32-bit words to write, by their offset
   */
  start(options: { eventIndex?: boolean; without?: bigint; config?: Record<number, number> } = {}): this {
    this.write(REGISTER.status, 0);
    this.write(REGISTER.status, 1 | 2);
    let features = this.offered() & ~(options.without ?? 0n);
    if (options.eventIndex !== true) features &= ~EVENT_IDX;
    for (const half of [0, 1]) {
      this.write(REGISTER.driverFeaturesSel, half);
      this.write(REGISTER.driverFeatures, Number((features >> BigInt(32 * half)) & 0xffff_ffffn));
    }
    this.write(REGISTER.status, 1 | 2 | 8);
    for (const [offset, value] of Object.entries(options.config ?? {})) this.write(CONFIG + Number(offset), value);
    for (const queue of this.transport.queues) this.enableQueue(queue.index);
    this.write(REGISTER.status, 1 | 2 | 4 | 8);
    return this;
  }

  enableQueue(queue: number): void {
    const rings = this.rings(queue);
    this.memory.live(RINGS + queue * RING_STRIDE, RING_STRIDE).fill(0);
    this.#available[queue] = this.#usedSeen[queue] = 0;
    this.write(REGISTER.queueSel, queue);
    this.write(REGISTER.queueNum, this.sizeOf(queue));
    for (const [register, address] of [
      [REGISTER.desc, rings.descriptors],
      [REGISTER.driver, rings.available],
      [REGISTER.device, rings.used],
    ] as const) {
      this.write(register, address % 2 ** 32);
      this.write(register + 4, Math.floor(address / 2 ** 32));
    }
    this.write(REGISTER.queueReady, 1);
  }

  sizeOf(queue: number): number {
    return Math.min(this.queueSize, this.transport.queues[queue]!.maxSize);
  }

  rings(queue: number) {
    const descriptors = RINGS + queue * RING_STRIDE;
    return { descriptors, available: descriptors + 0x2000, used: descriptors + 0x3000 };
  }

  get status(): number {
    return this.register(REGISTER.status);
  }

  get needsReset(): boolean {
    return (this.status & 64) !== 0;
  }

  descriptor(queue: number, index: number, buffer: Buffer16): void {
    this.rawDescriptor(this.rings(queue).descriptors + index * 16, buffer);
  }

  rawDescriptor(at: number, { address, length, flags, next }: Buffer16): void {
    this.memory.writeU32(at, address % 2 ** 32);
    this.memory.writeU32(at + 4, Math.floor(address / 2 ** 32));
    this.memory.writeU32(at + 8, length);
    this.memory.writeU16(at + 12, flags);
    this.memory.writeU16(at + 14, next);
  }

  /** Makes one chain of the queue's descriptors from `first` on. */
  chain(queue: number, first: number, buffers: { address: number; length: number; write?: boolean }[]): void {
    for (const [i, { address, length, write }] of buffers.entries()) {
      const last = i === buffers.length - 1;
      this.descriptor(queue, first + i, {
        address,
        length,
        flags: (last ? 0 : NEXT) | (write ? WRITE : 0),
        next: last ? 0 : first + i + 1,
      });
    }
  }

  /** Offers chains by their heads and kicks. */
  offer(queue: number, ...heads: number[]): void {
    this.place(queue, ...heads);
    this.transport.kick();
  }

  /** Offers them without a word, as another CPU would while the device works. */
  place(queue: number, ...heads: number[]): void {
    const { available } = this.rings(queue);
    for (const head of heads) {
      this.memory.writeU16(available + 4 + 2 * (this.#available[queue]! % this.sizeOf(queue)), head);
      this.#available[queue]!++;
    }
    this.memory.writeU16(available + 2, this.#available[queue]! & 0xffff);
  }

  /** What the device has completed since the last call. */
  completed(queue: number): { head: number; written: number }[] {
    const { used } = this.rings(queue);
    const done: { head: number; written: number }[] = [];
    const index = this.memory.readU16(used + 2);
    for (; (this.#usedSeen[queue]! & 0xffff) !== index; this.#usedSeen[queue]!++) {
      const at = used + 4 + 8 * (this.#usedSeen[queue]! % this.sizeOf(queue));
      done.push({ head: this.memory.readU32(at), written: this.memory.readU32(at + 4) });
    }
    return done;
  }

  /** One request: offers a chain made of `buffers`, returns what came back for it. */
  request(
    queue: number,
    buffers: { address: number; length: number; write?: boolean }[],
  ): { head: number; written: number } | undefined {
    this.chain(queue, 0, buffers);
    this.offer(queue, 0);
    return this.completed(queue)[0];
  }

  [Symbol.dispose](): void {
    this.transport[Symbol.dispose]();
    this.transport.device[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }
}

/**
 * The virtio transport over MMIO (virtio 1.2 §4.2), one page for each device.
 *
 * The page is guest memory that the guest may read but not write (KVM_MEM_READONLY): the CPU serves reads of every
 * register and of the configuration space without an exit, and this file keeps the page up to date. Writes leave the
 * guest, except the two that happen all the time: QueueNotify is an ioeventfd, and an eventfd that nothing reads
 * swallows InterruptACK of a used-buffer interrupt. For that reason bit 0 of InterruptStatus stays set once the first
 * interrupt was raised: the driver then looks at its queues, which is what an interrupt is for.
 */
import { GuestFault, type GuestMemory } from '../../memory/guest-memory.ts';
import type { DeviceHost, VirtioDevice } from './device.ts';
import { emptyQueue, Virtqueue, type QueueState } from './virtqueue.ts';

/** registers, bytes from the start of the page: §4.2.2, table 4.1 */
const MAGIC_VALUE = 0x000;
const VERSION = 0x004;
const DEVICE_ID = 0x008;
const VENDOR_ID = 0x00c;
const DEVICE_FEATURES = 0x010;
const DEVICE_FEATURES_SEL = 0x014;
const DRIVER_FEATURES = 0x020;
const DRIVER_FEATURES_SEL = 0x024;
const QUEUE_SEL = 0x030;
const QUEUE_NUM_MAX = 0x034;
const QUEUE_NUM = 0x038;
const QUEUE_READY = 0x044;
export const QUEUE_NOTIFY = 0x050;
const INTERRUPT_STATUS = 0x060;
export const INTERRUPT_ACK = 0x064;
const STATUS = 0x070;
const QUEUE_DESC_LOW = 0x080;
const QUEUE_DESC_HIGH = 0x084;
const QUEUE_DRIVER_LOW = 0x090;
const QUEUE_DRIVER_HIGH = 0x094;
const QUEUE_DEVICE_LOW = 0x0a0;
const QUEUE_DEVICE_HIGH = 0x0a4;
const SHARED_MEMORY_LENGTH_LOW = 0x0b0;
const SHARED_MEMORY_END = 0x0c0;
const CONFIG_GENERATION = 0x0fc;
const CONFIG = 0x100;

/** "virt" */
const MAGIC = 0x74726976;
const MMIO_VERSION = 2;
/** "HUSK": the vendor id is free to choose */
const VENDOR = 0x4b535548;

/** InterruptStatus bits, §4.2.2 */
export const USED_BUFFER = 1;
const CONFIG_CHANGE = 2;

/** device status bits, §2.1 */
const DRIVER_OK = 4;
const FEATURES_OK = 8;
const NEEDS_RESET = 64;

/** feature bits of every device, §6 */
const F_INDIRECT_DESC = 1n << 28n;
const F_EVENT_IDX = 1n << 29n;
const F_VERSION_1 = 1n << 32n;
const TRANSPORT_FEATURES = F_INDIRECT_DESC | F_EVENT_IDX | F_VERSION_1;

const LOW_32 = 0xffff_ffffn;

/** Everything of a transport and its device that a snapshot must carry, as plain data. */
export interface TransportState {
  /** the device's name, its own state, and its configuration space */
  device: string;
  deviceState: object;
  config: Uint8Array;
  status: number;
  deviceFeaturesSel: number;
  driverFeaturesSel: number;
  driverFeatures: bigint;
  queueSel: number;
  interruptStatus: number;
  configGeneration: number;
  queues: QueueState[];
}

export interface TransportWiring {
  memory: GuestMemory;
  /** this device's page, in which the registers are kept up to date */
  page: Uint8Array;
  /** raises the device's interrupt line */
  interrupt: () => void;
  /** called before the device gives a request back, see VirtioDevice */
  settle?: (() => void) | undefined;
  /** called with one line for the log when the driver broke the rules */
  report: (message: string) => void;
}

export class MmioTransport implements Disposable {
  readonly device: VirtioDevice;
  readonly queues: Virtqueue[];
  readonly #wiring: TransportWiring;
  readonly #page: DataView;
  readonly #features: bigint;
  #status = 0;
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #driverFeatures = 0n;
  #queueSel = 0;
  #interruptStatus = 0;
  #configGeneration = 0;
  #active = false;
  #again = new Set<number>();

  constructor(device: VirtioDevice, wiring: TransportWiring) {
    this.device = device;
    this.#wiring = wiring;
    this.#page = new DataView(wiring.page.buffer, wiring.page.byteOffset, wiring.page.byteLength);
    this.#features = device.features | TRANSPORT_FEATURES;
    this.queues = device.queueSizes.map((size, index) => new Virtqueue(wiring.memory, index, size, wiring.settle));
    this.#showIdentity();
    this.#show();
    this.#showConfig();
  }

  #makeHost(): DeviceHost {
    return {
      memory: this.#wiring.memory,
      queues: this.queues,
      features: this.#driverFeatures,
      publish: (queue) => {
        if (queue.takeInterrupt()) this.#raise(USED_BUFFER);
      },
      configChanged: () => this.#configChanged(),
      again: (queue) => this.#later(queue),
      guard: (work) => this.#guard(work),
    };
  }

  /**
   * Handles QueueNotify. It looks at every queue, because looking at an idle one costs less than an eventfd for each.
   */
  kick(): void {
    if (!this.#active) return;
    this.#guard(() => {
      for (const queue of this.queues) if (queue.state.ready && this.#active) this.device.notify(queue.index);
    });
  }

  /** Handles a write that left the guest. Anything but whole aligned registers (§4.2.2.2) is ignored. */
  write(offset: number, data: Uint8Array): void {
    if (offset >= CONFIG) return this.#writeConfig(offset - CONFIG, data);
    if (data.length !== 4 || offset % 4 !== 0) return;
    const value = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
    this.#guard(() => this.#writeRegister(offset, value));
    this.#show();
  }

  #writeRegister(offset: number, value: number): void {
    const queue = this.queues[this.#queueSel];
    switch (offset) {
      case DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSel = value;
        return;
      case DRIVER_FEATURES_SEL:
        this.#driverFeaturesSel = value;
        return;
      case DRIVER_FEATURES:
        // §3.1.1: features are fixed once FEATURES_OK is set.
        if ((this.#status & FEATURES_OK) === 0 && this.#driverFeaturesSel < 4) {
          const shift = BigInt(32 * this.#driverFeaturesSel);
          this.#driverFeatures = (this.#driverFeatures & ~(LOW_32 << shift)) | (BigInt(value) << shift);
        }
        return;
      case QUEUE_SEL:
        this.#queueSel = value;
        return;
      case QUEUE_NOTIFY:
        // A notification leaves the guest only before the ioeventfd is bound, or where there is none.
        this.kick();
        return;
      case INTERRUPT_ACK:
        this.#interruptStatus &= ~(value & CONFIG_CHANGE);
        return;
      case STATUS:
        this.#writeStatus(value);
        return;
    }
    if (queue === undefined) return;
    if (offset === QUEUE_READY) {
      // §4.2.2.2: to take a queue back the driver writes 0 and waits until it reads 0.
      if ((value & 1) === 1 && !queue.state.ready)
        queue.enable({
          eventIndex: (this.#driverFeatures & F_EVENT_IDX) !== 0n,
          indirect: (this.#driverFeatures & F_INDIRECT_DESC) !== 0n,
        });
      else if ((value & 1) === 0) queue.reset();
      return;
    }
    // The rings of a live queue cannot be moved: their range was checked when it was enabled.
    if (queue.state.ready) return;
    switch (offset) {
      case QUEUE_NUM:
        queue.state.size = value;
        return;
      case QUEUE_DESC_LOW:
        queue.state.descriptors = low(queue.state.descriptors, value);
        return;
      case QUEUE_DESC_HIGH:
        queue.state.descriptors = high(queue.state.descriptors, value);
        return;
      case QUEUE_DRIVER_LOW:
        queue.state.available = low(queue.state.available, value);
        return;
      case QUEUE_DRIVER_HIGH:
        queue.state.available = high(queue.state.available, value);
        return;
      case QUEUE_DEVICE_LOW:
        queue.state.used = low(queue.state.used, value);
        return;
      case QUEUE_DEVICE_HIGH:
        queue.state.used = high(queue.state.used, value);
        return;
    }
  }

  #writeStatus(value: number): void {
    if (value === 0) return this.reset();
    // §2.1.1: the driver clears no bit, and NEEDS_RESET is the device's to set.
    let status = (value & 0x7f) | (this.#status & NEEDS_RESET);
    // §2.2.2: the device accepts the features by keeping FEATURES_OK; it clears the bit for a feature that was not
    // offered, and for a legacy driver.
    const acceptable = (this.#driverFeatures & ~this.#features) === 0n && (this.#driverFeatures & F_VERSION_1) !== 0n;
    if ((status & FEATURES_OK) !== 0 && (this.#status & FEATURES_OK) === 0 && !acceptable) status &= ~FEATURES_OK;
    const starts = (status & DRIVER_OK) !== 0 && (this.#status & DRIVER_OK) === 0;
    if (starts && (status & FEATURES_OK) === 0) throw new GuestFault('driver started without agreed features');
    this.#status = status;
    if (starts && (status & NEEDS_RESET) === 0) {
      this.#active = true;
      this.device.activate(this.#makeHost());
    }
  }

  #writeConfig(offset: number, data: Uint8Array): void {
    if (this.device.writeConfig === undefined || offset + data.length > this.device.config.length) return;
    const copy = data.slice();
    this.#guard(() => this.device.writeConfig!(offset, copy));
    this.#showConfig();
  }

  reset(): void {
    if (this.#active) this.device.reset();
    else this.device.forgetConfig?.();
    this.#active = false;
    this.#again.clear();
    for (const queue of this.queues) queue.reset();
    this.#status = this.#deviceFeaturesSel = this.#driverFeaturesSel = this.#queueSel = this.#interruptStatus = 0;
    this.#driverFeatures = 0n;
    this.#show();
    this.#showConfig();
  }

  /** Stops the device after the driver broke the rules: the device says so (§2.1.2), and waits to be reset. */
  #fail(reason: string): void {
    this.#wiring.report(`${this.device.name}: ${reason}; the device needs a reset`);
    if (this.#active) this.device.reset();
    this.#active = false;
    this.#again.clear();
    for (const queue of this.queues) queue.abandon();
    this.#status |= NEEDS_RESET;
    if ((this.#status & DRIVER_OK) !== 0) this.#raise(CONFIG_CHANGE);
    this.#show();
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#fail(error.message);
    }
  }

  #later(queue: number): void {
    if (!this.#active || this.#again.has(queue)) return;
    this.#again.add(queue);
    setImmediate(() => {
      if (!this.#again.delete(queue) || !this.#active) return;
      this.#guard(() => this.device.notify(queue));
    });
  }

  #configChanged(): void {
    this.#configGeneration = (this.#configGeneration + 1) >>> 0;
    this.#showConfig();
    this.#show();
    if (this.#active) this.#raise(CONFIG_CHANGE);
  }

  #raise(bit: number): void {
    if ((this.#interruptStatus & bit) === 0) {
      this.#interruptStatus |= bit;
      this.#page.setUint32(INTERRUPT_STATUS, this.#interruptStatus, true);
    }
    this.#wiring.interrupt();
  }

  #showIdentity(): void {
    this.#page.setUint32(MAGIC_VALUE, MAGIC, true);
    this.#page.setUint32(VERSION, MMIO_VERSION, true);
    this.#page.setUint32(DEVICE_ID, this.device.id, true);
    this.#page.setUint32(VENDOR_ID, VENDOR, true);
    // §4.2.2: a length of all ones says that there is no shared memory region.
    for (let at = SHARED_MEMORY_LENGTH_LOW; at < SHARED_MEMORY_END; at += 4)
      this.#page.setUint32(at, 0xffff_ffff, true);
  }

  /** Writes the state into the page. */
  #show(): void {
    const queue = this.queues[this.#queueSel];
    this.#page.setUint32(
      DEVICE_FEATURES,
      this.#deviceFeaturesSel < 4 ? Number((this.#features >> BigInt(32 * this.#deviceFeaturesSel)) & LOW_32) : 0,
      true,
    );
    this.#page.setUint32(QUEUE_NUM_MAX, queue?.maxSize ?? 0, true);
    this.#page.setUint32(QUEUE_READY, queue?.state.ready ? 1 : 0, true);
    this.#page.setUint32(INTERRUPT_STATUS, this.#interruptStatus, true);
    this.#page.setUint32(STATUS, this.#status, true);
    this.#page.setUint32(CONFIG_GENERATION, this.#configGeneration, true);
  }

  #showConfig(): void {
    this.#wiring.page.set(this.device.config, CONFIG);
  }

  /** whether a request was taken and is not answered yet */
  get busy(): boolean {
    return this.queues.some(({ state }) => state.inFlight > 0);
  }

  /**
   * @returns the status register, an interrupt that was not acknowledged, and of each queue in use what the driver
   * offered, what was taken and what is in flight, all as this transport counts them
   */
  summary(): string {
    const queues = this.queues
      .filter(({ state }) => state.ready)
      .map(
        ({ index, state }) =>
          `${index}: ${state.nextAvailable}-${state.nextUsed}${state.inFlight > 0 ? ` (${state.inFlight} in flight)` : ''}`,
      );
    return `${this.#status.toString(16)}${this.#interruptStatus === 0 ? '' : ` irq ${this.#interruptStatus}`} [${queues.join(' ')}]`;
  }

  /**
   * Saves the transport while the vCPUs are paused and nothing is in flight: no saved state would hold a request that
   * the device has taken and not answered.
   * @throws Error naming a queue with a request in flight
   */
  save(): TransportState {
    const busy = this.queues.find(({ state }) => state.inFlight > 0);
    if (busy !== undefined)
      throw new Error(`${this.device.name}: queue ${busy.index} has ${busy.state.inFlight} requests in flight`);
    return {
      device: this.device.name,
      deviceState: structuredClone(this.device.state),
      config: this.device.config.slice(),
      status: this.#status,
      deviceFeaturesSel: this.#deviceFeaturesSel,
      driverFeaturesSel: this.#driverFeaturesSel,
      driverFeatures: this.#driverFeatures,
      queueSel: this.#queueSel,
      interruptStatus: this.#interruptStatus,
      configGeneration: this.#configGeneration,
      queues: this.queues.map((queue) => ({ ...queue.state })),
    };
  }

  /**
   * Must come before guest memory is freed: what is in flight completes into nothing from here on. The device's owner
   * disposes of the device itself.
   */
  [Symbol.dispose](): void {
    this.reset();
  }

  /**
   * Restores a state into a transport that was just made around a device like the one saved, before the guest runs.
   * @throws Error when the device is another, GuestFault for rings that cannot be
   */
  restore(state: TransportState): void {
    const { device } = this;
    if (
      state.device !== device.name ||
      state.config.length !== device.config.length ||
      state.queues.length !== this.queues.length
    )
      throw new Error(`cannot restore a ${state.device} into a ${device.name}`);
    const config = state.config.slice();
    for (const [start, end] of device.ownConfig ?? []) config.set(device.config.subarray(start, end), start);
    device.config.set(config);
    if (device.restore) device.restore(structuredClone(state.deviceState));
    else Object.assign(device.state, structuredClone(state.deviceState));
    this.#status = state.status;
    this.#deviceFeaturesSel = state.deviceFeaturesSel;
    this.#driverFeaturesSel = state.driverFeaturesSel;
    this.#driverFeatures = state.driverFeatures;
    this.#queueSel = state.queueSel;
    this.#interruptStatus = state.interruptStatus;
    this.#configGeneration = state.configGeneration;
    for (const [i, queue] of this.queues.entries()) {
      queue.state = { ...(state.queues[i] ?? emptyQueue()) };
      if (queue.state.ready)
        queue.enable({
          eventIndex: (this.#driverFeatures & F_EVENT_IDX) !== 0n,
          indirect: (this.#driverFeatures & F_INDIRECT_DESC) !== 0n,
        });
    }
    this.#show();
    this.#showConfig();
    if ((this.#status & DRIVER_OK) !== 0 && (this.#status & NEEDS_RESET) === 0) {
      this.#active = true;
      device.activate(this.#makeHost());
      // A kick that the driver had given and the device had not seen was lost with the old eventfd.
      this.kick();
      // So was an interrupt that KVM's work queue had not delivered yet. The driver bears one too many: it looks at its
      // queues.
      if (this.#interruptStatus !== 0) this.#wiring.interrupt();
      if (Buffer.compare(config, state.config) !== 0) this.#configChanged();
    }
  }
}

const low = (address: number, value: number) => Math.floor(address / 2 ** 32) * 2 ** 32 + value;
const high = (address: number, value: number) => (address % 2 ** 32) + value * 2 ** 32;

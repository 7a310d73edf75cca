/**
 * The contract between a virtio device and its transport. A device folder has `device.ts` (a class that fulfils the
 * contract), `config.ts` (its configuration space and feature bits, with spec sections), and what else the device
 * needs; src/vmm/README.md has the rules that a device follows.
 */
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { Virtqueue } from './virtqueue.ts';

export interface VirtioDevice extends Disposable {
  /** name for messages: `block`, `vsock`, … */
  readonly name: string;
  /** virtio 1.2 §5: the device type */
  readonly id: number;
  /** device-type feature bits only (0-23 and 50-127); the transport adds its own */
  readonly features: bigint;
  /** the most entries that each queue may have, powers of two; the array's length is the number of queues */
  readonly queueSizes: readonly number[];
  /** the configuration space as the driver reads it; a device that changes it then calls `host.configChanged()` */
  readonly config: Uint8Array;
  /**
   * The parts of `config` that say what this host has behind the device, as [start, end) in bytes. A restored device
   * keeps its own there, and its driver is told when they are not what was saved.
   */
  readonly ownConfig?: readonly (readonly [start: number, end: number])[];
  /**
   * Everything that a snapshot must carry besides `config`: plain data that `v8.serialize` takes, no host resources.
   * The transport saves the rings' indices.
   */
  readonly state: object;
  /**
   * Takes a saved state, before `activate`; for a device without `restore` the saved fields are assigned to `state`.
   */
  restore?(state: object): void;

  /** Says that the driver has set DRIVER_OK: the queues may be used from now on until `reset()`. */
  activate(host: DeviceHost): void;
  /**
   * Says that the driver has (perhaps) put buffers into a queue. The device must do bounded work: `Virtqueue.drain`
   * does, and `host.again` continues later. A GuestFault thrown here, or by any Virtqueue method, fails the device
   * (NEEDS_RESET).
   */
  notify(queue: number): void;
  /** Says that the driver wrote to the configuration space; `offset` and `data.length` lie inside it. */
  writeConfig?(offset: number, data: Uint8Array): void;
  /**
   * Tells the driver, in its memory, what it must know before it hears anything else from the host. It is called before
   * any device of the machine gives a request back.
   */
  settle?(): void;
  /** Forgets the driver: no queue may be touched after it, and requests in flight complete into nothing. */
  reset(): void;
  /** Says that the driver has reset the device without having started it: what it wrote to `config` goes. */
  forgetConfig?(): void;
}

/** What an activated device may use and call. */
export interface DeviceHost {
  readonly memory: GuestMemory;
  readonly queues: readonly Virtqueue[];
  /** the negotiated feature bits */
  readonly features: bigint;
  /** Interrupts the driver if the queue's completed buffers call for it. A device calls this once for each batch. */
  publish(queue: Virtqueue): void;
  /** Tells the driver that the configuration space has changed. */
  configChanged(): void;
  /** Calls `notify(queue)` again in a later turn of the event loop. */
  again(queue: number): void;
  /**
   * Runs device code that the transport did not call (a finished read, a socket's data), so that faults in it fail the
   * device.
   */
  guard(work: () => void): void;
}

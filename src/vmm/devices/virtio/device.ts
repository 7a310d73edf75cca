/**
 * The contract between a virtio device and its transport. A device folder has `device.ts` (a class that fulfils this),
 * `config.ts` (its configuration space and feature bits, with spec sections), and what else it needs; see
 * src/vmm/README.md for the rules it follows.
 */
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { Virtqueue } from './virtqueue.ts';

export interface VirtioDevice extends Disposable {
  /** for messages: `block`, `vsock`, … */
  readonly name: string;
  /** virtio 1.2 §5: the device type */
  readonly id: number;
  /** device-type feature bits only (0-23 and 50-127); the transport adds its own */
  readonly features: bigint;
  /** the most entries each queue may have, powers of two; its length is the number of queues */
  readonly queueSizes: readonly number[];
  /** the configuration space as the driver reads it; change it, then call `host.configChanged()` */
  readonly config: Uint8Array;
  /**
   * Everything that a snapshot must carry besides `config`: plain data that `v8.serialize` takes, no host resources.
   * The rings' own indices are the transport's to save.
   */
  readonly state: object;
  /** Takes a state that was saved, before `activate`; without it the saved fields are assigned to `state`. */
  restore?(state: object): void;

  /** DRIVER_OK: from now on until `reset()` the queues may be used. */
  activate(host: DeviceHost): void;
  /**
   * The driver has (perhaps) put buffers into a queue. Must do bounded work: `Virtqueue.drain` does, and `host.again`
   * continues later. A GuestFault thrown here, or by any Virtqueue method, fails the device (NEEDS_RESET).
   */
  notify(queue: number): void;
  /** The driver wrote to the configuration space; `offset` and `data.length` lie inside it. */
  writeConfig?(offset: number, data: Uint8Array): void;
  /** Forget the driver: no queue may be touched after it, and requests in flight complete into nothing. */
  reset(): void;
}

/** What an activated device may do. */
export interface DeviceHost {
  readonly memory: GuestMemory;
  readonly queues: readonly Virtqueue[];
  /** the negotiated feature bits */
  readonly features: bigint;
  /** Interrupts the driver if the queue's completed buffers call for it. Call once a batch. */
  publish(queue: Virtqueue): void;
  /** The configuration space has changed. */
  configChanged(): void;
  /** Calls `notify(queue)` again in a later turn of the event loop. */
  again(queue: number): void;
  /**
   * Runs device code that was not called by the transport (a finished read, a socket's data): faults in it fail the
   * device.
   */
  guard(work: () => void): void;
}

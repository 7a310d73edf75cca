/** The balloon gives memory that the guest does not use back to the host. */
import type { Chain } from '../virtio/chain.ts';
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import {
  ACTUAL,
  BALLOON_CONFIG_SIZE,
  BALLOON_FEATURES,
  BALLOON_ID,
  BALLOON_PAGE,
  BALLOON_QUEUE_SIZES,
  INFLATE_QUEUE,
  MAX_PAGES,
  NUM_PAGES,
  REPORTING_QUEUE,
} from './config.ts';

export interface BalloonState {
  /** bytes the guest was asked to give up */
  target: number;
  /** bytes that the guest says it has given up */
  actual: number;
}

export class Balloon implements VirtioDevice {
  readonly name = 'balloon';
  readonly id = BALLOON_ID;
  readonly features = BALLOON_FEATURES;
  readonly queueSizes = BALLOON_QUEUE_SIZES;
  readonly config = new Uint8Array(BALLOON_CONFIG_SIZE);
  readonly state: BalloonState = { target: 0, actual: 0 };
  /** bytes given back since the device was made, for figures; the guest may be using them again */
  returned = 0;
  #host: DeviceHost | undefined;

  activate(host: DeviceHost): void {
    this.#host = host;
  }

  /** @param bytes that the guest should do without; 0 lets it have all */
  setTarget(bytes: number): void {
    this.state.target = bytes;
    new DataView(this.config.buffer).setUint32(NUM_PAGES, Math.floor(bytes / BALLOON_PAGE), true);
    this.#host?.configChanged();
  }

  writeConfig(offset: number, data: Uint8Array): void {
    // The driver may write only `actual`.
    if (offset !== ACTUAL || data.length !== 4) return;
    this.config.set(data, offset);
    this.state.actual = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true) * BALLOON_PAGE;
  }

  notify(index: number): void {
    const host = this.#host!;
    const queue = host.queues[index]!;
    const more = queue.drain((chain) => {
      if (index === INFLATE_QUEUE) this.#inflate(host, chain);
      else if (index === REPORTING_QUEUE) this.#report(host, chain);
      // Deflating needs no work: a page that the guest touches exists again.
      queue.complete(chain, 0);
    });
    host.publish(queue);
    if (more) host.again(index);
  }

  #inflate(host: DeviceHost, chain: Chain): void {
    const bytes = chain.read(0, MAX_PAGES * 4);
    const view = new DataView(bytes.buffer);
    // Page numbers come in runs; each run is one system call.
    let start = 0;
    let length = 0;
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
      const address = view.getUint32(at, true) * BALLOON_PAGE;
      if (length > 0 && address === start + length) length += BALLOON_PAGE;
      else {
        this.#discard(host, start, length);
        start = address;
        length = BALLOON_PAGE;
      }
    }
    this.#discard(host, start, length);
  }

  /** Discards reported pages, which are free: their contents need not be kept (§5.5.6.8). */
  #report(host: DeviceHost, chain: Chain): void {
    for (const { address, length } of chain.writable) this.#discard(host, address, length);
  }

  #discard(host: DeviceHost, address: number, length: number): void {
    host.memory.discard(address, length);
    this.returned += length;
  }

  reset(): void {
    this.#host = undefined;
    this.state.actual = 0;
    new DataView(this.config.buffer).setUint32(ACTUAL, 0, true);
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

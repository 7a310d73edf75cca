/** The entropy device gives the guest's generator randomness from the host's CSPRNG. */
import { randomBytes } from 'node:crypto';
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import { MAX_ENTROPY_BYTES, REQUEST_QUEUE, RNG_ID, RNG_QUEUE_SIZES } from './config.ts';

export class Rng implements VirtioDevice {
  readonly name = 'rng';
  readonly id = RNG_ID;
  readonly features = 0n;
  readonly queueSizes = RNG_QUEUE_SIZES;
  readonly config = new Uint8Array(0);
  readonly state = {};
  #host: DeviceHost | undefined;

  activate(host: DeviceHost): void {
    this.#host = host;
  }

  notify(): void {
    const host = this.#host!;
    const queue = host.queues[REQUEST_QUEUE]!;
    const more = queue.drain((chain) => {
      const written = chain.write(0, randomBytes(Math.min(chain.writableLength, MAX_ENTROPY_BYTES)));
      queue.complete(chain, written);
    });
    host.publish(queue);
    if (more) host.again(REQUEST_QUEUE);
  }

  reset(): void {
    this.#host = undefined;
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

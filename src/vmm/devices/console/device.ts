/** The console carries the kernel's log out, and typed bytes in. It never interprets either. */
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import {
  CONSOLE_CONFIG_SIZE,
  CONSOLE_FEATURES,
  CONSOLE_ID,
  CONSOLE_QUEUE_SIZES,
  MAX_COPY,
  MAX_INPUT,
  RECEIVE_QUEUE,
  TRANSMIT_QUEUE,
} from './config.ts';

export interface ConsoleState {
  /** bytes typed and not yet read by the guest */
  input: Uint8Array;
}

export class Console implements VirtioDevice {
  readonly name = 'console';
  readonly id = CONSOLE_ID;
  readonly features = CONSOLE_FEATURES;
  readonly queueSizes = CONSOLE_QUEUE_SIZES;
  readonly config = new Uint8Array(CONSOLE_CONFIG_SIZE);
  readonly state: ConsoleState = { input: new Uint8Array(0) };
  readonly #output: (bytes: Uint8Array) => void;
  #host: DeviceHost | undefined;

  /** @param output gets copies of what the guest writes, as the guest writes it; the receiver bounds what it keeps */
  constructor(output: (bytes: Uint8Array) => void) {
    this.#output = output;
  }

  activate(host: DeviceHost): void {
    this.#host = host;
  }

  notify(queue: number): void {
    if (queue === TRANSMIT_QUEUE) this.#transmit();
    else this.#receive();
  }

  /** Types bytes into the guest. @returns how many bytes were taken; the rest found the buffer full */
  input(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, Math.max(0, MAX_INPUT - this.state.input.length));
    this.state.input = new Uint8Array(Buffer.concat([this.state.input, taken]));
    this.#host?.guard(() => this.#receive());
    return taken.length;
  }

  #transmit(): void {
    const host = this.#host!;
    const queue = host.queues[TRANSMIT_QUEUE]!;
    const more = queue.drain((chain) => {
      for (let at = 0; at < chain.readableLength && at < MAX_COPY;) {
        const bytes = chain.read(at, MAX_COPY);
        this.#output(bytes);
        at += bytes.length;
      }
      queue.complete(chain, 0);
    });
    host.publish(queue);
    if (more) host.again(TRANSMIT_QUEUE);
  }

  #receive(): void {
    const host = this.#host!;
    const queue = host.queues[RECEIVE_QUEUE]!;
    // Buffers without room take nothing, and another CPU of the guest may give them back at once.
    let budget = queue.state.size;
    while (this.state.input.length > 0) {
      if (budget-- === 0) {
        host.again(RECEIVE_QUEUE);
        break;
      }
      const chain = queue.pop();
      if (chain === undefined) {
        if (queue.rearm()) break;
        continue;
      }
      const written = chain.write(0, this.state.input);
      this.state.input = this.state.input.slice(written);
      queue.complete(chain, written);
    }
    host.publish(queue);
  }

  reset(): void {
    this.#host = undefined;
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

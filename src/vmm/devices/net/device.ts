/**
 * The network device: Ethernet frames between the guest and a packet descriptor (tap, or a datagram socket whose other end is a switch or pasta).
 * Interprets nothing of a frame: filters and address rules are the network room's.
 */
import { HuskError } from '../../../errors.ts';
import { readPacket, setNonBlocking, writePacket } from '../../../host/packet-fd.ts';
import { watchReadable, type Watch } from '../../../host/poll.ts';
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import { FRAME_OVERHEAD, HEADER_SIZE, MAX_BURST, MAX_MTU, MIN_MTU, netConfig, NET_FEATURES, NET_ID, NET_QUEUE_SIZES, NUM_BUFFERS, RECEIVE_QUEUE, TRANSMIT_QUEUE } from './config.ts';

export interface NetState {
  /** bytes of frames since the device was made: `stats` */
  bytesReceived: number;
  bytesSent: number;
}

export class Net implements VirtioDevice {
  readonly name = 'net';
  readonly id = NET_ID;
  readonly features = NET_FEATURES;
  readonly queueSizes = NET_QUEUE_SIZES;
  readonly config: Uint8Array;
  readonly state: NetState = { bytesReceived: 0, bytesSent: 0 };
  readonly #fd: number;
  readonly #maxFrame: number;
  /** one received frame behind its header */
  readonly #scratch: Uint8Array;
  #host: DeviceHost | undefined;
  #watch: Watch | undefined;
  #gone = false;

  /** @param fd stays the caller's to close, after the machine @param options.mac six bytes @param options.mtu bytes, default 1500 */
  constructor(fd: number, options: { mac: Uint8Array; mtu?: number }) {
    const mtu = options.mtu ?? 1500;
    if (!Number.isInteger(mtu) || mtu < MIN_MTU || mtu > MAX_MTU) throw new HuskError(`cannot make a network device with an MTU of ${mtu}`, { kind: 'invalid' });
    this.#fd = fd;
    this.config = netConfig(options.mac, mtu);
    this.#maxFrame = mtu + FRAME_OVERHEAD;
    this.#scratch = new Uint8Array(HEADER_SIZE + this.#maxFrame);
    // A frame is one buffer (no VIRTIO_NET_F_MRG_RXBUF).
    new DataView(this.#scratch.buffer).setUint16(NUM_BUFFERS, 1, true);
    setNonBlocking(fd);
  }

  activate(host: DeviceHost): void {
    this.#host = host;
    this.#listen();
  }

  notify(index: number): void {
    if (index === TRANSMIT_QUEUE) this.#transmit();
    else this.#listen();
  }

  #transmit(): void {
    const host = this.#host!;
    const queue = host.queues[TRANSMIT_QUEUE]!;
    const more = queue.drain((chain) => {
      // Frames longer than the MTU allows are dropped, as on any link.
      const length = chain.readableLength - HEADER_SIZE;
      if (length > 0 && length <= this.#maxFrame && writePacket(this.#fd, chain.read(HEADER_SIZE, this.#maxFrame))) this.state.bytesSent += length;
      queue.complete(chain, 0);
    });
    host.publish(queue);
    if (more) host.again(TRANSMIT_QUEUE);
  }

  /** Watches the descriptor while the guest has buffers; without, frames wait in the socket, which drops what it cannot hold. */
  #listen(): void {
    if (this.#watch !== undefined || this.#gone || this.#host === undefined) return;
    this.#watch = watchReadable(this.#fd, () => this.#host?.guard(() => this.#receive()));
    this.#watch.unref();
  }

  #ignore(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #receive(): void {
    const host = this.#host!;
    const queue = host.queues[RECEIVE_QUEUE]!;
    for (let burst = 0; burst < MAX_BURST; burst++) {
      const chain = queue.pop();
      if (chain === undefined) {
        if (!queue.rearm()) continue;
        this.#ignore();
        break;
      }
      const length = readPacket(this.#fd, this.#scratch.subarray(HEADER_SIZE));
      if (length === undefined || length === 0) {
        queue.undo(chain);
        if (length === 0) {
          this.#gone = true;
          this.#ignore();
        }
        break;
      }
      const frame = this.#scratch.subarray(0, HEADER_SIZE + length);
      // A buffer too small for the frame (§5.1.6.3.1 wants 1526 bytes) loses it.
      const written = chain.writableLength >= frame.length ? chain.write(0, frame) : 0;
      if (written > 0) this.state.bytesReceived += length;
      queue.complete(chain, written);
    }
    host.publish(queue);
  }

  reset(): void {
    this.#host = undefined;
    this.#ignore();
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

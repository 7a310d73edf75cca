/**
 * The network device: Ethernet frames between the guest and a link (link.ts). Which frames may pass is filter.ts's to
 * say; nothing else is read of them.
 */
import { HuskError } from '../../../errors.ts';
import { watchReadable, type Watch } from '../../../host/streams/poll.ts';
import type { Chain } from '../virtio/chain.ts';
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import type { Virtqueue } from '../virtio/virtqueue.ts';
import { completeChecksum } from './checksum.ts';
import {
  FRAME_OVERHEAD,
  F_MRG_RXBUF,
  HEADER_SIZE,
  linkDown,
  MAX_BURST,
  MAX_BURST_BYTES,
  MAX_MTU,
  MIN_MTU,
  netConfig,
  NET_FEATURES,
  NET_ID,
  NET_QUEUE_SIZES,
  NUM_BUFFERS,
  OWN_CONFIG,
  RECEIVE_QUEUE,
  TRANSMIT_QUEUE,
} from './config.ts';
import type { FrameFilter } from './filter.ts';
import type { PacketLink } from './link.ts';

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
  readonly ownConfig = OWN_CONFIG;
  readonly state: NetState = { bytesReceived: 0, bytesSent: 0 };
  readonly #link: PacketLink | undefined;
  readonly #filter: FrameFilter;
  readonly #maxFrame: number;
  readonly #header = new Uint8Array(HEADER_SIZE);
  readonly #sentHeader = new Uint8Array(HEADER_SIZE);
  #host: DeviceHost | undefined;
  #watch: Watch | undefined;
  #down = false;

  /**
   * @param link stays the caller's, also after the machine; without one the guest sees no carrier, as in a machine that
   * is made to be saved @param options.mac six bytes @param options.mtu bytes, default 1500
   */
  constructor(link: PacketLink | undefined, options: { mac: Uint8Array; mtu?: number; filter: FrameFilter }) {
    const mtu = options.mtu ?? 1500;
    if (!Number.isInteger(mtu) || mtu < MIN_MTU || mtu > MAX_MTU)
      throw new HuskError(`cannot make a network device with an MTU of ${mtu}`, { kind: 'invalid' });
    this.#link = link;
    this.#filter = options.filter;
    this.config = netConfig(options.mac, { mtu, linked: link !== undefined });
    this.#maxFrame = mtu + FRAME_OVERHEAD;
  }

  activate(host: DeviceHost): void {
    this.#host = host;
    this.#listen();
  }

  notify(index: number): void {
    if (index === TRANSMIT_QUEUE) this.#transmit();
    else this.#receive();
  }

  /** Takes frames as they come: a link that has no room loses them, and never makes anybody wait. */
  #transmit(): void {
    const host = this.#host!;
    const queue = host.queues[TRANSMIT_QUEUE]!;
    const link = this.#link;
    let bytes = 0;
    const more = queue.drain((chain) => {
      // Frames longer than the MTU allows are dropped, as on any link.
      const length = chain.readableLength - HEADER_SIZE;
      if (length > 0 && length <= this.#maxFrame && link !== undefined && !link.gone) {
        const frame = link.room(length);
        chain.readInto(frame, HEADER_SIZE);
        chain.readInto(this.#sentHeader, 0);
        bytes += length;
        // The checksum first: it is written where the guest says, and that may be in an address.
        if (completeChecksum(this.#sentHeader, frame) && this.#filter.mayLeave(frame)) {
          link.send();
          this.state.bytesSent += length;
        }
      }
      queue.complete(chain, 0);
      return bytes < MAX_BURST_BYTES;
    });
    host.publish(queue);
    if (more) host.again(TRANSMIT_QUEUE);
  }

  /**
   * Watches the link while the guest has buffers; without, frames wait in the link, whose other end drops what it
   * cannot send.
   */
  #listen(): void {
    if (this.#watch !== undefined || this.#host === undefined || this.#link === undefined) return;
    if (this.#link.gone) return this.#lose();
    this.#watch = watchReadable(this.#link.fd, () => this.#host?.guard(() => this.#receive()));
    this.#watch.unref();
  }

  #ignore(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #receive(): void {
    const link = this.#link;
    if (link === undefined) return;
    const host = this.#host!;
    const queue = host.queues[RECEIVE_QUEUE]!;
    let bytes = 0;
    let burst = 0;
    for (; burst < MAX_BURST && bytes < MAX_BURST_BYTES; burst++) {
      const frame = link.peek();
      if (frame === undefined) break;
      if (!this.#filter.mayEnter(frame)) {
        bytes += frame.length;
        link.drop();
        continue;
      }
      if (!this.#deliver(queue, link, frame)) {
        this.#ignore();
        return host.publish(queue);
      }
      bytes += frame.length;
    }
    host.publish(queue);
    if (link.gone) return this.#lose();
    this.#listen();
    // what has been read already makes nothing readable
    if (burst > 0) host.again(RECEIVE_QUEUE);
  }

  /**
   * @returns false when the guest has too few buffers, and will say when there are more: the frame stays where it is
   */
  #deliver(queue: Virtqueue, link: PacketLink, frame: Uint8Array): boolean {
    const most = (this.#host!.features & F_MRG_RXBUF) === 0n ? 1 : queue.state.size;
    const needed = HEADER_SIZE + frame.length;
    const chains: Chain[] = [];
    let room = 0;
    while (room < needed && chains.length < most) {
      const chain = queue.pop();
      if (chain === undefined) {
        // asked while the ones taken count as taken: the kick is to be for a new one
        if (!queue.rearm()) continue;
        for (const taken of chains.toReversed()) queue.undo(taken);
        return false;
      }
      chains.push(chain);
      room += chain.writableLength;
    }
    link.drop();
    // Buffers that cannot hold it however many there are (§5.1.6.3.1 wants 1526 bytes, or with merging one header each)
    // lose it.
    if (room < needed) {
      for (const chain of chains) queue.complete(chain, 0);
      return true;
    }
    this.#fill(queue, chains, frame);
    this.state.bytesReceived += frame.length;
    return true;
  }

  #fill(queue: Virtqueue, chains: readonly Chain[], frame: Uint8Array): void {
    new DataView(this.#header.buffer).setUint16(NUM_BUFFERS, chains.length, true);
    let done = -HEADER_SIZE;
    for (const chain of chains) {
      let written = 0;
      if (done < 0) {
        written = chain.write(0, this.#header.subarray(HEADER_SIZE + done));
        done += written;
      }
      if (done >= 0) {
        const length = chain.write(written, frame.subarray(done));
        done += length;
        written += length;
      }
      queue.complete(chain, written);
    }
  }

  /** Nobody is there any more: the guest sees its carrier go. */
  #lose(): void {
    this.#ignore();
    if (this.#down) return;
    this.#down = true;
    linkDown(this.config);
    this.#host?.configChanged();
  }

  reset(): void {
    this.#host = undefined;
    this.#ignore();
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

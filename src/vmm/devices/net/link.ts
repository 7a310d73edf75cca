/**
 * What a network device's frames come from and go to: a descriptor, and the rule by which frames lie in its bytes. Two
 * kinds: one frame a packet (tap, datagram sockets), or frames one after another in a stream (passt, QEMU's
 * `-netdev stream`).
 *
 * Nothing is queued here: one frame received waits until the guest has room, one frame half sent goes before the next.
 * Frames' contents are nobody's concern; what a guest writes is bytes of a length that was checked.
 */
import { readPacket, setNonBlocking, writePacket } from '../../../host/streams/packet-fd.ts';
import { readSome, writeSome } from '../../../host/streams/stream-fd.ts';

/** bytes: the longest IP packet, behind an Ethernet header with a VLAN tag */
export const MAX_FRAME = 65_535 + 18;

export interface Link {
  /** becomes readable when a frame has come, writable when one can go */
  readonly fd: number;
  /** the other end is gone, for good */
  readonly gone: boolean;
  /** the first frame that has come, valid until `drop`; undefined when there is none now */
  peek(): Uint8Array | undefined;
  /** the frame seen is done with */
  drop(): void;
  /** a place for a frame of `length` bytes, to be filled and then sent, or abandoned */
  room(length: number): Uint8Array;
  abandon(): void;
  /** sends what was put into `room`: it goes, or is lost as on any network, but never in part */
  send(): void;
  /** false: the frame before has not gone yet. Wait until the descriptor is writable */
  ready(): boolean;
}

/** A tap device, or a datagram or seqpacket socket. Frames that the other side has no room for are lost. */
export class PacketLink implements Link {
  readonly fd: number;
  gone = false;
  readonly #received = new Uint8Array(MAX_FRAME);
  readonly #sent = new Uint8Array(MAX_FRAME);
  #held: Uint8Array | undefined;
  #length = 0;

  /** @param fd stays the caller's to close */
  constructor(fd: number) {
    this.fd = fd;
    setNonBlocking(fd);
  }

  peek(): Uint8Array | undefined {
    if (this.#held !== undefined || this.gone) return this.#held;
    const length = readPacket(this.fd, this.#received);
    if (length === 0) this.gone = true;
    return (this.#held = length === undefined || length === 0 ? undefined : this.#received.subarray(0, length));
  }

  drop(): void {
    this.#held = undefined;
  }

  room(length: number): Uint8Array {
    this.#length = length;
    return this.#sent.subarray(0, length);
  }

  abandon(): void {
    this.#length = 0;
  }

  send(): void {
    writePacket(this.fd, this.#sent.subarray(0, this.#length));
  }

  ready(): boolean {
    return true;
  }
}

/** u32, big-endian: bytes of the frame that follows (QEMU, net/stream.c) */
const PREFIX = 4;
/** bytes read at once: room for the longest frame and the beginning of the next */
const CHUNK = 2 * (PREFIX + MAX_FRAME);

/** A stream socket. It outlives machines: what is half sent when one ends is finished when the next one sends. */
export class StreamLink implements Link {
  readonly fd: number;
  gone = false;
  readonly #received = new Uint8Array(CHUNK);
  readonly #receivedView = new DataView(this.#received.buffer);
  #from = 0;
  #to = 0;
  readonly #sent = new Uint8Array(PREFIX + MAX_FRAME);
  readonly #sentView = new DataView(this.#sent.buffer);
  /** bytes of `#sent` that have gone, and that there are */
  #done = 0;
  #end = 0;

  /** @param fd stays the caller's to close */
  constructor(fd: number) {
    this.fd = fd;
    setNonBlocking(fd);
  }

  peek(): Uint8Array | undefined {
    for (;;) {
      const length = this.#frameLength();
      // the bounds of all later frames are lost with one wrong length
      if (length !== undefined && (length === 0 || length > MAX_FRAME)) this.gone = true;
      if (this.gone) return undefined;
      if (length !== undefined && this.#to - this.#from >= PREFIX + length)
        return this.#received.subarray(this.#from + PREFIX, this.#from + PREFIX + length);
      if (!this.#fill()) return undefined;
    }
  }

  #frameLength(): number | undefined {
    return this.#to - this.#from < PREFIX ? undefined : this.#receivedView.getUint32(this.#from);
  }

  /** @returns false when nothing has come; there is always room, for less than the longest frame is here */
  #fill(): boolean {
    if (this.#from > 0) {
      this.#received.copyWithin(0, this.#from, this.#to);
      this.#to -= this.#from;
      this.#from = 0;
    }
    const count = readSome(this.fd, this.#received.subarray(this.#to));
    if (count === 0) this.gone = true;
    this.#to += count ?? 0;
    return count !== undefined && count > 0;
  }

  drop(): void {
    this.#from += PREFIX + this.#frameLength()!;
  }

  room(length: number): Uint8Array {
    this.#sentView.setUint32(0, length);
    this.#done = 0;
    this.#end = PREFIX + length;
    return this.#sent.subarray(PREFIX, this.#end);
  }

  abandon(): void {
    this.#end = 0;
  }

  send(): void {
    this.ready();
  }

  ready(): boolean {
    while (this.#done < this.#end && !this.gone) {
      const count = writeSome(this.fd, this.#sent.subarray(this.#done, this.#end));
      if (count === undefined) return false;
      if (count === 0) this.gone = true;
      this.#done += count;
    }
    return true;
  }
}

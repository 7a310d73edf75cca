/**
 * What a network device's frames come from and go to: a descriptor with one frame a packet, which is a tap of the
 * host's (in tests a seqpacket socket).
 *
 * Nothing is queued here: one frame received waits until the guest has room, the others in the tap, which loses what it
 * has no room for, as any network does. Frames' contents are nobody's concern; what a guest writes is bytes of a length
 * that was checked.
 */
import { readPacket, setNonBlocking, writePacket } from '../../../host/streams/packet-fd.ts';

/** bytes: the longest IP packet, behind an Ethernet header with a VLAN tag */
const MAX_FRAME = 65_535 + 18;

export class PacketLink {
  /** becomes readable when a frame has come */
  readonly fd: number;
  /** the other end is gone, for good */
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

  /** The first frame that has come, valid until `drop`; undefined when there is none now. */
  peek(): Uint8Array | undefined {
    if (this.#held !== undefined || this.gone) return this.#held;
    const length = readPacket(this.fd, this.#received);
    if (length === 0) this.gone = true;
    return (this.#held = length === undefined || length === 0 ? undefined : this.#received.subarray(0, length));
  }

  /** The frame seen is done with. */
  drop(): void {
    this.#held = undefined;
  }

  /** A place for a frame of `length` bytes, to be filled and then sent, or forgotten. */
  room(length: number): Uint8Array {
    this.#length = length;
    return this.#sent.subarray(0, length);
  }

  /** Sends what was put into `room`: it goes, or is lost as on any network, but never in part. */
  send(): void {
    writePacket(this.fd, this.#sent.subarray(0, this.#length));
  }
}

/**
 * A split virtqueue, device side (virtio 1.2 §2.7), with indirect descriptors and event indices.
 *
 * The rings are the guest's and hostile. Each field is copied once, checked, then used:
 * - Ring areas are range-checked and aligned when the queue is enabled, and their views end where the rings end.
 * - An available index that runs ahead by more than the queue's size is a jump, which is a fault.
 * - A chain longer than the queue (so every loop), an index outside its table, an indirect table inside another or
 *   beside NEXT, a readable descriptor after a writable one, a zero or wrapping or out-of-RAM buffer: each is a fault.
 * - More requests in flight than the queue has entries are a fault.
 *
 * A fault is thrown as GuestFault; the transport turns it into NEEDS_RESET, and this queue gives nothing more until it
 * is reset.
 */
import { GuestFault, type GuestMemory } from '../../memory/guest-memory.ts';
import { Chain } from './chain.ts';

/** virtq_desc, §2.7.5: 16 bytes, read as four 32-bit words: address low, high, length, flags and next */
const DESCRIPTOR_SIZE = 16;
const DESCRIPTOR_WORDS = 4;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
/** virtq_avail, §2.7.6, in 16-bit words */
const AVAIL_FLAGS = 0;
const AVAIL_INDEX = 1;
const AVAIL_RING = 2;
const AVAIL_NO_INTERRUPT = 1;
/** virtq_used, §2.7.8: flags and index as 16-bit words, then elements of two 32-bit words */
const USED_INDEX = 1;
const USED_RING_BYTES = 4;
const USED_ELEMENT_SIZE = 8;

/** §2.7.5.3.1 and §2.7.5: a chain may not have more than 2^32 bytes. */
const MAX_CHAIN_BYTES = 2 ** 32 - 1;

/** Everything of a queue that a snapshot must carry. Addresses are guest-physical bytes. */
export interface QueueState {
  ready: boolean;
  /** entries, a power of two, at most the device's maximum */
  size: number;
  descriptors: number;
  available: number;
  used: number;
  /** the next available entry to take, modulo 2^16 */
  nextAvailable: number;
  /** the used index last written */
  nextUsed: number;
  /** the used index when the driver was last interrupted or could have been */
  signalledUsed: number;
  /** requests taken and not completed */
  inFlight: number;
}

export const emptyQueue = (): QueueState => ({
  ready: false,
  size: 0,
  descriptors: 0,
  available: 0,
  used: 0,
  nextAvailable: 0,
  nextUsed: 0,
  signalledUsed: 0,
  inFlight: 0,
});

export class Virtqueue {
  readonly index: number;
  readonly maxSize: number;
  state: QueueState = emptyQueue();
  #memory: GuestMemory;
  readonly #settle: () => void;
  #eventIndex = false;
  #indirect = false;
  #broken = false;
  #generation = 0;
  #descriptors: Uint32Array = new Uint32Array(0);
  #available: Uint16Array = new Uint16Array(0);
  #used16: Uint16Array = new Uint16Array(0);
  #used32: Uint32Array = new Uint32Array(0);

  /** @param settle called before a request is given back, see VirtioDevice */
  constructor(memory: GuestMemory, index: number, maxSize: number, settle: () => void = () => {}) {
    this.#memory = memory;
    this.#settle = settle;
    this.index = index;
    this.maxSize = maxSize;
  }

  /** @throws GuestFault when size, alignment (§2.7) or place of a ring is wrong */
  enable(features: { eventIndex: boolean; indirect: boolean }): void {
    const { size, descriptors, available, used } = this.state;
    if (size === 0 || size > this.maxSize || (size & (size - 1)) !== 0)
      throw new GuestFault(`queue ${this.index} has size ${size}`);
    if (descriptors % 16 !== 0 || available % 2 !== 0 || used % 4 !== 0)
      throw new GuestFault(`queue ${this.index} has a misaligned ring`);
    const { buffer, byteOffset } = this.#memory.bytes;
    const place = (address: number, length: number) => byteOffset + this.#memory.offset(address, length);
    // With event indices each ring has one more word, which §2.7.6 and §2.7.8 always reserve.
    this.#descriptors = new Uint32Array(buffer, place(descriptors, DESCRIPTOR_SIZE * size), DESCRIPTOR_WORDS * size);
    this.#available = new Uint16Array(buffer, place(available, 6 + 2 * size), 3 + size);
    const usedOffset = place(used, 6 + USED_ELEMENT_SIZE * size);
    this.#used16 = new Uint16Array(buffer, usedOffset, 3 + 4 * size);
    this.#used32 = new Uint32Array(buffer, usedOffset + USED_RING_BYTES, 2 * size);
    this.#eventIndex = features.eventIndex;
    this.#indirect = features.indirect;
    this.#broken = false;
    this.state.ready = true;
  }

  /** Forgets the rings; chains still in flight become stale and complete into nothing. */
  reset(): void {
    this.state = emptyQueue();
    this.#generation++;
    this.#broken = false;
    this.#descriptors = new Uint32Array(0);
    this.#available = this.#used16 = new Uint16Array(0);
    this.#used32 = new Uint32Array(0);
  }

  /**
   * Stops the queue until the driver resets the device: it gives nothing more, and chains in flight complete into
   * nothing.
   */
  abandon(): void {
    this.#generation++;
    this.#broken = true;
  }

  /** Takes the next request. @throws GuestFault; the queue then gives nothing more */
  pop(): Chain | undefined {
    const { state } = this;
    if (!state.ready || this.#broken) return undefined;
    const waiting = (Atomics.load(this.#available, AVAIL_INDEX) - state.nextAvailable) & 0xffff;
    if (waiting === 0) return undefined;
    try {
      // Attack: an index that jumps makes the device walk stale entries, up to 65535 of them at each kick.
      if (waiting > state.size) throw new GuestFault(`queue ${this.index}: available index jumped by ${waiting}`);
      // Attack: a guest that offers one buffer over and over makes the device hold memory for every copy in flight.
      if (state.inFlight >= state.size) throw new GuestFault(`queue ${this.index}: more requests than entries`);
      const head = this.#available[AVAIL_RING + (state.nextAvailable & (state.size - 1))]!;
      const chain = this.#walk(head);
      state.nextAvailable = (state.nextAvailable + 1) & 0xffff;
      state.inFlight++;
      return chain;
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }

  #walk(head: number): Chain {
    const chain = new Chain(this.#memory, head, this.#generation);
    const { size } = this.state;
    let table = this.#descriptors;
    let entries = size;
    let next = head;
    // The driver must not make a chain longer than the queue (§2.7.5.3.1), which bounds loops too.
    let left = size;
    for (;;) {
      if (next >= entries) throw new GuestFault(`queue ${this.index}: descriptor ${next} of ${entries}`);
      if (left-- === 0) throw new GuestFault(`queue ${this.index}: chain longer than the queue`);
      const word = next * DESCRIPTOR_WORDS;
      const address = table[word]! + table[word + 1]! * 2 ** 32;
      const length = table[word + 2]!;
      const flagsAndNext = table[word + 3]!;
      const flags = flagsAndNext & 0xffff;
      if ((flags & INDIRECT) !== 0) {
        // §2.7.5.3.1: INDIRECT must have been negotiated, must not come with NEXT nor inside an indirect table, and the
        // table must be a whole number of descriptors.
        if (!this.#indirect || table !== this.#descriptors || (flags & NEXT) !== 0)
          throw new GuestFault(`queue ${this.index}: misplaced indirect descriptor`);
        if (length === 0 || length % DESCRIPTOR_SIZE !== 0 || length / DESCRIPTOR_SIZE > size)
          throw new GuestFault(`queue ${this.index}: indirect table of ${length} bytes`);
        table = new Uint32Array(this.#memory.copy(address, length).buffer);
        entries = length / DESCRIPTOR_SIZE;
        next = 0;
        // The descriptor that names the table is no part of the chain: Linux fills a table with as many as the queue
        // has.
        left = size;
        continue;
      }
      if (length === 0) throw new GuestFault(`queue ${this.index}: empty buffer`);
      this.#memory.offset(address, length);
      if ((flags & WRITE) !== 0) {
        chain.writable.push({ address, length });
        chain.writableLength += length;
      } else {
        if (chain.writable.length > 0)
          throw new GuestFault(`queue ${this.index}: readable buffer after a writable one`);
        chain.readable.push({ address, length });
        chain.readableLength += length;
      }
      if (chain.readableLength + chain.writableLength > MAX_CHAIN_BYTES)
        throw new GuestFault(`queue ${this.index}: chain of more than 4 GiB`);
      if ((flags & NEXT) === 0) return chain;
      next = flagsAndNext >>> 16;
    }
  }

  /**
   * @returns whether the driver has taken the queue back since this request was popped: its memory must then not be
   * touched any more
   */
  isStale(chain: Chain): boolean {
    return chain.generation !== this.#generation || !this.state.ready;
  }

  /**
   * Gives a request back. The device then calls `publish` on the host, once for each batch.
   * @param written bytes that the device wrote into the request's writable part
   */
  complete(chain: Chain, written: number): void {
    const { state } = this;
    if (this.isStale(chain)) return;
    this.#settle();
    const element = (state.nextUsed & (state.size - 1)) * 2;
    this.#used32[element] = chain.head;
    this.#used32[element + 1] = written;
    state.nextUsed = (state.nextUsed + 1) & 0xffff;
    state.inFlight--;
    Atomics.store(this.#used16, USED_INDEX, state.nextUsed);
  }

  /** Puts the request that was taken last back, when nothing was done with it: the next `pop` takes it again. */
  undo(chain: Chain): void {
    if (this.isStale(chain)) return;
    this.state.nextAvailable = (this.state.nextAvailable - 1) & 0xffff;
    this.state.inFlight--;
  }

  /** Asks for a kick at the next new request. @returns false when a request has come in the meantime */
  rearm(): boolean {
    if (!this.state.ready || this.#broken || !this.#eventIndex) return true;
    Atomics.store(this.#used16, 2 + 4 * this.state.size, this.state.nextAvailable);
    return Atomics.load(this.#available, AVAIL_INDEX) === this.state.nextAvailable;
  }

  /**
   * Takes requests until there are none, then asks to be kicked. One call handles at most as many requests as the queue
   * has entries.
   * @param handle returns false to stop early, when the requests so far were work enough for one turn
   * @returns whether there may be more: the device then calls `host.again`
   */
  drain(handle: (chain: Chain) => boolean | void): boolean {
    for (let budget = this.state.size; budget > 0; budget--) {
      const chain = this.pop();
      if (chain === undefined) {
        if (this.#broken || this.rearm()) return false;
      } else if (handle(chain) === false) return true;
    }
    return true;
  }

  /**
   * @returns whether the driver wants an interrupt for what was completed since its last one (§2.7.7). Asking counts as
   * interrupting, so a caller asks once and then must raise the interrupt.
   */
  takeInterrupt(): boolean {
    const { state } = this;
    if (!state.ready || state.nextUsed === state.signalledUsed) return false;
    const old = state.signalledUsed;
    state.signalledUsed = state.nextUsed;
    if (!this.#eventIndex) return (Atomics.load(this.#available, AVAIL_FLAGS) & AVAIL_NO_INTERRUPT) === 0;
    const event = Atomics.load(this.#available, AVAIL_RING + state.size);
    return ((state.nextUsed - event - 1) & 0xffff) < ((state.nextUsed - old) & 0xffff);
  }

  get broken(): boolean {
    return this.#broken;
  }
}

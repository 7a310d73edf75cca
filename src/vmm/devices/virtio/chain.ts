/**
 * A Chain is one request: a descriptor chain that the virtqueue has already checked. Readable parts come first,
 * writable parts after them (virtio 1.2 §2.7.4.2), and every part lies wholly in guest RAM. The *bytes* are still the
 * guest's: it may change them while the device looks, so headers are copied before they are read.
 */
import type { GuestMemory } from '../../memory/guest-memory.ts';

/** a checked range of guest-physical bytes */
export interface Span {
  address: number;
  length: number;
}

export class Chain {
  /** index of the first descriptor, which is what the used ring names */
  readonly head: number;
  /** the queue's generation when the chain was taken: a reset of the queue makes the chain stale */
  readonly generation: number;
  readonly readable: Span[] = [];
  readonly writable: Span[] = [];
  /** bytes */
  readableLength = 0;
  writableLength = 0;
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory, head: number, generation: number) {
    this.#memory = memory;
    this.head = head;
    this.generation = generation;
  }

  /**
   * Copies readable bytes; fewer than asked when the chain has fewer.
   * @param limit the most bytes to copy, whatever the guest says
   */
  read(offset: number, limit: number): Uint8Array {
    const length = Math.max(0, Math.min(limit, this.readableLength - offset));
    const bytes = new Uint8Array(length);
    this.readInto(bytes, offset);
    return bytes;
  }

  /** Copies readable bytes from `offset` on until `bytes` is full. @returns how many bytes there were */
  readInto(bytes: Uint8Array, offset: number): number {
    let done = 0;
    for (const span of slice(this.readable, offset, bytes.length)) {
      bytes.set(this.#memory.live(span.address, span.length), done);
      done += span.length;
    }
    return done;
  }

  /** Copies bytes into the writable part. @returns how many bytes found room */
  write(offset: number, bytes: Uint8Array): number {
    let done = 0;
    for (const span of slice(this.writable, offset, bytes.length)) {
      this.#memory.write(span.address, bytes.subarray(done, done + span.length));
      done += span.length;
    }
    return done;
  }
}

/** @returns the part [offset, offset + length) of a list of spans, shorter where the list ends */
export function slice(spans: readonly Span[], offset: number, length: number): Span[] {
  const parts: Span[] = [];
  let skip = offset;
  let left = length;
  for (const span of spans) {
    if (left <= 0) break;
    if (skip >= span.length) {
      skip -= span.length;
      continue;
    }
    const take = Math.min(span.length - skip, left);
    parts.push({ address: span.address + skip, length: take });
    skip = 0;
    left -= take;
  }
  return parts;
}

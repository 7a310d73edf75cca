/**
 * How long a guest may keep names and attributes: until the host changes them. The guest gives the device a table of
 * counts, one for each node (several nodes may share one). The device numbers the changes that it hears of, and writes
 * a change's number into the counts of the nodes that it is a change to. Each reply carries the number of the last
 * change before the device looked, and the guest takes what the reply said for true as long as the node's count is no
 * larger. So a look of the guest's that comes after the count was written asks again, with no message in between, and a
 * reply that was overtaken by a change is stale before it arrives (docs/vmm.md § Shared folders).
 *
 * The counts are the guest's memory. They are written and never read, so that what a guest writes there harms only
 * itself.
 */
import { GuestFault, type GuestMemory } from '../../../memory/guest-memory.ts';

/** counts in the table, 64 bits each; a node's is that at its number modulo this one */
export const CHANGE_COUNTS = 8192;
const COUNT_BYTES = 8;
const PAGE = 4096;

/** A lifetime as a reply carries it: seconds in two halves, and nanoseconds. */
export interface Lifetime {
  high: number;
  low: number;
  nanoseconds: number;
}

/** The guest asks each time. */
export const NO_LIFETIME: Lifetime = { high: 0, low: 0, nanoseconds: 0 };

/** the topmost bit of the seconds: they are the number of a change, and the lifetime ends with a later one */
const UNTIL_CHANGED = 0x8000_0000;

/** What a snapshot must carry of it. */
export interface ChangesState {
  /** guest-physical address of the table; 0 for none */
  table: number;
  /** number of the last change; a guest may hold each that was given once, so they only go up */
  lastChange: number;
}

export class Lifetimes {
  #counts: BigUint64Array | undefined;
  /** the last number in each count, as the guest's own memory cannot be trusted to say */
  readonly #written = new Float64Array(CHANGE_COUNTS);
  #state: ChangesState = { table: 0, lastChange: 0 };

  /**
   * @param state is kept up to date from here on
   * @throws GuestFault when the table is not in RAM, or not page-aligned
   */
  attach(memory: GuestMemory, state: ChangesState): void {
    const { table: address } = state;
    if (address % PAGE !== 0) throw new GuestFault(`table of changes at 0x${address.toString(16)} is not page-aligned`);
    const offset = memory.offset(address, CHANGE_COUNTS * COUNT_BYTES);
    this.#counts = new BigUint64Array(memory.bytes.buffer, memory.bytes.byteOffset + offset, CHANGE_COUNTS);
    this.#state = state;
    // What the guest of a snapshot has kept ends: nobody has watched meanwhile.
    this.allChanged();
  }

  /** The table is the guest's again. */
  detach(): void {
    this.#counts = undefined;
  }

  /** @returns the lifetime of what is looked at from now on; none when the guest keeps no table */
  untilChanged(): Lifetime {
    if (this.#counts === undefined) return NO_LIFETIME;
    const { lastChange } = this.#state;
    return { high: UNTIL_CHANGED + Math.floor(lastChange / 2 ** 32), low: lastChange >>> 0, nanoseconds: 0 };
  }

  /** @returns number of the last change, which the lifetimes that are given now end after; 0 without a table */
  get lastChange(): number {
    return this.#counts === undefined ? 0 : this.#state.lastChange;
  }

  /** @returns whether a guest that was told of the node when this was the last change still takes that for true */
  isKept(node: number, lastChange: number): boolean {
    return this.#counts !== undefined && lastChange >= this.#written[node % CHANGE_COUNTS]!;
  }

  changed(node: number): void {
    if (this.#counts === undefined) return;
    const count = node % CHANGE_COUNTS;
    this.#written[count] = ++this.#state.lastChange;
    Atomics.store(this.#counts, count, BigInt(this.#state.lastChange));
  }

  /** Ends every lifetime. */
  allChanged(): void {
    if (this.#counts === undefined) return;
    this.#written.fill(++this.#state.lastChange);
    this.#counts.fill(BigInt(this.#state.lastChange));
  }
}

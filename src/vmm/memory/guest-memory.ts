/**
 * Guest RAM as the VMM sees it.
 *
 * Every access to a guest address goes through GuestMemory and is range-checked once, against the whole length, before
 * any byte is touched; an address that the guest made up ends in a GuestFault, never in host memory. RAM is one
 * anonymous mapping, so `hostAddress` of a checked range may be passed to a system call. Guest addresses are numbers: a
 * u64 above 2^53 loses bits but is out of range all the same.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import { PAGE_SIZE } from '../../host/memory/mapping.ts';
import { RamMapping } from '../../host/memory/ram-mapping.ts';
import type { Vm } from '../kvm/vm.ts';
import { HIGH_RAM_START, LOW_RAM_END } from './layout.ts';

/**
 * Says that the guest named memory that is not RAM, or not aligned as the format demands. The fault fails the device
 * (NEEDS_RESET), never the VMM.
 */
export class GuestFault extends Error {
  override name = 'GuestFault';
}

export class GuestMemory implements Disposable {
  /** bytes of RAM */
  readonly size: number;
  readonly #mapping: RamMapping;
  readonly #lowSize: number;
  #bytes: Uint8Array;
  #view: DataView;
  #u16: Uint16Array;

  private constructor(mapping: RamMapping) {
    this.#mapping = mapping;
    this.size = mapping.length;
    this.#lowSize = Math.min(this.size, LOW_RAM_END);
    this.#bytes = new Uint8Array(mapping.buffer, mapping.offset, mapping.length);
    this.#view = new DataView(mapping.buffer, mapping.offset, mapping.length);
    this.#u16 = new Uint16Array(mapping.buffer, mapping.offset, mapping.length / 2);
  }

  /** @param size bytes, a multiple of the page size */
  static allocate(size: number): GuestMemory {
    if (!Number.isSafeInteger(size) || size <= 0 || size % PAGE_SIZE !== 0)
      throw new RangeError(`guest memory of ${size} bytes`);
    return new GuestMemory(new RamMapping(size));
  }

  /**
   * Maps the whole RAM copy-on-write from a snapshot's file (src/vmm/snapshot/memory-file.ts). The call must come
   * before `attach`.
   * @throws HuskError naming the file
   */
  load(path: string): void {
    const fd = openSync(path, 'r');
    try {
      const length = fstatSync(fd).size;
      // A read of a mapped file beyond its end is SIGBUS, so the length must be right.
      if (length !== this.size)
        throw new HuskError(`the snapshot's memory ${path} has ${length} bytes, the machine ${this.size}`, {
          kind: 'corrupt',
        });
      this.#mapping.fill(fd);
    } finally {
      closeSync(fd);
    }
  }

  /**
   * Goes on from a file, into which the RAM of this paused machine has just been written (snapshot/memory-file.ts), and
   * gives the RAM's own pages back to the host. The file may lose its name afterwards.
   * @throws SyscallError; the RAM is as it was
   */
  moveInto(path: string): void {
    const fd = openSync(path, 'r');
    try {
      this.#mapping.moveInto(fd);
    } finally {
      closeSync(fd);
    }
  }

  attach(vm: Vm): void {
    vm.addMemory(0, this.#mapping, { offset: 0, length: this.#lowSize });
    if (this.size > this.#lowSize) vm.addMemory(HIGH_RAM_START, this.#mapping, { offset: this.#lowSize });
  }

  /** @returns the ranges of guest-physical RAM, lowest first */
  ranges(): { start: number; length: number }[] {
    const low = { start: 0, length: this.#lowSize };
    return this.size > this.#lowSize ? [low, { start: HIGH_RAM_START, length: this.size - this.#lowSize }] : [low];
  }

  /**
   * Checks a range; every access passes this one check.
   * @returns the offset into the mapping of a range that is wholly RAM
   * @throws GuestFault when any byte of the range is not RAM, including ranges that wrap
   */
  offset(address: number, length: number): number {
    if (length >= 0 && address >= 0) {
      if (address + length <= this.#lowSize) return address;
      if (address >= HIGH_RAM_START && address + length <= HIGH_RAM_START + this.size - this.#lowSize)
        return address - HIGH_RAM_START + this.#lowSize;
    }
    throw new GuestFault(`guest address 0x${address.toString(16)}+0x${length.toString(16)} is not RAM`);
  }

  /**
   * @returns the host's address of a range, for preadv and pwritev straight into the guest; valid as long as this
   * object
   */
  hostAddress(address: number, length: number): number {
    return this.#mapping.address + this.offset(address, length);
  }

  /** @returns the guest's live bytes, which it may change at any time: copy them before checking what they say */
  live(address: number, length: number): Uint8Array {
    const offset = this.offset(address, length);
    return this.#bytes.subarray(offset, offset + length);
  }

  /** @returns a copy, which the guest cannot change */
  copy(address: number, length: number): Uint8Array {
    const offset = this.offset(address, length);
    return this.#bytes.slice(offset, offset + length);
  }

  write(address: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.offset(address, bytes.length));
  }

  readU16(address: number): number {
    return this.#view.getUint16(this.offset(address, 2), true);
  }

  readU32(address: number): number {
    return this.#view.getUint32(this.offset(address, 4), true);
  }

  /**
   * Reads a u64. Above 2^53 its low bits are lost; such a value is no guest address and no length that passes a check.
   */
  readU64(address: number): number {
    const offset = this.offset(address, 8);
    return this.#view.getUint32(offset, true) + this.#view.getUint32(offset + 4, true) * 2 ** 32;
  }

  writeU16(address: number, value: number): void {
    this.#view.setUint16(this.offset(address, 2), value, true);
  }

  writeU32(address: number, value: number): void {
    this.#view.setUint32(this.offset(address, 4), value, true);
  }

  /** Loads 16 bits of a ring index, so that later loads cannot pass this one. @throws GuestFault when misaligned */
  loadU16(address: number): number {
    if (address % 2 !== 0) throw new GuestFault(`ring index at odd address 0x${address.toString(16)}`);
    return Atomics.load(this.#u16, this.offset(address, 2) / 2);
  }

  /** Stores 16 bits of a ring index, so that earlier stores are seen before it and later loads cannot pass it. */
  storeU16(address: number, value: number): void {
    if (address % 2 !== 0) throw new GuestFault(`ring index at odd address 0x${address.toString(16)}`);
    Atomics.store(this.#u16, this.offset(address, 2) / 2, value);
  }

  /** Gives a page-aligned range back to the host; the range reads as zeroes afterwards. @throws GuestFault */
  discard(address: number, length: number): void {
    const offset = this.offset(address, length);
    if (offset % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0)
      throw new GuestFault(`free memory at 0x${address.toString(16)} is not whole pages`);
    if (length > 0) this.#mapping.discard(offset, length);
  }

  /** see RamMapping.writtenPieces */
  writtenPieces(size: number): Uint8Array {
    return this.#mapping.writtenPieces(size);
  }

  /** see RamMapping.filePieces */
  filePieces(size: number): Uint8Array {
    return this.#mapping.filePieces(size);
  }

  /** the whole RAM, for loading the kernel and for snapshots */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
    const nothing = new ArrayBuffer(0);
    [this.#bytes, this.#view, this.#u16] = [new Uint8Array(nothing), new DataView(nothing), new Uint16Array(nothing)];
  }
}

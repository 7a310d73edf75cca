/**
 * The block device carries out the requests of virtio 1.2 §5.2.6 on a Backing. Reads and writes are carried out at
 * once, straight into guest memory; a flush waits on libuv's pool while other requests go on, as §5.2.6.2 allows.
 */
import { SyscallError } from '../../../host/libc.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { slice, type Chain } from '../virtio/chain.ts';
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import { GuestFault } from '../../memory/guest-memory.ts';
import type { Backing } from './backing.ts';
import {
  blockConfig,
  blockFeatures,
  BLOCK_ID,
  BLOCK_QUEUE_SIZES,
  ID_SIZE,
  MAX_RANGE_SECTORS,
  MAX_RANGE_SEGMENTS,
  MAX_REQUEST_BYTES,
  OWN_CONFIG,
  RANGE_SIZE,
  RANGE_UNMAP,
  REQUEST_HEADER_SIZE,
  REQUEST_QUEUE,
  S_IOERR,
  S_OK,
  S_UNSUPP,
  SECTOR,
  T_DISCARD,
  T_FLUSH,
  T_GET_ID,
  T_IN,
  T_OUT,
  T_WRITE_ZEROES,
  TURN_BYTES,
} from './config.ts';
import type { WrittenChunks } from './written-chunks.ts';

export interface BlockState {
  /** bytes since the device was made, for `stats` */
  bytesRead: number;
  bytesWritten: number;
}

export class Block implements VirtioDevice {
  readonly name = 'block';
  readonly id = BLOCK_ID;
  readonly features: bigint;
  readonly queueSizes = BLOCK_QUEUE_SIZES;
  readonly config: Uint8Array;
  readonly ownConfig = OWN_CONFIG;
  readonly state: BlockState = { bytesRead: 0, bytesWritten: 0 };
  readonly #backing: Backing;
  readonly #serial: Uint8Array;
  #host: DeviceHost | undefined;
  #flushes = 0;

  /**
   * @param options.serial what the guest finds in /sys/block/vdX/serial, at most 20 bytes
   * @param options.blockSize bytes of the logical block (EROFS over tars needs 512)
   */
  constructor(backing: Backing, options: { serial: string; blockSize?: number }) {
    this.#backing = backing;
    this.#serial = new Uint8Array(ID_SIZE);
    this.#serial.set(Buffer.from(options.serial, 'latin1').subarray(0, ID_SIZE));
    this.features = blockFeatures(backing.readOnly);
    this.config = blockConfig({
      capacity: backing.size / SECTOR,
      queueSize: BLOCK_QUEUE_SIZES[0],
      blockSize: options.blockSize ?? SECTOR,
      readOnly: backing.readOnly,
    });
  }

  /** whether the host has still to write data that the guest has asked to flush */
  get isFlushing(): boolean {
    return this.#flushes > 0;
  }

  /** See Backing. */
  noteWrites(): WrittenChunks & Disposable {
    return this.#backing.noteWrites();
  }

  activate(host: DeviceHost): void {
    this.#host = host;
  }

  notify(): void {
    const host = this.#host!;
    const queue = host.queues[REQUEST_QUEUE]!;
    const { state } = this;
    const start = state.bytesRead + state.bytesWritten;
    const more = queue.drain((chain) => {
      this.#request(host, chain);
      return state.bytesRead + state.bytesWritten - start < TURN_BYTES;
    });
    host.publish(queue);
    if (more) host.again(REQUEST_QUEUE);
  }

  #request(host: DeviceHost, chain: Chain): void {
    const header = chain.read(0, REQUEST_HEADER_SIZE);
    // A request without a header has no type, and one without a writable byte has no place for the status: neither can
    // be answered.
    if (header.length < REQUEST_HEADER_SIZE || chain.writableLength < 1)
      throw new GuestFault('block request without header or status');
    const view = new DataView(header.buffer);
    const type = view.getUint32(0, true);
    // A sector number above 2^53 loses bits and is beyond every disk all the same.
    const sector = view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
    if (type === T_FLUSH) return this.#flush(host, chain);
    let status: number;
    let written = 0;
    try {
      switch (type) {
        case T_IN:
          [status, written] = this.#read(host.memory, chain, sector);
          break;
        case T_OUT:
          status = this.#write(host.memory, chain, sector);
          break;
        case T_GET_ID:
          written = chain.writableLength > ID_SIZE ? chain.write(0, this.#serial) : 0;
          status = written === ID_SIZE ? S_OK : S_IOERR;
          break;
        case T_DISCARD:
        case T_WRITE_ZEROES:
          status = this.#ranges(chain, type);
          break;
        default:
          status = S_UNSUPP;
      }
    } catch (error) {
      if (error instanceof GuestFault) throw error;
      // A file system without holes (NFS 3) cannot do this: the guest then writes the zeroes itself.
      status = error instanceof SyscallError && error.code === 'EOPNOTSUPP' ? S_UNSUPP : S_IOERR;
    }
    this.#finish(host, chain, status, written);
  }

  /** Answers a request. The status is the last writable byte (§5.2.6). */
  #finish(host: DeviceHost, chain: Chain, status: number, written: number): void {
    chain.write(chain.writableLength - 1, Uint8Array.of(status));
    // A read's status follows its data; otherwise the status may be all that was written.
    host.queues[REQUEST_QUEUE]!.complete(chain, written + 1);
  }

  /** @returns whether the range is whole sectors inside the disk */
  #inside(sector: number, bytes: number): boolean {
    return bytes % SECTOR === 0 && bytes <= MAX_REQUEST_BYTES && sector * SECTOR + bytes <= this.#backing.size;
  }

  #read(memory: GuestMemory, chain: Chain, sector: number): [status: number, written: number] {
    const length = chain.writableLength - 1;
    if (!this.#inside(sector, length)) return [S_IOERR, 0];
    this.#backing.read(memory, slice(chain.writable, 0, length), sector * SECTOR, length);
    this.state.bytesRead += length;
    return [S_OK, length];
  }

  #write(memory: GuestMemory, chain: Chain, sector: number): number {
    const length = chain.readableLength - REQUEST_HEADER_SIZE;
    if (this.#backing.readOnly || !this.#inside(sector, length)) return S_IOERR;
    this.#backing.write(memory, slice(chain.readable, REQUEST_HEADER_SIZE, length), sector * SECTOR, length);
    this.state.bytesWritten += length;
    return S_OK;
  }

  #ranges(chain: Chain, type: number): number {
    if (this.#backing.readOnly) return S_UNSUPP;
    const length = chain.readableLength - REQUEST_HEADER_SIZE;
    if (length === 0 || length % RANGE_SIZE !== 0 || length / RANGE_SIZE > MAX_RANGE_SEGMENTS) return S_IOERR;
    const bytes = chain.read(REQUEST_HEADER_SIZE, length);
    const view = new DataView(bytes.buffer);
    const ranges = Array.from({ length: length / RANGE_SIZE }, (_, i) => ({
      sector: view.getUint32(i * RANGE_SIZE, true) + view.getUint32(i * RANGE_SIZE + 4, true) * 2 ** 32,
      sectors: view.getUint32(i * RANGE_SIZE + 8, true),
      flags: view.getUint32(i * RANGE_SIZE + 12, true),
    }));
    // §5.2.6.2: unknown flags, and UNMAP in a discard, are unsupported. All ranges are checked before any is changed.
    if (ranges.some(({ flags }) => (type === T_DISCARD ? flags !== 0 : (flags & ~RANGE_UNMAP) !== 0))) return S_UNSUPP;
    if (
      ranges.some(
        ({ sector, sectors }) => sectors > MAX_RANGE_SECTORS || sector * SECTOR + sectors * SECTOR > this.#backing.size,
      )
    )
      return S_IOERR;
    for (const { sector, sectors, flags } of ranges) {
      if (sectors > 0)
        this.#backing.zero(sector * SECTOR, sectors * SECTOR, {
          unmap: type === T_DISCARD || (flags & RANGE_UNMAP) !== 0,
        });
    }
    return S_OK;
  }

  #flush(host: DeviceHost, chain: Chain): void {
    if (this.#backing.readOnly) return this.#finish(host, chain, S_UNSUPP, 0);
    void this.#flushed(host, chain);
  }

  async #flushed(host: DeviceHost, chain: Chain): Promise<void> {
    const queue = host.queues[REQUEST_QUEUE]!;
    let status = S_OK;
    this.#flushes++;
    try {
      await this.#backing.flush();
    } catch {
      status = S_IOERR;
    } finally {
      this.#flushes--;
    }
    host.guard(() => {
      // After a reset the chain is stale: its memory is the driver's again and must not be touched.
      if (queue.isStale(chain)) return;
      this.#finish(host, chain, status, 0);
      host.publish(queue);
    });
  }

  reset(): void {
    this.#host = undefined;
  }

  [Symbol.dispose](): void {
    this.reset();
    this.#backing[Symbol.dispose]();
  }
}

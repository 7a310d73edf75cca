/**
 * The file system device: the guest's FUSE requests, which Server answers. The data of reads and writes goes straight
 * between a file and guest memory; everything else is copied, bounded, and parsed from the copy.
 */
import { GuestFault } from '../../memory/guest-memory.ts';
import { SyscallError } from '../../../host/libc.ts';
import { IOV_MAX, IoVector } from '../../../host/files/vectored-io.ts';
import { watchReadable, type Watch } from '../../../host/streams/poll.ts';
import { slice, type Chain, type Span } from '../virtio/chain.ts';
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import {
  CHANGES_ADDRESS,
  F_CHANGES,
  fsConfig,
  FS_FEATURES,
  FS_ID,
  FS_QUEUE_SIZES,
  MAX_IO,
  MAX_REPLY,
  MAX_REQUEST,
  TURN_BYTES,
} from './share/config.ts';
import {
  ERRNO,
  fixed,
  IN_HEADER,
  OP,
  OUT_HEADER,
  parseRequest,
  ProtocolError,
  READ_IN,
  u64,
  WRITE_CACHE,
  WRITE_IN,
  WRITE_KILL_SUIDGID,
  type Request,
} from './share/fuse.ts';
import { Server } from './server.ts';
import type { ChangesState } from './share/lifetimes.ts';
import type { SavedShare, ShareOptions } from './share/share.ts';

/** open(2) */
const O_APPEND = 0o2000;
/** bytes of a read's or write's header and fixed part */
const FIXED_PART = IN_HEADER + WRITE_IN.bytes;

/**
 * Inodes and open files are descriptors of the host's. A saved machine has their paths, by which the one that goes on
 * finds them; what has no name is gone for it.
 */
export interface FsState extends ChangesState {
  /** of the requests so far */
  bytesRead: number;
  bytesWritten: number;
  /** undefined when the guest has not mounted the folder */
  share: SavedShare | undefined;
}

export class Fs implements VirtioDevice {
  readonly name = 'fs';
  readonly id = FS_ID;
  readonly features = FS_FEATURES;
  readonly queueSizes = FS_QUEUE_SIZES;
  readonly config: Uint8Array;
  readonly #state = { table: 0, lastChange: 0, bytesRead: 0, bytesWritten: 0 };
  readonly #server: Server;
  readonly #vector = new IoVector();
  #host: DeviceHost | undefined;
  #changesWatch: Watch | undefined;
  #requests = 0;

  /** @throws SyscallError when the folder cannot be opened */
  constructor(options: ShareOptions & { tag: string }) {
    this.config = fsConfig(options.tag);
    this.#server = new Server(options);
  }

  get state(): FsState {
    return { ...this.#state, share: this.#server.save() };
  }

  restore({ share, ...state }: FsState): void {
    Object.assign(this.#state, state);
    if (share !== undefined) this.#server.restore(share);
  }

  activate(host: DeviceHost): void {
    this.#host = host;
    if (this.#state.table === 0 || (host.features & F_CHANGES) === 0n) return;
    this.#server.countChanges(host.memory, this.#state);
    const fd = this.#server.changesFd;
    if (fd === undefined) return;
    this.#changesWatch = watchReadable(fd, () => this.settle());
    this.#changesWatch.unref();
  }

  /** Takes the address of the table, which the driver writes before DRIVER_OK. */
  writeConfig(offset: number, data: Uint8Array): void {
    if (offset < CHANGES_ADDRESS || this.#host !== undefined) return;
    this.config.set(data, offset);
    this.#state.table = u64(new DataView(this.config.buffer, this.config.byteOffset), CHANGES_ADDRESS);
  }

  settle(): void {
    this.#server.settle();
  }

  notify(index: number): void {
    const host = this.#host!;
    const queue = host.queues[index]!;
    const state = this.#state;
    const start = state.bytesRead + state.bytesWritten;
    const more = queue.drain((chain) => {
      this.#request(host, index, chain);
      return state.bytesRead + state.bytesWritten - start < TURN_BYTES;
    });
    host.publish(queue);
    if (more) host.again(index);
  }

  #request(host: DeviceHost, index: number, chain: Chain): void {
    this.#requests++;
    // A write's data is not copied: of reads and writes only the fixed part is. Every field that is used comes from one
    // copy, even if the guest has changed it between the two.
    const peek = parseRequest(chain.read(0, FIXED_PART), chain.readableLength);
    const request =
      peek === undefined || peek.opcode === OP.READ || peek.opcode === OP.WRITE
        ? peek
        : parseRequest(chain.read(0, MAX_REQUEST), chain.readableLength);
    // A request without a header cannot be answered, so the driver is broken.
    if (request === undefined) throw new GuestFault('file system request without a header');
    const queue = host.queues[index]!;
    if (request.opcode === OP.FORGET || request.opcode === OP.BATCH_FORGET || request.opcode === OP.INTERRUPT) {
      if (request.opcode !== OP.INTERRUPT) this.#server.forget(request);
      queue.complete(chain, 0);
      return;
    }
    if (chain.writableLength < OUT_HEADER) throw new GuestFault('file system request without room for an answer');
    try {
      if (request.opcode === OP.READ) return queue.complete(chain, this.#read(host, request, chain));
      if (request.opcode === OP.WRITE) return queue.complete(chain, this.#write(host, request, chain));
      if (request.length > MAX_REQUEST) throw new ProtocolError(ERRNO.EINVAL);
      const reply = this.#server.handle(request, Math.min(chain.writableLength - OUT_HEADER, MAX_REPLY));
      if (reply instanceof Promise) void this.#later(host, index, chain, request, reply);
      else queue.complete(chain, this.#answer(chain, request, 0, reply));
    } catch (error) {
      queue.complete(chain, this.#answer(chain, request, errnoOf(error)));
    }
  }

  async #later(
    host: DeviceHost,
    index: number,
    chain: Chain,
    request: Request,
    reply: Promise<Uint8Array>,
  ): Promise<void> {
    let errno = 0;
    let payload: Uint8Array | undefined;
    try {
      payload = await reply;
    } catch (error) {
      errno = errnoOf(error);
    }
    host.guard(() => {
      const queue = host.queues[index]!;
      // After a reset the chain's memory is the driver's again.
      if (queue.isStale(chain)) return;
      queue.complete(chain, this.#answer(chain, request, errno, payload));
      host.publish(queue);
    });
  }

  /** Writes struct fuse_out_header and the payload. @returns bytes written */
  #answer(chain: Chain, request: Request, errno: number, payload?: Uint8Array): number {
    // A payload that does not fit would be cut in the middle of a structure, so the answer is an error instead.
    const fits = payload === undefined || payload.length <= chain.writableLength - OUT_HEADER;
    return (
      writeHeader(chain, request, fits ? errno : ERRNO.ERANGE, fits ? (payload?.length ?? 0) : 0) +
      (fits && payload !== undefined ? chain.write(OUT_HEADER, payload) : 0)
    );
  }

  #read(host: DeviceHost, request: Request, chain: Chain): number {
    const view = fixed(request.body, READ_IN.bytes);
    const fd = this.#server.handles.get(u64(view, READ_IN.fh));
    const size = Math.min(view.getUint32(READ_IN.size, true), MAX_IO, chain.writableLength - OUT_HEADER);
    this.#load(host, slice(chain.writable, OUT_HEADER, size));
    const count = size === 0 ? 0 : this.#vector.readFrom(fd, u64(view, READ_IN.offset));
    this.#state.bytesRead += count;
    return writeHeader(chain, request, 0, count) + count;
  }

  #write(host: DeviceHost, request: Request, chain: Chain): number {
    const view = fixed(request.body, WRITE_IN.bytes);
    // The copy may be shorter than the request, because only the fixed part is read from it.
    const fd = this.#server.handles.get(u64(view, WRITE_IN.fh));
    const size = view.getUint32(WRITE_IN.size, true);
    const start = IN_HEADER + WRITE_IN.bytes;
    if (size > MAX_IO || start + size > chain.readableLength) throw new ProtocolError(ERRNO.EINVAL);
    if (this.#server.readOnly) throw new ProtocolError(ERRNO.EBADF);
    this.#load(host, slice(chain.readable, start, size));
    const flags = view.getUint32(WRITE_IN.flags, true);
    // O_APPEND is decided for each write: fcntl(2) changes it, and what a shared mapping wrote back keeps its place,
    // whatever the handle's flags are.
    const append = (view.getUint32(WRITE_IN.openFlags, true) & O_APPEND) !== 0 && (flags & WRITE_CACHE) === 0;
    const count = this.#server.writing(request, () => {
      const written = size === 0 ? 0 : this.#vector.writeTo(fd, u64(view, WRITE_IN.offset), { append });
      // What comes from a shared mapping leaves the guest's idea of the size as it is: there the event is a change.
      if ((flags & WRITE_CACHE) === 0) this.#server.ownWrite(request.node);
      if ((flags & WRITE_KILL_SUIDGID) !== 0) this.#server.killSetIds(fd);
      return written;
    });
    this.#state.bytesWritten += count;
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setUint32(0, count, true);
    return this.#answer(chain, request, 0, payload);
  }

  #load(host: DeviceHost, spans: Span[]): void {
    this.#vector.clear();
    // A chain is no longer than its queue, which is shorter than IOV_MAX.
    if (spans.length > IOV_MAX) throw new ProtocolError(ERRNO.EINVAL);
    for (const { address, length } of spans) this.#vector.add(host.memory.hostAddress(address, length), length);
  }

  /** numbers of inodes, open files and watches held, for `stats` and for the tests of their bounds */
  get figures(): { inodes: number; handles: number; watches: number } {
    return this.#server.figures;
  }

  /** number of the guest's requests so far, for the test that it does not ask for what it knows */
  get requests(): number {
    return this.#requests;
  }

  reset(): void {
    this.#stop();
    this.forgetConfig();
    this.#server.clear();
  }

  forgetConfig(): void {
    this.config.fill(0, CHANGES_ADDRESS);
    this.#state.table = 0;
  }

  #stop(): void {
    this.#host = undefined;
    this.#changesWatch?.close();
    this.#changesWatch = undefined;
    this.#server.stopCounting();
  }

  [Symbol.dispose](): void {
    this.#stop();
    this.#server[Symbol.dispose]();
  }
}

/** struct fuse_out_header: len, error, unique */
function writeHeader(chain: Chain, request: Request, errno: number, payloadLength: number): number {
  const header = new Uint8Array(OUT_HEADER);
  const view = new DataView(header.buffer);
  view.setUint32(0, OUT_HEADER + payloadLength, true);
  view.setInt32(4, -errno, true);
  header.set(request.unique, 8);
  return chain.write(0, header);
}

function errnoOf(error: unknown): number {
  if (error instanceof SyscallError || error instanceof ProtocolError) return error.errno;
  if (error instanceof GuestFault) throw error;
  return ERRNO.EIO;
}

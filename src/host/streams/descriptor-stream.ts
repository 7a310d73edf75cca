/**
 * A Node stream over a non-blocking descriptor that Node itself has no stream for (AF_VSOCK), or none that goes on
 * reading when nothing can be written any more. Back-pressure both ways; at most one chunk is held. The end of writing
 * is shutdown(2), so that the other direction goes on.
 */
import { constants } from 'node:os';
import { Duplex } from 'node:stream';
import type { Fd } from '../fd.ts';
import { SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { isHungUp, watchReadable, whenWritable, type Watch } from './poll.ts';

/** bytes taken from the descriptor at once */
const CHUNK = 65536;
const { EAGAIN, ECONNRESET, EINTR, EPIPE } = constants.errno;
/** shutdown(2) */
const SHUT_WR = 1;

const c_read = systemCall<(fd: number, buffer: Uint8Array, length: number) => number>(
  'long read(int fd, void *buffer, unsigned long length)',
);
const c_write = systemCall<(fd: number, buffer: Uint8Array, length: number) => number>(
  'long write(int fd, const void *buffer, unsigned long length)',
);
const c_shutdown = systemCall<(fd: number, how: number) => number>('int shutdown(int fd, int how)');

/** what is read into, of all streams; it is whoever's has filled it */
let scratch: Buffer | undefined;

/** @returns the bytes read, with no more memory than twice as many: a sender may well send one at a time */
function taken(buffer: Buffer, length: number): Buffer {
  if (length < CHUNK / 2) return Buffer.from(buffer.subarray(0, length));
  scratch = undefined;
  return buffer.subarray(0, length);
}

export interface DescriptorStreamOptions {
  /**
   * When the other side takes no more (EPIPE), what is written is dropped, the stream emits `deaf` once, and what the
   * other side has said before can still be read. @default false: the stream is destroyed, as Node does
   */
  outlivesWriting?: boolean;
}

export class DescriptorStream extends Duplex {
  readonly #fd: Fd;
  readonly #outlivesWriting: boolean;
  #isDeaf = false;
  #reading: Watch | undefined;
  #writing: Watch | undefined;

  constructor(fd: Fd, { outlivesWriting = false }: DescriptorStreamOptions = {}) {
    super({ allowHalfOpen: true });
    this.#fd = fd;
    this.#outlivesWriting = outlivesWriting;
  }

  /** Neither side will say anything more, or the other one has closed: of a socket. */
  get isHungUp(): boolean {
    return this.#fd.closed || isHungUp(this.#fd.number);
  }

  override _read(): void {
    this.#reading ??= watchReadable(this.#fd.number, () => this.#readable());
  }

  #readable(): void {
    const buffer = (scratch ??= Buffer.allocUnsafeSlow(CHUNK));
    const length = c_read(this.#fd.number, buffer, CHUNK); // safe: at most CHUNK bytes into a buffer of CHUNK
    if (length < 0) {
      if (length === -EAGAIN || length === -EINTR) return;
      this.destroy(new SyscallError('read', -length));
      return;
    }
    if (length === 0) {
      this.#stopReading();
      this.push(null);
      return;
    }
    if (!this.push(taken(buffer, length))) this.#stopReading();
  }

  #stopReading(): void {
    this.#reading?.close();
    this.#reading = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#isDeaf) return callback();
    let rest: Uint8Array = chunk;
    const attempt = () => {
      this.#writing = undefined;
      while (rest.length > 0) {
        const length = c_write(this.#fd.number, rest, rest.length); // safe: reads no more than the view has
        if (length >= 0) {
          rest = rest.subarray(length);
          continue;
        }
        if (length === -EINTR) continue;
        if (this.#outlivesWriting && (length === -EPIPE || length === -ECONNRESET)) {
          this.#isDeaf = true;
          this.emit('deaf');
          return callback();
        }
        if (length !== -EAGAIN) return callback(new SyscallError('write', -length));
        this.#writing = whenWritable(this.#fd.number, attempt);
        return;
      }
      callback();
    };
    attempt();
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (!this.#fd.closed) c_shutdown(this.#fd.number, SHUT_WR);
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stopReading();
    this.#writing?.close();
    this.#fd.close();
    callback(error);
  }
}

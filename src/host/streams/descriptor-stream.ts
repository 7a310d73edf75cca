/**
 * A Node stream over a non-blocking descriptor that Node itself has no stream for (AF_VSOCK). Back-pressure both ways;
 * at most one chunk is held. The end of writing is shutdown(2), so that the other direction goes on.
 */
import { constants } from 'node:os';
import { Duplex } from 'node:stream';
import type { Fd } from '../fd.ts';
import { SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { watchReadable, whenWritable, type Watch } from './poll.ts';

/** bytes taken from the descriptor at once */
const CHUNK = 65536;
const { EAGAIN, EINTR } = constants.errno;
/** shutdown(2) */
const SHUT_WR = 1;

const c_read = systemCall<(fd: number, buffer: Uint8Array, length: number) => number>(
  'long read(int fd, void *buffer, unsigned long length)',
);
const c_write = systemCall<(fd: number, buffer: Uint8Array, length: number) => number>(
  'long write(int fd, const void *buffer, unsigned long length)',
);
const c_shutdown = systemCall<(fd: number, how: number) => number>('int shutdown(int fd, int how)');

export class DescriptorStream extends Duplex {
  readonly #fd: Fd;
  #reading: Watch | undefined;
  #writing: Watch | undefined;

  constructor(fd: Fd) {
    super({ allowHalfOpen: true });
    this.#fd = fd;
  }

  override _read(): void {
    this.#reading ??= watchReadable(this.#fd.number, () => this.#readable());
  }

  #readable(): void {
    const buffer = Buffer.allocUnsafe(CHUNK);
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
    if (!this.push(buffer.subarray(0, length))) this.#stopReading();
  }

  #stopReading(): void {
    this.#reading?.close();
    this.#reading = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
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

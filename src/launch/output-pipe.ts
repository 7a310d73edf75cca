/**
 * An OutputPipe is the reading end of a process's stdout or stderr. A reader that takes chunks apart at once may borrow
 * them: then no memory is allocated for what is read, which is most of what reading a pipe costs in Node (1.8 ms of CPU
 * a megabyte, 0.3 without), and most of the memory that a fast writer makes its reader take.
 */
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Lender } from '../sandbox.ts';

/** bytes that are read at once: as many as a pipe holds, pipe(7) */
const READ = 65536;

/** All pipes of this process share one buffer, because each chunk is used up before the next read. */
let shared: Buffer | undefined;

export class OutputPipe extends Readable implements Lender {
  lend = false;
  readonly #socket: Socket;

  /** @param fd the reading end, which the pipe owns from here on */
  constructor(fd: number) {
    super();
    const buffer = (shared ??= Buffer.allocUnsafeSlow(READ));
    this.#socket = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: { buffer, callback: (count) => passOn(this, buffer.subarray(0, count)) },
    });
    this.#socket.once('end', () => this.push(null));
    this.#socket.once('error', (error) => this.destroy(error));
    this.#socket.once('close', () => this.push(null));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

/**
 * Pushes bytes whose buffer is reused when this function returns: a listener that borrows them gets them as they are,
 * any other a copy.
 * @returns false when the stream wants no more for now
 */
export function passOn(stream: Readable & Lender, bytes: Buffer): boolean {
  // A flowing stream with nothing buffered passes a chunk to its listeners before push returns.
  const heardAtOnce =
    stream.lend && stream.readableFlowing === true && stream.readableLength === 0 && stream.listenerCount('data') > 0;
  return stream.push(heardAtOnce ? bytes : Buffer.from(bytes));
}

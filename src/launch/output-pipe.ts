/**
 * The reading end of a process's stdout or stderr. Whoever takes chunks apart at once may have them lent: then nothing
 * is allocated for what is read, which is most of what reading a pipe costs in Node (1.8 ms of CPU a megabyte, 0.3
 * without), and most of the memory that a fast writer makes its reader take.
 */
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Lender } from '../sandbox.ts';

/** what is read at once, bytes: as much as a pipe holds, pipe(7) */
const READ = 65536;

/** of all pipes of this process: a chunk is over before the next read */
let shared: Buffer | undefined;

export class OutputPipe extends Readable implements Lender {
  lend = false;
  readonly #socket: Socket;

  /** takes the fd */
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
 * Gives a stream bytes that are somebody else's again when this returns: as they are to a listener that it lends to,
 * else a copy.
 * @returns false when the stream wants no more for now
 */
export function passOn(stream: Readable & Lender, bytes: Buffer): boolean {
  // a flowing stream with nothing buffered hands a chunk to its listeners before push returns
  const heardAtOnce =
    stream.lend && stream.readableFlowing === true && stream.readableLength === 0 && stream.listenerCount('data') > 0;
  return stream.push(heardAtOnce ? bytes : Buffer.from(bytes));
}

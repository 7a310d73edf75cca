/**
 * A pseudo-terminal's master as a Node stream, pty(7). Every byte written before the last slave closed is read; the EIO
 * that then comes is end-of-file.
 */
import { Duplex } from 'node:stream';
import { ReadStream } from 'node:tty';
import { setWindowSize } from '../host/streams/tty.ts';
import type { Lender } from '../sandbox.ts';
import { passOn } from '../launch/output-pipe.ts';

/** bytes the line discipline gives at once, N_TTY_BUF_SIZE of drivers/tty/n_tty.c, and then some */
const READ = 16384;

export class Terminal extends Duplex implements Lender {
  lend = false;
  readonly #socket: ReadStream;
  readonly #fd: number;
  #open = true;

  /** takes the fd */
  constructor(fd: number) {
    super({ allowHalfOpen: true });
    this.#fd = fd;
    const buffer = Buffer.allocUnsafeSlow(READ);
    // Node's types leave out that it takes a socket's options
    const options = {
      onread: { buffer, callback: (count: number) => passOn(this, buffer.subarray(0, count)) },
    } as object;
    this.#socket = new ReadStream(fd, options);
    // EIO: no slave is open any more
    for (const event of ['error', 'end', 'close']) this.#socket.on(event, () => this.#hangUp());
    // once all is read there is nobody to write to either; a destroyed stream takes late writes without an error event
    this.once('end', () => this.destroy());
  }

  #hangUp(): void {
    if (!this.#open) return;
    this.#open = false;
    this.push(null);
    this.#socket.destroy();
  }

  override _read(): void {
    if (this.#open) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // nobody is there to read it any more: as with a real terminal, that is no error
    if (!this.#open) return done();
    this.#socket.write(chunk, () => done());
  }

  /** End of input is for the line discipline to say (Ctrl-D); the master stays open, it carries the output. */
  override _final(done: () => void): void {
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#open = false;
    this.#socket.destroy();
    done(error);
  }

  /** characters; after the hang-up there is nothing to resize */
  setSize(columns: number, rows: number): void {
    if (this.#open && !this.#socket.destroyed) setWindowSize(this.#fd, columns, rows);
  }
}

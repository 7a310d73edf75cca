/**
 * A Terminal is a pseudo-terminal's master as a Node stream, pty(7). The stream gives every byte that was written
 * before the last slave closed; the EIO that follows is end-of-file.
 */
import { Duplex } from 'node:stream';
import { ReadStream } from 'node:tty';
import { setWindowSize } from '../host/streams/tty.ts';
import type { Lender } from '../sandbox.ts';
import { passOn } from '../launch/output-pipe.ts';

/** more bytes than the line discipline gives at once, N_TTY_BUF_SIZE of drivers/tty/n_tty.c */
const READ = 16384;

export class Terminal extends Duplex implements Lender {
  lend = false;
  readonly #socket: ReadStream;
  readonly #fd: number;
  #open = true;

  /** @param fd the master, which the stream owns from here on */
  constructor(fd: number) {
    super({ allowHalfOpen: true });
    this.#fd = fd;
    const buffer = Buffer.allocUnsafeSlow(READ);
    // Node's types leave out that a ReadStream takes a socket's options.
    const options = {
      onread: { buffer, callback: (count: number) => passOn(this, buffer.subarray(0, count)) },
    } as object;
    this.#socket = new ReadStream(fd, options);
    // EIO says that no slave is open any more.
    for (const event of ['error', 'end', 'close']) this.#socket.on(event, () => this.#hangUp());
    // After the last byte there is no reader for input either; a destroyed stream takes late writes without an error
    // event.
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
    // No slave is open to read the bytes: as with a real terminal, that is no error.
    if (!this.#open) return done();
    this.#socket.write(chunk, () => done());
  }

  /**
   * Ends nothing: the user ends input through the line discipline (Ctrl-D), and the master stays open for the output.
   */
  override _final(done: () => void): void {
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#open = false;
    this.#socket.destroy();
    done(error);
  }

  /** Sets the size in characters; after the hang-up there is nothing to resize. */
  setSize(columns: number, rows: number): void {
    if (this.#open && !this.#socket.destroyed) setWindowSize(this.#fd, columns, rows);
  }
}

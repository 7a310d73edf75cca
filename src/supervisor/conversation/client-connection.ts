/** A client's socket as the supervisor writes to it: events, output, errors. Reads nothing and knows no container. */
import type { Socket } from 'node:net';
import { HuskError, refusal, TemplateFailed } from '../../errors.ts';
import { encodeMessage, encodeStream } from '../protocol/frames.ts';
import { FRAME_STDERR, FRAME_STDOUT, type Event } from '../protocol/protocol.ts';

export class ClientConnection {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {});
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** bytes that wait to be sent */
  get waiting(): number {
    return this.#socket.writableLength;
  }

  send(event: Event): void {
    if (!this.isClosed) this.#socket.write(encodeMessage(event));
  }

  fail(error: unknown): void {
    this.send(errorEvent(error));
  }

  /** @returns false when the client's buffer is full: see `onceDrained` */
  write(stream: 'stdout' | 'stderr', chunk: Buffer): boolean {
    let isReady = true;
    for (const frame of encodeStream(stream === 'stdout' ? FRAME_STDOUT : FRAME_STDERR, chunk))
      isReady = this.#socket.write(frame);
    return isReady;
  }

  /** Calls back once nothing waits, or the client is gone. */
  onceDrained(callback: () => void): void {
    const done = () => {
      this.#socket.off('drain', done);
      this.#socket.off('close', done);
      callback();
    };
    this.#socket.once('drain', done);
    this.#socket.once('close', done);
  }

  onceClosed(callback: () => void): void {
    this.#socket.once('close', callback);
  }

  offClosed(callback: () => void): void {
    this.#socket.off('close', callback);
  }

  /** Closes once what waits is sent. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

export function errorEvent(error: unknown): Event {
  if (error instanceof HuskError)
    return {
      type: 'error',
      message: error.message,
      kind: error.kind,
      exitCode: error.exitCode,
      fix: error.fix,
      ...(error instanceof TemplateFailed && { ofTemplate: true }),
    };
  const refused = refusal(error);
  if (refused) return { type: 'error', message: refused.message, kind: refused.kind, exitCode: 125 };
  return {
    type: 'error',
    message: `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    kind: 'internal',
    exitCode: 125,
  };
}

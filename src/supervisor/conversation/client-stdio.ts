/**
 * The stdio of one process over one client's connection: its output goes to the client, what the client sends becomes
 * its stdin, and its end-of-file when the client goes. A full buffer on either side holds the other back.
 */
import { HuskError } from '../../errors.ts';
import type { SandboxProcess } from '../../sandbox.ts';
import type { Writable } from 'node:stream';
import type { ClientConnection } from './client-connection.ts';
import { STALL_TIMEOUT_MS, type Listener } from '../life/fan-out.ts';

export class ClientStdio implements Listener {
  /** Whoever starts a process may hold it, as a pipe would; see `mayHold`. */
  stallTimeout: number | undefined = STALL_TIMEOUT_MS;
  readonly #connection: ClientConnection;
  #wanted = { stdout: true, stderr: true };
  #stdin: { process: SandboxProcess; endsWithClient: boolean } | undefined;

  constructor(connection: ClientConnection) {
    this.#connection = connection;
  }

  mayHold(): void {
    this.stallTimeout = undefined;
  }

  /** Which output the client wants; all of it when nothing is said. */
  want(wanted: { stdout: boolean; stderr: boolean }): void {
    this.#wanted = { stdout: wanted.stdout, stderr: wanted.stderr };
  }

  /** @param options.endsWithClient the process reads end-of-file when the client has no more, or goes */
  writeTo(process: SandboxProcess, options: { endsWithClient: boolean }): void {
    this.#stdin = { process, endsWithClient: options.endsWithClient };
  }

  output(stream: 'stdout' | 'stderr', chunk: Buffer): number {
    if (!this.#wanted[stream] || this.#connection.isClosed) return 0;
    this.#connection.write(stream, chunk);
    return this.#connection.waiting;
  }

  onceDrained(callback: () => void): void {
    this.#connection.onceDrained(callback);
  }

  drop(message: string): void {
    this.#connection.fail(new HuskError(message, { kind: 'limit' }));
    // the client's buffer is full, and it may never read the end of the message; the connection closes when it does, or
    // with the container
    this.#connection.end();
  }

  get stdin(): Writable | null | undefined {
    return this.#stdin?.process.stdin;
  }

  /** The process keeps its stdin whatever becomes of this client. */
  leaveStdin(): void {
    this.#stdin = undefined;
  }

  endStdin(): void {
    if (this.#stdin?.endsWithClient) this.#stdin.process.stdin?.end();
  }
}

/** Resolves when the stream takes more: a full one holds its client back, and a client that goes waits for nothing. */
export async function writeHeldBack(
  stream: Writable | null | undefined,
  payload: Buffer,
  connection: ClientConnection,
): Promise<void> {
  if (!stream || stream.destroyed || stream.writableEnded) return;
  if (stream.write(payload)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      stream.off('drain', done);
      stream.off('close', done);
      connection.offClosed(done);
      resolve();
    };
    stream.once('drain', done);
    stream.once('close', done);
    connection.onceClosed(done);
  });
}

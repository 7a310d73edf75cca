/**
 * One attachment of the engine for all clients that wait for the same start: each gets the outputs it wants, what they
 * send is merged, and the attachment goes when the last of them has left. A client that reads slowly holds the others
 * up, as with Docker; one that has gone does not.
 */
import type { Readable } from 'node:stream';
import type { Attachment } from '../../../../engine/contract.ts';
import { STDERR, STDOUT } from '../../../http/multiplex.ts';
import { write } from '../../../http/answer.ts';
import type { AttachClient, Wanted } from './attach-client.ts';

/** @returns what an attachment for all of them must have */
export function wantedByAny(clients: readonly AttachClient[]): Wanted {
  return {
    stdin: clients.some(({ wanted }) => wanted.stdin),
    stdout: clients.some(({ wanted }) => wanted.stdout),
    stderr: clients.some(({ wanted }) => wanted.stderr),
  };
}

export class SharedAttachment {
  readonly #attachment: Attachment;
  readonly #clients: Set<AttachClient>;
  readonly #stdinOnce: boolean;
  /** the container reads no more */
  readonly #inputClosed = new AbortController();

  /** @param options.stdinOnce the first client to end its stdin ends the container's, else the last one does */
  constructor(attachment: Attachment, clients: readonly AttachClient[], options: { stdinOnce: boolean }) {
    this.#attachment = attachment;
    this.#clients = new Set(clients);
    this.#stdinOnce = options.stdinOnce;
    // The outputs' ends say all that a client hears: a process may close its stdin, and a supervisor may be killed.
    attachment.stdin?.on('error', () => {}).once('close', () => this.#inputClosed.abort());
    attachment.exited.catch(() => {});
  }

  /** Copies until the outputs end or the last client has left. Never rejects. */
  async run(): Promise<void> {
    for (const client of this.#clients) {
      client.signal.addEventListener('abort', () => this.#leave(client));
      if (client.signal.aborted) this.#leave(client);
      void client.input({
        write: (bytes) => this.#send(bytes, client.signal),
        end: () => this.#endInput(client),
        detach: () => this.#leave(client),
      });
    }
    await Promise.all([this.#copy(STDOUT, this.#attachment.stdout), this.#copy(STDERR, this.#attachment.stderr)]);
    for (const client of this.#clients) client.finish();
  }

  async #copy(stream: number, output: Readable): Promise<void> {
    try {
      for await (const bytes of output)
        await Promise.all(
          [...this.#clients]
            .filter((client) => client.sees(stream))
            .map((client) => client.write(stream, bytes as Uint8Array)),
        );
    } catch {
      // The supervisor has gone, or the last client: what has come is all.
    }
  }

  async #send(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const { stdin } = this.#attachment;
    if (!stdin || stdin.destroyed || stdin.writableEnded) return;
    await write(stdin, bytes, AbortSignal.any([signal, this.#inputClosed.signal]));
  }

  #endInput(client: AttachClient): void {
    const others = [...this.#clients].some((other) => other !== client && other.wanted.stdin);
    if (this.#stdinOnce || !others) this.#attachment.stdin?.end();
  }

  /** The client has gone or typed its keys; the container goes on. */
  #leave(client: AttachClient): void {
    if (!this.#clients.delete(client)) return;
    client.finish();
    if (client.signal.aborted && client.wanted.stdin) this.#endInput(client);
    if (this.#clients.size > 0) return;
    const { stdin } = this.#attachment;
    const detach = (): void => this.#attachment.detach({ gone: client.signal.aborted });
    // What the client's end means for the container's stdin must still be told.
    if (stdin?.writableEnded && !stdin.writableFinished && !stdin.destroyed) {
      stdin.once('finish', detach).once('close', detach);
    } else detach();
  }
}

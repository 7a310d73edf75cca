/**
 * One client that is attached to a container's streams, or waits for it to be started: what it wants to see, and how
 * bytes come to it. It knows no container.
 */
import type { Duplex } from 'node:stream';
import { DetachFilter } from '../../../../notation/detach-keys.ts';
import { STDERR, STDOUT, StreamWriter } from '../../../http/multiplex.ts';

export interface Wanted {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** What `input` calls. */
export interface InputTarget {
  /** @returns when more may come */
  write(bytes: Uint8Array): Promise<void>;
  /** the client has closed its side, which is no disconnect */
  end(): void;
  /** the client has typed the keys to leave by */
  detach(): void;
}

export class AttachClient {
  readonly wanted: Wanted;
  /** aborted when the connection has gone as a whole */
  readonly signal: AbortSignal;
  /** kept when there is nothing more for this client */
  readonly done: Promise<void>;
  readonly #stream: Duplex;
  readonly #writer: StreamWriter;
  readonly #filter: DetachFilter | undefined;
  readonly #finished = Promise.withResolvers<void>();
  #isFinished = false;

  /**
   * @param options.keys by which the client leaves; only a terminal's input is looked through for them
   * @param options.multiplexed whether the outputs are in frames. @default without a terminal
   */
  constructor(
    connection: { stream: Duplex; signal: AbortSignal },
    options: { wanted: Wanted; tty: boolean; keys: Uint8Array; multiplexed?: boolean },
  ) {
    this.wanted = options.wanted;
    this.signal = connection.signal;
    this.done = this.#finished.promise;
    this.#stream = connection.stream;
    this.#writer = new StreamWriter(connection.stream, {
      multiplexed: options.multiplexed ?? !options.tty,
      signal: connection.signal,
    });
    this.#filter = options.tty && options.keys.length > 0 ? new DetachFilter(options.keys) : undefined;
    // What nobody reads would keep the connection's end from being seen.
    if (!options.wanted.stdin) connection.stream.resume();
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** @returns whether bytes of this output are for it: a terminal has one output, and it is stdout */
  sees(stream: number): boolean {
    return (
      !this.#isFinished && ((stream === STDOUT && this.wanted.stdout) || (stream === STDERR && this.wanted.stderr))
    );
  }

  /** @returns when the client takes more, or has gone */
  write(stream: number, bytes: Uint8Array): Promise<void> {
    return this.#writer.write(stream, bytes);
  }

  /** Reads what the client sends, to its end. Never rejects. */
  async input(target: InputTarget): Promise<void> {
    if (!this.wanted.stdin) return;
    try {
      for await (const chunk of this.#stream.iterator({ destroyOnReturn: false })) {
        const found = this.#filter?.filter(chunk as Uint8Array) ?? { output: chunk as Uint8Array, detached: false };
        if (found.output.length > 0) await target.write(found.output);
        if (found.detached) return target.detach();
        if (this.#isFinished) return;
      }
    } catch {
      // The connection was cut off: whoever waits for the client learns it from its signal.
    }
    target.end();
  }

  /** There is nothing more for it. */
  finish(): void {
    this.#isFinished = true;
    this.#finished.resolve();
  }
}

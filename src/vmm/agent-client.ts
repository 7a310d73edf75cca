/**
 * The host's end of the agent protocol over a VM's vsock device. Everything the guest says is bounded and checked
 * (src/agent-protocol.ts); a guest that stops answering fails the request that waits, never the VMM.
 */
import { randomBytes } from 'node:crypto';
import { HuskError } from '../errors.ts';
import { startTimer } from '../long-timer.ts';
import {
  AGENT_PROTOCOL_VERSION,
  checkFromGuest,
  CONTROL_PORT,
  encodeMessage,
  MAX_REQUESTS,
  MAX_STREAMS,
  MessageDecoder,
  STREAM_PORT,
  STREAM_TOKEN_BYTES,
  type Message,
  type Notice,
  type Request,
  type StreamToken,
} from '../agent-protocol.ts';
import type { Duplex } from 'node:stream';

/**
 * ms a connection may say nothing before it is closed: the agent writes a token at once, but its machine may stand
 * still on a busy host
 */
const SILENT_TIMEOUT = 60_000;
/**
 * Attack: connections that never say a token, until there is no room for the agent's. The oldest goes for each one
 * more.
 */
const MAX_SILENT = 256;
/**
 * ms until a request counts as not answered: a software KVM under load takes seconds for what hardware does in
 * milliseconds
 */
const ANSWER_TIMEOUT = 120_000;
/** take as long as what they copy */
const UNBOUNDED: ReadonlySet<Request['type']> = new Set(['files', 'build-layer', 'build-seal', 'shutdown']);

/** of the vsock device */
export interface Listener {
  listen(port: number, accept: (connection: Duplex) => void): unknown;
}

/** @throws HuskError `limit`: a spec or an environment that no agent would take */
function frameOf(message: Message): Buffer {
  try {
    return encodeMessage(message);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new HuskError(`cannot tell the guest's agent: ${error.message}`, {
      kind: 'limit',
      cause: error,
      fix: 'shorten the environment or the arguments',
    });
  }
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class AgentClient {
  readonly #onNotice: (notice: Exclude<Notice, { type: 'ready' }>) => void;
  readonly #onLost: (error: HuskError) => void;
  readonly #serves: boolean;
  readonly #ready = Promise.withResolvers<void>();
  readonly #requests = new Map<number, Waiting>();
  readonly #streams = new Map<StreamToken, (stream: Duplex) => void>();
  /** of streams that the guest opens as often as it likes */
  readonly #served = new Map<StreamToken, (stream: Duplex) => void>();
  /** connections that have not said whose they are */
  readonly #silent = new Set<Duplex>();
  #control: Duplex | undefined;
  #failure: Error | undefined;
  #gone = false;
  #nextRequest = 1;

  /**
   * @param on.lost the agent has closed its connection or broken the protocol: it will never do anything again. The
   * waits go on until `fail` @param options.serves the agent is a template's: it has said so before it was saved
   */
  constructor(
    vsock: Listener,
    on: { notice: (notice: Exclude<Notice, { type: 'ready' }>) => void; lost: (error: HuskError) => void },
    { serves = false }: { serves?: boolean } = {},
  ) {
    this.#serves = serves;
    this.#onNotice = on.notice;
    this.#onLost = on.lost;
    this.#ready.promise.catch(() => {});
    vsock.listen(CONTROL_PORT, (connection) => this.#accept(connection));
    vsock.listen(STREAM_PORT, (connection) => this.#acceptStream(connection));
  }

  /**
   * resolves when the agent has said that it serves. @throws HuskError when the machine ended before, or speaks another
   * version
   */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** The first connection is the agent's; the container cannot make a second one into it. */
  #accept(control: Duplex): void {
    if (this.#control) {
      control.destroy();
      return;
    }
    this.#control = control;
    if (this.#serves) this.#ready.resolve();
    const decoder = new MessageDecoder();
    control.on('data', (chunk: Buffer) => {
      try {
        for (const value of decoder.push(chunk)) this.#message(value);
      } catch (error) {
        this.#lost(
          new HuskError(`the guest's agent broke the protocol: ${(error as Error).message}`, {
            kind: 'corrupt',
            cause: error,
          }),
        );
      }
    });
    // half a goodbye is one: an agent that says nothing more is of no use
    control.on('end', () =>
      this.#lost(new HuskError("the guest's agent closed its connection", { kind: 'unavailable' })),
    );
    control.on('close', () =>
      this.#lost(new HuskError("the guest's agent closed its connection", { kind: 'unavailable' })),
    );
    control.on('error', () => {}); // its close follows
  }

  /** Once. */
  #lost(error: HuskError): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#control!.destroy();
    this.#onLost(error);
  }

  #message(value: unknown): void {
    const message = checkFromGuest(value);
    if (message.kind === 'notice') {
      const { notice } = message;
      if (notice.type !== 'ready') return this.#onNotice(notice);
      if (notice.version !== AGENT_PROTOCOL_VERSION)
        return this.#lost(
          new HuskError(
            `the guest's agent speaks protocol version ${notice.version}, this husk ${AGENT_PROTOCOL_VERSION}`,
            { kind: 'unsupported', fix: 'build the agent disk again: make' },
          ),
        );
      return this.#ready.resolve();
    }
    const waiting = this.#requests.get(message.id);
    if (!waiting) return; // an answer nobody asked for
    this.#requests.delete(message.id);
    if (message.kind === 'reply') waiting.resolve(message.value);
    else
      waiting.reject(
        new HuskError(message.message, {
          kind: message.errorKind ?? (message.exitCode === undefined ? 'internal' : 'start-failed'),
          exitCode: message.exitCode,
        }),
      );
  }

  /** Ends every wait, now and later. The first reason stays. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#ready.reject(this.#failure);
    for (const { reject } of this.#requests.values()) reject(this.#failure);
    this.#requests.clear();
  }

  /** The value is the guest's, unchecked: whoever uses it checks it. @throws HuskError */
  request(request: Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const control = this.#control;
      if (!control) return reject(new HuskError("the guest's agent does not serve yet", { kind: 'unavailable' }));
      if (this.#requests.size >= MAX_REQUESTS)
        return reject(new HuskError(`the guest's agent has ${MAX_REQUESTS} requests unanswered`, { kind: 'limit' }));
      const id = this.#nextRequest++;
      // before it counts as asked: one that cannot be told has no answer to wait for
      const frame = frameOf({ kind: 'request', id, request });
      const cancel = UNBOUNDED.has(request.type)
        ? undefined
        : startTimer(ANSWER_TIMEOUT, () => this.#unanswered(id, request.type));
      this.#requests.set(id, {
        resolve: (value) => {
          cancel?.();
          resolve(value);
        },
        reject: (error) => {
          cancel?.();
          reject(error);
        },
      });
      control.write(frame);
    });
  }

  #unanswered(id: number, type: string): void {
    const waiting = this.#requests.get(id);
    this.#requests.delete(id);
    waiting?.reject(
      new HuskError(`the guest's agent did not answer "${type}" within ${ANSWER_TIMEOUT / 1000} s`, {
        kind: 'unavailable',
      }),
    );
  }

  /** Names a stream and waits for the guest to open it. */
  expectStream(onOpen: (stream: Duplex) => void): StreamToken {
    if (this.#streams.size >= MAX_STREAMS)
      throw new HuskError(`the guest has ${MAX_STREAMS} streams not yet opened`, { kind: 'limit' });
    const token = randomBytes(STREAM_TOKEN_BYTES).toString('hex');
    this.#streams.set(token, onOpen);
    return token;
  }

  /** Names a kind of stream, of which the guest opens any number: whoever takes them bounds them. */
  serveStreams(onOpen: (stream: Duplex) => void): StreamToken {
    const token = randomBytes(STREAM_TOKEN_BYTES).toString('hex');
    this.#served.set(token, onOpen);
    return token;
  }

  /** @returns was it still awaited */
  forgetStream(token: StreamToken): boolean {
    return this.#streams.delete(token);
  }

  #acceptStream(stream: Duplex): void {
    if (this.#silent.size >= MAX_SILENT) {
      const [oldest] = this.#silent;
      this.#silent.delete(oldest!);
      oldest!.destroy();
    }
    const cancel = startTimer(SILENT_TIMEOUT, () => stream.destroy(), { unref: true });
    this.#silent.add(stream);
    const named = () => {
      cancel();
      this.#silent.delete(stream);
    };
    let head = Buffer.alloc(0);
    const read = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      if (head.length < STREAM_TOKEN_BYTES) return;
      named();
      stream.off('data', read);
      stream.pause();
      const token = head.toString('hex', 0, STREAM_TOKEN_BYTES);
      const open = this.#streams.get(token) ?? this.#served.get(token);
      // a token never given out, or used before: somebody else in the guest
      if (!open) return void stream.destroy();
      this.#streams.delete(token);
      if (head.length > STREAM_TOKEN_BYTES) stream.unshift(head.subarray(STREAM_TOKEN_BYTES));
      open(stream);
    };
    stream.on('close', named);
    stream.on('data', read);
  }
}

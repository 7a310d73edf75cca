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
import type { AgentState } from './snapshot/container-state.ts';

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

/** a connection of the guest's; the port tells it apart from others */
type Connection = Duplex & { readonly guestPort?: number };

/** of the vsock device */
export interface Listener {
  listen(port: number, accept: (connection: Connection) => void): unknown;
}

/** How a machine comes to its agent, where that did not begin with the machine. */
export interface Served {
  /** the agent is that of a snapshot: it has said that it serves before it was saved */
  serves?: boolean;
  /** of a machine that was saved with a container in it */
  saved?: AgentState | undefined;
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
  readonly #decoder = new MessageDecoder();
  /** connections that had said whose they are when the machine was saved, by the guest's ports */
  readonly #kept = new Map<number, StreamToken>();
  /** streams that are open, and have said whose they are */
  readonly #named = new Map<Connection, StreamToken>();
  /** streams that the agent of a machine that was saved has still to open */
  readonly #awaited = new Set<StreamToken>();
  /** requests that wait while the machine is saved */
  #held: (() => void)[] | undefined;
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
   * waits go on until `fail`
   */
  constructor(
    vsock: Listener,
    on: { notice: (notice: Exclude<Notice, { type: 'ready' }>) => void; lost: (error: HuskError) => void },
    { serves = false, saved }: Served = {},
  ) {
    this.#serves = serves;
    if (saved) this.#goOn(saved);
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
    control.on('data', (chunk: Buffer) => {
      try {
        for (const value of this.#decoder.push(chunk)) this.#message(value);
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
      const write = () => void control.write(frame);
      if (this.#held) this.#held.push(write);
      else write();
    });
  }

  /**
   * Sends nothing more to the agent until `release`, and waits until what was sent is in the machine whole: a machine
   * that is saved with half a request in it could not go on without the other half.
   */
  async hold(): Promise<void> {
    const control = this.#control;
    if (!control || this.#gone) throw new HuskError("the guest's agent does not serve", { kind: 'unavailable' });
    this.#held ??= [];
    await new Promise<void>((resolve, reject) => {
      const fail = () => reject(new HuskError("the guest's agent closed its connection", { kind: 'unavailable' }));
      control.once('close', fail);
      control.write(Buffer.alloc(0), (error) => {
        control.off('close', fail);
        if (error) fail();
        else resolve();
      });
    });
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const write of held) write();
  }

  /**
   * What a machine that is saved now must be given to go on with its agent; while nothing is sent, and nothing runs.
   */
  save(): AgentState {
    return {
      nextRequest: this.#nextRequest,
      heard: new Uint8Array(this.#decoder.pending),
      streams: [...this.#named].flatMap(([{ guestPort }, token]) =>
        guestPort === undefined ? [] : { token, guestPort },
      ),
      awaited: [...this.#streams.keys()],
    };
  }

  #goOn({ nextRequest, heard, streams, awaited }: AgentState): void {
    this.#nextRequest = nextRequest;
    this.#decoder.push(heard);
    for (const { token, guestPort } of streams) this.#kept.set(guestPort, token);
    for (const token of awaited) this.#awaited.add(token);
  }

  /**
   * Takes a stream of a machine that was saved with it. What is not taken before the machine runs is ended.
   * @returns whether it was open, or yet to be opened
   */
  takeStream(token: StreamToken, onOpen: (stream: Duplex) => void): boolean {
    if (![...this.#kept.values()].includes(token) && !this.#awaited.has(token)) return false;
    this.#streams.set(token, onOpen);
    return true;
  }

  /** Takes a kind of stream of a machine that was saved with it: see `serveStreams`. */
  takeServed(token: StreamToken, onOpen: (stream: Duplex) => void): void {
    this.#served.set(token, onOpen);
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

  /** From here on nothing of the guest's is a connection that was saved with it. */
  nothingKept(): void {
    this.#kept.clear();
  }

  /** @param onOpen undefined: nobody expects it */
  #open(stream: Connection, token: StreamToken, onOpen: ((stream: Duplex) => void) | undefined): void {
    if (!onOpen) return void stream.destroy();
    this.#streams.delete(token);
    this.#named.set(stream, token);
    stream.once('close', () => this.#named.delete(stream));
    onOpen(stream);
  }

  #acceptStream(stream: Connection): void {
    const kept = stream.guestPort === undefined ? undefined : this.#kept.get(stream.guestPort);
    if (kept !== undefined) {
      // a later connection may come from the same port; one to a socket of the host's was the copied container's
      this.#kept.delete(stream.guestPort!);
      return this.#open(stream, kept, this.#streams.get(kept));
    }
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
      if (head.length > STREAM_TOKEN_BYTES) stream.unshift(head.subarray(STREAM_TOKEN_BYTES));
      // a token never given out, or used before: somebody else in the guest
      this.#open(stream, token, this.#streams.get(token) ?? this.#served.get(token));
    };
    stream.on('close', named);
    stream.on('data', read);
  }
}

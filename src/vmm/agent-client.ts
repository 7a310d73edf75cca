/**
 * The host's end of the agent protocol over a VM's vsock device. Everything the guest says is bounded and checked (src/agent-protocol.ts);
 * a guest that stops answering fails the request that waits, never the VMM.
 */
import { HuskError } from '../errors.ts';
import { AGENT_PROTOCOL_VERSION, checkFromGuest, CONTROL_PORT, encodeMessage, MAX_REQUESTS, MAX_STREAMS, MessageDecoder, STREAM_PORT, type Notice, type Request } from '../agent-protocol.ts';
import type { Duplex } from 'node:stream';

/** bytes of a stream's number at its beginning */
const STREAM_HEADER = 4;
/** ms until a request counts as not answered: a software KVM under load takes seconds for what hardware does in milliseconds */
const ANSWER_TIMEOUT = 120_000;
/** take as long as what they copy */
const UNBOUNDED: ReadonlySet<Request['type']> = new Set(['files', 'shutdown']);

/** of the vsock device */
export interface Listener {
  listen(port: number, accept: (connection: Duplex) => void): unknown;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class AgentClient {
  readonly #onNotice: (notice: Exclude<Notice, { type: 'ready' }>) => void;
  readonly #onLost: (error: HuskError) => void;
  readonly #ready = Promise.withResolvers<void>();
  readonly #requests = new Map<number, Waiting>();
  readonly #streams = new Map<number, (stream: Duplex) => void>();
  #control: Duplex | undefined;
  #failure: Error | undefined;
  #gone = false;
  #nextRequest = 1;
  #nextStream = 1;

  /** @param on.lost the agent has closed its connection or broken the protocol: it will never do anything again. The waits go on until `fail` */
  constructor(vsock: Listener, on: { notice: (notice: Exclude<Notice, { type: 'ready' }>) => void; lost: (error: HuskError) => void }) {
    this.#onNotice = on.notice;
    this.#onLost = on.lost;
    this.#ready.promise.catch(() => {});
    vsock.listen(CONTROL_PORT, (connection) => this.#accept(connection));
    vsock.listen(STREAM_PORT, (connection) => this.#acceptStream(connection));
  }

  /** resolves when the agent has said that it serves. @throws HuskError when the machine ended before, or speaks another version */
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
    const decoder = new MessageDecoder();
    control.on('data', (chunk: Buffer) => {
      try {
        for (const value of decoder.push(chunk)) this.#message(value);
      } catch (error) {
        this.#lost(new HuskError(`the guest's agent broke the protocol: ${(error as Error).message}`, { kind: 'corrupt', cause: error }));
      }
    });
    // half a goodbye is one: an agent that says nothing more is of no use
    control.on('end', () => this.#lost(new HuskError('the guest\'s agent closed its connection', { kind: 'unavailable' })));
    control.on('close', () => this.#lost(new HuskError('the guest\'s agent closed its connection', { kind: 'unavailable' })));
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
      if (notice.version !== AGENT_PROTOCOL_VERSION) return this.#lost(new HuskError(`the guest's agent speaks protocol version ${notice.version}, this husk ${AGENT_PROTOCOL_VERSION}`, { kind: 'unsupported', fix: 'build the agent disk again: make' }));
      return this.#ready.resolve();
    }
    const waiting = this.#requests.get(message.id);
    if (!waiting) return; // an answer nobody asked for
    this.#requests.delete(message.id);
    if (message.kind === 'reply') waiting.resolve(message.value);
    else waiting.reject(new HuskError(message.message, { kind: message.errorKind ?? (message.exitCode === undefined ? 'internal' : 'start-failed'), exitCode: message.exitCode }));
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
      if (this.#requests.size >= MAX_REQUESTS) return reject(new HuskError(`the guest's agent has ${MAX_REQUESTS} requests unanswered`, { kind: 'limit' }));
      const id = this.#nextRequest++;
      const late = UNBOUNDED.has(request.type) ? undefined : setTimeout(() => this.#unanswered(id, request.type), ANSWER_TIMEOUT);
      this.#requests.set(id, {
        resolve: (value) => {
          clearTimeout(late);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(late);
          reject(error);
        },
      });
      this.#control!.write(encodeMessage({ kind: 'request', id, request }));
    });
  }

  #unanswered(id: number, type: string): void {
    const waiting = this.#requests.get(id);
    this.#requests.delete(id);
    waiting?.reject(new HuskError(`the guest's agent did not answer "${type}" within ${ANSWER_TIMEOUT / 1000} s`, { kind: 'unavailable' }));
  }

  /** Numbers a stream and waits for the guest to open it. */
  expectStream(onOpen: (stream: Duplex) => void): number {
    if (this.#streams.size >= MAX_STREAMS) throw new HuskError(`the guest has ${MAX_STREAMS} streams not yet opened`, { kind: 'limit' });
    const number = this.#nextStream++;
    this.#streams.set(number, onOpen);
    return number;
  }

  /** @returns was it still awaited */
  forgetStream(number: number): boolean {
    return this.#streams.delete(number);
  }

  #acceptStream(stream: Duplex): void {
    let header = Buffer.alloc(0);
    const read = (chunk: Buffer) => {
      header = Buffer.concat([header, chunk]);
      if (header.length < STREAM_HEADER) return;
      stream.off('data', read);
      stream.pause();
      const number = header.readUInt32LE(0);
      const open = this.#streams.get(number);
      // a number never given out, or used before: somebody else in the guest
      if (!open) return void stream.destroy();
      this.#streams.delete(number);
      if (header.length > STREAM_HEADER) stream.unshift(header.subarray(STREAM_HEADER));
      open(stream);
    };
    stream.on('data', read);
  }
}

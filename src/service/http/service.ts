/**
 * What happens to a request: its route is found, its handler called, its answer written. Two ways lead here, Node's
 * parsed requests and connections whose parser has ended behind a head (hijack.ts).
 */
import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Engine } from '../../engine/contract.ts';
import { send } from './answer.ts';
import { readBody } from './body.ts';
import { MAX_DROPPED } from './bounds.ts';
import type { Answer, Body, Method, PlainAnswer, Route } from './contract.ts';
import { failure, shownError } from './errors.ts';
import { closeGently, cutBody, hijackHead, watch, type HijackAnswer } from './hijack.ts';
import { HijackCount } from './hijack-count.ts';
import { InTurn } from './in-turn.ts';
import { readQuery } from './query.ts';
import { makeRouter, versionOf, type Router } from './router.ts';

export interface ServiceOptions {
  routes: readonly Route[];
  engine: Engine;
  /** told of bugs of husk; what a client has done wrong is the client's to hear */
  onBug: (error: unknown) => void;
  /** aborted when streams are to end: hijacked connections, and answers whose head went before their first piece */
  ending: AbortSignal;
  /** aborted, later, when requests that still run are to end too */
  ended: AbortSignal;
  /** told how many requests and hijacked connections there are, whenever the number changes */
  onActive?: (count: number) => void;
  /** @returns why a request is refused with 403, before anything of it is looked at */
  guard?: (request: IncomingMessage) => string | undefined;
}

/** A request between its head and the end of its answer. */
interface Exchange {
  request: IncomingMessage;
  /** of its handler */
  signal: AbortSignal;
  /** lets the server's end abort the signal too: its answer has no end of its own */
  endWithServer(): void;
}

export class Service {
  readonly #options: ServiceOptions;
  readonly #router: Router;
  readonly #turns = new InTurn();
  readonly #hijacks = new HijackCount();
  #active = 0;

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#router = makeRouter(options.routes);
  }

  /** @returns whether the route may take the connection, so that Node's parser must end behind the head */
  mayHijack({ method = '', url = '' }: IncomingMessage): boolean {
    return this.#router.find(method, url)?.route.hijacks === true;
  }

  /** @returns whether a request of the connection waits for its answer */
  isBusy(connection: object): boolean {
    return this.#turns.isBusy(connection);
  }

  async onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    const answered = Promise.withResolvers<void>();
    response.once('close', () => {
      gone.abort();
      answered.resolve();
    });
    const turn = this.#turns.next(request.socket, answered.promise);
    if (turn === undefined) return void request.socket.destroy();
    using _active = this.#activity();
    await turn;
    using exchange = this.#exchange(request, gone);
    const answer = await this.#answer(exchange, readBody(request, request.headers));
    const leaves = leavesBody(request);
    // Node drops what came in one piece behind a request with upgrade headers: such a connection is not used again.
    // Node would close the connection with the rest of the body unread, which resets it under the answer.
    if (leaves) Object.assign(request.socket, { destroySoon: undefined });
    if (leaves || request.headers.upgrade !== undefined) response.setHeader('Connection', 'close');
    await this.#write(exchange, response, answer);
    if (!leaves) return;
    await answered.promise;
    await closeGently(request.socket);
  }

  async onHijack(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => {});
    // The answer to an earlier request would run into this one's stream.
    if (this.#turns.isBusy(socket)) return void socket.destroy();
    using _active = this.#activity();
    using _watch = watch(socket);
    const gone = new AbortController();
    socket.once('close', () => gone.abort());
    using exchange = this.#exchange(request, gone);
    exchange.signal.addEventListener('abort', () => socket.destroy());
    const answer = await this.#answerBehindBody(exchange, socket, head);
    if (answer.kind === 'hijack') await this.#take(exchange, socket, answer);
    else await this.#reply(exchange, socket, answer);
    await closeGently(socket);
  }

  #exchange(request: IncomingMessage, gone: AbortController): Exchange & Disposable {
    const { ending, ended } = this.#options;
    const abort = (): void => gone.abort();
    const follow = (signal: AbortSignal): void => {
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
    };
    follow(ended);
    return {
      request,
      signal: gone.signal,
      endWithServer: () => follow(ending),
      [Symbol.dispose]() {
        ending.removeEventListener('abort', abort);
        ended.removeEventListener('abort', abort);
      },
    };
  }

  async #answerBehindBody(exchange: Exchange, socket: Duplex, head: Buffer): Promise<Answer> {
    const { request } = exchange;
    try {
      return await this.#answer(exchange, readBody(await cutBody(request, socket, head), request.headers));
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** Never rejects: an error is an answer too. */
  async #answer({ request, signal }: Exchange, body: Body): Promise<Answer> {
    const { method = '', url = '', headers } = request;
    const refused = this.#options.guard?.(request);
    if (refused !== undefined) return { kind: 'json', status: 403, value: { message: refused } };
    const match = this.#router.find(method, url);
    if (!match) return { kind: 'json', status: 404, value: { message: 'page not found' } };
    const { route, parameters } = match;
    try {
      const [version, query] = [versionOf(match), readQuery(url)];
      const call = { method: method as Method, version, parameters, query, headers, body, signal };
      const answer = await route.handler(call, this.#options.engine);
      if (answer.kind !== 'hijack') return answer;
      if (route.hijacks) return this.#counted(answer, parameters);
      throw new Error(`the route ${route.path} takes the connection and does not say so`);
    } catch (error) {
      return this.#failure(error);
    }
  }

  #counted(answer: HijackAnswer, parameters: Readonly<Record<string, string>>): HijackAnswer {
    return {
      ...answer,
      take: async (begin) => {
        using _count = this.#hijacks.enter(parameters, this.#options.engine);
        await answer.take(begin);
      },
    };
  }

  async #write(exchange: Exchange, response: ServerResponse, answer: Answer): Promise<void> {
    const { request, signal } = exchange;
    const asked = { isHead: request.method === 'HEAD', signal, onBug: this.#options.onBug };
    if ((answer.kind === 'lines' || answer.kind === 'bytes') && answer.early) exchange.endWithServer();
    try {
      await send(response, answer as PlainAnswer, asked);
    } catch (error) {
      if (!signal.aborted) await send(response, this.#failure(error), asked);
    }
  }

  /** Answers in HTTP on a connection whose parser has ended. */
  async #reply(exchange: Exchange, socket: Duplex, answer: Answer): Promise<void> {
    const response = new ServerResponse(exchange.request);
    response.assignSocket(socket as Socket);
    response.setHeader('Connection', 'close');
    const finished = Promise.withResolvers<void>();
    response.once('finish', finished.resolve);
    exchange.signal.addEventListener('abort', () => finished.resolve());
    await this.#write(exchange, response, answer);
    if (!exchange.signal.aborted) await finished.promise;
    response.detachSocket(socket as Socket);
  }

  /** Gives the connection to the handler; an error before it has begun its stream is an answer. */
  async #take(exchange: Exchange, socket: Duplex, answer: HijackAnswer): Promise<void> {
    const { request, signal } = exchange;
    exchange.endWithServer();
    let begun = false;
    try {
      await answer.take(() => {
        if (begun) throw new Error('a stream begins once');
        begun = true;
        socket.write(hijackHead(request, answer));
        return { stream: socket, signal };
      });
      if (!begun) throw new Error(`${request.method} ${request.url} has not begun its stream`);
    } catch (error) {
      if (!begun) await this.#reply(exchange, socket, this.#failure(error));
      else if (!signal.aborted && !shownError(error)) this.#options.onBug(error);
    }
  }

  #failure(error: unknown): PlainAnswer {
    if (!shownError(error)) this.#options.onBug(error);
    return failure(error);
  }

  #activity(): Disposable {
    this.#options.onActive?.(++this.#active);
    return { [Symbol.dispose]: () => this.#options.onActive?.(--this.#active) };
  }
}

/**
 * @returns whether so much of the body is unread, or may be, that the connection must go; what is little is dropped by
 * Node, and the connection is used again
 */
function leavesBody(request: IncomingMessage): boolean {
  if (request.complete) return false;
  return !(Number(request.headers['content-length'] ?? Number.NaN) <= MAX_DROPPED);
}

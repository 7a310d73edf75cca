/** gRPC asked over an HTTP/2 connection that somebody else has opened: BuildKit's clients serve their session so. */
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { PassThrough, type Duplex } from 'node:stream';
import { once } from 'node:events';
import { HuskError } from '../../errors.ts';
import { apart } from './apart.ts';
import { CONTENT_TYPE, decodeText, frame, GrpcError, messagesOf, OK, UNAVAILABLE, UNKNOWN } from './grpc.ts';

/** bytes that may be on their way: of one call, and of all */
const CALL_WINDOW = 4 << 20;
const CONNECTION_WINDOW = 16 << 20;

/** A call with messages in both directions. */
export interface ClientCall {
  /** waits while the other side reads slowly */
  send(message: Uint8Array): Promise<void>;
  /** nothing more is sent */
  end(): void;
  /** @throws GrpcError when the call ends with another status than OK */
  messages: AsyncGenerator<Buffer>;
  cancel(): void;
}

export class GrpcClient {
  readonly #session: ClientHttp2Session;
  /** kept when the connection is closed */
  readonly closed: Promise<void>;

  constructor(stream: Duplex) {
    this.#session = connect('http://localhost', {
      createConnection: () => apart(stream),
      settings: { initialWindowSize: CALL_WINDOW, enablePush: false },
    });
    this.#session.on('error', () => {});
    this.#session.once('connect', () => {
      // The event comes a turn later, also of a session that is over by then.
      if (!this.#session.destroyed) this.#session.setLocalWindowSize(CONNECTION_WINDOW);
    });
    const closed = Promise.withResolvers<void>();
    this.#session.once('close', closed.resolve);
    this.closed = closed.promise;
  }

  destroy(): void {
    this.#session.destroy();
  }

  /**
   * @param path `/moby.filesync.v1.FileSync/DiffCopy`
   * @param metadata a list is one header for each of its values
   */
  call(path: string, signal: AbortSignal, metadata: Record<string, string | string[]> = {}): ClientCall {
    if (this.#session.destroyed || this.#session.closed)
      throw new GrpcError(UNAVAILABLE, 'the session of the client is closed');
    const headers: OutgoingHttpHeaders = {
      ':method': 'POST',
      ':path': path,
      ':scheme': 'http',
      ':authority': 'localhost',
      'content-type': CONTENT_TYPE,
      te: 'trailers',
      ...metadata,
    };
    const stream = this.#session.request(headers, { endStream: false });
    const cancel = (): void => stream.close(constants.NGHTTP2_CANCEL);
    stream.on('error', () => {});
    signal.addEventListener('abort', cancel, { once: true });
    stream.once('close', () => signal.removeEventListener('abort', cancel));
    if (signal.aborted) cancel();
    return {
      async send(message) {
        if (stream.destroyed || stream.write(frame(message))) return;
        const over = new AbortController();
        const { signal: one } = over;
        await Promise.race([once(stream, 'drain', { signal: one }), once(stream, 'close', { signal: one })]).catch(
          () => {},
        );
        over.abort();
      },
      end: () => void stream.end(),
      messages: answers(stream, signal),
      cancel,
    };
  }

  /** One message there, one back. @throws GrpcError */
  async unary(path: string, message: Uint8Array, signal: AbortSignal): Promise<Buffer> {
    const call = this.call(path, signal);
    await call.send(message);
    call.end();
    let answer: Buffer | undefined;
    for await (const each of call.messages) answer ??= Buffer.from(each);
    return answer ?? Buffer.alloc(0);
  }
}

/** Listens from now on, though nobody may read yet. */
function answers(stream: ClientHttp2Stream, signal: AbortSignal): AsyncGenerator<Buffer> {
  const status: Record<string, unknown> = {};
  // Where there are no messages, the status stands in the head.
  for (const event of ['response', 'trailers']) stream.on(event, (headers: object) => Object.assign(status, headers));
  // Node drops what is unread when a stream is closed, and a client closes it as soon as it has sent all. What may come
  // without being read is bounded by the window.
  const read = stream.pipe(new PassThrough({ highWaterMark: CALL_WINDOW }));
  read.on('error', () => {});
  const ended = Promise.withResolvers<void>();
  stream.once('close', () => {
    ended.resolve();
    if (!stream.readableEnded) read.destroy(new Error('closed'));
  });
  return (async function* () {
    try {
      yield* messagesOf(read);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof HuskError) throw error;
      throw new GrpcError(UNAVAILABLE, 'the client has closed its session', { cause: error });
    } finally {
      if (!stream.destroyed) stream.end();
    }
    if (!stream.closed) await ended.promise;
    if (signal.aborted) throw signal.reason;
    const code = Number(status['grpc-status'] ?? UNAVAILABLE);
    if (code === OK) return;
    const text = decodeText(String(status['grpc-message'] ?? 'the client has closed its session'));
    throw new GrpcError(Number.isInteger(code) ? code : UNKNOWN, text.slice(0, 1000));
  })();
}

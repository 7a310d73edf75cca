/** gRPC served on one HTTP/2 connection: a method is a function of its messages; what it throws is its status. */
import { performServerHandshake, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { once } from 'node:events';
import { HuskError } from '../../errors.ts';
import { apart } from './apart.ts';
import { CONTENT_TYPE, encodeText, frame, grpcError, GrpcError, messagesOf, UNIMPLEMENTED } from './grpc.ts';

/** calls of one connection at a time */
const MAX_CALLS = 100;
/** characters of a status message: it is a header, and clients bound these */
const MAX_STATUS = 4096;
/** bytes of details that fit beside it */
const MAX_DETAILS = 48 << 10;

export interface ServerCall {
  headers: IncomingHttpHeaders;
  /** what the client sends; read once */
  messages: AsyncGenerator<Buffer>;
  /** aborted when the client cancels the call, or is gone */
  signal: AbortSignal;
}

/** Gives the messages of its answer: one, or as many as come. */
export type Method = (call: ServerCall) => AsyncGenerator<Buffer>;

/** by path: `/moby.buildkit.v1.Control/Solve` */
export type Methods = Readonly<Record<string, Method>>;

/**
 * Serves a connection until it is closed.
 * @param onBug told of errors that are no answer
 */
export async function serveGrpc(
  stream: Duplex,
  methods: Methods,
  { signal, onBug }: { signal: AbortSignal; onBug: (error: unknown) => void },
): Promise<void> {
  // The types want a socket, the code a Duplex.
  const session = performServerHandshake(apart(stream) as Parameters<typeof performServerHandshake>[0], {
    settings: { maxConcurrentStreams: MAX_CALLS, enablePush: false },
  });
  session.on('error', () => {});
  session.on('stream', (call, headers) => void answer(call, headers, methods, onBug));
  const destroy = (): void => session.destroy();
  signal.addEventListener('abort', destroy, { once: true });
  if (signal.aborted) destroy();
  try {
    if (!session.destroyed) await once(session, 'close').catch(() => {});
  } finally {
    signal.removeEventListener('abort', destroy);
  }
}

async function answer(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  methods: Methods,
  onBug: (error: unknown) => void,
): Promise<void> {
  const gone = new AbortController();
  const cancel = (): void => gone.abort(new HuskError('the client canceled the call', { kind: 'conflict' }));
  stream.on('error', cancel).on('close', cancel);
  let failed: GrpcError | undefined;
  try {
    stream.respond({ ':status': 200, 'content-type': CONTENT_TYPE }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailersOf(failed)));
    const path = String(headers[':path']);
    const method = Object.hasOwn(methods, path) ? methods[path] : undefined;
    if (!method) throw new GrpcError(UNIMPLEMENTED, `unknown method ${path.slice(0, 200)}`);
    for await (const message of method({ headers, messages: messagesOf(stream), signal: gone.signal })) {
      if (gone.signal.aborted) return;
      if (!stream.write(frame(message))) await Promise.race([once(stream, 'drain'), once(gone.signal, 'abort')]);
    }
  } catch (error) {
    if (gone.signal.aborted) return;
    failed = grpcError(error);
    if (!(error instanceof HuskError) && !(error instanceof GrpcError)) onBug(error);
  }
  if (!stream.destroyed) stream.end();
}

function trailersOf(error: GrpcError | undefined): Record<string, string> {
  if (!error) return { 'grpc-status': '0' };
  const { code, message, details } = error;
  const text = encodeText(message);
  return {
    'grpc-status': String(code),
    'grpc-message': text.length > MAX_STATUS ? encodeText(message.slice(0, MAX_STATUS / 12)) : text,
    ...(details !== undefined &&
      details.length <= MAX_DETAILS && { 'grpc-status-details-bin': details.toString('base64').replace(/=+$/, '') }),
  };
}

/**
 * One HTTP exchange with a registry over node:http(s): keep-alive, timeouts, a bounded number of redirects, bounded
 * bodies. The transport knows nothing of registries. It uses node:http because fetch costs 25 ms more at start;
 * node:https is loaded only when it is needed.
 *
 * Credentials never follow a redirect to another origin, and a redirect never leads from https to http.
 */
import type { Agent, AgentOptions, IncomingMessage, ClientRequest, RequestOptions } from 'node:http';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { createRequire } from 'node:module';
import type { Readable } from 'node:stream';
import { causeOf, HuskError } from '../../errors.ts';
import { startTimer } from '../../long-timer.ts';

/** ms until a connection must stand, and until the answer's headers must be there */
const ANSWER_TIMEOUT_MS = 30_000;
/**
 * ms that a streamed request may go without activity, its answer included: a registry hashes what it got before it
 * answers
 */
const UPLOAD_TIMEOUT_MS = 300_000;
/** ms that a body may go without one byte */
const IDLE_TIMEOUT_MS = 60_000;
/** limit of Go's http.Client, and so of Docker */
const MAX_REDIRECTS = 10;
/** limit of bytes of all headers of an answer: Node's default of 16 KiB is too little for long token headers */
const MAX_HEADERS = 64 << 10;
/** bytes that a socket hands over at once: larger chunks mean fewer turns through JavaScript */
const SOCKET_CHUNK = 256 << 10;

export interface TransportRequest {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: URL;
  headers: Record<string, string>;
  body?: Uint8Array | Readable;
  /** whether to accept any certificate of this request's own origin */
  unverifiedTls?: boolean;
  signal?: AbortSignal;
}

export interface TransportResponse {
  status: number;
  headers: IncomingMessage['headers'];
  /** URL that the answer came from, after redirects */
  url: URL;
  body: IncomingMessage;
}

/**
 * failures that another try a second later does not change: no such host, no listener, no TLS there, an untrusted
 * certificate
 */
const FINAL = /^(?:ENOTFOUND|ECONNREFUSED|EPROTO|CERT_|ERR_TLS_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_PROXY_)/;

/** A connection that broke, timed out, or could not be made. */
export class TransportError extends HuskError {
  readonly code: string | undefined;
  /** whether another try at once may succeed */
  readonly transient: boolean;

  constructor(message: string, cause?: unknown) {
    super(message, { kind: 'unavailable', cause });
    this.code = (cause as NodeJS.ErrnoException | undefined)?.code;
    this.transient = !FINAL.test(this.code ?? '');
  }
}

type Https = typeof import('node:https');

export class Transport implements Disposable {
  #userAgent: string;
  #agentOptions: AgentOptions;
  #http: Agent | undefined;
  #https: Agent | undefined;
  #unverified: Agent | undefined;
  #module: Https | undefined;

  /** @param options.env HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured, as by Docker's daemon */
  constructor(options: { userAgent: string; env?: NodeJS.ProcessEnv }) {
    this.#userAgent = options.userAgent;
    this.#agentOptions = { ...AGENT_OPTIONS, proxyEnv: options.env };
  }

  [Symbol.dispose](): void {
    for (const agent of [this.#http, this.#https, this.#unverified]) agent?.destroy();
  }

  /**
   * Sends a request and follows redirects. A request with a body is redirected within its origin only, because the body
   * of an OAuth2 token request has a secret. A streamed body is used up when the answer comes, so the caller handles
   * its redirect. The caller reads or destroys the answer's body.
   * @throws TransportError, HuskError `unavailable` for redirect loops
   */
  async send(request: TransportRequest): Promise<TransportResponse> {
    let { url } = request;
    let { headers } = request;
    for (let redirects = 0; ; redirects++) {
      const body = await this.#exchange(url, headers, request);
      const status = body.statusCode ?? 0;
      const location = body.headers.location;
      if (location === undefined || !isFollowed(request, status)) return { status, headers: body.headers, url, body };
      body.destroy();
      if (redirects === MAX_REDIRECTS)
        throw new HuskError(`cannot get ${shown(request.url)}: more than ${MAX_REDIRECTS} redirects`, {
          kind: 'unavailable',
        });
      const next = redirectTarget(location, url);
      if (next.origin !== url.origin && request.body !== undefined)
        throw new HuskError(`${shown(url)} redirects a ${request.method} with a body to another host, ${next.host}`, {
          kind: 'unavailable',
        });
      if (next.origin !== url.origin) headers = withoutCredentials(headers);
      url = next;
    }
  }

  #exchange(url: URL, headers: Record<string, string>, request: TransportRequest): Promise<IncomingMessage> {
    const secure = url.protocol === 'https:';
    if (secure) this.#module ??= createRequire(import.meta.url)('node:https') as Https;
    const unverified = secure && request.unverifiedTls === true && url.origin === request.url.origin;
    const options: RequestOptions = {
      method: request.method,
      agent: secure ? this.#httpsAgent(unverified) : this.#httpAgent(),
      maxHeaderSize: MAX_HEADERS,
      headers: { 'user-agent': this.#userAgent, ...headers },
      timeout: request.body === undefined ? ANSWER_TIMEOUT_MS : UPLOAD_TIMEOUT_MS,
      signal: request.signal,
    };
    const { body } = request;
    const streams = body !== undefined && !(body instanceof Uint8Array);
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => reject(request.signal?.aborted ? error : failure(url, error));
      const client: ClientRequest = secure ? this.#module!.request(url, options) : httpRequest(url, options);
      // The socket's idle timeout covers connecting as well; a DNS lookup has none, so this timer covers it.
      const cancel = streams
        ? undefined
        : startTimer(ANSWER_TIMEOUT_MS, () =>
            client.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)),
          );
      client.once('timeout', () => client.destroy(new Error('timed out')));
      client.once('error', (error) => {
        cancel?.();
        fail(error);
      });
      client.once('response', (response) => {
        cancel?.();
        client.setTimeout(IDLE_TIMEOUT_MS);
        resolve(response);
      });
      if (!streams) return void client.end(body);
      body.once('error', (error) => client.destroy(error));
      client.once('close', () => body.destroy());
      body.pipe(client);
    });
  }

  #httpAgent(): Agent {
    return (this.#http ??= new HttpAgent(this.#agentOptions));
  }

  #httpsAgent(unverified: boolean): Agent {
    const { Agent: HttpsAgent } = this.#module!;
    if (unverified) return (this.#unverified ??= new HttpsAgent({ ...this.#agentOptions, rejectUnauthorized: false }));
    return (this.#https ??= new HttpsAgent(this.#agentOptions));
  }
}

/**
 * @returns whether a redirect is followed: every one of GET and HEAD; of other methods those that keep the method and
 * the body (RFC 9110 §15.4.8, §15.4.9)
 */
function isFollowed({ method, body }: TransportRequest, status: number): boolean {
  if (method === 'GET' || method === 'HEAD') return [301, 302, 303, 307, 308].includes(status);
  return (status === 307 || status === 308) && (body === undefined || body instanceof Uint8Array);
}

const AGENT_OPTIONS = {
  keepAlive: true,
  maxSockets: 16,
  highWaterMark: SOCKET_CHUNK,
  readableHighWaterMark: SOCKET_CHUNK,
};

/**
 * @returns where a Location header leads
 * @throws HuskError for anything but http(s), and from https to http
 */
export function redirectTarget(location: string, from: URL): URL {
  let next: URL;
  try {
    next = new URL(location, from);
  } catch (error) {
    throw new HuskError(`${shown(from)} redirects to something that is no URL`, { kind: 'unavailable', cause: error });
  }
  if (next.protocol !== 'https:' && next.protocol !== 'http:')
    throw new HuskError(`${shown(from)} redirects to a ${next.protocol} URL`, { kind: 'unavailable' });
  if (from.protocol === 'https:' && next.protocol === 'http:')
    throw new HuskError(`${shown(from)} redirects from https to http`, { kind: 'unavailable' });
  // user:password@ in a location would be sent as basic auth.
  next.username = '';
  next.password = '';
  return next;
}

function withoutCredentials(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !['authorization', 'cookie'].includes(name.toLowerCase())),
  );
}

/** @returns a URL for messages, without its query: signed storage URLs carry secrets there */
export const shown = (url: URL) => `${url.origin}${url.pathname}`;

function failure(url: URL, error: Error): TransportError {
  // For a host with several addresses Node throws an AggregateError, whose own message is empty.
  const causes = (error as Partial<AggregateError>).errors ?? [error];
  return new TransportError(
    `cannot reach ${url.host}: ${[...new Set(causes.map(causeOf))].join('; ') || 'failed'}`,
    error,
  );
}

/**
 * Reads a whole body.
 * @param limit bytes; one byte more ends the connection
 * @throws HuskError `limit`, TransportError when the body is cut short
 */
export async function readBody(response: TransportResponse, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > limit) {
        response.body.destroy();
        throw new HuskError(`the answer of ${shown(response.url)} is larger than ${limit} bytes`, { kind: 'limit' });
      }
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw new TransportError(`the answer of ${shown(response.url)} broke off: ${causeOf(error)}`, error);
  }
  return Buffer.concat(chunks, length);
}

/**
 * What a handler of the API gets and gives. A handler is a function of a matched request and the engine; it knows no
 * socket and no other handler. Types only.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { Engine } from '../../engine/contract.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

/** Of the API: `{ major: 1, minor: 44 }`; the newest where the path has none. */
export interface ApiVersion {
  major: number;
  minor: number;
}

/** The query's values, read as Docker reads them. The first of several counts, but for `all`. */
export interface Query {
  has(name: string): boolean;
  /** @returns undefined where it is not there or empty */
  text(name: string): string | undefined;
  all(name: string): string[];
  /** false for "", 0, no, false, none and where it is not there; true for everything else */
  boolean(name: string, otherwise?: boolean): boolean;
  /** @throws HuskError `invalid` for what is no whole number */
  integer(name: string): number | undefined;
  /** seconds with a fraction, or RFC 3339. @returns ns since the epoch; undefined where it is not there, empty or 0 */
  moment(name: string): bigint | undefined;
  /** JSON, bounded. @throws HuskError `invalid` */
  json(name: string): unknown;
  /** `{"k":{"v":true}}` and `{"k":["v"]}`. @throws HuskError `invalid`, naming a key that is none of `known` */
  filters(known: readonly string[], name?: string): Record<string, string[]>;
}

export interface Body {
  /**
   * The whole body as JSON, at most 8 MiB; undefined where it is empty.
   * @throws HuskError `invalid` for what is no JSON, or has another type and is not empty
   */
  json(): Promise<unknown>;
  /** the bytes as they come; read once, and not after `json` */
  stream(): Readable;
}

export interface Call {
  method: Method;
  version: ApiVersion;
  /** of the path's pattern, decoded: `{ name: 'library/alpine' }` */
  parameters: Readonly<Record<string, string>>;
  query: Query;
  headers: IncomingHttpHeaders;
  body: Body;
  /** aborted when the client has gone away, or the server ends */
  signal: AbortSignal;
}

/**
 * A connection that has stopped being HTTP. Its readable side begins behind the request's body, and ends with the
 * client's half-close, which is no disconnect; its writable side is paused by the client that reads slowly.
 */
export interface Hijacked {
  stream: Duplex;
  /** aborted when the connection is closed as a whole */
  signal: AbortSignal;
}

export type Answer =
  | { kind: 'json'; status: number; value: unknown; headers?: Record<string, string> }
  | { kind: 'text'; status: number; text: string; headers?: Record<string, string> }
  | { kind: 'empty'; status: number; headers?: Record<string, string> }
  /**
   * One JSON value a line. The head goes with the first line, so that an error before it has a status of its own; or at
   * once with `early`. An error behind the first line is the last line, as `errorDetail`.
   */
  | { kind: 'lines'; lines: AsyncIterable<unknown>; early?: boolean; headers?: Record<string, string> }
  /** Bytes; the head as with `lines`. */
  | {
      kind: 'bytes';
      bytes: AsyncIterable<Uint8Array>;
      type: string;
      early?: boolean;
      headers?: Record<string, string>;
    }
  /**
   * 101 where the client asked for an upgrade, 200 else; then the connection is `take`'s until its promise is kept,
   * which ends the writable side. `take` is called before the head is sent: what it throws synchronously or rejects
   * with before it has called `begin` is an answer with a status. Only routes that say `hijacks` may answer so.
   */
  | {
      kind: 'hijack';
      /** absent for protocols that are no stream of Docker's: h2c, websocket */
      type?: 'application/vnd.docker.raw-stream' | 'application/vnd.docker.multiplexed-stream';
      /** of the head beside Content-Type, Connection and Upgrade: `Sec-WebSocket-Accept` */
      headers?: Record<string, string>;
      /** @param begin sends the head and gives the connection; called once */
      take: (begin: () => Hijacked) => Promise<void>;
    };

/** An answer that leaves the connection HTTP. */
export type PlainAnswer = Exclude<Answer, { kind: 'hijack' }>;

export type Handler = (call: Call, engine: Engine) => Answer | Promise<Answer>;

export interface Route {
  method: Method;
  /**
   * `/containers/{name}/json`; `{name}` is a segment, `{name*}` one or more (image names have slashes). A GET answers
   * HEAD too, where no HEAD is listed.
   */
  path: string;
  /**
   * An answer may be a hijack: Node's parser ends behind the request's head then, and a body, which goes before the
   * stream, is read as a whole (8 MiB) before the handler is called. Any other answer closes the connection.
   */
  hijacks?: true;
  handler: Handler;
}

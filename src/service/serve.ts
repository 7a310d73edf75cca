/**
 * Serves the API: opens the listeners, leaves when nobody has used it for a while, ends in order. It keeps no state:
 * killed at any moment it harms no container.
 */
import type { Server as HttpServer } from 'node:http';
import type { TlsOptions } from 'node:tls';
import type { Engine } from '../engine/contract.ts';
import { IdleMemory } from '../engine/memory.ts';
import { HuskError } from '../errors.ts';
import { refuseBrowsers } from './http/browsers.ts';
import { makeServer } from './http/server.ts';
import type { ServiceOptions } from './http/service.ts';
import { listen, type Address, type Listening } from './listen.ts';

/** ms that requests have at the end; streams are cut at once */
const GRACE = 10_000;
/**
 * ms without a request after which memory is given back: longer than the pauses of somebody who types commands, and of
 * clients that ask every few seconds; and ms until it is once more
 */
const SHRINK_AFTER = [10_000, 15_000];
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1)$/;

export interface ServeOptions {
  engine: Engine;
  addresses: readonly Address[];
  /** of TCP: certificates, or false for none, at a loopback address alone. @default TCP is refused */
  tls?: TlsOptions | false;
  /** ms without a request after which the server ends. @default never */
  idleTimeout?: number;
  /** told of bugs of husk, with a stack */
  onBug: (error: unknown) => void;
}

export interface Serving {
  /** as clients name the addresses */
  readonly urls: readonly string[];
  /** kept when the server has ended: idle, or closed */
  readonly ended: Promise<void>;
  /** Takes no new connections, gives requests ten seconds, cuts streams. */
  close(): Promise<void>;
}

/** @throws HuskError where an address cannot be served; none is then */
export async function serve(options: ServeOptions): Promise<Serving> {
  const serving = new ServingAll(options);
  try {
    for (const address of options.addresses) await serving.open(address);
  } catch (error) {
    await serving.close();
    throw error;
  }
  serving.rest();
  return serving;
}

class ServingAll implements Serving {
  readonly urls: string[] = [];
  readonly ended: Promise<void>;
  readonly #end: () => void;
  readonly #options: ServeOptions;
  readonly #servers: { server: HttpServer; listening: Listening }[] = [];
  readonly #streams = new AbortController();
  readonly #requests = new AbortController();
  /** requests and streams of all servers */
  readonly #active = new Map<HttpServer, number>();
  readonly #memory = new IdleMemory(SHRINK_AFTER);
  #idle: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ServeOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
  }

  async open(address: Address): Promise<void> {
    const { engine, onBug, tls } = this.#options;
    const { routes } = await import('./engine-api/routes.ts');
    const isTcp = address.kind === 'tcp';
    if (isTcp) checkTcp(address.host, tls);
    const options: ServiceOptions = {
      routes,
      engine,
      onBug,
      ending: this.#streams.signal,
      ended: this.#requests.signal,
      onActive: (count) => this.#count(server, count),
      ...(isTcp && !tls && { guard: refuseBrowsers }),
    };
    const server = makeServer(options, isTcp && tls ? tls : undefined);
    const listening = await listen(server, address);
    this.#servers.push({ server, listening });
    this.urls.push(listening.url);
  }

  #count(server: HttpServer, count: number): void {
    this.#active.set(server, count);
    clearTimeout(this.#idle);
    // A connection whose last answer has just gone would be kept for a next request.
    if (this.#closing) setImmediate(() => server.closeIdleConnections());
    else this.rest();
  }

  /** Where nobody uses the server: starts the waits for giving memory back, and for the end. */
  rest(): void {
    const { idleTimeout } = this.#options;
    if ([...this.#active.values()].some((count) => count > 0)) return;
    this.#memory.settled();
    if (idleTimeout === undefined) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.close(), idleTimeout);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    clearTimeout(this.#idle);
    const closed = this.#servers.map(
      ({ server, listening }) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          listening.release();
        }),
    );
    this.#streams.abort();
    const late = setTimeout(() => {
      this.#requests.abort();
      for (const { server } of this.#servers) server.closeAllConnections();
    }, GRACE);
    await Promise.all(closed);
    clearTimeout(late);
    this.#end();
  }
}

function checkTcp(host: string, tls: ServeOptions['tls']): void {
  if (tls) return;
  if (tls === undefined)
    throw new HuskError(`tcp://${host} without TLS: whoever reaches the API is you`, {
      kind: 'invalid',
      fix: 'use --tlsverify with certificates, or --tls=false at a loopback address',
    });
  if (!LOOPBACK.test(host))
    throw new HuskError(`tcp://${host} without TLS: that is no loopback address`, {
      kind: 'invalid',
      fix: 'use --tlsverify with certificates',
    });
}

/**
 * A container's name server: on sockets that were made inside of its network namespace (127.0.0.11) and are used
 * from outside of it. It hands whole messages on, and does not know who answers them: a responder in this process, or a
 * VMM at the other end of a relay. What the container sends is hostile; all that it can take is its own time, because
 * each container has a server of its own.
 */
import type { Socket } from 'node:net';
import type { Fd } from '../../host/fd.ts';
import { receiveDatagrams } from '../../host/streams/datagrams.ts';
import type { Respond } from './responder.ts';
import { framed, MessageDecoder } from './stream-messages.ts';

export interface NameServer {
  /** Closes the sockets. */
  close(): void;
}

export interface StreamLimits {
  /** connections at once; more are closed as they come */
  connections: number;
  /** milliseconds that a client has for a query, and for taking the answer */
  patience: number;
}

/** patience: moby's server waits as long (miekg/dns, idle timeout) */
const LIMITS: StreamLimits = { connections: 64, patience: 8000 };

export interface NameServerOptions {
  /** bound; the server's from now on */
  udp: Fd;
  /** listening; the server's from now on */
  tcp: Fd;
  respond: Respond;
  limits?: Partial<StreamLimits>;
  /** told when a socket fails */
  problem(error: unknown): void;
}

export function startNameServer({ udp, tcp, respond, limits, problem }: NameServerOptions): NameServer {
  const { connections: most, patience } = { ...LIMITS, ...limits };
  const connections = new Set<Connection>();
  let closed = false;

  const datagrams = receiveDatagrams(udp, {
    received: (query, answer) => respond(query, 'udp', (bytes) => bytes && answer(bytes)),
    problem,
  });

  // a client may say by half a close that it has no other query
  const streams = process.getBuiltinModule('node:net').createServer({ allowHalfOpen: true }, (socket) => {
    const connection = new Connection(socket, respond, patience);
    connections.add(connection);
    socket.on('close', () => connections.delete(connection));
  });
  streams.maxConnections = most;
  streams.on('error', problem);
  streams.listen({ fd: tcp.release() });

  return {
    close: () => {
      if (closed) return;
      closed = true;
      datagrams.close();
      streams.close();
      for (const connection of connections) connection.close();
    },
  };
}

/**
 * One client by TCP. Its queries are answered one after the other, and nothing is read meanwhile: whoever asks much and
 * takes no answers, or sends a byte a second, holds one message, and for a while only.
 */
class Connection {
  readonly #socket: Socket;
  readonly #respond: Respond;
  readonly #patience: number;
  readonly #decoder = new MessageDecoder();
  #queries: Iterator<Buffer> | undefined;
  #ended = false;
  #deadline: NodeJS.Timeout | undefined;

  constructor(socket: Socket, respond: Respond, patience: number) {
    this.#socket = socket;
    this.#respond = respond;
    this.#patience = patience;
    // a client that went away is not ours to tell of; the socket is destroyed by itself
    socket.on('error', () => {});
    socket.on('close', () => clearTimeout(this.#deadline));
    socket.on('data', (chunk: Buffer) => {
      socket.pause();
      this.#queries = this.#decoder.push(chunk);
      this.#next();
    });
    socket.on('end', () => {
      this.#ended = true;
      // otherwise after the answer that is being made
      if (this.#queries === undefined) socket.end();
    });
    this.#wait();
  }

  /** From here on the client is awaited. What it sends byte by byte gives it no more time. */
  #wait(): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.close(), this.#patience);
  }

  #next(): void {
    const query = this.#queries?.next();
    if (query === undefined || query.done) {
      this.#queries = undefined;
      if (this.#ended) this.#socket.end();
      else this.#socket.resume();
      return;
    }
    // the time that resolvers take is not the client's
    clearTimeout(this.#deadline);
    this.#respond(query.value, 'tcp', (answer) => {
      if (this.#socket.destroyed) return;
      this.#wait();
      // called when it was taken; in a new turn, so that no number of queries is a depth of calls
      if (answer) this.#socket.write(framed(answer), (error) => error ?? this.#next());
      else setImmediate(() => this.#next());
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

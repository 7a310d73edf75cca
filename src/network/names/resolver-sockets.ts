/**
 * Resolvers by sockets: of the host's own network, where a query has a socket and so a port to itself; or of the
 * container's, by sockets that were made there and are used from here.
 */
import type { Socket as DatagramSocket } from 'node:dgram';
import { isIPv6, type Socket } from 'node:net';
import type { Fd } from '../../host/fd.ts';
import type { Protocol } from './compose.ts';
import { framed, MessageDecoder } from './stream-messages.ts';
import type { Call, Resolver } from './upstream.ts';

/** IANA, "Service Name and Transport Protocol Port Number Registry" */
const DNS_PORT = 53;
/**
 * milliseconds that a socket of the container's is kept when nothing is asked: a new one, with another port, costs a
 * process
 */
const KEPT = 2000;

/** Makes a socket in the container's network namespace, bound to any address and any port of it. */
export type SocketMaker = (kind: Protocol, family: 4 | 6) => Promise<Fd>;

type Answered = Parameters<Resolver['ask']>[2];
type Address = { address: string; port: number };

/** Asked from the host's namespace. @param address with its zone, where it has one (`fe80::1%wlan0`) */
export function hostResolver(address: string, { port = DNS_PORT } = {}): Resolver {
  const to = { address, port };
  return {
    from: 'host',
    ask: (query, protocol, call) =>
      protocol === 'udp' ? askByDatagram(to, query, call) : askByStream(to, query, call),
    close: () => {},
  };
}

/** Asked from the container's namespace (`--dns`). */
export function containerResolver(address: string, makeSocket: SocketMaker, { port = DNS_PORT } = {}): Resolver {
  const to = { address, port };
  const shared = new SharedSocket(to, makeSocket);
  return {
    from: 'container',
    ask: (query, protocol, call) =>
      protocol === 'udp' ? shared.ask(query, call) : askByStream(to, query, call, makeSocket),
    close: () => shared.close(),
  };
}

/** @param family of all addresses that it is used with; they need no look-up, for which node:dgram loads node:dns */
function datagramSocket(family: 4 | 6): DatagramSocket {
  const asItIs = (address: string, _family: unknown, found: (error: null, address: string, family: number) => void) =>
    found(null, address, family);
  return process.getBuiltinModule('node:dgram').createSocket({ type: `udp${family}`, lookup: asItIs as never });
}

const familyOf = (address: string) => (isIPv6(address) ? 6 : 4);

/** Connected: the kernel drops what comes from elsewhere, and says when nobody listens there. */
function askByDatagram({ address, port }: Address, query: Buffer, call: Answered): Call {
  const socket = datagramSocket(familyOf(address));
  let open = true;
  const close = () => {
    if (open) socket.close();
    open = false;
  };
  socket.on('message', call.received);
  socket.on('error', () => open && call.failed());
  socket.on('connect', () => {
    if (open) socket.send(query, (error) => open && error && call.failed());
  });
  // not before the caller has what it closes
  process.nextTick(() => open && socket.connect(port, address));
  return { close };
}

function askByStream({ address, port }: Address, query: Buffer, call: Answered, makeSocket?: SocketMaker): Call {
  let socket: Socket | undefined;
  let open = true;
  const start = async () => {
    const { Socket: Stream } = process.getBuiltinModule('node:net');
    const made = await makeSocket?.('tcp', familyOf(address));
    if (!open) return made?.close();
    // not read before it is connected
    socket = new Stream(made && ({ fd: made.release(), pauseOnCreate: true } as never));
    const decoder = new MessageDecoder();
    socket.on('data', (chunk: Buffer) => {
      for (const message of decoder.push(chunk)) if (open) call.received(message);
    });
    socket.on('error', () => open && call.failed());
    socket.on('close', () => open && call.failed());
    socket.connect({ host: address, port }).resume();
    socket.write(framed(query));
  };
  start().catch(() => open && call.failed());
  return {
    close: () => {
      open = false;
      socket?.destroy();
    },
  };
}

/** One socket for all queries that are under way; ids tell the answers apart. */
class SharedSocket {
  readonly #to: Address;
  readonly #makeSocket: SocketMaker;
  readonly #calls = new Set<Answered>();
  #socket: Promise<DatagramSocket> | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(to: Address, makeSocket: SocketMaker) {
    this.#to = to;
    this.#makeSocket = makeSocket;
  }

  ask(query: Buffer, call: Answered): Call {
    clearTimeout(this.#idle);
    this.#calls.add(call);
    const socket = this.#current();
    socket.then(
      (opened) => {
        // whose socket has failed meanwhile has been told so
        if (this.#calls.has(call)) opened.send(query, (error) => error && this.#fail(socket));
      },
      () => {},
    );
    return {
      close: () => {
        if (this.#calls.delete(call) && this.#calls.size === 0) this.#idle = setTimeout(() => this.close(), KEPT);
      },
    };
  }

  #current(): Promise<DatagramSocket> {
    if (this.#socket) return this.#socket;
    const socket = this.#open();
    this.#socket = socket;
    socket.then(
      (opened) => opened.on('error', () => this.#fail(socket)),
      () => this.#fail(socket),
    );
    return socket;
  }

  /** Connected, as those of the host are. */
  async #open(): Promise<DatagramSocket> {
    const { address, port } = this.#to;
    const made = await this.#makeSocket('udp', familyOf(address));
    const socket = datagramSocket(familyOf(address));
    socket.on('message', (message) => {
      for (const { received } of this.#calls) received(message);
    });
    socket.bind({ fd: made.release() });
    return new Promise((resolve, reject) => {
      const refused = (error: Error) => {
        socket.close();
        reject(error);
      };
      socket.once('error', refused);
      socket.once('connect', () => resolve(socket.off('error', refused)));
      socket.connect(port, address);
    });
  }

  /** All that wait go to the next resolver; the next query has a new socket. */
  #fail(socket: Promise<DatagramSocket>): void {
    if (this.#socket !== socket) return;
    const calls = [...this.#calls];
    this.close();
    for (const { failed } of calls) failed();
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#calls.clear();
    this.#socket?.then(
      (socket) => socket.close(),
      () => {},
    );
    this.#socket = undefined;
  }
}

/**
 * Connections for log messages, with one interface for datagrams and streams: sending, whether more is accepted, and
 * the end. This module knows nothing of logs.
 */
import { readFileSync } from 'node:fs';
import { isIP, connect as connectStream, type Socket } from 'node:net';
import { HuskError } from '../errors.ts';
import { SyscallError } from '../host/libc.ts';
import { whenWritable, type Watch } from '../host/streams/poll.ts';
import { connectDatagram, send } from '../host/streams/socket.ts';
import { startTimer } from '../long-timer.ts';

export type Destination =
  | { kind: 'unix' | 'unixgram'; path: string }
  | { kind: 'udp' | 'tcp'; host: string; port: number }
  /** ca, cert and key are paths of PEM files */
  | { kind: 'tls'; host: string; port: number; ca?: string; cert?: string; key?: string; skipVerify: boolean };

export interface Connection {
  /** whether the peer accepts a message now; a message that is sent while it does not waits in memory */
  readonly isReady: boolean;
  /** @returns false when the message was not accepted, and must be sent again */
  send(message: Buffer): boolean;
  /** Waits until what was sent has gone out; resolves also when it cannot. */
  end(): Promise<void>;
  destroy(): void;
}

export interface ConnectionEvents {
  onReady(): void;
  onClosed(): void;
}

/** ms within which a peer must have answered */
const CONNECT_TIMEOUT = 10_000;

/** @throws HuskError `start-failed` in the words of Docker's drivers */
export async function connect(destination: Destination, events: ConnectionEvents): Promise<Connection> {
  try {
    if (destination.kind === 'unixgram') return new LocalDatagrams(destination.path, events);
    if (destination.kind === 'udp') return await openDatagrams(destination);
    return await openStream(destination, events);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new HuskError(
      `failed to initialize logging driver: dial ${describe(destination)}: ${REASONS[code ?? ''] ?? code ?? message}`,
      { kind: 'start-failed', exitCode: 125, cause: error },
    );
  }
}

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  ENOTFOUND: 'no such host',
  ETIMEDOUT: 'i/o timeout',
};

export function describe(destination: Destination): string {
  if ('path' in destination) return `${destination.kind} ${destination.path}`;
  const { kind, host, port } = destination;
  return `${kind === 'tls' ? 'tcp' : kind} ${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

async function openStream(
  destination: Exclude<Destination, { kind: 'unixgram' | 'udp' }>,
  events: ConnectionEvents,
): Promise<Connection> {
  const socket = await dial(destination);
  return new Stream(socket, events);
}

async function dial(destination: Exclude<Destination, { kind: 'unixgram' | 'udp' }>): Promise<Socket> {
  let socket: Socket;
  let connected = 'connect';
  if (destination.kind === 'tls') {
    const { host, port, ca, cert, key, skipVerify } = destination;
    const { connect: connectSecurely } = await import('node:tls');
    socket = connectSecurely({
      host,
      port,
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca && { ca: readFileSync(ca) }),
      ...(cert && { cert: readFileSync(cert) }),
      ...(key && { key: readFileSync(key) }),
      rejectUnauthorized: !skipVerify,
    });
    connected = 'secureConnect';
  } else
    socket = connectStream(
      'path' in destination ? { path: destination.path } : { host: destination.host, port: destination.port },
    );
  await new Promise<void>((resolve, reject) => {
    const late = () => fail(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' }));
    const cancel = startTimer(CONNECT_TIMEOUT, late);
    const fail = (error: Error): void => {
      cancel();
      socket.destroy();
      reject(error);
    };
    socket.once('error', fail);
    socket.once(connected, () => {
      cancel();
      socket.off('error', fail);
      resolve();
    });
  });
  return socket;
}

class Stream implements Connection {
  readonly #socket: Socket;
  isReady = true;

  constructor(socket: Socket, { onReady, onClosed }: ConnectionEvents) {
    this.#socket = socket;
    // The peer's data is not used, but it must be read: else the end of the connection is not noticed.
    socket.resume();
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      this.isReady = false;
      onClosed();
    });
    socket.on('drain', () => {
      this.isReady = true;
      onReady();
    });
  }

  send(message: Buffer): boolean {
    this.isReady = this.#socket.write(message);
    return true;
  }

  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
      if (this.#socket.destroyed) resolve();
      this.#socket.end(() => this.#socket.destroy());
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

async function openDatagrams({ host, port }: { host: string; port: number }): Promise<Connection> {
  const [{ createSocket }, { lookup }] = await Promise.all([import('node:dgram'), import('node:dns/promises')]);
  const { address, family } = await lookup(host);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  // A datagram that no peer receives is lost, as always with UDP.
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.connect(port, address, () => resolve()));
  let under = 0;
  let over: (() => void) | undefined;
  const close = (): void => {
    try {
      socket.close();
    } catch {
      // The socket is closed already.
    }
  };
  return {
    isReady: true,
    send: (message) => {
      under++;
      socket.send(message, () => {
        if (--under === 0) over?.();
      });
      return true;
    },
    end: async () => {
      if (under > 0) await new Promise<void>((resolve) => (over = resolve));
      close();
    },
    destroy: close,
  };
}

/** A datagram socket of this host, which may be slow and reports when it is full. */
class LocalDatagrams implements Connection {
  readonly #fd: ReturnType<typeof connectDatagram>;
  readonly #events: ConnectionEvents;
  #watch: Watch | undefined;
  isReady = true;

  constructor(path: string, events: ConnectionEvents) {
    this.#fd = connectDatagram(path);
    this.#events = events;
  }

  send(message: Buffer): boolean {
    try {
      send(this.#fd.number, message);
      return true;
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      // A message that is too large will never be accepted, so it is dropped.
      if (error.code === 'EMSGSIZE') return true;
      this.isReady = false;
      if (error.code !== 'EAGAIN' && error.code !== 'ENOBUFS') {
        this.destroy();
        queueMicrotask(() => this.#events.onClosed());
      } else {
        this.#watch ??= whenWritable(this.#fd.number, () => {
          this.#watch = undefined;
          this.isReady = true;
          this.#events.onReady();
        });
      }
      return false;
    }
  }

  async end(): Promise<void> {
    this.destroy();
  }

  destroy(): void {
    this.#watch?.close();
    this.#watch = undefined;
    if (!this.#fd.closed) this.#fd.close();
  }
}

/** Node's HTTP server, set up so that it takes what Docker's clients send and no more. It opens no socket itself. */
import { createServer, IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { HEADER_TIMEOUT, MAX_CONNECTIONS, MAX_HEADER } from './bounds.ts';
import { closeGently } from './hijack.ts';
import { Service, type ServiceOptions } from './service.ts';

/** @param tls for a server of TLS */
export function makeServer(options: ServiceOptions, tls?: TlsOptions): Server {
  const service = new Service(options);
  /** Says that it is an upgrade where its route takes the connection, whatever the client's headers say. */
  class Request extends IncomingMessage {
    // Node's constructor sets `upgrade` already, when a private field would not be there yet.
    declare asked: unknown;
    get upgrade(): unknown {
      // CONNECT stays what it is to Node: an upgrade that nobody listens for, which ends the connection.
      return this.method === 'CONNECT' ? this.asked : service.mayHijack(this);
    }
    set upgrade(asked: unknown) {
      this.asked = asked;
    }
  }
  const http = {
    IncomingMessage: Request,
    shouldUpgradeCallback: (request: IncomingMessage) => service.mayHijack(request),
    maxHeaderSize: MAX_HEADER,
    headersTimeout: HEADER_TIMEOUT,
    // A body may take as long as it likes: the context of a build, an image. JSON has a bound of its own.
    requestTimeout: 0,
    // A client that sends its next request while the connection is being closed would lose it.
    keepAliveTimeout: 0,
    insecureHTTPParser: false,
    requireHostHeader: true,
  };
  const listener: RequestListener = (request, response) =>
    void service.onRequest(request, response).catch(options.onBug);
  const server = tls ? createSecureServer({ ...http, ...tls }, listener) : createServer(http, listener);
  server.on('upgrade', (request, socket, head) => void service.onHijack(request, socket, head).catch(options.onBug));
  allowHalfOpen(server, service);
  limitConnections(server);
  const refused = new WeakSet<Duplex>();
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // What else comes on a connection that has been refused is dropped until it closes.
    if (refused.has(socket)) return;
    refused.add(socket);
    // An answer that has begun, or that an earlier request waits for, cannot be preceded by another one.
    if (error.code === 'ECONNRESET' || !socket.writable || service.isBusy(socket)) socket.destroy();
    else void closeGently(socket, rawAnswer(STATUS[error.code ?? ''] ?? '400 Bad Request', 'malformed HTTP request'));
  });
  return server;
}

/**
 * A client may close its side once it has asked (`printf … | nc`): it still gets its answer. Over TCP that cannot be
 * told from a client that has gone, whose requests end; a unix socket says so itself (hijack.ts).
 */
function allowHalfOpen(server: Server, service: Service): void {
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on('connection', (socket: Socket) =>
    socket.once('end', () => {
      if (!service.isBusy(socket)) return;
      if (socket.remoteAddress === undefined) socket.write(Buffer.alloc(0));
      else socket.destroy();
    }),
  );
}

/** Above the limit connections that wait for a next request go first; then new ones are refused. */
function limitConnections(server: Server): void {
  const open = new Set<Duplex>();
  server.on('connection', (socket: Duplex) => {
    if (open.size >= MAX_CONNECTIONS) server.closeIdleConnections();
    if (open.size >= MAX_CONNECTIONS) {
      socket.on('error', () => {});
      return void closeGently(socket, rawAnswer('503 Service Unavailable', `more than ${MAX_CONNECTIONS} connections`));
    }
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
}

const STATUS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

function rawAnswer(status: string, message: string): string {
  const body = `${JSON.stringify({ message })}\n`;
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}

/**
 * What lies beyond the test host, as far as tests go (test/vm-host/README.md): servers of this process at addresses
 * that stand for the world.
 */
import { createHash } from 'node:crypto';
import { createSocket, type Socket as DatagramSocket, type SocketOptions } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';

export const WORLD = '198.51.100.1';
const WORLD6 = '2001:db8:1::1';
export const RESOLVER = '198.51.100.53';
/** bytes each way */
export const BULK = 300_000;

/** Servers of this process, and a resolver that knows one name. */
export class World {
  readonly bulk = Buffer.from(Array.from({ length: BULK }, (_, i) => (i * i) & 0xff));
  readonly bulkHash = createHash('sha256').update(this.bulk).digest('hex');
  /** digests of what came to the sink */
  readonly sunk: string[] = [];
  readonly #servers = new Map<string, Server>();
  readonly #datagrams = new Map<string, DatagramSocket>();
  readonly #resolver = createSocket('udp4');

  async open(): Promise<void> {
    await this.#listen('greeting', WORLD, (socket) => socket.end('hello'));
    await this.#listen('greeting6', WORLD6, (socket) => socket.end('hello'));
    await this.#listen('bulk', WORLD, (socket) => socket.end(this.bulk));
    await this.#listen('sink', WORLD, (socket) => {
      const hash = createHash('sha256');
      socket.on('data', (chunk: Buffer) => hash.update(chunk)).on('end', () => this.sunk.push(hash.digest('hex')));
    });
    await this.#listen('loopback', '127.0.0.1', (socket) => socket.end('reached'));
    await this.#listen('loopback6', '::1', (socket) => socket.end('reached'));
    await this.#listen('everywhere', '0.0.0.0', (socket) => socket.end('reached'));
    await this.#listen('everywhere6', '::', (socket) => socket.end('reached'));
    await this.#answer('udp', { type: 'udp4' }, WORLD);
    await this.#answer('udp6', { type: 'udp6' }, WORLD6);
    await this.#answer('udp everywhere', { type: 'udp4' }, '0.0.0.0');
    await this.#answer('udp everywhere6', { type: 'udp6', ipv6Only: true }, '::');
    this.#resolver.on('message', (query, from) => this.#resolver.send(answer(query), from.port, from.address));
    await new Promise<void>((done) => this.#resolver.bind(53, RESOLVER, done));
  }

  #listen(name: string, address: string, serve: (socket: Socket) => void): Promise<void> {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      serve(socket);
    });
    this.#servers.set(name, server);
    const place = { host: address, port: 0, ipv6Only: true };
    return new Promise((done, failed) => server.once('error', failed).listen(place, done));
  }

  #answer(name: string, options: SocketOptions, address: string): Promise<void> {
    const socket = createSocket(options);
    socket.on('message', (_, from) => socket.send('reached', from.port, from.address, () => {}));
    this.#datagrams.set(name, socket);
    return new Promise((done, failed) => socket.once('error', failed).bind(0, address, done));
  }

  port(name: string): number {
    return ((this.#servers.get(name) ?? this.#datagrams.get(name))!.address() as { port: number }).port;
  }

  close(): void {
    for (const server of [...this.#servers.values(), ...this.#datagrams.values()]) server.close();
    this.#resolver.close();
  }
}

/** RFC 1035 §4.1: the question back, with one address of an A question; no answer to any other */
function answer(query: Buffer): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const isA = query.readUInt16BE(end - 4) === 1;
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(0x8180, 2); // a response, recursion available
  head.writeUInt16BE(isA ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  const record = Buffer.from('c00c000100010000003c0004', 'hex'); // the name at 12, A, IN, 60 s, 4 bytes
  return Buffer.concat([
    head,
    query.subarray(12, end),
    ...(isA ? [record, Buffer.from(WORLD.split('.').map(Number))] : []),
  ]);
}

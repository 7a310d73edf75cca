/**
 * The socket device: streams between guest ports and host code, with no unix sockets in between. The VMM listens on
 * ports (`listen`) and connects to the guest's (`connect`); each connection is a Duplex. The device bounds its
 * connections, the bytes of each, and the answers that wait for the guest's buffers.
 */
import { HuskError } from '../../../errors.ts';
import { startTimer } from '../../../long-timer.ts';
import type { Chain } from '../virtio/chain.ts';
import type { DeviceHost, VirtioDevice } from '../virtio/device.ts';
import {
  BUFFER_BYTES,
  CLOSE_TIMEOUT,
  FIRST_EPHEMERAL_PORT,
  GUEST_CID,
  HOST_CID,
  MAX_CONNECTIONS,
  MAX_CONTROL,
  MAX_PACKET_DATA,
  RECEIVE_QUEUE,
  TRANSMIT_QUEUE,
  vsockConfig,
  VSOCK_FEATURES,
  VSOCK_ID,
  VSOCK_QUEUE_SIZES,
} from './config.ts';
import { VsockConnection, type ConnectionState, type Link } from './connection.ts';
import { buildPacket, HEADER_SIZE, OP, parsePacket, TYPE_STREAM, type Packet } from './packet.ts';

/**
 * Open connections outlive a snapshot, so that an agent that has called finds its host again; half open and half closed
 * ones do not.
 */
export interface VsockState {
  nextPort: number;
  connections: ConnectionState[];
  /** packets without data that wait for a buffer of the guest's, in their order */
  control: ControlPacket[];
}

interface ControlPacket {
  guestPort: number;
  hostPort: number;
  operation: number;
  flags: number;
}

interface Control extends ControlPacket {
  connection: VsockConnection | undefined;
}

export class Vsock implements VirtioDevice {
  readonly name = 'vsock';
  readonly id = VSOCK_ID;
  readonly features = VSOCK_FEATURES;
  readonly queueSizes = VSOCK_QUEUE_SIZES;
  readonly config = vsockConfig();
  #nextPort = FIRST_EPHEMERAL_PORT;
  readonly #connections = new Map<string, VsockConnection>();
  readonly #listeners = new Map<number, (connection: VsockConnection) => void>();
  #control: Control[] = [];
  /** connections with data to send, in turn */
  readonly #ready = new Set<VsockConnection>();
  readonly #link: Link;
  #host: DeviceHost | undefined;
  #sending = false;

  constructor() {
    this.#link = {
      control: (connection, operation, flags = 0) => {
        this.#control.push({
          guestPort: connection.guestPort,
          hostPort: connection.hostPort,
          operation,
          flags,
          connection,
        });
        if (connection.phase === 'closing') this.#expire(connection);
        this.#send();
      },
      wantsToSend: (connection) => {
        this.#ready.add(connection);
        this.#send();
      },
      finished: (connection) => {
        const name = key(connection.guestPort, connection.hostPort);
        if (this.#connections.get(name) === connection) this.#connections.delete(name);
        this.#ready.delete(connection);
      },
    };
  }

  /** Accepts the guest's connections to a host port. @returns a Disposable that stops listening */
  listen(port: number, accept: (connection: VsockConnection) => void): Disposable {
    if (this.#listeners.has(port)) throw new HuskError(`vsock port ${port} is taken`, { kind: 'internal' });
    this.#listeners.set(port, accept);
    return { [Symbol.dispose]: () => void this.#listeners.delete(port) };
  }

  /**
   * Connects to a port of the guest.
   * @param options.timeout milliseconds that the guest has to accept
   * @throws HuskError `unavailable` when no program listens there, or none accepts in time
   */
  connect(port: number, options: { timeout?: number } = {}): Promise<VsockConnection> {
    if (this.#connections.size >= MAX_CONNECTIONS) throw new HuskError('too many vsock connections', { kind: 'limit' });
    const hostPort = this.#freePort();
    const connection = new VsockConnection(this.#link, { guestPort: port, hostPort, phase: 'connecting' });
    this.#connections.set(key(port, hostPort), connection);
    return new Promise((resolve, reject) => {
      const cancel = startTimer(options.timeout ?? 5000, () =>
        connection.destroy(new Error('the guest did not answer')),
      );
      connection.once('connect', () => {
        cancel();
        resolve(connection);
      });
      connection.once('close', () => {
        cancel();
        reject(
          new HuskError(
            `cannot connect to port ${port} of the guest: ${connection.errored?.message ?? 'the connection was closed'}`,
            { kind: 'unavailable', cause: connection.errored },
          ),
        );
      });
      this.#link.control(connection, OP.REQUEST);
    });
  }

  #freePort(): number {
    // Guest ports would tell connections apart, but a host port of its own for each keeps logs readable; 2^31 ports
    // cannot all be in use.
    this.#nextPort = this.#nextPort >= 0xffff_fff0 ? FIRST_EPHEMERAL_PORT : this.#nextPort + 1;
    return this.#nextPort;
  }

  get state(): VsockState {
    return {
      nextPort: this.#nextPort,
      connections: [...this.#connections.values()]
        .filter(({ phase }) => phase === 'open')
        .map((connection) => connection.save()),
      control: this.#control.map(({ connection: _made, ...packet }) => packet),
    };
  }

  /**
   * Gives each connection that the guest had opened to the listener on its port; a connection without a listener is
   * reset.
   */
  restore(state: VsockState): void {
    this.#nextPort = state.nextPort;
    const resets: VsockConnection[] = [];
    for (const saved of state.connections) {
      const connection = VsockConnection.restored(this.#link, saved);
      this.#connections.set(key(saved.guestPort, saved.hostPort), connection);
      const accept = this.#listeners.get(saved.hostPort);
      if (accept === undefined) resets.push(connection);
      else process.nextTick(accept, connection);
    }
    for (const packet of state.control)
      this.#control.push({ ...packet, connection: this.#connections.get(key(packet.guestPort, packet.hostPort)) });
    for (const connection of resets) connection.destroy(new Error('the connection did not outlive the snapshot'));
  }

  activate(host: DeviceHost): void {
    this.#host = host;
    this.#send();
  }

  notify(queue: number): void {
    if (queue === TRANSMIT_QUEUE) this.#receive();
    else if (queue === RECEIVE_QUEUE) this.#send();
  }

  /** Handles the guest's transmit queue, which holds what the guest sends. */
  #receive(): void {
    const host = this.#host!;
    const queue = host.queues[TRANSMIT_QUEUE]!;
    // Answers need room first: until the guest takes some, its packets wait in its own memory.
    if (this.#control.length >= MAX_CONTROL) return;
    const more = queue.drain((chain) => {
      this.#packet(chain);
      queue.complete(chain, 0);
      return this.#control.length < MAX_CONTROL;
    });
    host.publish(queue);
    this.#send();
    if (more && this.#control.length < MAX_CONTROL) host.again(TRANSMIT_QUEUE);
  }

  #packet(chain: Chain): void {
    const packet = parsePacket(chain.read(0, HEADER_SIZE));
    // §5.10.6.4.1: a packet that is not from the guest or not for the host is dropped, as no one could be answered.
    if (packet === undefined || packet.sourceCid !== GUEST_CID || packet.destinationCid !== HOST_CID) return;
    const connection = this.#connections.get(key(packet.sourcePort, packet.destinationPort));
    const data = packet.operation === OP.RW ? packet.length : 0;
    const wrong = packet.type !== TYPE_STREAM || data > MAX_PACKET_DATA || data > chain.readableLength - HEADER_SIZE;
    if (connection === undefined) {
      if (packet.operation === OP.RST) return;
      if (packet.operation === OP.REQUEST && !wrong) return this.#accept(packet);
      return this.#refuse(packet);
    }
    if (wrong) return this.#reset(connection);
    connection.credit(packet);
    switch (packet.operation) {
      case OP.RESPONSE:
        if (connection.phase !== 'connecting') return this.#reset(connection);
        return connection.opened();
      case OP.RST:
        return connection.peerReset();
      case OP.SHUTDOWN:
        return connection.peerShutdown(packet.flags);
      case OP.RW:
        if (connection.phase !== 'open' && connection.phase !== 'closing') return this.#reset(connection);
        // Attack: more data than the credit. MAX_PACKET_DATA bounds the copy, and BUFFER_BYTES bounds what is kept.
        if (!connection.receive(chain.read(HEADER_SIZE, data))) return this.#reset(connection);
        return;
      case OP.CREDIT_UPDATE:
        return;
      case OP.CREDIT_REQUEST:
        this.#link.control(connection, OP.CREDIT_UPDATE);
        return;
      default:
        // The packet is a second REQUEST for the same ports, or has an operation that does not exist.
        return this.#reset(connection);
    }
  }

  #accept(packet: Packet): void {
    const accept = this.#listeners.get(packet.destinationPort);
    if (accept === undefined || this.#connections.size >= MAX_CONNECTIONS) return this.#refuse(packet);
    const connection = new VsockConnection(this.#link, {
      guestPort: packet.sourcePort,
      hostPort: packet.destinationPort,
      phase: 'open',
    });
    this.#connections.set(key(packet.sourcePort, packet.destinationPort), connection);
    connection.credit(packet);
    this.#link.control(connection, OP.RESPONSE);
    // The listener runs outside the loop over the ring, because an error that it throws is not the guest's fault.
    process.nextTick(accept, connection);
  }

  #refuse({ sourcePort, destinationPort }: Packet): void {
    this.#control.push({
      guestPort: sourcePort,
      hostPort: destinationPort,
      operation: OP.RST,
      flags: 0,
      connection: undefined,
    });
  }

  /** Ends one connection whose rules the guest broke; the others go on. */
  #reset(connection: VsockConnection): void {
    connection.destroy(
      Object.assign(new Error('the guest broke the rules of the vsock connection'), { code: 'EPROTO' }),
    );
  }

  /** Frees a connection whose guest does not answer the last SHUTDOWN with RST, as it should. */
  #expire(connection: VsockConnection): void {
    const expire = (): void => {
      if (connection.phase !== 'closing') return;
      connection.phase = 'closed';
      this.#link.control(connection, OP.RST);
      this.#link.finished(connection);
    };
    startTimer(CLOSE_TIMEOUT, expire, { unref: true });
  }

  /** Fills the guest's receive buffers: answers first, then data, a packet from each connection in turn. */
  #send(): void {
    const host = this.#host;
    // Taking data calls back into this function; the outer call then goes on with what the inner one added.
    if (host === undefined || this.#sending) return;
    this.#sending = true;
    try {
      host.guard(() => this.#fill(host));
    } finally {
      this.#sending = false;
    }
  }

  #fill(host: DeviceHost): void {
    const queue = host.queues[RECEIVE_QUEUE]!;
    const wasFull = this.#control.length >= MAX_CONTROL;
    // Another CPU of the guest may give buffers back as fast as they are filled.
    let budget = queue.state.size;
    while (this.#control.length > 0 || this.#ready.size > 0) {
      if (budget-- === 0) {
        host.again(RECEIVE_QUEUE);
        break;
      }
      const chain = queue.pop();
      if (chain === undefined) {
        if (queue.rearm()) break;
        continue;
      }
      const written = this.#fillOne(chain);
      if (written === 0) {
        queue.undo(chain);
        break;
      }
      queue.complete(chain, written);
    }
    host.publish(queue);
    if (wasFull && this.#control.length < MAX_CONTROL) host.again(TRANSMIT_QUEUE);
  }

  /** @returns bytes written; 0 when there was nothing to send after all, or the buffer is too small for a header */
  #fillOne(chain: Chain): number {
    const room = chain.writableLength - HEADER_SIZE;
    if (room < 0) {
      // §5.10.6.4.2 wants buffers larger than a header; a smaller one is given back empty, and bounded work goes on.
      return chain.writableLength;
    }
    const control = this.#control.shift();
    if (control !== undefined) return this.#writePacket(chain, control, new Uint8Array(0));
    for (const connection of this.#ready) {
      this.#ready.delete(connection);
      const bytes = connection.takeData(Math.min(room, MAX_PACKET_DATA));
      if (bytes === undefined) continue;
      // The connection goes to the end of the line, in case it has more.
      this.#ready.add(connection);
      return this.#writePacket(
        chain,
        { guestPort: connection.guestPort, hostPort: connection.hostPort, operation: OP.RW, flags: 0, connection },
        bytes,
      );
    }
    // A connection without credit has asked the guest for it, which is a packet to send.
    const late = this.#control.shift();
    return late === undefined ? 0 : this.#writePacket(chain, late, new Uint8Array(0));
  }

  #writePacket(chain: Chain, { guestPort, hostPort, operation, flags, connection }: Control, data: Uint8Array): number {
    connection?.told();
    const header = buildPacket({
      sourceCid: HOST_CID,
      destinationCid: GUEST_CID,
      sourcePort: hostPort,
      destinationPort: guestPort,
      length: data.length,
      type: TYPE_STREAM,
      operation,
      flags,
      bufferBytes: connection === undefined ? 0 : BUFFER_BYTES,
      forwarded: connection?.forwarded ?? 0,
    });
    return chain.write(0, header) + chain.write(HEADER_SIZE, data);
  }

  /** Forgets every connection, because the driver is gone. */
  reset(): void {
    this.#host = undefined;
    this.#control = [];
    this.#ready.clear();
    const connections = [...this.#connections.values()];
    this.#connections.clear();
    for (const connection of connections) {
      connection.phase = 'closed';
      connection.destroy(Object.assign(new Error('the guest has reset its vsock device'), { code: 'ECONNRESET' }));
    }
  }

  [Symbol.dispose](): void {
    this.reset();
    this.#listeners.clear();
  }
}

const key = (guestPort: number, hostPort: number) => `${guestPort}:${hostPort}`;

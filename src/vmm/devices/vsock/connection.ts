/**
 * A VsockConnection is one stream between the guest and the host, as a Node Duplex. Credit flow control (virtio 1.2
 * §5.10.6.3) works both ways: the guest may send what the host's buffer has room for, and the connection is reset when
 * it sends more; the host sends what the guest's buffer has room for, and waits.
 *
 * A user that listens for `deaf` is told by it that the guest takes no more; what it writes then is dropped, and what
 * the guest has said before can still be read. For others a write fails with EPIPE.
 */
import { Duplex } from 'node:stream';
import { BUFFER_BYTES, MAX_PIECES } from './config.ts';
import { OP, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, type Packet } from './packet.ts';

/** What a connection asks of its device. */
export interface Link {
  /** queues a packet without data */
  control(connection: VsockConnection, operation: number, flags?: number): void;
  /** says that there is data to send: the device calls `takeData` when the guest has a buffer for it */
  wantsToSend(connection: VsockConnection): void;
  /** says that neither side will send more; the device forgets the connection */
  finished(connection: VsockConnection): void;
}

export type ConnectionPhase = 'connecting' | 'open' | 'closing' | 'closed';

/**
 * What the guest knows of an open connection, in bytes modulo 2^32. Data that the host has still to send belongs to its
 * writer and is not part of the state.
 */
export interface ConnectionState {
  guestPort: number;
  hostPort: number;
  /** bytes that the reader has taken, which every packet tells the guest; and the number last sent to it */
  forwarded: number;
  forwardedTold: number;
  /** the size of the guest's buffer and the bytes emptied from it, as the guest last reported them */
  peerBuffer: number;
  peerForwarded: number;
  /** bytes that the host has sent */
  sent: number;
  /** the guest will not send, or not receive, any more */
  peerDone: boolean;
  peerDeaf: boolean;
  /** bytes received and not yet taken by the reader */
  inbox: Uint8Array;
}

export class VsockConnection extends Duplex {
  readonly guestPort: number;
  readonly hostPort: number;
  phase: ConnectionPhase;
  readonly #link: Link;
  /** bytes received and not yet taken by the reader */
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  #wanted = false;
  #peerDone = false;
  #peerDeaf = false;
  #endGiven = false;
  /**
   * bytes that the reader has taken, modulo 2^32, which every packet tells the guest; and the number last sent to it
   */
  #forwarded = 0;
  #forwardedTold = 0;
  /** the size of the guest's buffer and the bytes emptied from it, as the guest last reported them */
  #peerBuffer = 0;
  #peerForwarded = 0;
  #sent = 0;
  #creditAsked = false;
  #outgoing: { bytes: Uint8Array; done: (error?: Error | null) => void } | undefined;

  constructor(link: Link, options: { guestPort: number; hostPort: number; phase: ConnectionPhase }) {
    // Attack: packets of one byte, each of which is an object here. What is not taken waits in the inbox, joined.
    super({ allowHalfOpen: true, emitClose: true, readableHighWaterMark: MAX_PIECES });
    this.#link = link;
    this.guestPort = options.guestPort;
    this.hostPort = options.hostPort;
    this.phase = options.phase;
    // A stream without a user must not end the VMM by an unhandled error.
    this.on('error', () => {});
  }

  get forwarded(): number {
    return this.#forwarded;
  }

  save(): ConnectionState {
    return {
      guestPort: this.guestPort,
      hostPort: this.hostPort,
      forwarded: this.#forwarded,
      forwardedTold: this.#forwardedTold,
      peerBuffer: this.#peerBuffer,
      peerForwarded: this.#peerForwarded,
      sent: this.#sent,
      peerDone: this.#peerDone,
      peerDeaf: this.#peerDeaf,
      inbox: new Uint8Array(Buffer.concat(this.#inbox)),
    };
  }

  /** @returns an open connection as it was saved */
  static restored(link: Link, state: ConnectionState): VsockConnection {
    const connection = new VsockConnection(link, {
      guestPort: state.guestPort,
      hostPort: state.hostPort,
      phase: 'open',
    });
    [connection.#forwarded, connection.#forwardedTold] = [state.forwarded, state.forwardedTold];
    [connection.#peerBuffer, connection.#peerForwarded, connection.#sent] = [
      state.peerBuffer,
      state.peerForwarded,
      state.sent,
    ];
    [connection.#peerDone, connection.#peerDeaf] = [state.peerDone, state.peerDeaf];
    if (state.inbox.length > 0) connection.#inbox.push(state.inbox);
    connection.#inboxBytes = state.inbox.length;
    return connection;
  }

  /** number of pieces of memory that hold unread data */
  get pieces(): number {
    return this.#inbox.length;
  }

  /** Takes the credit that every packet of the guest carries. */
  credit(packet: Packet): void {
    this.#peerBuffer = packet.bufferBytes;
    this.#peerForwarded = packet.forwarded;
    this.#creditAsked = false;
    if (this.#outgoing !== undefined && this.#room() > 0) this.#link.wantsToSend(this);
  }

  /**
   * @returns false when the guest sent more than it was given room for, or after it had said that it was done: the
   * connection must be reset
   */
  receive(bytes: Uint8Array): boolean {
    if (this.#peerDone || this.#inboxBytes + bytes.length > BUFFER_BYTES) return false;
    // A destroyed stream has no reader: its data is taken and dropped, so that the guest's writer goes on until it
    // learns.
    if (this.destroyed || bytes.length === 0) return true;
    this.#inbox.push(bytes);
    // Many small packets are joined, so that they hold no more memory than their bytes.
    if (this.#inbox.length >= MAX_PIECES) this.#inbox = [Buffer.concat(this.#inbox)];
    this.#inboxBytes += bytes.length;
    if (this.#wanted) this.#give();
    return true;
  }

  override _read(): void {
    this.#wanted = true;
    this.#give();
  }

  #give(): void {
    while (this.#wanted && this.#inbox.length > 0) {
      const bytes = this.#inbox.shift()!;
      this.#inboxBytes -= bytes.length;
      this.#forwarded = (this.#forwarded + bytes.length) >>> 0;
      this.#wanted = this.push(bytes);
    }
    // The guest gets an update for each half of the buffer, not for each packet: it never runs dry, and the ring is not
    // full of updates.
    if (this.phase === 'open' && !this.#peerDone && (this.#forwarded - this.#forwardedTold) >>> 0 >= BUFFER_BYTES / 2)
      this.#link.control(this, OP.CREDIT_UPDATE);
    if (this.#peerDone && this.#inbox.length === 0 && !this.#endGiven) {
      this.#endGiven = true;
      this.push(null);
    }
  }

  /** Notes that the device has put the current credit into a packet. */
  told(): void {
    this.#forwardedTold = this.#forwarded;
  }

  #room(): number {
    const inFlight = (this.#sent - this.#peerForwarded) >>> 0;
    // A guest that claims to have taken more than was sent makes this number huge. There is then no room, and only its
    // own connection stops.
    return Math.max(0, this.#peerBuffer - inFlight);
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#peerDeaf || this.phase === 'closed') return this.#drop(done);
    if (chunk.length === 0) return done();
    this.#outgoing = { bytes: chunk, done };
    if (this.phase === 'open') this.#push();
  }

  #push(): void {
    if (this.#outgoing === undefined) return;
    if (this.#room() > 0) this.#link.wantsToSend(this);
    else if (!this.#creditAsked) {
      this.#creditAsked = true;
      this.#link.control(this, OP.CREDIT_REQUEST);
    }
  }

  /** @returns up to `limit` bytes that may be sent now; undefined when there are none or the guest has no room */
  takeData(limit: number): Uint8Array | undefined {
    const { phase } = this;
    if (this.#outgoing === undefined || phase !== 'open') return undefined;
    const length = Math.min(this.#outgoing.bytes.length, limit, this.#room());
    if (length <= 0) {
      this.#push();
      return undefined;
    }
    const bytes = this.#outgoing.bytes.subarray(0, length);
    this.#sent = (this.#sent + length) >>> 0;
    if (length === this.#outgoing.bytes.length) {
      const { done } = this.#outgoing;
      this.#outgoing = undefined;
      // The writer's callback may write again, so it runs outside the device's loop over the ring.
      process.nextTick(done);
    } else this.#outgoing.bytes = this.#outgoing.bytes.subarray(length);
    return bytes;
  }

  /** Opens the connection, after the guest has accepted it or the host has accepted the guest's. */
  opened(): void {
    this.phase = 'open';
    this.emit('connect');
    this.#push();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.phase === 'open') this.#link.control(this, OP.SHUTDOWN, SHUTDOWN_SEND);
    done();
  }

  /** Handles SHUTDOWN: the guest will not send, or not receive, any more. */
  peerShutdown(flags: number): void {
    if ((flags & SHUTDOWN_SEND) !== 0) this.#peerDone = true;
    if ((flags & SHUTDOWN_RECEIVE) !== 0) this.#deafen();
    this.#give();
    // When the guest has closed both ways it waits for an RST before it frees the port.
    if (this.#peerDone && this.#peerDeaf && this.phase !== 'closed') {
      this.phase = 'closed';
      this.#link.control(this, OP.RST);
      this.#link.finished(this);
    }
  }

  #deafen(): void {
    this.#peerDeaf = true;
    const outgoing = this.#outgoing;
    this.#outgoing = undefined;
    if (outgoing) this.#drop(outgoing.done);
    this.emit('deaf');
  }

  /** What the guest does not take. */
  #drop(done: (error?: Error | null) => void): void {
    if (this.listenerCount('deaf') > 0) return done();
    done(Object.assign(new Error('the guest has closed its side of the vsock connection'), { code: 'EPIPE' }));
  }

  /** Handles RST: nothing more goes in either direction. What has arrived can still be read. */
  peerReset(): void {
    const wasConnecting = this.phase === 'connecting';
    const wasClosing = this.phase === 'closing';
    this.phase = 'closed';
    this.#link.finished(this);
    if (wasConnecting)
      this.destroy(
        Object.assign(new Error(`the guest refused a connection to vsock port ${this.guestPort}`), {
          code: 'ECONNREFUSED',
        }),
      );
    else if (!wasClosing && !this.#peerDone && this.#inbox.length === 0 && !this.writableFinished)
      this.destroy(Object.assign(new Error('the guest reset the vsock connection'), { code: 'ECONNRESET' }));
    else {
      this.#peerDone = true;
      this.#deafen();
      this.#give();
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inbox = [];
    this.#inboxBytes = 0;
    const outgoing = this.#outgoing;
    this.#outgoing = undefined;
    outgoing?.done(error ?? new Error('the vsock connection was destroyed'));
    if (this.phase === 'open') {
      if (error === null && this.writableFinished) {
        // A clean end sends SHUTDOWN and waits for the guest's RST, as Linux does.
        this.phase = 'closing';
        this.#link.control(this, OP.SHUTDOWN, SHUTDOWN_RECEIVE | SHUTDOWN_SEND);
      } else {
        this.phase = 'closed';
        this.#link.control(this, OP.RST);
        this.#link.finished(this);
      }
    } else if (this.phase === 'connecting') {
      this.phase = 'closed';
      this.#link.control(this, OP.RST);
      this.#link.finished(this);
    }
    done(error);
  }
}

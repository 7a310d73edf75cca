/**
 * One stream between the guest and us, as a Node Duplex. Credit flow control of virtio 1.2 §5.10.6.3, both ways: the
 * guest may send what our buffer has room for and is cut off when it sends more; we send what the guest's buffer has
 * room for, and wait.
 */
import { Duplex } from 'node:stream';
import { BUFFER_BYTES, MAX_PIECES } from './config.ts';
import { OP, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, type Packet } from './packet.ts';

/** What a connection asks of its device. */
export interface Link {
  /** queues a packet without data */
  control(connection: VsockConnection, operation: number, flags?: number): void;
  /** there is data to send: `takeData` will be called when the guest has a buffer for it */
  wantsToSend(connection: VsockConnection): void;
  /** neither side will say more; the device forgets the connection */
  finished(connection: VsockConnection): void;
}

export type ConnectionPhase = 'connecting' | 'open' | 'closing' | 'closed';

/**
 * What the guest knows of an open connection, in bytes modulo 2^32. What our side still has to say to the guest is its
 * writer's, not state.
 */
export interface ConnectionState {
  guestPort: number;
  hostPort: number;
  /** bytes the reader has taken; what every packet tells the guest, and what it was last told */
  forwarded: number;
  forwardedTold: number;
  /** the guest's buffer and how much of it was emptied, as it last told us */
  peerBuffer: number;
  peerForwarded: number;
  /** bytes we have sent */
  sent: number;
  /** the guest will not send, or not receive, any more */
  peerDone: boolean;
  peerDeaf: boolean;
  /** received and not yet taken by the reader */
  inbox: Uint8Array;
}

export class VsockConnection extends Duplex {
  readonly guestPort: number;
  readonly hostPort: number;
  phase: ConnectionPhase;
  readonly #link: Link;
  /** received and not yet taken by the reader */
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  #wanted = false;
  #peerDone = false;
  #peerDeaf = false;
  #endGiven = false;
  /** bytes the reader has taken, modulo 2^32; what every packet tells the guest */
  #forwarded = 0;
  #forwardedTold = 0;
  /** the guest's buffer and how much of it was emptied, as it last told us */
  #peerBuffer = 0;
  #peerForwarded = 0;
  #sent = 0;
  #creditAsked = false;
  #outgoing: { bytes: Uint8Array; done: (error?: Error | null) => void } | undefined;

  constructor(link: Link, options: { guestPort: number; hostPort: number; phase: ConnectionPhase }) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#link = link;
    this.guestPort = options.guestPort;
    this.hostPort = options.hostPort;
    this.phase = options.phase;
    // A stream whose user has gone away must not end the VMM.
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

  /** An open connection as it was saved. */
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

  /** how many pieces of memory hold what nobody has read yet */
  get pieces(): number {
    return this.#inbox.length;
  }

  /** Every packet of the guest carries its credit. */
  credit(packet: Packet): void {
    this.#peerBuffer = packet.bufferBytes;
    this.#peerForwarded = packet.forwarded;
    this.#creditAsked = false;
    if (this.#outgoing !== undefined && this.#room() > 0) this.#link.wantsToSend(this);
  }

  /**
   * @returns false when the guest sent more than it was given room for, or after it had said it was done: the
   * connection must be reset
   */
  receive(bytes: Uint8Array): boolean {
    if (this.#peerDone || this.#inboxBytes + bytes.length > BUFFER_BYTES) return false;
    // Nobody reads any more: taken and dropped, so that the guest's writer is not held up until it learns.
    if (this.destroyed || bytes.length === 0) return true;
    this.#inbox.push(bytes);
    // many small packets hold no more memory than what they say
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
    // Told in halves of the buffer, not for each packet: the guest never runs dry, and the ring is not full of updates.
    if (this.phase === 'open' && !this.#peerDone && (this.#forwarded - this.#forwardedTold) >>> 0 >= BUFFER_BYTES / 2)
      this.#link.control(this, OP.CREDIT_UPDATE);
    if (this.#peerDone && this.#inbox.length === 0 && !this.#endGiven) {
      this.#endGiven = true;
      this.push(null);
    }
  }

  /** The device has put our credit into a packet. */
  told(): void {
    this.#forwardedTold = this.#forwarded;
  }

  #room(): number {
    const inFlight = (this.#sent - this.#peerForwarded) >>> 0;
    // A guest that claims to have taken more than was sent makes this huge: no room, and only its own connection stands
    // still.
    return Math.max(0, this.#peerBuffer - inFlight);
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#peerDeaf || this.phase === 'closed')
      return done(Object.assign(new Error('the guest has closed its side of the vsock connection'), { code: 'EPIPE' }));
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

  /** Up to `limit` bytes that may be sent now. @returns undefined when there are none or the guest has no room */
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
      // not inside the device's loop over the ring: it may write again
      process.nextTick(done);
    } else this.#outgoing.bytes = this.#outgoing.bytes.subarray(length);
    return bytes;
  }

  /** The guest has accepted, or we have accepted the guest. */
  opened(): void {
    this.phase = 'open';
    this.emit('connect');
    this.#push();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.phase === 'open') this.#link.control(this, OP.SHUTDOWN, SHUTDOWN_SEND);
    done();
  }

  /** SHUTDOWN: the guest will not send, or not receive, any more. */
  peerShutdown(flags: number): void {
    if ((flags & SHUTDOWN_SEND) !== 0) this.#peerDone = true;
    if ((flags & SHUTDOWN_RECEIVE) !== 0) this.#deafen();
    this.#give();
    // Both: the guest has closed and waits for our RST before it frees the port.
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
    outgoing?.done(
      Object.assign(new Error('the guest has closed its side of the vsock connection'), { code: 'EPIPE' }),
    );
  }

  /** RST: nothing more in either direction. What has arrived can still be read. */
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
        // A clean end: say so, and wait for the guest's RST, as Linux does.
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

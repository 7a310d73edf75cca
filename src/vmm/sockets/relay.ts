/**
 * The monitor's side of its relay: it asks for a connection to one of the sockets that the machine was given, by its
 * number, gets the connected socket, and carries the bytes between that and the guest's stream itself. It knows no path
 * and can open no socket.
 *
 * The guest is hostile: it can open as many streams as it likes, says nothing but which number a stream is for (by the
 * token that it was given, agent-client.ts), and beyond MAX_CONNECTIONS its streams are reset.
 */
import type { Duplex } from 'node:stream';
import type { Fd } from '../../host/fd.ts';
import { SyscallError } from '../../host/libc.ts';
import { DescriptorStream } from '../../host/streams/descriptor-stream.ts';
import { joinStreams } from '../../host/streams/join.ts';
import { watchReadable, type Watch } from '../../host/streams/poll.ts';
import { receive, send, type Message } from '../../host/streams/socket.ts';
import { closeRequest, connectRequest, MAX_CONNECTIONS, readAnswer } from './messages.ts';

interface Slot {
  guest: Duplex;
  state: 'asked' | 'carrying';
  /** the relay was told meanwhile that it is not wanted any more */
  closed: boolean;
}

export class SocketRelay {
  readonly #control: Fd;
  readonly #slots: (Slot | undefined)[] = Array.from({ length: MAX_CONNECTIONS });
  readonly #lost = new Set<() => void>();
  #watch: Watch | undefined;

  /** @param control the end of a seqpacket socket that the relay has the other of, non-blocking */
  constructor(control: Fd) {
    this.#control = control;
    this.#watch = watchReadable(control.number, () => this.#read());
  }

  /** The relay has ended: no stream will ever be connected again. Those that are go on. */
  get isLost(): boolean {
    return this.#watch === undefined;
  }

  /** Calls back when the relay has ended. @returns takes the callback back */
  onLost(callback: () => void): Disposable {
    this.#lost.add(callback);
    return { [Symbol.dispose]: () => void this.#lost.delete(callback) };
  }

  /** Carries a stream of the guest's to a socket and back, or resets it where it cannot be connected. */
  carry(guest: Duplex, socket: number): void {
    guest.pause();
    const slot = this.#slots.findIndex((taken) => taken === undefined);
    if (slot < 0 || this.isLost || guest.destroyed) return void guest.destroy();
    this.#slots[slot] = { guest, state: 'asked', closed: false };
    guest.once('close', () => this.#guestClosed(slot, guest));
    this.#tell(connectRequest(slot, socket));
  }

  /** A guest that does not wait for its answer frees the relay at once. */
  #guestClosed(number: number, guest: Duplex): void {
    const slot = this.#slots[number];
    if (slot?.guest !== guest || slot.state !== 'asked') return;
    slot.closed = true;
    this.#tell(closeRequest(number));
  }

  #tell(request: Buffer): void {
    if (this.isLost) return;
    try {
      send(this.#control.number, request);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      this.#end();
    }
  }

  #read(): void {
    let message: Message | null | undefined;
    try {
      message = receive(this.#control.number);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      message = null;
    }
    if (message === null) this.#end();
    else if (message) this.#answered(message);
  }

  #answered({ data, fds }: Message): void {
    using given = new DisposableStack();
    for (const fd of fds) given.use(fd);
    const answer = readAnswer(data);
    const slot = answer && this.#slots[answer.slot];
    if (!slot || slot.state !== 'asked') return;
    const [connected] = fds;
    if (answer.errno !== 0 || !connected || slot.closed) {
      this.#slots[answer.slot] = undefined;
      return void slot.guest.destroy();
    }
    slot.state = 'carrying';
    const server = new DescriptorStream(connected.move(), { outlivesWriting: true });
    server.once('close', () => {
      this.#slots[answer.slot] = undefined;
      this.#tell(closeRequest(answer.slot));
    });
    joinStreams(slot.guest, server);
  }

  #end(): void {
    if (this.isLost) return;
    this.#watch?.close();
    this.#watch = undefined;
    this.#control.close();
    for (const [number, slot] of this.#slots.entries())
      if (slot?.state === 'asked') {
        this.#slots[number] = undefined;
        slot.guest.destroy();
      }
    for (const callback of this.#lost) callback();
  }
}

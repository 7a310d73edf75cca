/**
 * A resolver of the host's in a process that can make no sockets: it was given one that is connected to the resolver.
 * Only by write(2) and read(2), which reach nobody else. By TCP, and where the socket does not reach the resolver any
 * more (the host has another address now), it is asked in another way.
 */
import { readDatagram, setNonBlocking, writePacket } from '../../host/streams/packet-fd.ts';
import { watchReadable, type Watch } from '../../host/streams/poll.ts';
import { MAX_MESSAGE } from './message.ts';
import type { Protocol } from './compose.ts';
import type { Call, Resolver } from './upstream.ts';

type Answered = Parameters<Resolver['ask']>[2];

/** A connected socket of UDP, for all that ask by it; ids tell the answers apart. It is never closed here. */
export class HandedSocket {
  readonly #fd: number;
  readonly #calls = new Set<Answered>();
  readonly #received = Buffer.allocUnsafeSlow(MAX_MESSAGE);
  #watch: Watch | undefined;

  /** @param fd stays the caller's to close */
  constructor(fd: number) {
    this.#fd = fd;
    setNonBlocking(fd);
  }

  /** @returns undefined when the query cannot be sent */
  ask(query: Buffer, call: Answered): Call | undefined {
    // what an earlier query has come to is told to the next write, which sends nothing then
    if (!writePacket(this.#fd, query) && !writePacket(this.#fd, query)) return undefined;
    this.#calls.add(call);
    this.#watch ??= watchReadable(this.#fd, () => this.#readable());
    return {
      close: () => {
        if (!this.#calls.delete(call) || this.#calls.size > 0) return;
        // what comes later waits in the kernel, as much as has room there
        this.#watch?.close();
        this.#watch = undefined;
      },
    };
  }

  #readable(): void {
    let length: number | undefined;
    try {
      length = readDatagram(this.#fd, this.#received);
    } catch {
      // nobody listens there, or there is no way: none of them has an answer to wait for
      for (const { failed } of this.#calls) failed();
      return;
    }
    if (length === undefined) return;
    // a copy: who has it may keep it
    const message = Buffer.from(this.#received.subarray(0, length));
    for (const { received } of this.#calls) received(message);
  }
}

/**
 * @param socket absent: the host had no way to the resolver
 * @param elsewhere asks it otherwise
 */
export function handedResolver(
  socket: HandedSocket | undefined,
  elsewhere: (query: Buffer, protocol: Protocol, call: Answered) => Call,
): Resolver {
  return {
    from: 'host',
    ask: (query, protocol, call) =>
      (protocol === 'udp' ? socket?.ask(query, call) : undefined) ?? elsewhere(query, protocol, call),
    close: () => {},
  };
}

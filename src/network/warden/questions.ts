/**
 * The monitor's side of a warden: what the guest asks goes to the warden as it came, and its answers go back. The
 * monitor has nothing by which it could ask anybody else. While there is no warden all names are refused; one that was
 * killed is followed by another (guest/net/tend.c), and each hands over a stream of its own as it begins.
 */
import type { Duplex } from 'node:stream';
import type { Fd } from '../../host/fd.ts';
import { DescriptorStream } from '../../host/streams/descriptor-stream.ts';
import { watchReadable } from '../../host/streams/poll.ts';
import { receive } from '../../host/streams/socket.ts';
import { refuse } from '../names/compose.ts';
import { RCODE, readQuery } from '../names/message.ts';
import { openRelay } from '../names/relay-guest.ts';
import { serveRelay } from '../names/relay-host.ts';
import type { Respond } from '../names/responder.ts';
import type { Resolver } from '../names/upstream.ts';

/** questions of a guest that are not answered: as many as the host asks at once (upstream.ts) */
const MOST_QUESTIONS = 1024;

/** A warden has its own resolvers, and asks none by way of the guest. */
const NOBODY: Resolver = {
  from: 'container',
  ask: (_query, _protocol, { failed }) => {
    setImmediate(failed);
    return { close: () => {} };
  },
  close: () => {},
};

/** What a guest asks, and whoever is its warden now. */
export class Questions {
  readonly #problem: (error: unknown) => void;
  #warden: { stream: Duplex; respond: Respond } | undefined;
  #open = 0;

  /** @param problem told when a guest breaks the protocol */
  constructor(problem: (error: unknown) => void) {
    this.#problem = problem;
  }

  /** A warden answers from here on, in the place of one that was before. @param stream to it */
  ask(stream: Duplex): void {
    this.#warden?.stream.destroy();
    this.#warden = { stream, ...openRelay(stream, { resolver: () => NOBODY, ended: () => {} }) };
  }

  /** Answers the guest by a stream that its agent has opened, until that ends. */
  serve(stream: Duplex): void {
    const respond: Respond = (bytes, protocol, reply) => this.#respond(bytes, protocol, reply);
    serveRelay(stream, { answering: () => ({ respond, close: () => {} }), problem: this.#problem });
  }

  #respond(...[bytes, protocol, reply]: Parameters<Respond>): void {
    const warden = this.#warden;
    if (!warden || this.#open >= MOST_QUESTIONS) return reply(refused(bytes));
    this.#open++;
    warden.respond(bytes, protocol, (answer) => {
      this.#open--;
      reply(answer ?? (warden.stream.destroyed ? refused(bytes) : undefined));
    });
  }
}

/**
 * @param control a seqpacket socket: each warden sends a descriptor of the stream to it, non-blocking
 * @param problem told when a guest breaks the protocol
 */
export function askWardens(control: Fd, problem: (error: unknown) => void): Questions {
  const questions = new Questions(problem);
  const hear = () => {
    const message = receive(control.number);
    if (message === undefined) return;
    if (message === null) return watch.close();
    const [stream, ...strays] = message.fds;
    for (const stray of strays) stray.close();
    if (stream) questions.ask(new DescriptorStream(stream));
  };
  const watch = watchReadable(control.number, hear);
  watch.unref();
  // the first one has sent its stream before the machine was started, and the first question is to have an answer
  hear();
  return questions;
}

function refused(bytes: Buffer): Buffer | undefined {
  const query = readQuery(bytes);
  return query && refuse(query, 'rcode' in query ? query.rcode : RCODE.REFUSED);
}

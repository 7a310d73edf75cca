/**
 * The host's end of the relay by which the container in a guest has its name server: questions come by one stream, and
 * their answers go back by it. Resolvers that are to be asked from the container are asked by the guest. It believes
 * nothing: what is no frame ends the relay, and what a guest says that a resolver has answered is its own affair,
 * for it alone hears it.
 *
 * Slow readers: while the guest takes no answers nothing of it is read, in the middle of a chunk too. What it has asked
 * already is bounded by Upstream's `atOnce`. With a pace it is read no faster than that.
 */
import type { Duplex } from 'node:stream';
import { NAME_FRAME } from '../../agent-protocol.ts';
import type { Protocol } from './compose.ts';
import { askKind, encodeAsk, encodeFrame, type Frame, FrameDecoder, GUEST_SAYS, NUMBERS } from './relay-frames.ts';
import type { Pace } from './pace.ts';
import type { Respond } from './responder.ts';
import type { Call, Resolver } from './upstream.ts';

type Answered = Parameters<Resolver['ask']>[2];

/** Asks a resolver from the container, by the guest's agent. */
export type AskGuest = (address: string, query: Buffer, protocol: Protocol, call: Answered) => Call;

/** What stands behind a relay, and ends with it. */
interface Answering {
  respond: Respond;
  close(): void;
}

export interface RelayOptions {
  answering: (askGuest: AskGuest) => Answering;
  /** of frames: for whoever works on behalf of a guest outside of what bounds that one. @default as they come */
  pace?: Pace;
  /** told when the guest has broken the protocol, which ends the relay */
  problem(error: unknown): void;
}

/** Serves until the stream ends. */
export function serveRelay(stream: Duplex, { answering, pace, problem }: RelayOptions): void {
  const asked = new Map<number, Answered>();
  let next = 0;
  const send = (frame: Buffer) => {
    if (!stream.destroyed && !stream.writableEnded) stream.write(frame);
  };
  const { respond, close } = answering((address, query, protocol, call) => {
    while (asked.has(next)) next = (next + 1) % NUMBERS;
    const number = next;
    next = (next + 1) % NUMBERS;
    asked.set(number, call);
    send(encodeFrame(askKind(protocol), number, encodeAsk(address, query)));
    return {
      close: () => {
        if (asked.delete(number)) send(encodeFrame(NAME_FRAME.FORGET, number));
      },
    };
  });

  const handle = ({ kind, number, content }: Frame) => {
    switch (kind) {
      // of what was forgotten an answer may be under way
      case NAME_FRAME.HEARD:
        return asked.get(number)?.received(content);
      case NAME_FRAME.FAILED:
        return asked.get(number)?.failed();
      default:
        return respond(content, kind === NAME_FRAME.QUERY_TCP ? 'tcp' : 'udp', (answer) =>
          send(encodeFrame(NAME_FRAME.ANSWER, number, answer)),
        );
    }
  };
  const decoder = new FrameDecoder(GUEST_SAYS);
  let frames: Iterator<Frame> | undefined;
  let waiting: NodeJS.Timeout | undefined;
  const read = () => {
    try {
      while (frames && !waiting && !stream.writableNeedDrain && !stream.destroyed) {
        const frame = frames.next();
        if (frame.done) frames = undefined;
        else {
          handle(frame.value);
          if (pace && !pace.take()) waiting = setTimeout(goOn, pace.wait);
        }
      }
    } catch (error) {
      problem(error);
      return void stream.destroy();
    }
    if (frames === undefined) stream.resume();
  };
  const goOn = () => {
    waiting = undefined;
    read();
  };
  stream.on('data', (chunk: Buffer) => {
    stream.pause();
    frames = decoder.push(chunk);
    read();
  });
  stream.on('drain', read);
  stream.on('error', () => {}); // its close follows
  // half a goodbye is one: a guest that asks nothing more needs no answers
  stream.on('end', () => stream.destroy());
  stream.on('close', () => {
    clearTimeout(waiting);
    asked.clear();
    close();
  });
  stream.resume();
}

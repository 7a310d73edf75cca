/**
 * The guest's end of the relay by which a container's name server answers: what the container asks goes to the host as
 * it came, and the host's questions for resolvers are asked from here. Reads no DNS. The host is trusted, the container
 * is not: what it asks and the host has not answered is bounded.
 */
import type { Duplex } from 'node:stream';
import { NAME_FRAME } from '../../agent-protocol.ts';
import {
  decodeAsk,
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameKind,
  HOST_SAYS,
  NUMBERS,
  queryKind,
} from './relay-frames.ts';
import type { Respond } from './responder.ts';
import type { Call, Resolver } from './upstream.ts';

/**
 * questions that came by UDP and are not answered: twice what the host asks at once, so that it is the one to refuse
 */
const MOST_QUERIES = 2048;
/** bytes that the host has not taken; what comes by UDP while there are more is lost, as on any network */
const MOST_WAITING = 1 << 20;

export interface GuestRelayOptions {
  /** a resolver as the container reaches it */
  resolver: (address: string) => Resolver;
  /** the relay has ended: nobody answers any more */
  ended(): void;
}

export function openRelay(stream: Duplex, { resolver, ended }: GuestRelayOptions): { respond: Respond } {
  const waiting = new Map<number, (answer: Buffer | undefined) => void>();
  const resolvers = new Map<string, Resolver>();
  const calls = new Map<number, Call>();
  let next = 0;
  let byDatagram = 0;
  const isFull = () => stream.writableLength > MOST_WAITING;
  const send = (kind: FrameKind, number: number, content?: Buffer) => {
    if (!stream.destroyed) stream.write(encodeFrame(kind, number, content));
  };

  const ask = (number: number, { address, query }: ReturnType<typeof decodeAsk>, protocol: 'udp' | 'tcp') => {
    const found = resolvers.get(address) ?? resolver(address);
    resolvers.set(address, found);
    const call = found.ask(query, protocol, {
      received: (message) => {
        if (!isFull()) send(NAME_FRAME.HEARD, number, message);
      },
      failed: () => send(NAME_FRAME.FAILED, number),
    });
    calls.set(number, call);
  };
  const handle = ({ kind, number, content }: Frame) => {
    switch (kind) {
      case NAME_FRAME.ANSWER: {
        const reply = waiting.get(number);
        waiting.delete(number);
        return reply?.(content.length > 0 ? content : undefined);
      }
      case NAME_FRAME.FORGET:
        calls.get(number)?.close();
        return void calls.delete(number);
      default:
        return ask(number, decodeAsk(content), kind === NAME_FRAME.ASK_UDP ? 'udp' : 'tcp');
    }
  };

  const decoder = new FrameDecoder(HOST_SAYS);
  stream.on('data', (chunk: Buffer) => {
    try {
      for (const frame of decoder.push(chunk)) handle(frame);
    } catch {
      // a host of another make: the container goes on, without names
      stream.destroy();
    }
  });
  stream.on('error', () => {}); // its close follows
  stream.on('end', () => stream.destroy());
  stream.on('close', () => {
    const replies = [...waiting.values()];
    waiting.clear();
    for (const reply of replies) reply(undefined);
    for (const call of calls.values()) call.close();
    calls.clear();
    for (const each of resolvers.values()) each.close();
    ended();
  });

  return {
    respond: (bytes, protocol, reply) => {
      // of a message without a byte nothing can be said; streams are few, and each asks one thing at a time
      const isLost = protocol === 'udp' && (byDatagram >= MOST_QUERIES || isFull());
      if (stream.destroyed || bytes.length === 0 || isLost) return reply(undefined);
      while (waiting.has(next)) next = (next + 1) % NUMBERS;
      const number = next;
      next = (next + 1) % NUMBERS;
      if (protocol === 'udp') byDatagram++;
      waiting.set(number, (answer) => {
        if (protocol === 'udp') byDatagram--;
        reply(answer);
      });
      send(queryKind(protocol), number, bytes);
    },
  };
}

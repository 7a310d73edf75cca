/** A resolver of the test's own, on loopback, by UDP and TCP: it says what it is told to, right or wrong. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import type { ExecutionContext } from 'ava';
import { framed, MessageDecoder } from '../../../src/network/names/stream-messages.ts';

interface Asked {
  bytes: Buffer;
  protocol: 'udp' | 'tcp';
  port: number;
  /** by TCP: ends the connection */
  close?: () => void;
}

/** What it sends back, one message after the other. */
export type Behaviour = (asked: Asked) => readonly Buffer[] | Promise<readonly Buffer[]>;

export interface FakeResolver {
  address: string;
  port: number;
  asked: Asked[];
  /** the next query */
  query(): Promise<Asked>;
}

/** @param address of this host */
export async function fakeResolver(
  t: ExecutionContext,
  behaviour: Behaviour,
  address = '127.0.0.1',
): Promise<FakeResolver> {
  const asked: Asked[] = [];
  const waiting: ((asked: Asked) => void)[] = [];
  const answer = (query: Asked) => {
    asked.push(query);
    waiting.shift()?.(query);
    return behaviour(query);
  };
  const streams = createServer((connection) => {
    const decoder = new MessageDecoder();
    connection.on('error', () => {});
    connection.on('data', async (chunk: Buffer) => {
      const close = () => connection.destroy();
      for (const bytes of decoder.push(chunk))
        for (const reply of await answer({ bytes, protocol: 'tcp', port: connection.remotePort!, close }))
          connection.write(framed(reply));
    });
  });
  const datagrams = createSocket(address.includes(':') ? 'udp6' : 'udp4', async (bytes, from) => {
    for (const reply of await answer({ bytes, protocol: 'udp', port: from.port }))
      datagrams.send(reply, from.port, from.address);
  });
  let port = 0;
  // somebody else may have the port by UDP: another one then
  for (;;) {
    streams.listen(0, address);
    await once(streams, 'listening');
    port = (streams.address() as { port: number }).port;
    datagrams.bind(port, address);
    const isBound = await once(datagrams, 'listening').then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE') throw error;
        return false;
      },
    );
    if (isBound) break;
    streams.close();
    await once(streams, 'close');
  }
  t.teardown(() => {
    datagrams.close();
    streams.close();
  });
  return { address, port, asked, query: () => new Promise((resolve) => waiting.push(resolve)) };
}

/** `12 34` → `1234` */
export const hex = (spaced: string): string => spaced.replaceAll(' ', '');

/** bytes of a name, given as labels with dots between them */
export function name(text: string): Buffer {
  const labels = text.split('.').filter((label) => label !== '');
  return Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), Buffer.from(label)]), Buffer.of(0)]);
}

export interface TestRecord {
  owner: Buffer;
  type: number;
  ttl?: number;
  class?: number;
  data: Buffer;
}

const u16 = (value: number) => Buffer.of(value >> 8, value & 0xff);

/** A record by hand. */
export function record({ owner, type, ttl = 300, class: kind = 1, data }: TestRecord): Buffer {
  const time = Buffer.alloc(4);
  time.writeUInt32BE(ttl);
  return Buffer.concat([owner, u16(type), u16(kind), time, u16(data.length), data]);
}

/** A query by hand. @param options.records behind the question, as `additional` */
export function query(
  asked: string | Buffer,
  type: number,
  { id = 0x1234, flags = 0x0100, class: kind = 1, additional = [] as Buffer[] } = {},
): Buffer {
  const question = Buffer.concat([typeof asked === 'string' ? name(asked) : asked, u16(type), u16(kind)]);
  const header = Buffer.concat([id, flags, 1, 0, 0, additional.length].map(u16));
  return Buffer.concat([header, question, ...additional]);
}

/** An OPT record: size, version, options. */
export const opt = (size: number, version = 0, options = Buffer.alloc(0)): Buffer =>
  record({ owner: Buffer.of(0), type: 41, class: size, ttl: version << 16, data: options });

/** where a query's question ends */
function questionEnd(bytes: Buffer): number {
  let at = 12;
  while (bytes[at] !== 0) at += 1 + bytes[at]!;
  return at + 5;
}

/** The answer to a query, with records by hand; the question is the query's. */
export function answerTo(
  bytes: Buffer,
  { flags = 0x8180, answers = [] as Buffer[], authority = [] as Buffer[], additional = [] as Buffer[] } = {},
): Buffer {
  const message = Buffer.concat([bytes.subarray(0, questionEnd(bytes)), ...answers, ...authority, ...additional]);
  message.writeUInt16BE(flags, 2);
  message.writeUInt16BE(answers.length, 6);
  message.writeUInt16BE(authority.length, 8);
  message.writeUInt16BE(additional.length, 10);
  return message;
}

/** not every machine has IPv6 */
export const LOOPBACKS = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .flatMap(({ address, internal }) => (internal && ['127.0.0.1', '::1'].includes(address) ? [address] : []));

/** the owner that is the question's name: a pointer to it */
export const ASKED = Buffer.of(0xc0, 12);
export const A = 1;
export const CNAME = 5;
export const PTR = 12;
export const MX = 15;
export const TXT = 16;
export const AAAA = 28;

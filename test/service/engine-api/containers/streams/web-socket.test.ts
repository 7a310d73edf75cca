/** Frames of RFC 6455 as a client sends them, whole and torn, and as one must not. */
import { Duplex, PassThrough } from 'node:stream';
import test from 'ava';
import { acceptKey, webSocketStream } from '../../../../../src/service/engine-api/containers/streams/web-socket.ts';

/** @returns a client's frame: masked, final unless said otherwise */
function clientFrame(opcode: number, text: string, { fin = true, masked = true, claimed = -1 } = {}): Buffer {
  const payload = Buffer.from(text);
  const length = claimed < 0 ? payload.length : claimed;
  const mask = Buffer.from([1, 2, 3, 4]);
  const size =
    length < 126
      ? Buffer.from([length])
      : length < 0x1_0000
        ? Buffer.from([126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([127]), bigEndian(length)]);
  size[0]! |= masked ? 0x80 : 0;
  return Buffer.concat([
    Buffer.from([(fin ? 0x80 : 0) | opcode]),
    size,
    ...(masked ? [mask, payload.map((byte, index) => byte ^ mask[index % 4]!)] : [payload]),
  ]);
}

function bigEndian(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** @returns what the other side reads as bytes, and what the client is sent */
async function exchange(pieces: readonly Buffer[], answer?: Buffer): Promise<{ read: string; sent: Buffer }> {
  const [toServer, toClient] = [new PassThrough(), new PassThrough()];
  const stream = webSocketStream(Duplex.from({ readable: toServer, writable: toClient }));
  const sent: Buffer[] = [];
  toClient.on('data', (chunk: Buffer) => sent.push(chunk));
  for (const piece of pieces) toServer.write(piece);
  toServer.end();
  const read: Buffer[] = [];
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) read.push(chunk as Buffer);
  if (answer) {
    stream.write(answer);
    await new Promise<void>((done) => stream.end(done));
    // the last frame that a server sends is its close
    while (!Buffer.concat(sent).includes(CLOSE)) await new Promise((turn) => setImmediate(turn));
  }
  return { read: Buffer.concat(read).toString(), sent: Buffer.concat(sent) };
}

const CLOSE = Buffer.from([0x88, 2, 0x03, 0xe8]);
const PROTOCOL_ERROR = Buffer.from([0x88, 2, 0x03, 0xea]);
const big = 'x'.repeat(70_000);

const READ: [name: string, pieces: Buffer[], read: string][] = [
  ['text', [clientFrame(1, 'ab')], 'ab'],
  ['binary', [clientFrame(2, 'ab')], 'ab'],
  ['several', [clientFrame(2, 'ab'), clientFrame(2, 'cd')], 'abcd'],
  ['fragments', [clientFrame(2, 'ab', { fin: false }), clientFrame(0, 'cd')], 'abcd'],
  ['an empty frame', [clientFrame(2, ''), clientFrame(2, 'a')], 'a'],
  ['16 bits of length', [clientFrame(2, 'y'.repeat(300))], 'y'.repeat(300)],
  ['64 bits of length', [clientFrame(2, big)], big],
  ['a byte at a time', [...clientFrame(2, 'abcdef')].map((byte) => Buffer.from([byte])), 'abcdef'],
  ['what is behind a close is not read', [clientFrame(8, ''), clientFrame(2, 'ab')], ''],
];
for (const [name, pieces, read] of READ) test(`read: ${name}`, async (t) => t.is((await exchange(pieces)).read, read));

const REFUSED: [name: string, piece: Buffer][] = [
  ['not masked', clientFrame(2, 'ab', { masked: false })],
  ['an unknown opcode', clientFrame(3, 'ab')],
  ['a reserved bit', Buffer.from([0xc2, 0x80, 0, 0, 0, 0])],
  ['a long ping', clientFrame(9, 'x'.repeat(126))],
  ['a ping in fragments', clientFrame(9, 'x', { fin: false })],
  ['a length beyond 2^53', Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
];
for (const [name, piece] of REFUSED)
  test(`refused: ${name}`, async (t) => {
    const { read, sent } = await exchange([piece, clientFrame(2, 'after')]);
    t.is(read, '');
    t.deepEqual(sent, PROTOCOL_ERROR);
  });

test('a length that is claimed and does not come takes no memory, and what comes is given on', async (t) => {
  t.is((await exchange([clientFrame(2, 'ab', { claimed: 2 ** 40 })])).read, 'ab');
});

test('a ping is answered with its own payload', async (t) => {
  t.deepEqual((await exchange([clientFrame(9, 'hi')])).sent, Buffer.from([0x8a, 2, 104, 105]));
});

test('what is written goes as binary frames, and the end as a close', async (t) => {
  const { sent } = await exchange([], Buffer.from('out'));
  t.deepEqual(sent, Buffer.concat([Buffer.from([0x82, 3]), Buffer.from('out'), CLOSE]));
});

test('the accept key is that of RFC 6455 §1.3', (t) => {
  const headers = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' };
  t.is(acceptKey(headers), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  t.throws(() => acceptKey({ ...headers, 'sec-websocket-version': '8' }), { message: /handshake/ });
  t.throws(() => acceptKey({ ...headers, 'sec-websocket-key': 'short' }), { message: /handshake/ });
});

/**
 * A container's questions by a relay to the host and back, with dig as the judge; and what either end does not bear.
 */
import { once } from 'node:events';
import { Duplex, duplexPair } from 'node:stream';
import test from 'ava';
import { NAME_FRAME } from '../../../src/agent-protocol.ts';
import { connectedSocket } from '../../../src/host/streams/inet-socket.ts';
import { handedResolver, HandedSocket } from '../../../src/network/names/handed-resolver.ts';
import { openRelay } from '../../../src/network/names/relay-guest.ts';
import {
  encodeAsk,
  encodeFrame,
  type Frame,
  FrameDecoder,
  HOST_SAYS,
} from '../../../src/network/names/relay-frames.ts';
import type { AskGuest } from '../../../src/network/names/relay-host.ts';
import type { Resolver } from '../../../src/network/names/upstream.ts';
import { dig } from './dig.ts';
import { A, answerTo, ASKED, fakeResolver, opt, query, record } from './fake-resolver.ts';
import { hostEnd, relayed } from './relay.ts';

const ip = (text: string) => Buffer.from(text.split('.').map(Number));
const says =
  (address: string) =>
  ({ bytes }: { bytes: Buffer }) => [
    answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data: ip(address) })] }),
  ];

/** as `--dns` */
const byGuest =
  (address: string): ((askGuest: AskGuest) => Resolver[]) =>
  (askGuest) => [
    {
      from: 'container',
      ask: (bytes, protocol, call) => askGuest(address, bytes, protocol, call),
      close: () => {},
    },
  ];

for (const [what, args, expected] of [
  ['A', ['web', 'A'], { status: 'NOERROR', answers: ['web. 600 IN A 172.18.0.2'] }],
  ['by TCP', ['web', '+tcp'], { status: 'NOERROR', answers: ['web. 600 IN A 172.18.0.2'] }],
  ['mail', ['web', 'MX'], { status: 'NOERROR', answers: [] }],
  ['the case', ['WeB.FRONT'], { question: ';WeB.FRONT. IN A', answers: ['WeB.FRONT. 600 IN A 172.18.0.2'] }],
  ['unknown, and no resolver', ['x.example'], { status: 'SERVFAIL', answers: [] }],
  ['no query', ['+opcode=update', 'web'], { status: 'NOTIMP' }],
] as const)
  test(`dig: ${what}`, async (t) => t.like(await dig(relayed(t).port, ...args), expected as never));

test('dig: what a client has no room for is cut on the host, and asked for by TCP', async (t) => {
  const { port } = relayed(t);
  t.is((await dig(port, 'many', '+bufsize=512', '+ignore')).answers.length, 29);
  t.is((await dig(port, 'many', '+bufsize=512')).answers.length, 100);
});

test('a resolver of --dns is asked by the guest, by the client’s own protocol', async (t) => {
  const world = await fakeResolver(t, says('192.0.2.1'));
  const { port } = relayed(t, { resolvers: byGuest(world.address), dnsPort: world.port });
  t.like(await dig(port, 'x.example'), { answers: ['x.example. 300 IN A 192.0.2.1'] });
  t.like(await dig(port, 'x.example', '+tcp'), { answers: ['x.example. 300 IN A 192.0.2.1'] });
  t.deepEqual(
    world.asked.map(({ protocol }) => protocol),
    ['udp', 'tcp'],
  );
});

test('a resolver of the host is asked by a socket that was handed over, and by TCP by the guest', async (t) => {
  const world = await fakeResolver(t, says('192.0.2.1'));
  const fromGuest = await fakeResolver(t, says('192.0.2.2'), '127.0.0.2');
  const fd = connectedSocket(world.address, world.port);
  t.teardown(() => fd.close());
  const socket = new HandedSocket(fd.number);
  const { port } = relayed(t, {
    resolvers: (askGuest) => [
      handedResolver(socket, (bytes, protocol, call) => askGuest(fromGuest.address, bytes, protocol, call)),
    ],
    dnsPort: fromGuest.port,
  });
  for (let twice = 0; twice < 2; twice++)
    t.like(await dig(port, 'x.example'), { answers: ['x.example. 300 IN A 192.0.2.1'] });
  t.like(await dig(port, 'x.example', '+tcp'), { answers: ['x.example. 300 IN A 192.0.2.2'] });
});

test('a resolver that the guest cannot reach gives way to the next', async (t) => {
  const world = await fakeResolver(t, says('192.0.2.1'));
  const { port } = relayed(t, {
    // nobody listens at the first
    resolvers: (askGuest) => [...byGuest('127.0.0.3')(askGuest), ...byGuest(world.address)(askGuest)],
    dnsPort: world.port,
  });
  t.like(await dig(port, 'x.example'), { answers: ['x.example. 300 IN A 192.0.2.1'] });
});

test('the host goes away: the guest’s server ends, and who waits hears nothing', async (t) => {
  const { port, host, guest, end } = relayed(t, { resolvers: byGuest('127.0.0.3'), dnsPort: 9 });
  host.destroy();
  await once(guest, 'close');
  t.is((await dig(port, 'web', '+time=1', '+tries=1')).status, 'none');
  t.true(end.closed);
});

/** A hostile guest on the other side of a host's end. */
function guestOf(options: Parameters<typeof hostEnd>[1] = {}) {
  const [guest, host] = duplexPair();
  const end = hostEnd(host, options);
  const decoder = new FrameDecoder(HOST_SAYS);
  const heard: Frame[] = [];
  guest.on('data', (chunk: Buffer) => heard.push(...decoder.push(chunk)));
  guest.on('error', () => {});
  const said = async (count: number) => {
    while (heard.length < count) await once(guest, 'data');
    return heard;
  };
  return { guest, host, end, said };
}

for (const [what, frame] of [
  ['of no kind', encodeFrame(9 as never, 1, Buffer.of(1))],
  ['of kind 0', encodeFrame(0 as never, 1, Buffer.of(1))],
  ['that only a host sends', encodeFrame(NAME_FRAME.ASK_UDP, 1, encodeAsk('127.0.0.1', query('web', A)))],
  ['that answers for the host', encodeFrame(NAME_FRAME.ANSWER, 1, query('web', A))],
  ['without a question', encodeFrame(NAME_FRAME.QUERY_UDP, 1)],
  ['longer than a message', encodeFrame(NAME_FRAME.QUERY_TCP, 1, Buffer.alloc(65_536))],
  ['of 4 GiB', Buffer.from('ffffffff0100000001', 'hex')],
  ['of a failure with words', encodeFrame(NAME_FRAME.FAILED, 1, Buffer.of(1))],
] as const)
  test(`a frame ${what} ends the relay, and is told once`, async (t) => {
    const { guest, host, end } = guestOf();
    guest.write(Buffer.concat([frame, encodeFrame(NAME_FRAME.QUERY_UDP, 2, query('web', A)), frame]));
    await once(host, 'close');
    t.is(end.problems.length, 1);
    t.regex(end.problems[0]!, /^RangeError: a frame of names of kind \d+/);
    t.true(end.closed);
  });

test('a question byte by byte, and numbers that come twice', async (t) => {
  const { guest, said } = guestOf();
  for (const byte of encodeFrame(NAME_FRAME.QUERY_UDP, 7, query('web', A))) guest.write(Buffer.of(byte));
  guest.write(encodeFrame(NAME_FRAME.QUERY_TCP, 7, query('web', A)));
  const heard = await said(2);
  t.deepEqual(
    heard.map(({ kind, number, content }) => [kind, number, content.at(-1)]),
    [
      [NAME_FRAME.ANSWER, 7, 2],
      [NAME_FRAME.ANSWER, 7, 2],
    ],
  );
});

test('what is no query has an answer without content', async (t) => {
  const { guest, said } = guestOf();
  guest.write(encodeFrame(NAME_FRAME.QUERY_UDP, 1, Buffer.from('nonsense')));
  const [answer] = await said(1);
  t.deepEqual([answer!.kind, answer!.content.length], [NAME_FRAME.ANSWER, 0]);
});

test('what was not asked is heard by nobody; of what was asked a wrong answer is none', async (t) => {
  const { guest, said } = guestOf({ resolvers: byGuest('192.0.2.53') });
  guest.write(encodeFrame(NAME_FRAME.HEARD, 0, query('web', A)));
  guest.write(encodeFrame(NAME_FRAME.FAILED, 0));
  guest.write(encodeFrame(NAME_FRAME.QUERY_UDP, 5, query('x.example', A)));
  const [ask] = await said(1);
  t.is(ask!.kind, NAME_FRAME.ASK_UDP);
  const asked = ask!.content.subarray(1 + '192.0.2.53'.length);
  const answer = answerTo(asked, { answers: [record({ owner: ASKED, type: A, data: ip('192.0.2.1') })] });
  const wrongId = Buffer.from(answer);
  wrongId[0]! ^= 1;
  for (const wrong of [Buffer.alloc(0), wrongId, answerTo(query('y.example', A)), Buffer.alloc(65_535)])
    guest.write(encodeFrame(NAME_FRAME.HEARD, ask!.number, wrong));
  guest.write(encodeFrame(NAME_FRAME.HEARD, ask!.number + 1, answer));
  guest.write(encodeFrame(NAME_FRAME.HEARD, ask!.number, answer));
  const heard = await said(3);
  t.deepEqual(
    heard.slice(1).map(({ kind, number }) => [kind, number]),
    [
      [NAME_FRAME.FORGET, ask!.number],
      [NAME_FRAME.ANSWER, 5],
    ],
  );
  t.is(heard[2]!.content.at(-1), 1);
});

test('1024 at once are asked for, and no more', async (t) => {
  const { guest, said } = guestOf({ resolvers: byGuest('192.0.2.53') });
  for (let number = 0; number < 1100; number++)
    guest.write(encodeFrame(NAME_FRAME.QUERY_UDP, number, query(`x${number}.example`, A)));
  const heard = await said(1100);
  t.is(heard.filter(({ kind }) => kind === NAME_FRAME.ASK_UDP).length, 1024);
  const refused = heard.filter(({ kind }) => kind === NAME_FRAME.ANSWER);
  t.is(refused.length, 76);
  t.true(refused.every(({ content }) => (content[3]! & 0xf) === 5));
});

test('a guest that takes no answers is not read any more, in the middle of a chunk', async (t) => {
  const [guest, host] = duplexPair();
  const seen = { answers: 0, most: 0 };
  const write = host.write.bind(host);
  host.write = ((chunk: Buffer) => {
    seen.answers++;
    seen.most = Math.max(seen.most, host.writableLength);
    return write(chunk);
  }) as never;
  hostEnd(host);
  // each has an answer of some 1600 bytes
  const frame = encodeFrame(NAME_FRAME.QUERY_TCP, 1, query('many', A));
  const chunk = Buffer.concat(Array.from({ length: 4000 }, () => frame));
  guest.write(chunk);
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.true(seen.answers > 0 && seen.answers < 200, `${seen.answers} answers`);
  t.true(seen.most < 256 * 1024, `${seen.most} bytes`);
  // and goes on when it takes them
  let bytes = 0;
  guest.on('data', (taken: Buffer) => (bytes += taken.length));
  while (seen.answers < 4000) await once(guest, 'data');
  t.true(bytes > 4000 * 1000);
});

test('a guest’s end while resolvers are waited for ends the waiting', async (t) => {
  const { guest, host, end, said } = guestOf({ resolvers: byGuest('192.0.2.53') });
  guest.write(encodeFrame(NAME_FRAME.QUERY_UDP, 1, query('x.example', A)));
  await said(1);
  guest.end();
  await once(host, 'close');
  t.true(end.closed);
  t.deepEqual(end.problems, []);
});

test('the guest’s end: what comes by UDP is bounded while the host says nothing', async (t) => {
  const [guest] = duplexPair();
  const { respond } = openRelay(guest, {
    resolver: () => {
      throw new Error('nobody is asked');
    },
    ended: () => {},
  });
  let lost = 0;
  for (let count = 0; count < 3000; count++) respond(query('web', A), 'udp', (answer) => answer ?? lost++);
  t.is(lost, 3000 - 2048);
  // who asks by TCP waits, one question a connection
  let told = false;
  respond(query('web', A), 'tcp', () => (told = true));
  t.false(told);
  guest.destroy();
  await once(guest, 'close');
  t.true(told);
  t.is(lost, 3000);
});

test('the guest’s end: long questions by UDP are bounded in bytes', (t) => {
  const [guest] = duplexPair();
  const { respond } = openRelay(guest, { resolver: () => undefined as never, ended: () => {} });
  let lost = 0;
  const long = query('web', A, { additional: [opt(512, 0, Buffer.alloc(60_000))] });
  for (let count = 0; count < 100; count++) respond(long, 'udp', (answer) => answer ?? lost++);
  t.true(lost > 70, `${lost}`);
  t.true(guest.writableLength < (1 << 20) + 2 * long.length);
});

test('the guest’s end: a host that is none ends it', async (t) => {
  const guest = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  let ended = false;
  openRelay(guest, { resolver: () => undefined as never, ended: () => (ended = true) });
  guest.push(encodeFrame(NAME_FRAME.QUERY_UDP, 1, query('web', A)));
  await once(guest, 'close');
  t.true(ended);
});

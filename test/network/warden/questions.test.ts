/** The monitor's side of a warden: what a guest asks goes there, within bounds, and is refused when nobody is there. */
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { NAME_FRAME } from '../../../src/agent-protocol.ts';
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameKind,
  GUEST_SAYS,
  HOST_SAYS,
} from '../../../src/network/names/relay-frames.ts';
import { Questions } from '../../../src/network/warden/questions.ts';
import { A, query } from '../names/fake-resolver.ts';

function open(t: ExecutionContext) {
  const [near, warden] = duplexPair();
  const problems: unknown[] = [];
  const questions = new Questions((error) => problems.push(error));
  questions.ask(near);
  const [guest, host] = duplexPair();
  questions.serve(host);
  t.teardown(() => [near, warden, guest].forEach((stream) => stream.destroy()));
  const reading = (stream: typeof guest, kinds: readonly FrameKind[]) => {
    const frames: Frame[] = [];
    const decoder = new FrameDecoder(kinds);
    stream.on('data', (chunk: Buffer) => frames.push(...decoder.push(chunk)));
    return frames;
  };
  return {
    questions,
    warden,
    guest,
    host,
    problems,
    toWarden: reading(warden, GUEST_SAYS),
    toGuest: reading(guest, HOST_SAYS),
  };
}

const REFUSED = 5;
const asks = (number: number, kind: FrameKind = NAME_FRAME.QUERY_UDP) => encodeFrame(kind, number, query('a.b', A));

test('a question and its answer, by the number that the guest gave it', async (t) => {
  const { guest, warden, toWarden, toGuest } = open(t);
  guest.write(asks(77));
  while (toWarden.length === 0) await once(warden, 'data');
  t.deepEqual(toWarden[0]!.content, query('a.b', A));
  warden.write(encodeFrame(NAME_FRAME.ANSWER, toWarden[0]!.number, Buffer.from('answer')));
  while (toGuest.length === 0) await once(guest, 'data');
  t.like(toGuest[0], { kind: NAME_FRAME.ANSWER, number: 77, content: Buffer.from('answer') });
});

test('a warden that goes: what is under way is refused, and all that comes until there is another', async (t) => {
  const { questions, guest, warden, toWarden, toGuest } = open(t);
  guest.write(asks(1));
  while (toWarden.length === 0) await once(warden, 'data');
  warden.destroy();
  while (toGuest.length < 1) await once(guest, 'data');
  guest.write(asks(2));
  while (toGuest.length < 2) await once(guest, 'data');
  t.deepEqual(
    toGuest.map(({ number, content }) => [number, content[3]! & 0xf]),
    [
      [1, REFUSED],
      [2, REFUSED],
    ],
  );
  const [near, next] = duplexPair();
  questions.ask(near);
  guest.write(asks(3));
  const decoder = new FrameDecoder(GUEST_SAYS);
  next.on('data', (chunk: Buffer) => {
    for (const { number } of decoder.push(chunk))
      next.write(encodeFrame(NAME_FRAME.ANSWER, number, Buffer.from('answer')));
  });
  while (toGuest.length < 3) await once(guest, 'data');
  t.like(toGuest[2], { number: 3, content: Buffer.from('answer') });
});

test('a warden that another one follows while it seems to live is asked no more', async (t) => {
  const { questions, guest, warden, toWarden, toGuest } = open(t);
  guest.write(asks(1));
  while (toWarden.length === 0) await once(warden, 'data');
  const [near] = duplexPair();
  questions.ask(near);
  while (toGuest.length < 1) await once(guest, 'data');
  t.is(toGuest[0]!.content[3]! & 0xf, REFUSED);
});

test('before there is a warden all names are refused', async (t) => {
  const [guest, host] = duplexPair();
  new Questions((error) => t.fail(String(error))).serve(host);
  const decoder = new FrameDecoder(HOST_SAYS);
  guest.write(asks(1));
  const [chunk] = (await once(guest, 'data')) as [Buffer];
  t.deepEqual(
    [...decoder.push(chunk)].map(({ content }) => content[3]! & 0xf),
    [REFUSED],
  );
});

for (const [what, kind] of [
  ['UDP', NAME_FRAME.QUERY_UDP],
  ['TCP', NAME_FRAME.QUERY_TCP],
] as const)
  test(`a guest that floods a warden that says nothing holds so much and no more: ${what}`, async (t) => {
    const { guest, toGuest } = open(t);
    for (let number = 0; number < 1500; number++) guest.write(asks(number, kind));
    while (toGuest.length < 1500 - 1024) await once(guest, 'data');
    t.true(toGuest.every(({ content }) => (content[3]! & 0xf) === REFUSED));
    t.is(toGuest[0]!.number, 1024);
  });

test('a guest that breaks the protocol ends its own stream alone', async (t) => {
  const { guest, host, warden, problems } = open(t);
  guest.write(Buffer.alloc(64, 0xff));
  await once(host, 'close');
  t.is(problems.length, 1);
  t.false(warden.destroyed);
});

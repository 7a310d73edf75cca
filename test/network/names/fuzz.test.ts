/**
 * Any bytes as a query, and any bytes as a resolver's answer: nothing throws, what is said is a whole message to that
 * query, and each takes little time. The seed is in the title; HUSK_FUZZ_SECONDS lengthens the run.
 */
import { duplexPair } from 'node:stream';
import test from 'ava';
import { NAME_FRAME } from '../../../src/agent-protocol.ts';
import { addressOfBytes } from '../../../src/network/names/address.ts';
import { type AnswerPolicy, keptAnswer, readAnswer } from '../../../src/network/names/kept-answer.ts';
import { answers, HEADER, readName, readQuery, readRecord, wireName } from '../../../src/network/names/message.ts';
import { encodeFrame, type Frame, FrameDecoder, HOST_SAYS } from '../../../src/network/names/relay-frames.ts';
import { serveRelay } from '../../../src/network/names/relay-host.ts';
import { responder } from '../../../src/network/names/responder.ts';
import { MessageDecoder } from '../../../src/network/names/stream-messages.ts';
import { type Resolver, Upstream } from '../../../src/network/names/upstream.ts';
import { ASKER, NAMES } from './fake-names.ts';
import { flaw, noise, one, random, rounds, SEED, someAnswer, someName, someQuery, spoiled } from './fuzz.ts';
import { A, AAAA, answerTo, ASKED, name, query, record, TXT } from './fake-resolver.ts';

/** milliseconds of CPU time that one message may take: small beside "for ever" */
const LIMIT = 500;

const policy: AnswerPolicy = {
  allow: (asked) => asked.length !== 3,
  onAnswer: async (_asked, addresses) => addresses.filter((_address, index) => index % 2 === 0),
  maxTtl: 60,
};

for (const [what, withPolicy, names] of [
  ['as they are', undefined, NAMES],
  ['with a policy', policy, NAMES],
  ['given again', undefined, { ...NAMES, version: () => 1 }],
] as const)
  test.serial(`any query has a whole answer or none, ${what} (seed ${SEED})`, async (t) => {
    const pick = random(SEED);
    const resolver: Resolver = {
      from: 'host',
      ask: (bytes, _protocol, call) => {
        setImmediate(() => {
          // one that fits is behind those that do not, where there is any
          call.received(spoiled(pick, someAnswer(pick, bytes)));
          call.received(answerTo(bytes));
        });
        return { close: () => {} };
      },
      close: () => {},
    };
    const problems: unknown[] = [];
    const respond = responder({
      names,
      asker: ASKER,
      upstream: new Upstream([resolver]),
      ndotsSet: false,
      problem: (error) => problems.push(error),
      ...(withPolicy && { policy: withPolicy }),
    });
    const wrong = await rounds(async () => {
      const bytes = spoiled(pick, someQuery(pick));
      const protocol = one(pick, ['udp', 'tcp'] as const);
      const answer = await new Promise<Buffer | undefined>((resolve) => respond(Buffer.from(bytes), protocol, resolve));
      if (answer === undefined)
        return bytes.length < HEADER || (bytes[2]! & 0x80) !== 0 ? undefined : 'no answer to a query';
      // what a resolver says is passed on as it is, where nobody has a policy
      const found = flaw(answer, bytes, withPolicy && protocol === 'udp' ? 65_507 : 65_535);
      if (found === undefined || (!withPolicy && /record|too many/.test(found))) return undefined;
      return `${found}: ${bytes.toString('hex')} → ${answer.toString('hex')}`;
    });
    t.is(wrong, undefined);
    t.deepEqual(problems, []);
  });

test.serial(`any answer is read within its bounds, and rebuilt whole (seed ${SEED})`, async (t) => {
  const pick = random(SEED);
  let read = 0;
  const wrong = await rounds(() => {
    const asked = readQuery(someQuery(pick));
    if (asked === undefined || 'rcode' in asked) return undefined;
    const answer = spoiled(pick, someAnswer(pick, asked.bytes));
    if (!answers(answer, asked)) return undefined;
    const found = readAnswer(answer, asked);
    if (found === undefined) return undefined;
    read++;
    const kept = found.addresses.filter(() => pick(2) === 0);
    const protocol = one(pick, ['udp', 'tcp'] as const);
    const whole = keptAnswer(answer, asked, found, { kept, maxTtl: 60, protocol });
    answer.copy(whole, 0, 0, 2);
    const problem = flaw(whole, answer, protocol === 'udp' ? 65_507 : 65_535) ?? cutProblem(whole, asked.end, kept);
    return problem && `${problem}: ${answer.toString('hex')} → ${whole.toString('hex')}`;
  });
  t.is(wrong, undefined);
  t.true(read > 10);
});

/** Whether an address is in the answer that is not to be there, or a time that is too long. */
function cutProblem(message: Buffer, start: number, kept: readonly { address: string }[]): string | undefined {
  const allowed = new Set(kept.map(({ address }) => address));
  for (let at = start, count = message.readUInt16BE(6); count > 0; count--) {
    const found = readRecord(message, at)!;
    if (found.ttl > 60) return 'a long time';
    const isAddress = found.type === A || found.type === AAAA;
    if (isAddress && !allowed.has(addressOfBytes(message.subarray(found.data, found.end)))) return 'an address';
    at = found.end;
  }
  return undefined;
}

test.serial(`the most expensive messages are cheap (seed ${SEED})`, async (t) => {
  // thousands of records, each with a name of as many pointers as may be, to the longest name there is
  const long = name(`${`${'a'.repeat(63)}.`.repeat(3)}${'a'.repeat(61)}`);
  const asked = readQuery(query(long, A));
  if (asked === undefined || 'rcode' in asked) return t.fail();
  const pointers = Buffer.alloc(15 * 2);
  const holder = asked.end + 12;
  for (let index = 0; index < 15; index++)
    pointers.writeUInt16BE(0xc000 | (index === 0 ? HEADER : holder + 2 * (index - 1)), 2 * index);
  const first = record({ owner: ASKED, type: TXT, data: pointers });
  const owner = Buffer.alloc(2);
  owner.writeUInt16BE(0xc000 | (holder + 28));
  const each = record({ owner, type: A, data: Buffer.alloc(4, 1) });
  const count = Math.floor((65_535 - asked.end - first.length) / each.length);
  const answer = answerTo(asked.bytes, { answers: [first, ...Array.from({ length: count }, () => each)] });
  t.true(answer.length > 65_000);
  const before = process.cpuUsage();
  const read = readAnswer(answer, asked)!;
  const { user, system } = process.cpuUsage(before);
  t.is(read.addresses.length, 256);
  t.true((user + system) / 1000 < LIMIT);
});

test.serial(`a stream is cut into the same messages however it comes (seed ${SEED})`, async (t) => {
  const pick = random(SEED);
  const wrong = await rounds(() => {
    const bytes = spoiled(pick, Buffer.concat(Array.from({ length: pick(6) }, () => noise(pick, 300))));
    const whole = [...new MessageDecoder().push(bytes)];
    const decoder = new MessageDecoder();
    const cut: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = 1 + pick(50);
      cut.push(...decoder.push(bytes.subarray(at, at + length)));
      at += length;
    }
    return Buffer.compare(Buffer.concat(whole), Buffer.concat(cut)) === 0 && whole.length === cut.length
      ? undefined
      : bytes.toString('hex');
  });
  t.is(wrong, undefined);
});

test.serial(`a name that is read is a name (seed ${SEED})`, async (t) => {
  const pick = random(SEED);
  const wrong = await rounds(() => {
    const bytes = spoiled(pick, Buffer.concat(Array.from({ length: 1 + pick(5) }, () => someName(pick))));
    const start = pick(bytes.length + 1);
    const read = readName(bytes, start);
    if (read === undefined) return undefined;
    const wire = wireName(bytes, read);
    const again = readName(wire, 0);
    return wire.length <= 255 && again?.text === read.text && again.end === wire.length
      ? undefined
      : bytes.toString('hex');
  });
  t.is(wrong, undefined);
});

test.serial(`a guest may send anything by a relay (seed ${SEED})`, async (t) => {
  const pick = random(SEED);
  let answered = 0;
  let ended = 0;
  const wrong = await rounds(async () => {
    const [guest, host] = duplexPair();
    const problems: unknown[] = [];
    serveRelay(host, {
      answering: (askGuest) => {
        const resolver: Resolver = {
          from: 'container',
          ask: (asked, protocol, call) => askGuest('192.0.2.53', asked, protocol, call),
          close: () => {},
        };
        const upstream = new Upstream([resolver], { limits: { patience: 5 } });
        const problem = (error: unknown) => problems.push(error);
        const respond = responder({ names: NAMES, asker: ASKER, upstream, ndotsSet: false, problem });
        return { respond, close: () => upstream.close() };
      },
      problem: (error) => problems.push(error),
    });
    const heard: Frame[] = [];
    const decoder = new FrameDecoder(HOST_SAYS);
    guest.on('data', (chunk: Buffer) => heard.push(...decoder.push(chunk)));
    const frames = Array.from({ length: 1 + pick(8) }, () => {
      const content = one(pick, [someQuery(pick), someAnswer(pick, someQuery(pick)), noise(pick, 20)]);
      return encodeFrame(one(pick, Object.values(NAME_FRAME)), pick(4), spoiled(pick, content));
    });
    guest.end(one(pick, [Buffer.concat(frames), spoiled(pick, Buffer.concat(frames))]));
    await new Promise((resolve) => host.on('close', resolve));
    answered += heard.length;
    ended += problems.length;
    return problems.length > 1 || problems.some((each) => !(each instanceof RangeError)) ? String(problems) : undefined;
  });
  t.is(wrong, undefined);
  t.true(answered > 0 && ended > 0);
});

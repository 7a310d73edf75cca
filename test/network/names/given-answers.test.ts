/** Answers that are given again: the same as those that were made, to the same query, and never past a change. */
import test from 'ava';
import type { NameSource } from '../../../src/network/names/answer.ts';
import { addressOfBytes } from '../../../src/network/names/address.ts';
import { type Query, readQuery, readRecord } from '../../../src/network/names/message.ts';
import { responder, type ResponderOptions } from '../../../src/network/names/responder.ts';
import { Upstream } from '../../../src/network/names/upstream.ts';
import { ASKER, NAMES } from './fake-names.ts';
import { A, AAAA, MX, opt, PTR, query } from './fake-resolver.ts';

/** @returns asks, and how often the names were */
function setUp(more: Partial<ResponderOptions> = {}, names: NameSource = NAMES) {
  const state = { version: 1, lookups: 0, problems: [] as unknown[] };
  const respond = responder({
    names: {
      lookup: (name, asker) => {
        state.lookups++;
        return names.lookup(name, asker);
      },
      reverse: (address, asker) => {
        state.lookups++;
        return names.reverse(address, asker);
      },
      version: () => state.version,
    },
    asker: ASKER,
    upstream: new Upstream([]),
    ndotsSet: false,
    problem: (error) => state.problems.push(error),
    ...more,
  });
  const ask = (bytes: Buffer, protocol: 'udp' | 'tcp' = 'udp') => {
    let answer: Buffer | undefined;
    respond(bytes, protocol, (given) => (answer = given));
    return answer!;
  };
  return { ask, state };
}

/** The same query with another id. */
function another(bytes: Buffer, id = 0xbeef): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  return copy;
}

for (const [what, bytes] of [
  ['A', query('web', A)],
  ['AAAA', query('web', AAAA)],
  ['EDNS', query('web', A, { additional: [opt(1232)] })],
  ['none of that family', query('pool', AAAA)],
  ['mail', query('web', MX)],
  ['backwards', query('2.0.18.172.in-addr.arpa', PTR)],
] as const)
  for (const protocol of ['udp', 'tcp'] as const)
    test(`${what} by ${protocol}: found once, and the same but for its id`, (t) => {
      const { ask, state } = setUp();
      const first = ask(bytes, protocol);
      const again = ask(another(bytes), protocol);
      t.is(state.lookups, 1);
      t.is(again.readUInt16BE(0), 0xbeef);
      t.deepEqual(again.subarray(2), first.subarray(2));
      // what one client does to its answer is nobody else's
      again.fill(0xff);
      t.deepEqual(ask(bytes, protocol), first);
    });

test('a change of the records is seen by the next query', (t) => {
  let address = '172.18.0.2';
  const { ask, state } = setUp({}, { ...NAMES, lookup: () => ({ ipv4: [address], ipv6: [] }) });
  const answered = () => addressOfBytes(ask(query('web', A)).subarray(-4));
  t.is(answered(), '172.18.0.2');
  address = '172.18.0.9';
  t.is(answered(), '172.18.0.2');
  state.version++;
  t.is(answered(), '172.18.0.9');
});

for (const [what, first, second] of [
  ['the case of its letters', query('web', A), query('WEB', A)],
  ['its type', query('web', A), query('web', AAAA)],
  ['EDNS', query('web', A), query('web', A, { additional: [opt(1232)] })],
  ['a flag', query('web', A), query('web', A, { flags: 0 })],
] as const)
  test(`another query by ${what} has its own answer`, (t) => {
    const { ask } = setUp();
    ask(first);
    t.deepEqual(ask(second), setUp().ask(second));
  });

test('all addresses, each time in an order of its own', (t) => {
  const { ask, state } = setUp();
  const orders = new Set<string>();
  const bytes = query('pool', A);
  for (let round = 0; round < 200; round++) {
    const answer = ask(bytes);
    const found: string[] = [];
    for (let at = (readQuery(bytes) as Query).end; at < answer.length;) {
      const record = readRecord(answer, at)!;
      found.push(addressOfBytes(answer.subarray(record.data, record.end)));
      at = record.end;
    }
    t.deepEqual(found.toSorted(), ['172.18.0.3', '172.18.0.4', '172.18.0.5']);
    orders.add(found.join(' '));
  }
  t.is(orders.size, 6);
  t.is(state.lookups, 1);
});

for (const [what, make] of [
  ['an answer that was cut', () => query('many', A)],
  ['a long answer', () => query('many', A, { additional: [opt(4096)] })],
  ['a long query', () => query('web', A, { additional: [opt(1232, 0, Buffer.alloc(300))] })],
] as const)
  test(`${what} is made anew each time`, (t) => {
    const { ask, state } = setUp();
    for (let count = 0; count < 3; count++) ask(make());
    t.is(state.lookups, 3);
  });

test('whoever asks in ever other ways makes it remember no more than some', (t) => {
  const { ask, state } = setUp();
  const ways = Array.from({ length: 1000 }, (_, size) => query('web', A, { additional: [opt(512 + size)] }));
  for (const bytes of ways) ask(bytes);
  t.is(state.lookups, 1000);
  // the last ones are remembered, the first are not
  ask(ways.at(-1)!);
  t.is(state.lookups, 1000);
  ask(ways[0]!);
  t.is(state.lookups, 1001);
});

test('with a policy every query is decided on', (t) => {
  const policy = { allow: () => true, onAnswer: async () => [], maxTtl: 60 };
  const { ask, state } = setUp({ policy });
  for (let count = 0; count < 3; count++) ask(query('web', A));
  t.is(state.lookups, 3);
});

test('records that cannot be read are a failure, and said so', (t) => {
  const problems: unknown[] = [];
  const version = (): number => {
    throw new Error('disk I/O error');
  };
  const names = { ...NAMES, version };
  const { ask } = setUp({ names, problem: (error) => problems.push(error) });
  t.is(ask(query('web', A)).readUInt16BE(2) & 0xf, 2);
  t.deepEqual(problems, [new Error('disk I/O error')]);
});

/**
 * Which resolver is asked, what is taken for its answer, and what becomes of the others. No sockets: see
 * resolver-sockets.test.ts.
 */
import test from 'ava';
import { type Query, readQuery } from '../../../src/network/names/message.ts';
import { type Resolver, Upstream } from '../../../src/network/names/upstream.ts';
import { A, answerTo, ASKED, opt, query, record } from './fake-resolver.ts';

/** milliseconds: so short where nobody answers, so long where somebody must */
const SHORT = 20;
const LONG = 60_000;

interface Scripted extends Resolver {
  asked: Buffer[];
  open: number;
  closed: boolean;
}

/** A resolver that says each of `messages` in turn; or fails; or says nothing. */
function scripted(
  script: 'silent' | 'fails' | ((bytes: Buffer) => Buffer[]),
  from: 'host' | 'container' = 'host',
): Scripted {
  const resolver: Scripted = {
    from,
    asked: [],
    open: 0,
    closed: false,
    ask(bytes, _protocol, call) {
      resolver.asked.push(Buffer.from(bytes));
      resolver.open++;
      setImmediate(() => {
        if (script === 'fails') call.failed();
        else if (script !== 'silent') for (const message of script(bytes)) call.received(message);
      });
      let open = true;
      return {
        close: () => {
          if (open) resolver.open--;
          open = false;
        },
      };
    },
    close: () => void (resolver.closed = true),
  };
  return resolver;
}

const address = (last: number) => record({ owner: ASKED, type: A, data: Buffer.of(10, 0, 0, last) });
const says = (last: number) => (bytes: Buffer) => [answerTo(bytes, { answers: [address(last)] })];
const code = (rcode: number) => (bytes: Buffer) => [answerTo(bytes, { flags: 0x8180 | rcode })];
const asked = readQuery(query('Web.Example', A, { id: 0xbeef })) as Query;
const [SERVFAIL, NXDOMAIN, REFUSED] = [2, 3, 5];

/** what was answered: the last byte of an address, a code of the resolver's, or `none CODE` */
async function ask(resolvers: Resolver[], options: { patience?: number; forward?: boolean } = {}): Promise<unknown> {
  const { patience = LONG, ...others } = options;
  const upstream = new Upstream(resolvers, { limits: { patience }, ...others });
  const answer = await upstream.ask(asked, 'udp');
  if (typeof answer === 'number') return `none ${answer}`;
  if (answer.readUInt16BE(0) !== 0xbeef) return 'the id is not the query’s own';
  return answer.readUInt16BE(6) > 0 ? answer.at(-1) : `code ${answer.readUInt16BE(2) & 0xf}`;
}

for (const [what, scripts, expected, questions] of [
  ['the first answers', [says(1), says(2)], 1, [1, 0]],
  ['the first fails', ['fails', says(2)], 2, [1, 1]],
  ['the first says SERVFAIL', [code(SERVFAIL), says(2)], 2, [1, 1]],
  ['the first says REFUSED', [code(REFUSED), says(2)], 2, [1, 1]],
  ['the first says that there is no such name', [code(NXDOMAIN), says(2)], `code ${NXDOMAIN}`, [1, 0]],
  ['two fail', ['fails', code(SERVFAIL), says(3)], 3, [1, 1, 1]],
  ['no more than three are asked', ['fails', 'fails', 'fails', says(4)], `none ${SERVFAIL}`, [1, 1, 1, 0]],
  ['all refuse', [code(REFUSED), code(REFUSED)], `none ${SERVFAIL}`, [1, 1]],
  ['there is none', [], `none ${SERVFAIL}`, []],
] as const)
  test(`in order: ${what}`, async (t) => {
    const resolvers = scripts.map((script) => scripted(script));
    t.is(await ask(resolvers), expected);
    t.deepEqual(
      resolvers.map((resolver) => resolver.asked.length),
      [...questions],
    );
    t.deepEqual(
      resolvers.map(({ open }) => open),
      scripts.map(() => 0),
    );
  });

test('one that says nothing has its time, and no more', async (t) => {
  const resolvers = [scripted('silent'), scripted(says(2))];
  t.is(await ask(resolvers, { patience: SHORT }), 2);
  t.is(resolvers[0]!.open, 0);
});

const patched = (bytes: Buffer, at: number, value: number) => {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
};
for (const [what, forged] of [
  ['another id', (bytes: Buffer) => patched(says(6)(bytes)[0]!, 0, bytes[0]! ^ 1)],
  ['another question', (bytes: Buffer) => patched(says(6)(bytes)[0]!, 13, 0x78)],
  ['another type', (bytes: Buffer) => patched(says(6)(bytes)[0]!, asked.end - 3, 28)],
  ['no answer at all', (bytes: Buffer) => Buffer.from(bytes)],
  ['two bytes', (bytes: Buffer) => bytes.subarray(0, 2)],
  ['nothing', () => Buffer.alloc(0)],
] as const) {
  test(`a forged answer is passed over, and the true one waited for: ${what}`, async (t) => {
    t.is(await ask([scripted((bytes) => [forged(bytes), forged(bytes), ...says(1)(bytes)])]), 1);
  });
  test(`a forged answer is none: ${what}`, async (t) => {
    t.is(await ask([scripted((bytes) => [forged(bytes)]), scripted(says(2))], { patience: SHORT }), 2);
  });
}

test('an answer may have the name in another case', async (t) => {
  t.is(await ask([scripted((bytes) => [patched(says(1)(bytes)[0]!, 13, 'w'.charCodeAt(0))])]), 1);
});

test('ids cannot be guessed from one another', async (t) => {
  const resolver = scripted(says(1));
  for (let count = 0; count < 40; count++) await ask([resolver]);
  const ids = resolver.asked.map((bytes) => bytes.readUInt16BE(0));
  t.true(new Set(ids).size > 35);
  // forty ids out of 65536 that all fall into one half are no accident
  t.true(ids.some((id) => id < 0x8000) && ids.some((id) => id >= 0x8000));
});

for (const [what, from, forward, expected] of [
  ['the host’s', 'host', true, 1],
  ['the host’s, off', 'host', false, `none ${SERVFAIL}`],
  ['the container’s', 'container', true, 1],
  ['the container’s, off', 'container', false, 1],
] as const)
  test(`forwarding to resolvers of ${what}`, async (t) =>
    t.is(await ask([scripted(says(1), from)], { forward }), expected));

test('forwarding changes when the container’s networks do', async (t) => {
  const upstream = new Upstream([scripted(says(1))], { forward: false });
  t.is(await upstream.ask(asked, 'udp'), SERVFAIL);
  upstream.forward = true;
  t.true(Buffer.isBuffer(await upstream.ask(asked, 'udp')));
});

test('over the bound a query is refused at once; with each answer there is room again', async (t) => {
  const late: (() => void)[] = [];
  const resolver = scripted('silent');
  resolver.ask = (bytes, _protocol, call) => {
    late.push(() => call.received(says(1)(bytes)[0]!));
    return { close: () => {} };
  };
  const upstream = new Upstream([resolver]);
  const waiting = Array.from({ length: 1024 }, () => upstream.ask(asked, 'udp'));
  t.is(await upstream.ask(asked, 'udp'), REFUSED);
  late.pop()!();
  t.true(Buffer.isBuffer(await waiting.pop()));
  waiting.push(upstream.ask(asked, 'udp'));
  t.is(await upstream.ask(asked, 'udp'), REFUSED);
  for (const answer of late) answer();
  t.true((await Promise.all(waiting)).every(Buffer.isBuffer));
});

test('what goes out is the question and EDNS, with nothing of the rest', async (t) => {
  const resolver = scripted(says(1));
  const cookie = opt(1232, 0, Buffer.from('000a00080011223344556677', 'hex'));
  const extra = record({ owner: Buffer.of(0), type: 250, data: Buffer.from('key') });
  const bytes = query('wEb', A, { flags: 0x0130, additional: [extra, cookie] });
  await new Upstream([resolver]).ask(readQuery(Buffer.concat([bytes, Buffer.alloc(100)])) as Query, 'udp');
  const [sent] = resolver.asked as [Buffer];
  t.is(sent.toString('hex', 2), query('wEb', A, { flags: 0x0130, additional: [cookie] }).toString('hex', 2));
});

test('close ends what waits, and asks nobody else', async (t) => {
  const resolvers = [scripted('silent'), scripted(says(2))];
  const upstream = new Upstream(resolvers);
  const waiting = upstream.ask(asked, 'udp');
  upstream.close();
  t.is(await waiting, SERVFAIL);
  t.like(resolvers[0], { open: 0, closed: true });
  t.like(resolvers[1], { asked: [], closed: true });
});

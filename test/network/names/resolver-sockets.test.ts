/** Resolvers by real sockets, on loopback. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import test from 'ava';
import { type Query, readQuery } from '../../../src/network/names/message.ts';
import { containerResolver, hostResolver, type SocketMaker } from '../../../src/network/names/resolver-sockets.ts';
import { type Resolver, Upstream } from '../../../src/network/names/upstream.ts';
import { A, answerTo, ASKED, fakeResolver, type FakeResolver, LOOPBACKS, query, record } from './fake-resolver.ts';
import { clientSocket } from './loopback.ts';

const asked = readQuery(query('web.example', A)) as Query;
const says = ({ bytes }: { bytes: Buffer }) => [
  answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data: Buffer.of(1, 2, 3, 4) })] }),
];
const SERVFAIL = 2;
const made: SocketMaker = async (kind, family) => clientSocket(kind, family);

const MAKERS: [string, (fake: Pick<FakeResolver, 'address' | 'port'>) => Resolver][] = [
  ['of the host', ({ address, port }) => hostResolver(address, { port })],
  ['of the container', ({ address, port }) => containerResolver(address, made, { port })],
];
for (const [whose, resolverAt] of MAKERS) {
  for (const address of LOOPBACKS)
    for (const protocol of ['udp', 'tcp'] as const)
      test(`${whose}: ${address} by ${protocol}`, async (t) => {
        const fake = await fakeResolver(t, says, address);
        const upstream = new Upstream([resolverAt(fake)]);
        t.teardown(() => upstream.close());
        for (let count = 0; count < 3; count++) {
          const answer = (await upstream.ask(asked, protocol)) as Buffer;
          t.is(answer.at(-1), 4);
        }
        t.deepEqual(
          fake.asked.map((each) => each.protocol),
          [protocol, protocol, protocol],
        );
      });

  for (const protocol of ['udp', 'tcp'] as const)
    test(`${whose}: nobody listens, by ${protocol}: the next is asked at once`, async (t) => {
      const socket = createSocket('udp4').bind(0, '127.0.0.1');
      await once(socket, 'listening');
      const { port } = socket.address();
      socket.close();
      const fake = await fakeResolver(t, says);
      const upstream = new Upstream([resolverAt({ address: '127.0.0.1', port }), resolverAt(fake)], {
        limits: { patience: 60_000 },
      });
      t.teardown(() => upstream.close());
      t.true(Buffer.isBuffer(await upstream.ask(asked, protocol)));
      // and so is a second time: what failed is not kept
      t.true(Buffer.isBuffer(await upstream.ask(asked, protocol)));
    });

  test(`${whose}: an answer from elsewhere is none`, async (t) => {
    // who sees the query and answers first, from an address that is not the resolver's
    const forger = createSocket('udp4').bind(0, '127.0.0.2');
    await once(forger, 'listening');
    t.teardown(() => forger.close());
    const forged = (bytes: Buffer) =>
      answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data: Buffer.of(6, 6, 6, 6) })] });
    const fake = await fakeResolver(t, async ({ bytes, port }) => {
      await new Promise((resolve) => forger.send(forged(bytes), port, '127.0.0.1', resolve));
      return says({ bytes });
    });
    const upstream = new Upstream([resolverAt(fake)]);
    t.teardown(() => upstream.close());
    t.is(((await upstream.ask(asked, 'udp')) as Buffer).at(-1), 4);
  });

  test(`${whose}: a resolver that closes the connection has no answer`, async (t) => {
    const fake = await fakeResolver(t, () => []);
    const upstream = new Upstream([resolverAt(fake)], { limits: { patience: 60_000 } });
    const query_ = fake.query();
    const answer = upstream.ask(asked, 'tcp');
    (await query_).close!();
    t.is(await answer, SERVFAIL);
    upstream.close();
  });

  test(`${whose}: many at once, each with its answer`, async (t) => {
    const fake = await fakeResolver(t, says);
    const upstream = new Upstream([resolverAt(fake)], { limits: { patience: 60_000 } });
    t.teardown(() => upstream.close());
    const queries = Array.from({ length: 100 }, (_, id) => readQuery(query(`name-${id}.example`, A, { id })) as Query);
    const answers = (await Promise.all(queries.map((each) => upstream.ask(each, 'udp')))) as Buffer[];
    t.true(answers.every((answer, id) => answer.readUInt16BE(0) === id && answer.includes(`name-${id}`)));
  });

  test(`${whose}: close lets go of what waits`, async (t) => {
    const fake = await fakeResolver(t, () => []);
    const upstream = new Upstream([resolverAt(fake)], { limits: { patience: 60_000 } });
    const [first] = [fake.query()];
    const answer = upstream.ask(asked, 'udp');
    await first;
    upstream.close();
    t.is(await answer, SERVFAIL);
  });
}

test('each query to a resolver of the host has a port of its own', async (t) => {
  const fake = await fakeResolver(t, says);
  const upstream = new Upstream([hostResolver(fake.address, { port: fake.port })]);
  await Promise.all(Array.from({ length: 20 }, () => upstream.ask(asked, 'udp')));
  t.is(new Set(fake.asked.map(({ port }) => port)).size, 20);
});

test('a burst of queries to a resolver of the container has one socket', async (t) => {
  const fake = await fakeResolver(t, says);
  let count = 0;
  const resolver = containerResolver(fake.address, (kind, family) => (count++, made(kind, family)), {
    port: fake.port,
  });
  const upstream = new Upstream([resolver]);
  await Promise.all(Array.from({ length: 20 }, () => upstream.ask(asked, 'udp')));
  await upstream.ask(asked, 'udp');
  t.is(count, 1);
  upstream.close();
});

for (const protocol of ['udp', 'tcp'] as const)
  test(`no socket can be made in the container, by ${protocol}: no answer`, async (t) => {
    const resolver = containerResolver('127.0.0.1', () => Promise.reject(new Error('it is gone')));
    t.is(await new Upstream([resolver], { limits: { patience: 60_000 } }).ask(asked, protocol), SERVFAIL);
  });

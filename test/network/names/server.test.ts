/** The server on real sockets, with dig as the judge of what it says. */
import { createConnection, type Socket } from 'node:net';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import type { AnswerPolicy } from '../../../src/network/names/kept-answer.ts';
import { hostResolver } from '../../../src/network/names/resolver-sockets.ts';
import { responder } from '../../../src/network/names/responder.ts';
import { startNameServer, type StreamLimits } from '../../../src/network/names/server.ts';
import { framed, MessageDecoder } from '../../../src/network/names/stream-messages.ts';
import { Upstream } from '../../../src/network/names/upstream.ts';
import { dig } from './dig.ts';
import { ASKER, NAMES } from './fake-names.ts';
import {
  A,
  AAAA,
  answerTo,
  ASKED,
  type Behaviour,
  CNAME,
  fakeResolver,
  type FakeResolver,
  hex,
  name,
  query,
  record,
  TXT,
} from './fake-resolver.ts';
import { ADDRESS, serverSockets } from './loopback.ts';

interface Options {
  resolvers?: FakeResolver[];
  names?: typeof NAMES;
  ndotsSet?: boolean;
  policy?: AnswerPolicy;
  limits?: Partial<StreamLimits>;
}

/** @returns its port, and what went wrong in it */
function serve(t: ExecutionContext, { resolvers = [], names = NAMES, ndotsSet = false, policy, limits }: Options = {}) {
  const { udp, tcp, port } = serverSockets();
  const problems: unknown[] = [];
  const upstream = new Upstream(
    resolvers.map(({ address, port: of }) => hostResolver(address, { port: of })),
    { limits: { patience: 60_000 } },
  );
  const problem = (error: unknown) => problems.push(error);
  const respond = responder({ names, asker: ASKER, upstream, ndotsSet, ...(policy && { policy }), problem });
  const server = startNameServer({ udp, tcp, respond, ...(limits && { limits }), problem });
  t.teardown(() => {
    server.close();
    upstream.close();
  });
  return { port, problems, server };
}

const ip = (text: string) => Buffer.from(text.split('.').map(Number));
/** a resolver out in the world */
const WORLD: Behaviour = ({ bytes, protocol }) => {
  const text = bytes.toString('latin1');
  const chain = [
    record({ owner: ASKED, type: CNAME, data: name('real.example') }),
    record({ owner: name('real.example'), type: A, data: ip('192.0.2.7') }),
  ];
  if (text.includes('alias')) return [answerTo(bytes, { answers: chain })];
  if (text.includes('long') && protocol === 'udp') return [answerTo(bytes, { flags: 0x8380 })];
  if (text.includes('nobody')) return [answerTo(bytes, { flags: 0x8183 })];
  if (text.includes('text'))
    return [answerTo(bytes, { answers: [record({ owner: ASKED, type: TXT, data: Buffer.from('\x05hello') })] })];
  return [answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data: ip('192.0.2.1') })] })];
};

const BACKWARDS = `6${'.0'.repeat(23)}.2.0.0.0.0.0.d.f.ip6.arpa`;
for (const [what, args, expected] of [
  [
    'A',
    ['web', 'A'],
    {
      status: 'NOERROR',
      flags: 'qr rd ra',
      answers: ['web. 600 IN A 172.18.0.2'],
      edns: 'version: 0, flags:; udp: 4096',
    },
  ],
  ['AAAA', ['web', 'AAAA'], { status: 'NOERROR', answers: ['web. 600 IN AAAA fd00:1::2'] }],
  ['name.network', ['web.front'], { status: 'NOERROR', answers: ['web.front. 600 IN A 172.18.0.2'] }],
  ['by TCP', ['web', '+tcp'], { status: 'NOERROR', answers: ['web. 600 IN A 172.18.0.2'] }],
  ['without EDNS', ['web', '+noedns'], { status: 'NOERROR', answers: ['web. 600 IN A 172.18.0.2'], edns: undefined }],
  [
    'with options of EDNS',
    ['web', '+subnet=10.0.0.0/8', '+cookie', '+nsid', '+dnssec'],
    { status: 'NOERROR', answers: ['web. 600 IN A 172.18.0.2'] },
  ],
  [
    'another version of EDNS',
    ['web', '+edns=1'],
    { status: 'BADVERS', answers: [], edns: 'version: 0, flags:; udp: 4096' },
  ],
  [
    'the case as it was asked',
    ['WeB.FRONT'],
    { status: 'NOERROR', question: ';WeB.FRONT. IN A', answers: ['WeB.FRONT. 600 IN A 172.18.0.2'] },
  ],
  ['no recursion asked', ['web', '+norecurse'], { status: 'NOERROR', flags: 'qr ra' }],
  ['without checks', ['web', '+cdflag'], { status: 'NOERROR', flags: 'qr rd ra cd' }],
  ['a known name without IPv6', ['pool', 'AAAA'], { status: 'NOERROR', answers: [] }],
  ['mail', ['web', 'MX'], { status: 'NOERROR', answers: [] }],
  [
    'backwards',
    ['-x', '172.18.0.2'],
    { status: 'NOERROR', answers: ['2.0.18.172.in-addr.arpa. 600 IN PTR web.front.'] },
  ],
  ['IPv6 backwards', ['-x', 'fd00:2::6'], { status: 'NOERROR', answers: [`${BACKWARDS}. 600 IN PTR six.back.`] }],
  ['unknown, and no resolver', ['x.example'], { status: 'SERVFAIL', flags: 'qr rd ra', answers: [] }],
  ['an update', ['+opcode=update', 'web'], { status: 'NOTIMP' }],
  ['a notification', ['+opcode=notify', 'web'], { status: 'NOTIMP' }],
] as const)
  test(`dig: ${what}`, async (t) => t.like(await dig(serve(t).port, ...args), expected as never));

test('dig: all addresses of a name', async (t) => {
  const { answers } = await dig(serve(t).port, 'pool');
  t.deepEqual(answers.sort(), ['pool. 600 IN A 172.18.0.3', 'pool. 600 IN A 172.18.0.4', 'pool. 600 IN A 172.18.0.5']);
});

test('dig: what has no room by UDP is asked for by TCP', async (t) => {
  const { port } = serve(t);
  const cut = await dig(port, 'many', '+bufsize=512', '+ignore');
  t.is(cut.flags, 'qr tc rd ra');
  t.is(cut.answers.length, 29);
  t.is((await dig(port, 'many', '+bufsize=512')).answers.length, 100);
  t.like(await dig(port, 'many', '+bufsize=4096', '+ignore'), { flags: 'qr rd ra', answers: { length: 100 } });
});

for (const [what, args, expected] of [
  ['a name', ['x.example'], { status: 'NOERROR', answers: ['x.example. 300 IN A 192.0.2.1'] }],
  ['by TCP', ['x.example', '+tcp'], { status: 'NOERROR', answers: ['x.example. 300 IN A 192.0.2.1'] }],
  ['a name of one label', ['x'], { status: 'NOERROR', answers: ['x. 300 IN A 192.0.2.1'] }],
  [
    'the case',
    ['X.exAMPle'],
    { status: 'NOERROR', question: ';X.exAMPle. IN A', answers: ['X.exAMPle. 300 IN A 192.0.2.1'] },
  ],
  [
    'a CNAME',
    ['alias.example'],
    { status: 'NOERROR', answers: ['alias.example. 300 IN CNAME real.example.', 'real.example. 300 IN A 192.0.2.7'] },
  ],
  ['no such name', ['nobody.example'], { status: 'NXDOMAIN' }],
  ['another type', ['text.example', 'TXT'], { status: 'NOERROR', answers: ['text.example. 300 IN TXT "hello"'] }],
  ['another type of a known name', ['web', 'TXT'], { status: 'NOERROR' }],
  ['another class', ['version.bind', 'CH', 'A'], { status: 'NOERROR' }],
  ['cut by the resolver', ['long.example', '+ignore'], { status: 'NOERROR', flags: 'qr tc rd ra' }],
  [
    'cut by the resolver, then by TCP',
    ['long.example'],
    { status: 'NOERROR', flags: 'qr rd ra', answers: ['long.example. 300 IN A 192.0.2.1'] },
  ],
] as const)
  test(`passed on: ${what}`, async (t) => {
    const world = await fakeResolver(t, WORLD);
    t.like(await dig(serve(t, { resolvers: [world] }).port, ...args), expected as never);
  });

test('passed on: EDNS as the client has it', async (t) => {
  const world = await fakeResolver(t, WORLD);
  await dig(serve(t, { resolvers: [world] }).port, 'x.example', '+bufsize=1400', '+dnssec', '+cookie=1122334455667788');
  // type 41, 1400 bytes, DO, and the cookie as an option
  t.true(
    world.asked[0]!.bytes.includes(Buffer.from(hex('00 0029 0578 00008000 000c 000a0008 1122334455667788'), 'hex')),
  );
});

test('a resolver that fails gives way to the next', async (t) => {
  const bad = await fakeResolver(t, ({ bytes }) => [answerTo(bytes, { flags: 0x8182 })]);
  const refuses = await fakeResolver(t, ({ bytes }) => [answerTo(bytes, { flags: 0x8185 })]);
  const good = await fakeResolver(t, WORLD);
  t.like(await dig(serve(t, { resolvers: [bad, refuses, good] }).port, 'x.example'), {
    answers: ['x.example. 300 IN A 192.0.2.1'],
  });
  t.like(await dig(serve(t, { resolvers: [bad, refuses] }).port, 'x.example'), { status: 'SERVFAIL' });
});

test('ndots: a name of one label goes nowhere, one of two does', async (t) => {
  const world = await fakeResolver(t, WORLD);
  const { port } = serve(t, { resolvers: [world], ndotsSet: true });
  t.like(await dig(port, 'x'), { status: 'NOERROR', answers: [] });
  t.is(world.asked.length, 0);
  t.like(await dig(port, 'x.example'), { answers: ['x.example. 300 IN A 192.0.2.1'] });
});

test('names that cannot be looked up are a failure, told to whoever runs the server', async (t) => {
  const error = new Error('the database is damaged');
  const broken = {
    ...NAMES,
    lookup: () => {
      throw error;
    },
  };
  const { port, problems } = serve(t, { names: broken });
  t.like(await dig(port, 'web'), { status: 'SERVFAIL' });
  t.deepEqual(problems, [error]);
});

const policy: AnswerPolicy = {
  allow: (asked) => asked.endsWith('.example'),
  onAnswer: async (_name, addresses) => addresses.filter(({ address }) => !address.startsWith('10.')),
  maxTtl: 60,
};

test('a policy: what may not be asked for is not there, and nobody hears of it', async (t) => {
  const world = await fakeResolver(t, WORLD);
  const { port } = serve(t, { resolvers: [world], policy });
  t.like(await dig(port, 'secret.attacker'), { status: 'NXDOMAIN', answers: [] });
  t.is(world.asked.length, 0);
  t.like(await dig(port, 'web'), { answers: ['web. 600 IN A 172.18.0.2'] });
});

test('a policy: CNAMEs are followed, times are short, other addresses are cut', async (t) => {
  const chain = ({ bytes }: { bytes: Buffer }) => [
    answerTo(bytes, {
      answers: [
        record({ owner: ASKED, type: CNAME, data: name('real.example') }),
        record({ owner: name('real.example'), type: A, data: ip('192.0.2.7') }),
        record({ owner: name('real.example'), type: A, data: ip('10.0.0.1') }),
        record({ owner: name('else.example'), type: A, data: ip('192.0.2.66') }),
      ],
    }),
  ];
  const world = await fakeResolver(t, chain);
  t.like(await dig(serve(t, { resolvers: [world], policy }).port, 'alias.example'), {
    status: 'NOERROR',
    answers: ['alias.example. 60 IN CNAME real.example.', 'real.example. 60 IN A 192.0.2.7'],
  });
});

test('a policy: the answer leaves when the addresses are dealt with', async (t) => {
  const world = await fakeResolver(t, WORLD);
  const steps: string[] = [];
  const slow: AnswerPolicy = {
    ...policy,
    onAnswer: async (asked, addresses) => {
      steps.push(`${asked} ${addresses.map(({ address, ttl }) => `${address} ${ttl}`).join()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      steps.push('dealt with');
      return addresses;
    },
  };
  await dig(serve(t, { resolvers: [world], policy: slow }).port, 'x.example');
  steps.push('answered');
  t.deepEqual(steps, ['x.example 192.0.2.1 300', 'dealt with', 'answered']);
});

test('a policy that fails is a failure', async (t) => {
  const world = await fakeResolver(t, WORLD);
  const error = new Error('no rule could be made');
  const failing = { ...policy, onAnswer: () => Promise.reject(error) };
  const { port, problems } = serve(t, { resolvers: [world], policy: failing });
  t.like(await dig(port, 'x.example'), { status: 'SERVFAIL', answers: [] });
  t.deepEqual(problems, [error]);
});

async function connect(t: ExecutionContext, port: number): Promise<Socket> {
  const socket = createConnection({ host: ADDRESS, port, allowHalfOpen: true });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** the answers that come until the connection ends */
async function received(socket: Socket): Promise<Buffer[]> {
  const decoder = new MessageDecoder();
  const messages: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => messages.push(...decoder.push(chunk)));
  socket.on('end', () => socket.end());
  // whether by an end or by a reset
  await new Promise((resolve) => socket.on('close', resolve));
  return messages;
}

test('by TCP: many queries at once, in their order; the last before the client’s end', async (t) => {
  const socket = await connect(t, serve(t).port);
  socket.end(Buffer.concat(Array.from({ length: 500 }, (_, id) => framed(query('web', A, { id })))));
  const answers = await received(socket);
  t.deepEqual(
    answers.map((answer) => answer.readUInt16BE(0)),
    Array.from({ length: 500 }, (_, id) => id),
  );
});

test('by TCP: a byte at a time', async (t) => {
  const socket = await connect(t, serve(t).port);
  socket.setNoDelay(true);
  for (const byte of framed(query('web', A))) {
    socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  t.is((await received(socket)).length, 1);
});

test('by TCP: what is no query has no answer, and the next one has', async (t) => {
  const socket = await connect(t, serve(t).port);
  socket.end(Buffer.concat([Buffer.from('nonsense'), query('web', A)].map(framed)));
  t.is((await received(socket)).length, 1);
});

for (const [what, sent] of [
  ['says nothing', Buffer.alloc(0)],
  ['stops in the middle of a query', framed(query('web', A)).subarray(0, 9)],
  ['stops after a query', framed(query('web', A))],
] as const)
  test(`by TCP: a client that ${what} is let go of`, async (t) => {
    const socket = await connect(t, serve(t, { limits: { patience: 50 } }).port);
    socket.write(sent);
    await received(socket);
    t.pass();
  });

test('by TCP: a client that sends a byte now and then has no more time', async (t) => {
  const socket = await connect(t, serve(t, { limits: { patience: 200 } }).port);
  const bytes = framed(query('web', A));
  let at = 0;
  const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 50);
  t.teardown(() => clearInterval(timer));
  t.deepEqual(await received(socket), []);
  t.true(at < bytes.length);
});

test('by TCP: a client that takes no answers is let go of, and holds little', async (t) => {
  const { port } = serve(t, { limits: { patience: 500 } });
  const socket = await connect(t, port);
  socket.pause();
  const queries = Buffer.concat(Array.from({ length: 1000 }, () => framed(query('many', A))));
  const write = () => !socket.destroyed && socket.write(queries, (error) => !error && write());
  write();
  await new Promise((resolve) => socket.once('error', resolve));
  // much was sent in vain: the server had stopped reading
  t.true(socket.bytesWritten < 64 * 1024 * 1024);
});

test('by TCP: the time that a resolver takes is not the client’s', async (t) => {
  const slow = await fakeResolver(t, async (asked) => {
    await new Promise((resolve) => setTimeout(resolve, 300));
    return WORLD(asked);
  });
  const socket = await connect(t, serve(t, { resolvers: [slow], limits: { patience: 100 } }).port);
  socket.write(framed(query('x.example', A)));
  t.is((await received(socket)).length, 1);
});

test('by TCP: over the bound connections are closed as they come', async (t) => {
  const { port } = serve(t, { limits: { connections: 2 } });
  const first = await connect(t, port);
  const second = await connect(t, port);
  // both are the server's when both are answered
  for (const socket of [first, second]) {
    socket.write(framed(query('web', AAAA)));
    await once(socket, 'data');
  }
  t.deepEqual(await received(await connect(t, port)), []);
  first.destroy();
  second.write(framed(query('web', A)));
  await once(second, 'data');
  const again = await connect(t, port);
  again.end(framed(query('web', A)));
  t.is((await received(again)).length, 1);
});

test('close ends its connections, and can be called again', async (t) => {
  const { port, server } = serve(t);
  const socket = await connect(t, port);
  socket.write(framed(query('web', A)));
  await once(socket, 'data');
  server.close();
  server.close();
  await received(socket);
  t.is((await dig(port, 'web', '+time=1')).status, 'none');
});

/** The names of a container in a VM, out of the records of networks, with a guest's end that is the test's own. */
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { NAME_FRAME } from '../../../src/agent-protocol.ts';
import { connectedSocket } from '../../../src/host/streams/inet-socket.ts';
import { type MachineNames, openMachineNames, serveMachineNames } from '../../../src/network/attach/machine-names.ts';
import { HandedSocket } from '../../../src/network/names/handed-resolver.ts';
import { addressOfBytes } from '../../../src/network/names/address.ts';
import { type Frame, FrameDecoder, encodeFrame, HOST_SAYS } from '../../../src/network/names/relay-frames.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { A, answerTo, ASKED, fakeResolver, PTR, query, record } from '../names/fake-resolver.ts';
import { network, openRecords } from '../records/fixture.ts';

/** A machine `me` beside a container `web`, which has an alias. @returns what it is told for each question */
function machine(t: ExecutionContext, names: Partial<MachineNames> = {}, sockets: readonly HandedSocket[] = []) {
  const { database, records } = openRecords();
  const made = network('front');
  records.insert(made);
  for (const [containerId, own] of [
    ['me', ['me']],
    ['web', ['web', 'alias']],
  ] as const)
    lease(database, {
      network: made,
      containerId,
      interface: 'eth0',
      wanted: {},
      names: [...own],
      claim: identifySelf(),
    });
  const [guest, host] = duplexPair();
  t.teardown(() => guest.destroy());
  serveMachineNames(host, {
    names: { resolvers: [], ndotsSet: false, forward: true, ...names },
    sockets,
    database,
    containerId: 'me',
    problem: (error) => t.fail(String(error)),
  });
  const decoder = new FrameDecoder(HOST_SAYS);
  const heard: Frame[] = [];
  guest.on('data', (chunk: Buffer) => heard.push(...decoder.push(chunk)));
  return async (name: string, type = A, kind: 1 | 2 = NAME_FRAME.QUERY_UDP) => {
    guest.write(encodeFrame(kind, 1, query(name, type)));
    while (heard.length === 0) await once(guest, 'data');
    return heard.shift()!;
  };
}

const address = ({ content }: Frame) => addressOfBytes(content.subarray(-4));
/** what the guest is asked to ask */
const asked = ({ kind, content }: Frame) => [kind, content.toString('latin1', 1, 1 + content[0]!)];

test('names, aliases, name.network and backwards', async (t) => {
  const ask = machine(t);
  for (const name of ['web', 'alias', 'web.front', 'WEB']) t.is(address(await ask(name)), '10.0.0.3', name);
  t.is(address(await ask('me')), '10.0.0.2');
  t.true((await ask('3.0.0.10.in-addr.arpa', PTR)).content.includes(Buffer.from('\x03web\x05front\0')));
});

test('what no network knows is asked by the socket that was handed over', async (t) => {
  const world = await fakeResolver(t, ({ bytes }) => [
    answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data: Buffer.of(192, 0, 2, 1) })] }),
  ]);
  const fd = connectedSocket(world.address, world.port);
  t.teardown(() => fd.close());
  const ask = machine(t, { resolvers: [{ address: '192.0.2.53', from: 'host', socket: 0 }] }, [
    new HandedSocket(fd.number),
  ]);
  t.is(address(await ask('x.example')), '192.0.2.1');
  // by TCP the socket is of no use
  t.deepEqual(asked(await ask('x.example', A, NAME_FRAME.QUERY_TCP)), [NAME_FRAME.ASK_TCP, '192.0.2.53']);
});

for (const [what, resolver, expected] of [
  ['of --dns', { address: '192.0.2.54', from: 'container' }, '192.0.2.54'],
  ['of the host without a way to it', { address: '192.0.2.53', from: 'host' }, '192.0.2.53'],
  [
    'on the host’s loopback, where the network’s way out answers',
    { address: '127.0.0.53', from: 'host' },
    '169.254.1.1',
  ],
] as const)
  test(`a resolver ${what} is asked by the guest`, async (t) => {
    t.deepEqual(asked(await machine(t, { resolvers: [resolver] })('x.example')), [NAME_FRAME.ASK_UDP, expected]);
  });

test('on internal networks alone the host’s resolvers are not asked, and its own still are', async (t) => {
  const internal = machine(t, { forward: false, resolvers: [{ address: '192.0.2.53', from: 'host' }] });
  t.is((await internal('x.example')).content[3]! & 0xf, 2);
  const own = machine(t, { forward: false, resolvers: [{ address: '10.0.0.9', from: 'container' }] });
  t.deepEqual(asked(await own('x.example')), [NAME_FRAME.ASK_UDP, '10.0.0.9']);
});

test('sockets are opened for the host’s resolvers that there is a way to, three at most', (t) => {
  const given = ['127.0.0.1', '127.0.0.2', '255.255.255.255', '127.0.0.4'].map(
    (each) => ({ address: each, from: 'host' }) as const,
  );
  const opened = openMachineNames([network('front')], { resolvers: given, ndotsSet: true })!;
  for (const socket of opened.sockets) socket.close();
  t.is(opened.sockets.length, 2);
  t.deepEqual(opened.names, {
    resolvers: [
      { address: '127.0.0.1', from: 'host', socket: 0 },
      { address: '127.0.0.2', from: 'host', socket: 1 },
      { address: '255.255.255.255', from: 'host' },
    ],
    ndotsSet: true,
    forward: true,
  });
  const dns = openMachineNames([network('front', { internal: true })], {
    resolvers: [{ address: '127.0.0.1', from: 'container' }],
    ndotsSet: false,
  })!;
  t.deepEqual([dns.sockets.length, dns.names.forward], [0, false]);
});

test('on the default network there are no names', (t) => {
  t.is(openMachineNames([network('bridge')], { resolvers: [], ndotsSet: false }), undefined);
});

/** Sockets of IP made for another process: Node, which is given their number, can use them, and what they refuse. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import test from 'ava';
import { boundSocket } from '../../../src/host/streams/inet-socket.ts';

test('of TCP: listens at once, without anybody who accepts', async (t) => {
  const socket = boundSocket('tcp', '127.0.0.1', 0);
  const server = createServer((client) => client.end('here')).listen({ fd: socket.release() });
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const [text] = await once(connect(port, '127.0.0.1'), 'data');
  t.is(String(text), 'here');
  server.close();
});

for (const [address, other] of [
  ['0.0.0.0', '::'],
  ['::', '0.0.0.0'],
] as const)
  test(`${address} leaves ${other} to others, and is nobody's twice`, async (t) => {
    const server = createServer().listen({ port: 0, host: other, ipv6Only: true });
    await once(server, 'listening');
    t.teardown(() => server.close());
    const { port } = server.address() as { port: number };
    for (const protocol of ['tcp', 'udp'] as const) {
      using first = boundSocket(protocol, address, port);
      t.false(first.closed);
      t.throws(() => boundSocket(protocol, address, port), { name: 'SyscallError', code: 'EADDRINUSE' });
    }
  });

test('what is no address of this host, and what is none at all', (t) => {
  t.throws(() => boundSocket('tcp', '192.0.2.77', 0), { name: 'SyscallError', code: 'EADDRNOTAVAIL' });
  t.throws(() => boundSocket('udp', '2001:db8::77', 0), { name: 'SyscallError', code: 'EADDRNOTAVAIL' });
  t.throws(() => boundSocket('tcp', '127.0.0.256', 0), { name: 'TypeError' });
});

/** Which connections of a copied container are to other hosts; and that one is ended whoever has it open. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import test from 'ava';
import { outsideConnections } from '../../src/guest-agent/connections.ts';
import { descriptorOfProcess, pidfdOpen } from '../../src/host/kernel/process.ts';
import { disconnect } from '../../src/host/streams/inet-socket.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const line = (local: string, state: string, inode: number) =>
  `   0: ${local}:1F90 0200000A:0050 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0\n`;

const CASES: [what: string, text: string, inodes: string[]][] = [
  ['an established one', line('0300000A', '01', 7), ['7']],
  ['one that is being made', line('0300000A', '02', 7), ['7']],
  ['a listening socket', line('00000000', '0A', 7), []],
  ['one within the container', line('0100007F', '01', 7), []],
  ['one of any address of the loopback', line('0200017F', '01', 7), []],
  ['one that nobody has open any more', line('0300000A', '06', 0), []],
  ['an IPv6 one', line('000000FD000000000000000002000000', '01', 8), ['8']],
  ['an IPv6 one within the container', line('00000000000000000000000001000000', '01', 8), []],
  ['an IPv4 one of an IPv6 socket within the container', line('0000000000000000FFFF00000100007F', '01', 8), []],
  ['an IPv4 one of an IPv6 socket', line('0000000000000000FFFF00000300000A', '01', 8), ['8']],
  ['half a line', '   0: 0300000A:1F90 0200000A:0050 01\n', []],
];
for (const [what, text, inodes] of CASES)
  test(`to another host or not: ${what}`, (t) => t.deepEqual(outsideConnections(HEAD + text), inodes));

test('a connection of another process is ended for it', async (t) => {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = connect(port, '127.0.0.1');
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
    [Socket],
    unknown,
  ];
  const ended = once(accepted.resume(), 'error').then(([error]) => (error as NodeJS.ErrnoException).code);
  // another process has the connection as its fd 3, and this one no more
  const child = spawn('/bin/sleep', ['600'], { stdio: ['ignore', 'ignore', 'ignore', client] });
  t.teardown(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  client.destroy();
  using process = pidfdOpen(child.pid!);
  using socket = descriptorOfProcess(process.number, 3);
  disconnect(socket.number);
  t.is(await ended, 'ECONNRESET');
});

/**
 * In a network namespace of its own: brings the loopback device up, makes a name server's sockets there, gives them
 * away by descriptor 3, asks by dig once told on which way, and prints what dig said.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readSync } from 'node:fs';
import { send } from '../../../src/host/streams/socket.ts';
import { ADDRESS, serverSockets } from './loopback.ts';

execFileSync('ip', ['link', 'set', 'lo', 'up']);
const { udp, tcp, port } = serverSockets();
send(3, Buffer.from('sockets'), [udp.number, tcp.number]);
udp.close();
tcp.close();
// until the server runs
readSync(0, Buffer.alloc(1), 0, 1, null);
for (const way of ['+notcp', '+tcp']) {
  const { stdout } = spawnSync('dig', [
    '-r',
    `@${ADDRESS}`,
    '-p',
    String(port),
    '+short',
    '+tries=1',
    way,
    'web',
    'x.example',
  ]);
  process.stdout.write(stdout);
}

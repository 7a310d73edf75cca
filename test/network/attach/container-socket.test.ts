/** Sockets of a container's network namespace, had by a process that is in another. */
import test from 'ava';
import { readFileSync } from 'node:fs';
import { localPort } from '../../../src/host/streams/inet-socket.ts';
import { networkCookie } from '../../../src/host/streams/socket.ts';
import { openContainerSocket } from '../../../src/network/attach/container-socket.ts';
import { openEndpointSockets } from '../../../src/network/namespace.ts';
import { ABLE, CANNOT, namespace } from './container-namespace.ts';

const real = ABLE ? test : test.skip;

for (const [kind, family, table] of [
  ['udp', 4, 'udp'],
  ['udp', 6, 'udp6'],
] as const)
  real(`${kind} of IPv${family}: bound in the container, and listed there alone${CANNOT}`, async (t) => {
    const container = await namespace(t);
    using socket = await openContainerSocket(container.pid, kind, family);
    const port = localPort(socket).toString(16).toUpperCase().padStart(4, '0');
    const listed = (pid: number | 'self') =>
      new RegExp(`:${port} `).test(readFileSync(`/proc/${pid}/net/${table}`, 'latin1'));
    t.deepEqual([listed(container.pid), listed('self')], [true, false]);
  });

for (const family of [4, 6] as const)
  real(`tcp of IPv${family}: of the container's namespace, and no listener${CANNOT}`, async (t) => {
    const container = await namespace(t);
    using socket = await openContainerSocket(container.pid, 'tcp', family);
    // listeners have state 0A; before the endpoint's own, of which the process that made it holds a copy a little
    // longer
    for (const table of ['tcp', 'tcp6'])
      t.notRegex(readFileSync(`/proc/${container.pid}/net/${table}`, 'latin1'), /^ *\d+: \S+ \S+ 0A /m);
    const sockets = await openEndpointSockets(container.pid);
    t.is(networkCookie(socket.number), networkCookie(sockets.udp!.number));
    for (const fd of Object.values(sockets)) fd.close();
  });

test('a container that has ended has none', async (t) => {
  // no process of this number: /proc/sys/kernel/pid_max is at most 2^22
  await t.throwsAsync(openContainerSocket(2 ** 22 + 1, 'udp', 4));
});

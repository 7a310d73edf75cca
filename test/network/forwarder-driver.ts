/**
 * Cases of the forwarder, carried out in a host of its own (forwarder-lab.ts); each prints one line of JSON: its name
 * and what came of it. Started by forwarder.test.ts, which says what is right. Not a test itself.
 */
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Socket } from 'node:net';
import { createHash } from 'node:crypto';
import { bindPorts, type BoundPorts, type PortMapping } from '../../src/network/ports/bind.ts';
import { endForwarder, startForwarder, type ForwardedPort, type Forwarder } from '../../src/network/forwarder.ts';
import { NET_PROGRAM } from '../../src/program.ts';
import * as server from './container-server.ts';
import { CLIENT4, CLIENT6, CLIENT_OF_SUBNET, HOST4, HOST6, makeLab, NETWORK4, NETWORK6 } from './forwarder-lab.ts';

using lab = await makeLab();

/** Publishes ports of the container, by IPv4 and IPv6 of the host, each to the container's address of that family. */
async function publish(
  mappings: PortMapping[],
  options: { plain?: boolean; only4?: boolean; program?: string; detached?: boolean } = {},
): Promise<{ forwarder: Forwarder; bound: BoundPorts; port: (container: number, nth?: number) => number }> {
  const bound = bindPorts(mappings);
  const ports = bound.assigned.map(({ protocol, containerPort, hostAddress }, index): ForwardedPort => {
    const network = hostAddress === '::' && !options.only4 ? NETWORK6 : NETWORK4;
    return { socket: bound.sockets[index]!, protocol, port: containerPort, ...network };
  });
  const { users, namespace } = lab;
  const { plain = false, detached = false, program } = options;
  const forwarder = await startForwarder({ users, namespace, ports, plain, detached, ...(program && { program }) });
  const port = (container: number, nth = 0) =>
    bound.assigned.filter(({ containerPort, hostAddress }) => containerPort === container && hostAddress === '0.0.0.0')[
      nth
    ]!.hostPort;
  return { forwarder, bound, port };
}

const SANITIZED = NET_PROGRAM.endsWith('-asan');
const tcp = (containerPort: number): PortMapping => ({ protocol: 'tcp', containerPort, hostAddress: '' });
const udp = (containerPort: number): PortMapping => ({ protocol: 'udp', containerPort, hostAddress: '' });

/** What a connection says until its end, or the code of its error. */
async function talk(
  options: { port: number; host: string; localAddress?: string; localPort?: number },
  write?: (socket: Socket) => Promise<void> | void,
): Promise<string> {
  const socket = connect({ allowHalfOpen: true, ...options });
  let text = '';
  socket.setEncoding('latin1').on('data', (part) => (text += part));
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.on('error', (error) => resolve((error as NodeJS.ErrnoException).code!)).on('end', () => resolve(text));
  await write?.(socket);
  const result = await promise;
  socket.destroy();
  return result;
}

async function datagrams(address: string, port = 0): Promise<Datagrams> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

/** Asks until there is an answer: a datagram may be lost. A connected socket takes none from another address. */
async function ask(socket: Datagrams, port: number, host: string, text = 'hello'): Promise<string> {
  if (!isConnected(socket)) {
    socket.connect(port, host);
    await once(socket, 'connect');
  }
  const answer = once(socket, 'message');
  socket.send(text);
  const again = setInterval(() => socket.send(text), 500);
  try {
    return String((await answer)[0]);
  } finally {
    clearInterval(again);
  }
}

function isConnected(socket: Datagrams): boolean {
  try {
    return socket.remoteAddress() !== undefined;
  } catch {
    return false;
  }
}

async function until(done: () => boolean): Promise<boolean> {
  for (const end = performance.now() + 60_000; performance.now() < end;) {
    if (done()) return true;
    await new Promise((after) => setTimeout(after, 5));
  }
  return done();
}

const read = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
};
const isGone = (pid: number) => read(pid, 'status') === '' || /^State:\tZ/m.test(read(pid, 'status'));
const workerOf = (pid: number): number => Number(read(pid, `task/${pid}/children`).trim().split(' ')[0]);
const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

const say = (name: string, value: unknown) => console.log(JSON.stringify({ name, value }));

const { forwarder, bound, port } = await publish([
  tcp(server.WHO),
  tcp(server.WHO),
  tcp(server.SINK),
  tcp(server.SOURCE),
  tcp(server.RESET),
  tcp(server.ECHO),
  tcp(server.STUCK),
  tcp(server.READ_NOW),
  tcp(server.NOBODY),
  udp(server.DATAGRAMS),
  udp(server.DATAGRAMS),
]);
const who = port(server.WHO);
const idle = descriptors(workerOf(forwarder.pid));

say('who, IPv4', await talk({ port: who, host: HOST4, localAddress: CLIENT4, localPort: 33_333 }));
say('who, IPv6', await talk({ port: who, host: HOST6, localAddress: CLIENT6, localPort: 33_334 }));
const address = (answer: string) => answer.split(' ')[0];
say('who, loopback', address(await talk({ port: who, host: '127.0.0.1' })));
say('who, loopback of IPv6', address(await talk({ port: who, host: '::1' })));
say('who, of the own subnet', address(await talk({ port: who, host: HOST4, localAddress: CLIENT_OF_SUBNET })));

{
  // one name of a client, three connections at once: to another port of the container, and twice to the same
  const name = { host: HOST4, localAddress: CLIENT4, localPort: 33_335 };
  const held = connect({ ...name, port: port(server.ECHO) });
  held.write('x');
  await once(held, 'data');
  const first = connect({ ...name, port: who, allowHalfOpen: true });
  const [seen] = await once(first, 'data');
  say('one name to two ports', String(seen));
  const second = await talk({ ...name, port: port(server.WHO, 1) });
  say('one name twice to one port', [address(second), second.split(' ')[1] !== '33335']);
  first.destroy();
  held.destroy();
}

say(
  'half-close, to the container',
  (await talk({ port: port(server.SINK), host: HOST4, localAddress: CLIENT4 }, async (socket) => {
    await server.writePatterns(socket, server.AMOUNT);
    socket.end();
  })) === server.digestOf(server.AMOUNT),
);

async function digestOfSource(host: string): Promise<string> {
  const hash = createHash('sha256');
  let amount = 0;
  const socket = connect({ port: port(server.SOURCE), host });
  for await (const part of socket as AsyncIterable<Buffer>) {
    hash.update(part);
    amount += part.length;
  }
  return `${amount} ${hash.digest('hex')}`;
}
say('64 MiB from the container', (await digestOfSource(HOST6)) === server.digestOf(server.AMOUNT));

say('nobody listens', await talk({ port: port(server.NOBODY), host: HOST4 }));
say('the container resets', await talk({ port: port(server.RESET), host: HOST4 }, (socket) => void socket.write('x')));
{
  const socket = connect({ port: port(server.ECHO), host: HOST4 });
  socket.write('x');
  await once(socket, 'data');
  socket.resetAndDestroy();
  say('the client resets', await lab.said());
}

{
  // more connections than there are buffers, each with more than sockets take, and nobody reads
  const amount = 5 * server.MIB;
  const sockets = Array.from({ length: 40 }, () =>
    connect({ port: port(server.STUCK), host: '127.0.0.1', allowHalfOpen: true }),
  );
  const answers = sockets.map(async (socket) => String((await once(socket, 'data'))[0]));
  for (const socket of sockets) void server.writePatterns(socket, amount).then(() => socket.end());
  await until(() => sockets.every((socket) => socket.writableNeedDrain));
  const whole = server.digestOf(server.AMOUNT);
  say('others go on while 40 are stuck', (await digestOfSource(HOST4)) === whole);
  const before = Number(/^VmRSS:\s+(\d+)/m.exec(read(workerOf(forwarder.pid), 'status'))?.[1]) * 1024;
  say('memory while 40 are stuck', before);
  await talk({ port: port(server.READ_NOW), host: HOST4 });
  const right = server.digestOf(amount);
  say(
    'what was stuck arrives',
    (await Promise.all(answers)).every((answer) => answer === right),
  );
  for (const socket of sockets) socket.destroy();
}

{
  const socket = await datagrams(CLIENT4, 33_336);
  say('datagrams, IPv4', await ask(socket, port(server.DATAGRAMS), HOST4));
  // the same name, the same place, another published port
  const other = port(server.DATAGRAMS, 1);
  socket.disconnect();
  const [seen, shown] = (await ask(socket, other, HOST4)).split(' ');
  say('datagrams, one name twice to one port', [seen, shown !== '33336']);
  socket.close();
  const six = await datagrams(CLIENT6, 33_337);
  say('datagrams, IPv6', await ask(six, port(server.DATAGRAMS), HOST6));
  // the host's other address was asked
  six.disconnect();
  say('datagrams, to another address', await ask(six, port(server.DATAGRAMS), CLIENT6));
  six.close();
  const local = await datagrams('127.0.0.1');
  say('datagrams, loopback', address(await ask(local, port(server.DATAGRAMS), '127.0.0.1')));
  say('datagrams, empty', (await ask(local, port(server.DATAGRAMS), '127.0.0.1', '')).split(' ')[2]);
  local.close();
}

{
  // more clients than a port has flows, each answered, and the first again when its flow has made room
  const sockets = await Promise.all(Array.from({ length: 1100 }, () => datagrams('127.0.0.1')));
  let answered = 0;
  for (const [index, socket] of sockets.entries())
    if ((await ask(socket, port(server.DATAGRAMS), '127.0.0.1', `${index}`)).endsWith(` ${index}`)) answered++;
  say('1100 clients', answered);
  const open = descriptors(workerOf(forwarder.pid)) - idle;
  say('flows of 1100 clients', [open >= 1000, open <= 1032]);
  say('the first one again', (await ask(sockets[0]!, port(server.DATAGRAMS), '127.0.0.1', 'again')).endsWith(' again'));
  for (const socket of sockets) socket.close();
  // after three minutes; those of the sanitized program after three seconds
  const worker = workerOf(forwarder.pid);
  say('flows end when they are idle', !SANITIZED || (await until(() => descriptors(worker) <= idle)));
}

{
  const worker = workerOf(forwarder.pid);
  const status = read(worker, 'status');
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1];
  say(
    'confined',
    ['CapEff', 'CapPrm', 'CapInh', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'].map((name) => field(name)),
  );
  const held = connect({ port: port(server.ECHO), host: HOST4 });
  held.write('x');
  await once(held, 'data');
  held.on('error', () => {});
  process.kill(worker, 'SIGKILL');
  const closed = once(held, 'close');
  say('after a worker is killed', [
    await talk({ port: who, host: HOST4, localAddress: CLIENT4, localPort: 33_338 }),
    workerOf(forwarder.pid) !== worker,
  ]);
  await closed;
  const next = workerOf(forwarder.pid);
  await forwarder.close();
  say('closed', [isGone(forwarder.pid), await until(() => isGone(next))]);
  bound[Symbol.dispose]();
  say('nobody listens any more', await talk({ port: who, host: HOST4 }));
}

{
  const plain = await publish([tcp(server.WHO), udp(server.DATAGRAMS)], { plain: true });
  say('plain', address(await talk({ port: plain.port(server.WHO), host: HOST4, localAddress: CLIENT4 })));
  const socket = await datagrams(CLIENT4);
  say('plain, datagrams', address(await ask(socket, plain.port(server.DATAGRAMS), HOST4)));
  socket.close();
  say('plain, confined', /^CapPrm:\s+(\S+)/m.exec(read(workerOf(plain.forwarder.pid), 'status'))?.[1]);
  const worker = workerOf(plain.forwarder.pid);
  process.kill(plain.forwarder.pid, 'SIGKILL');
  await plain.forwarder.ended;
  say('its first process killed', await until(() => isGone(worker)));
  plain.bound[Symbol.dispose]();
}

{
  const kept = await publish([tcp(server.WHO)], { detached: true });
  kept.bound[Symbol.dispose]();
  const worker = workerOf(kept.forwarder.pid);
  process.kill(kept.forwarder.pid, 'SIGKILL');
  await kept.forwarder.ended;
  const served = address(await talk({ port: kept.port(server.WHO), host: HOST4, localAddress: CLIENT4 }));
  say('detached, its first process killed', [served, isGone(worker)]);
  await endForwarder(kept.forwarder.control);
  say('detached, ended', await until(() => isGone(worker)));
  const whole = await publish([tcp(server.WHO)], { detached: true });
  whole.bound[Symbol.dispose]();
  const first = workerOf(whole.forwarder.pid);
  await endForwarder(whole.forwarder.control);
  say('detached, ended whole', [isGone(first), await talk({ port: whole.port(server.WHO), host: HOST4 })]);
}

{
  const other = await publish([tcp(server.WHO)], { only4: true });
  say('of the other family', address(await talk({ port: other.port(server.WHO), host: HOST6, localAddress: CLIENT6 })));
  await other.forwarder.close();
  other.bound[Symbol.dispose]();
}

{
  const many = await publish(Array.from({ length: 100 }, () => tcp(server.WHO)));
  const answers = await Promise.all(
    many.bound.assigned.map(async ({ hostPort, hostAddress }) =>
      address(
        await talk({
          port: hostPort,
          host: hostAddress === '::' ? HOST6 : HOST4,
          localAddress: hostAddress === '::' ? CLIENT6 : CLIENT4,
        }),
      ),
    ),
  );
  say('200 sockets', [...new Set(answers)]);
  await many.forwarder.close();
  many.bound[Symbol.dispose]();
}

{
  // 200 descriptors: 66 are for the sockets and whatever else, so 67 connections, of which one port has three quarters
  const folder = mkdtempSync('/var/tmp/husk-forwarder-');
  const program = join(folder, 'few');
  writeFileSync(program, `#!/bin/sh\nulimit -n 200; exec ${NET_PROGRAM} "$@"\n`, { mode: 0o755 });
  const few = await publish([tcp(server.ECHO)], { program });
  const served: Socket[] = [];
  let over = false;
  const sockets = Array.from({ length: 150 }, () => connect({ port: few.port(server.ECHO), host: '127.0.0.1' }));
  for (const socket of sockets)
    socket.once('data', () => {
      served.push(socket);
      if (over) socket.destroy();
    });
  for (const socket of sockets) socket.write('x');
  await until(() => served.length >= 51);
  for (let times = 0; times < 3; times++) {
    served[0]!.write('y');
    await once(served[0]!, 'data');
  }
  const held = served.length;
  over = true;
  for (const socket of served) socket.destroy();
  say('more connections than descriptors', [held, await until(() => served.length === sockets.length)]);
  await few.forwarder.close();
  few.bound[Symbol.dispose]();
  rmSync(folder, { recursive: true });
}
process.exit(0);

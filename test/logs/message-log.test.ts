/** Logs that are sent away: over every kind of connection, and with peers that are slow, gone, or never there. */
import { createSocket } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { openMessageLog, type MessageLogOptions } from '../../src/logs/message-log.ts';
import { connect, type Connection, type Destination } from '../../src/logs/transport.ts';
import { folder } from './folder.ts';
import { DatagramListener } from './datagram-listener.ts';

const open = (destination: Destination, options: Partial<MessageLogOptions> = {}, how?: { later: boolean }) =>
  openMessageLog(
    {
      encode: (line, stream) => Buffer.concat([Buffer.from(`${stream} `), line, Buffer.from('\n')]),
      connect: (events) => connect(destination, events),
      dropAbove: undefined,
      confined: false,
      peer: 'it',
      onTrouble: () => {},
      ...options,
    },
    how,
  );

/** A stream server; what has come to it, and its connections. */
async function serve(t: ExecutionContext, path?: string) {
  let text = '';
  const sockets: Socket[] = [];
  const came = new EventEmitter();
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      came.emit('data');
    });
  });
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
  );
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const destination: Destination =
    path === undefined
      ? { kind: 'tcp', host: '127.0.0.1', port: (server.address() as AddressInfo).port }
      : { kind: 'unix', path };
  return {
    server,
    sockets,
    destination,
    text: () => text,
    until: async (wanted: string) => {
      while (!text.includes(wanted)) await once(came, 'data');
    },
  };
}

for (const kind of ['tcp', 'unix'] as const)
  test(`every line by ${kind}, an unfinished one at the end`, async (t) => {
    const peer = await serve(t, kind === 'unix' ? join(folder(t), 'socket') : undefined);
    const log = await open(peer.destination);
    log.output('stdout', Buffer.from('one\ntwo\nth'));
    log.output('stderr', Buffer.from('error\n'));
    log.output('stdout', Buffer.from('ree'));
    await log.end();
    await peer.until('three\n');
    t.is(peer.text(), 'stdout one\nstdout two\nstderr error\nstdout three\n');
  });

test('every line by UDP', async (t) => {
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const lines: string[] = [];
  socket.on('message', (message) => lines.push(message.toString()));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const log = await open({ kind: 'udp', host: '127.0.0.1', port: socket.address().port });
  log.output('stdout', Buffer.from('one\ntwo\n'));
  await log.end();
  while (lines.length < 2) await once(socket, 'message');
  t.deepEqual(lines, ['stdout one\n', 'stdout two\n']);
});

test('by a datagram socket of this host, which is slow: the container waits, and nothing is lost', async (t) => {
  using listener = new DatagramListener(join(folder(t), 'socket'));
  const log = await open({ kind: 'unixgram', path: listener.path });
  const lines = Array.from({ length: 2000 }, (_, index) => `line ${index}`);
  t.true(log.output('stdout', Buffer.from(`${lines.join('\n')}\n`)) > 0);
  const waited = { over: false };
  log.onceDrained(() => (waited.over = true));
  const found: string[] = [];
  while (!waited.over) {
    found.push(...listener.take());
    await new Promise((resolve) => setImmediate(resolve));
  }
  found.push(...listener.take());
  await log.end();
  t.deepEqual(
    found,
    lines.map((line) => `stdout ${line}\n`),
  );
});

test('nobody there: the container does not start', async (t) => {
  const { server, destination } = await serve(t);
  await new Promise((resolve) => server.close(resolve));
  await t.throwsAsync(open(destination), {
    message: /^failed to initialize logging driver: dial tcp 127\.0\.0\.1:\d+: connection refused$/,
  });
  await t.throwsAsync(open({ kind: 'unix', path: '/no/such' }), {
    message: /dial unix \/no\/such: no such file or directory$/,
  });
});

test('asynchronous: it starts, and what was written meanwhile comes when somebody is there', async (t) => {
  const path = join(folder(t), 'socket');
  const log = await open({ kind: 'unix', path }, {}, { later: true });
  log.output('stdout', Buffer.from('early\n'));
  const peer = await serve(t, path);
  await peer.until('early\n');
  await log.end();
  t.is(peer.text(), 'stdout early\n');
});

test('a peer that goes away and comes back', async (t) => {
  const path = join(folder(t), 'socket');
  const first = await serve(t, path);
  const log = await open(first.destination);
  log.output('stdout', Buffer.from('one\n'));
  await first.until('one\n');
  first.sockets[0]!.destroy();
  await new Promise((resolve) => first.server.close(resolve));
  const second = await serve(t, path);
  await once(second.server, 'connection');
  log.output('stdout', Buffer.from('two\n'));
  await second.until('two\n');
  await log.end();
  t.pass();
});

test('a peer that takes nothing holds the container up for a while, and then costs it lines, with a word', async (t) => {
  const trouble: string[] = [];
  let ready = (): void => {};
  const sent: string[] = [];
  const stuck = {
    isReady: false as boolean,
    send: (message: Buffer) => sent.push(message.toString()) > 0,
    end: async () => {},
    destroy: () => {},
  } satisfies Connection;
  const log = await open(
    { kind: 'unix', path: '' },
    {
      stallMs: 30,
      onTrouble: (message) => trouble.push(message),
      connect: async ({ onReady }) => ((ready = onReady), stuck),
    },
  );
  t.true(log.output('stdout', Buffer.from('lost\n')) > 0);
  await new Promise<void>((resolve) => log.onceDrained(resolve));
  t.deepEqual(trouble, ['cannot write the log to it: it takes nothing; output is lost until it takes some again']);
  // from now on it holds nobody up
  t.is(log.output('stdout', Buffer.alloc(1 << 21, 'x\n')), 0);
  stuck.isReady = true;
  ready();
  log.output('stdout', Buffer.from('again\n'));
  t.is(sent.at(-1), 'stdout again\n');
  await log.end();
  t.is(trouble.length, 1);
});

test('with mode=non-blocking nothing waits beyond the bound', async (t) => {
  const sent: string[] = [];
  let ready = (): void => {};
  const peer = {
    isReady: false,
    send: (message: Buffer) => sent.push(message.toString()) > 0,
    end: async () => {},
    destroy: () => {},
  };
  const log = await open(
    { kind: 'unix', path: '' },
    { dropAbove: 30, connect: async ({ onReady }) => ((ready = onReady), peer) },
  );
  t.is(log.output('stdout', Buffer.from('one\ntwo\nthree\nfour\n')), 0);
  peer.isReady = true;
  ready();
  await log.end();
  t.deepEqual(sent, ['stdout one\n', 'stdout two\n']);
});

/** The guest's sockets without a guest: what the agent makes of them, and how what connects is carried. */
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import type { GuestSocket } from '../../src/agent-protocol.ts';
import { serveSockets, type ServedSockets } from '../../src/guest-agent/sockets.ts';
import { SyscallError } from '../../src/host/libc.ts';
import { DescriptorStream } from '../../src/host/streams/descriptor-stream.ts';
import { setNonBlocking } from '../../src/host/streams/packet-fd.ts';
import { streamPair } from '../../src/host/streams/socket.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';

const OWN = { uid: process.getuid!(), gid: process.getgid!(), mode: 0o600 };
const MOST = 64;
const { ECONNRESET } = constants.errno;

interface Opened {
  token: string;
  host: Socket;
}

/** @param options.refuses the host has no room */
function serving(t: ExecutionContext, sockets: GuestSocket[], { refuses = false } = {}) {
  t.timeout(120_000);
  const folder = join(temporaryFolder('husk-guest-'), 'sockets');
  const opened: Opened[] = [];
  const served: ServedSockets = serveSockets(sockets, {
    folder,
    open: (token) => {
      if (refuses) throw new SyscallError('connect', ECONNRESET);
      const { near, far } = streamPair();
      setNonBlocking(near.number);
      const host = new Socket({ fd: far.release(), allowHalfOpen: true });
      host.on('error', () => {});
      opened.push({ token, host });
      return new DescriptorStream(near, { outlivesWriting: true });
    },
  });
  t.teardown(() => {
    served.close();
    for (const { host } of opened) host.destroy();
  });
  const client = (number = 0) => {
    const socket = connect({ path: join(folder, String(number)), allowHalfOpen: true });
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    return socket;
  };
  return { folder, opened, served, client };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((turn) => setImmediate(turn));
}

const refused = (socket: Socket) => new Promise((told) => socket.once('error', ({ message }) => told(message)));

test('each socket has its owner and mode, and its own token', async (t) => {
  const { folder, opened, client } = serving(t, [
    { ...OWN, mode: 0o660, stream: 'first' },
    { ...OWN, mode: 0o666, stream: 'second' },
  ]);
  const look = (number: number) => {
    const stat = statSync(join(folder, String(number)));
    return [stat.isSocket(), stat.uid, stat.gid, stat.mode & 0o777];
  };
  t.deepEqual(
    [look(0), look(1)],
    [
      [true, OWN.uid, OWN.gid, 0o660],
      [true, OWN.uid, OWN.gid, 0o666],
    ],
  );
  client(1);
  await until(() => opened.length === 1);
  client(0);
  await until(() => opened.length === 2);
  t.deepEqual(
    opened.map(({ token }) => token),
    ['second', 'first'],
  );
});

test('bytes go both ways, and each direction ends by itself', async (t) => {
  const { opened, client } = serving(t, [{ ...OWN, stream: 'x' }]);
  const asking = client();
  asking.end('question');
  await until(() => opened.length === 1);
  const { host } = opened[0]!;
  t.is(await text(host), 'question');
  host.end('answer');
  t.is(await text(asking), 'answer');
});

test('what the host resets is closed, and so is what it has no room for', async (t) => {
  const reset = serving(t, [{ ...OWN, stream: 'x' }]);
  const one = reset.client();
  await until(() => reset.opened.length === 1);
  reset.opened[0]!.host.destroy();
  t.is(await text(one), '');
  const full = serving(t, [{ ...OWN, stream: 'x' }], { refuses: true });
  t.is(await text(full.client()), '');
  t.is(await text(full.client()), '');
});

test('a thousand clients: so many are carried, the others closed, and places come back', async (t) => {
  const { opened, client } = serving(t, [{ ...OWN, stream: 'x' }]);
  const clients: Socket[] = [];
  const over = new Set<Socket>();
  // no more than wait to be accepted at a time
  for (let i = 0; i < 10; i++) {
    for (let each = 0; each < 100; each++) {
      const socket = client();
      clients.push(socket);
      socket.resume().once('end', () => over.add(socket));
    }
    await until(() => clients.length - over.size === MOST);
  }
  t.is(opened.length, MOST);
  for (const each of clients) if (!over.has(each)) each.destroy();
  await Promise.all(opened.map(({ host }) => once(host.resume(), 'end')));
  for (const { host } of opened) host.destroy();
  while (opened.length === MOST) {
    let isOver = false;
    client()
      .resume()
      .once('end', () => (isOver = true));
    await until(() => isOver || opened.length > MOST);
  }
  t.true(opened.length > MOST);
});

test('closed, it refuses; without a stream it refuses from the beginning, and is there', async (t) => {
  const { opened, served, client } = serving(t, [{ ...OWN, stream: 'x' }, OWN]);
  t.regex(String(await refused(client(1))), /ECONNREFUSED/);
  const before = client(0);
  await until(() => opened.length === 1);
  served.close();
  t.regex(String(await refused(client(0))), /ECONNREFUSED/);
  before.end('goes on');
  t.is(await text(opened[0]!.host), 'goes on');
  served.close();
});

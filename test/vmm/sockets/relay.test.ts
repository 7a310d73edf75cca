/**
 * A VM's relay without a VM: the real process (guest/net/relay.c), the monitor's side of it, and streams that stand for
 * the guest's. Then what only a monitor that was taken over would say.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, Socket, type Server } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { Fd } from '../../../src/host/fd.ts';
import { DescriptorStream } from '../../../src/host/streams/descriptor-stream.ts';
import { setNonBlocking } from '../../../src/host/streams/packet-fd.ts';
import { watchReadable } from '../../../src/host/streams/poll.ts';
import { peerCredentials, receive, send, streamPair, type Message } from '../../../src/host/streams/socket.ts';
import { MAX_CONNECTIONS } from '../../../src/vmm/sockets/messages.ts';
import { SocketRelay } from '../../../src/vmm/sockets/relay.ts';
import { startRelay } from '../../../src/vmm/sockets/start.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const TIMEOUT = 120_000;
const LARGE = 8 << 20;

function folderOf(t: ExecutionContext): string {
  t.timeout(TIMEOUT);
  return temporaryFolder('husk-relay-');
}

async function serve(t: ExecutionContext, path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => server.close());
  return server;
}

const echo = (socket: Socket) => void socket.pipe(socket);

interface Relayed {
  relay: SocketRelay;
  pid: number;
  /** a client in the guest, of the socket with this number */
  client(number?: number): Socket;
  /** the same, as nothing but its descriptor */
  raw(number?: number): Fd;
}

async function relayTo(t: ExecutionContext, ...paths: string[]): Promise<Relayed> {
  const { pid, control } = await startRelay(paths);
  const relay = new SocketRelay(control.move());
  t.teardown(() => !relay.isLost && process.kill(pid, 'SIGKILL'));
  const raw = (number = 0) => {
    const { near, far } = streamPair();
    relay.carry(new DescriptorStream(nonBlocking(far), { outlivesWriting: true }), number);
    return near;
  };
  return {
    relay,
    pid,
    raw,
    client(number) {
      const client = new Socket({ fd: raw(number).release(), allowHalfOpen: true });
      client.on('error', () => {});
      return client;
    },
  };
}

/** libuv does it to the other end only. */
function nonBlocking(fd: Fd): Fd {
  setNonBlocking(fd.number);
  return fd;
}

async function answered(client: Socket, said: string): Promise<string> {
  client.end(said);
  return text(client);
}

/** It is reset, or closed with nothing said. */
async function ended(client: Socket): Promise<void> {
  await text(client).then(
    (said) => {
      if (said !== '') throw new Error(`it said ${said}`);
    },
    () => {},
  );
  client.destroy();
}

test('both directions, more than any buffer holds, two at once, and each socket by its number', async (t) => {
  const folder = folderOf(t);
  const [one, other] = [join(folder, 'one'), join(folder, 'other')];
  await serve(t, one, echo);
  await serve(t, other, (socket) => socket.end('other'));
  const { client } = await relayTo(t, one, other);
  const large = 'x'.repeat(LARGE);
  const [first, second, third] = [client(), client(), client(1)];
  t.is(await answered(third, ''), 'other');
  const [a, b] = await Promise.all([answered(first, large), answered(second, 'small')]);
  t.is(a.length, LARGE);
  t.true(a === large);
  t.is(b, 'small');
});

test("half-close both ways: the server's answer comes after the client's end, and the client's words after the server's", async (t) => {
  const folder = folderOf(t);
  const heard = Promise.withResolvers<string>();
  await serve(t, join(folder, 'after'), (socket) => void text(socket).then((said) => socket.end(`heard ${said}`)));
  await serve(t, join(folder, 'before'), (socket) => {
    socket.end('go on');
    void text(socket).then(heard.resolve);
  });
  const { client } = await relayTo(t, join(folder, 'after'), join(folder, 'before'));
  t.is(await answered(client(), 'all of it'), 'heard all of it');
  const late = client(1);
  t.is(await text(late), 'go on');
  late.end('gone on');
  t.is(await heard.promise, 'gone on');
});

test('a client that is gone altogether is gone for a server that says nothing', async (t) => {
  const folder = folderOf(t);
  const accepted = Promise.withResolvers<Socket>();
  await serve(t, join(folder, 's'), accepted.resolve);
  const { client } = await relayTo(t, join(folder, 's'));
  const gone = client();
  gone.write('x');
  const socket = await accepted.promise;
  await once(socket, 'data');
  socket.resume();
  gone.destroy();
  await once(socket, 'end');
  // writing says that nobody is there, at once or when the relay's side has looked
  const failed = new Promise((closed) => socket.once('close', closed));
  const writing = setInterval(() => socket.write('?'), 10);
  await failed;
  clearInterval(writing);
  t.true(socket.destroyed);
});

test('an early answer is heard though the server takes no more of the request', async (t) => {
  const folder = folderOf(t);
  await serve(t, join(folder, 's'), (socket) => {
    socket.once('data', () => {
      socket.write('too much');
      socket.destroySoon();
    });
  });
  const { raw } = await relayTo(t, join(folder, 's'));
  // Node's own sockets forget what they have not read when they cannot write
  const uploading = new DescriptorStream(nonBlocking(raw()), { outlivesWriting: true });
  uploading.write(Buffer.alloc(LARGE));
  let heard = '';
  uploading.on('data', (chunk: Buffer) => (heard += String(chunk)));
  // an end, or a reset: what it had sent is not all taken
  await once(uploading, 'end').catch(() => {});
  t.is(heard, 'too much');
  uploading.destroy();
});

test('a slow reader holds its sender up, with bounded memory', async (t) => {
  const folder = folderOf(t);
  let sent = 0;
  await serve(t, join(folder, 'source'), (socket) => {
    const chunk = Buffer.alloc(65_536);
    const more = () => {
      while (!socket.destroyed) {
        sent += chunk.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('drain', more);
    more();
  });
  const accepted = Promise.withResolvers<Socket>();
  await serve(t, join(folder, 'sink'), (socket) => (socket.pause(), accepted.resolve(socket)));
  const { client } = await relayTo(t, join(folder, 'source'), join(folder, 'sink'));
  const quiet = async (count: () => number) => {
    // nothing has moved in so many turns of the loop that all of it would have
    for (let [still, last] = [0, -1]; still < 1000; still++) {
      if (count() !== last) [still, last] = [0, count()];
      await new Promise((turn) => setImmediate(turn));
    }
    return count();
  };
  const reader = client(0);
  reader.pause();
  await once(reader, 'readable').catch(() => {});
  t.true((await quiet(() => sent)) < 4 << 20, `${sent} bytes`);
  reader.destroy();
  const writer = client(1);
  const sink = await accepted.promise;
  let taken = 0;
  // a byte at a time: as many objects as bytes, where they are kept
  const push = () => {
    for (let asked = 0; asked < LARGE; asked++) if (!writer.write('x', () => taken++)) return;
  };
  writer.on('drain', push);
  push();
  const before = process.memoryUsage().rss;
  t.true((await quiet(() => taken)) < 4 << 20, `${taken} bytes`);
  t.true(process.memoryUsage().rss - before < 256 << 20);
  writer.destroy();
  // what was written before is waited for, as in any socket
  sink.destroy();
});

test('a thousand connects: no more than the bound at once, the others are reset, and all places come back', async (t) => {
  const folder = folderOf(t);
  const open = new Set<Socket>();
  let [most, accepted] = [0, 0];
  const server = await serve(t, join(folder, 's'), (socket) => {
    most = Math.max(most, open.add(socket).size);
    accepted++;
    socket.on('close', () => open.delete(socket));
    echo(socket);
  });
  const { client } = await relayTo(t, join(folder, 's'));
  const clients = Array.from({ length: 1000 }, () => client());
  const [kept, refused] = [clients.slice(0, MAX_CONNECTIONS), clients.slice(MAX_CONNECTIONS)];
  await Promise.all(refused.map(ended));
  for (const each of kept) each.write('x');
  await Promise.all(kept.map((each) => once(each, 'data')));
  t.deepEqual([most, accepted], [MAX_CONNECTIONS, MAX_CONNECTIONS]);
  for (const each of kept) each.destroy();
  while (open.size > 0) await new Promise((turn) => setImmediate(turn));
  for (let i = 0; i < MAX_CONNECTIONS; i++) t.is(await answered(client(), `again ${i}`), `again ${i}`);
  t.true(server.listening);
});

test('a server that is away resets, one that was started again is found, and what is put there and no socket refuses', async (t) => {
  const folder = folderOf(t);
  const path = join(folder, 'deep/folder/s');
  mkdirSync(join(folder, 'deep/folder'), { recursive: true });
  const { client } = await relayTo(t, path);
  await ended(client());
  const first = await serve(t, path, (socket) => socket.end('first'));
  t.is(await answered(client(), ''), 'first');
  await new Promise((closed) => first.close(closed));
  await ended(client());
  await serve(t, path, (socket) => socket.end('second'));
  t.is(await answered(client(), ''), 'second');
  renameSync(path, `${path}.real`);
  writeFileSync(path, 'a file');
  await ended(client());
  rmSync(path);
  symlinkSync(`${path}.real`, path);
  // Attack: a guest that has the folder, and puts a link to another of the host's sockets there
  await ended(client());
  rmSync(path);
  renameSync(join(folder, 'deep'), join(folder, 'moved'));
  symlinkSync('moved', join(folder, 'deep'));
  renameSync(join(folder, 'moved/folder/s.real'), join(folder, 'moved/folder/s'));
  t.true(lstatSync(path).isSocket());
  await ended(client());
  rmSync(join(folder, 'deep'));
  renameSync(join(folder, 'moved'), join(folder, 'deep'));
  t.is(await answered(client(), ''), 'second');
});

test('a path may be longer than an address has room for', async (t) => {
  const folder = folderOf(t);
  const deep = join(folder, ...Array.from({ length: 10 }, () => 'a-name-of-some-length'));
  mkdirSync(deep, { recursive: true });
  await serve(t, join(folder, 's'), echo);
  renameSync(join(folder, 's'), join(deep, 's'));
  const { client } = await relayTo(t, join(deep, 's'));
  t.is(await answered(client(), 'deep'), 'deep');
});

test('a relay that is killed: what is connected goes on, later streams are reset at once, and it is told', async (t) => {
  const folder = folderOf(t);
  await serve(t, join(folder, 's'), echo);
  const { relay, client, pid } = await relayTo(t, join(folder, 's'));
  const before = client();
  before.write('a');
  t.is(String((await once(before, 'data'))[0]), 'a');
  const lost = new Promise<void>((told) => relay.onLost(told));
  process.kill(pid, 'SIGKILL');
  await lost;
  await ended(client());
  t.is(await answered(before, 'b'), 'b');
});

test('a relay that stands still holds nobody up for ever: a client that leaves is gone, and places come back', async (t) => {
  const folder = folderOf(t);
  await serve(t, join(folder, 's'), echo);
  const { client, pid } = await relayTo(t, join(folder, 's'));
  process.kill(pid, 'SIGSTOP');
  const waiting = Array.from({ length: MAX_CONNECTIONS }, () => client());
  await ended(client());
  for (const each of waiting) each.destroy();
  process.kill(pid, 'SIGCONT');
  while ((await answered(client(), 'again').catch(() => '')) !== 'again')
    await new Promise((turn) => setImmediate(turn));
  t.pass();
});

test('it ends with its monitor, has no other descriptor of it, no capability, and a filter', async (t) => {
  const folder = folderOf(t);
  await serve(t, join(folder, 's'), echo);
  const { pid, control } = await startRelay([join(folder, 's')]);
  const status = () => readFileSync(`/proc/${pid}/status`, 'utf8');
  while (!/^Seccomp:\s+2$/m.test(status())) await new Promise((turn) => setImmediate(turn));
  t.regex(status(), /^Name:\s+husk-relay$/m);
  t.regex(status(), /^CapEff:\s+0+$/m);
  t.regex(status(), /^NoNewPrivs:\s+1$/m);
  t.is(readlinkSync(`/proc/${pid}/cwd`), '/');
  const open = execFileSync('ls', [`/proc/${pid}/fd`], { encoding: 'utf8' })
    .trim()
    .split('\n');
  t.deepEqual(open, ['0', '1', '2', '3']);
  process.kill(pid, 'SIGTERM');
  send(control.number, Buffer.of(1, 0, 0));
  const answer = await answerOf(control.number);
  t.is(answer?.data[1], 0);
  for (const fd of answer!.fds) fd.close();
  const over = exited(pid);
  control.close();
  await over;
});

/** The next message of a relay; undefined: it has ended. */
function answerOf(control: number): Promise<Message | undefined> {
  return new Promise((resolve) => {
    const watch = watchReadable(control, () => {
      const message = receive(control);
      if (message === undefined) return;
      watch.close();
      resolve(message ?? undefined);
    });
  });
}

async function exited(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((turn) => setImmediate(turn));
  }
}

const CONNECT = 1;
const CLOSE = 2;
for (const [what, ...messages] of [
  ['nothing', []],
  ['half a message', [CONNECT, 0]],
  ['a message and a half', [CONNECT, 0, 0, 0]],
  ['a great deal', Array.from({ length: 4096 }, () => CONNECT)],
  ['an unknown kind', [3, 0, 0]],
  ['a socket that was not given', [CONNECT, 0, 1]],
  ['a slot beyond the last', [CONNECT, 64, 0]],
  ['a close of a slot beyond the last', [CLOSE, 255, 0]],
  ['a slot twice', [CONNECT, 5, 0], [CONNECT, 5, 0]],
] as const)
  test(`a monitor that was taken over ends its relay, and nothing else, by ${what}`, async (t) => {
    const folder = folderOf(t);
    await serve(t, join(folder, 's'), echo);
    const { pid, control } = await startRelay([join(folder, 's')]);
    t.teardown(() => control.close());
    const over = exited(pid);
    for (const message of messages) send(control.number, Buffer.from(message));
    await over;
    t.pass();
  });

test('a monitor that was taken over has no more connections than slots: one given back is shut, whoever keeps it', async (t) => {
  const folder = folderOf(t);
  const server = await serve(t, join(folder, 's'), echo);
  const { control } = await startRelay([join(folder, 's')]);
  t.teardown(() => control.close());
  const kept: Fd[] = [];
  for (let i = 0; i < 200; i++) {
    send(control.number, Buffer.of(CONNECT, 7, 0));
    const answer = await answerOf(control.number);
    t.is(answer?.data[1], 0);
    kept.push(...answer!.fds);
    send(control.number, Buffer.of(CLOSE, 7, 0));
  }
  // a free slot may be given back again
  send(control.number, Buffer.of(CLOSE, 7, 0));
  t.is(kept.length, 200);
  for (const fd of kept) {
    const socket = new Socket({ fd: fd.release(), allowHalfOpen: true });
    socket.on('error', () => {});
    t.is(await text(socket).catch(() => ''), '');
    socket.destroy();
  }
  const connections = () => new Promise<number>((told) => server.getConnections((_error, count) => told(count)));
  while ((await connections()) > 0) await new Promise((turn) => setImmediate(turn));
});

test('a server whose queue is full is waited for, without holding others up', async (t) => {
  const folder = folderOf(t);
  await serve(t, join(folder, 'free'), echo);
  // a server with room for one connection that accepts when it is told to
  const script = `import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(0); print('up', flush=True)
sys.stdin.readline()
while True:
    c, _ = s.accept(); c.sendall(b'late'); c.close()`;
  const { spawn } = await import('node:child_process');
  const busy = spawn('python3', ['-c', script, join(folder, 'busy')], { stdio: ['pipe', 'pipe', 'ignore'] });
  t.teardown(() => busy.kill('SIGKILL'));
  await once(busy.stdout, 'data');
  const { client } = await relayTo(t, join(folder, 'busy'), join(folder, 'free'));
  const queued = Array.from({ length: 5 }, () => client(0));
  t.is(await answered(client(1), 'meanwhile'), 'meanwhile');
  const answers = Promise.all(queued.map((each) => text(each)));
  busy.stdin.write('\n');
  t.deepEqual(
    await answers,
    queued.map(() => 'late'),
  );
});

const isRoot = process.getuid!() === 0;
(isRoot ? test : test.skip)(
  "for the host's root it is the root of a container who connects, and nobody else",
  async (t) => {
    const folder = folderOf(t);
    const closed = join(folder, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    const peers: number[] = [];
    const told = (socket: Socket) => {
      // safe: the handle of a connected socket has its number
      peers.push(peerCredentials((socket as unknown as { _handle: { fd: number } })._handle.fd).uid);
      socket.end('served');
    };
    const [open, own] = [join(closed, 'open'), join(folder, 'own')];
    for (const path of [open, own]) await serve(t, path, told);
    chmodSync(open, 0o666);
    chmodSync(own, 0o600);
    const { pid, control } = await startRelay([open, own], { uid: 123_456, gid: 123_457 });
    t.teardown(() => control.close());
    send(control.number, Buffer.of(CONNECT, 0, 1));
    t.is((await answerOf(control.number))?.data[1], constants.errno.EACCES);
    // what only root can reach it finds, as a mount of it would
    send(control.number, Buffer.of(CONNECT, 0, 0));
    const answer = await answerOf(control.number);
    t.is(answer?.data[1], 0);
    const client = new Socket({ fd: answer!.fds[0]!.release(), allowHalfOpen: true });
    t.is(await text(client), 'served');
    client.destroy();
    t.deepEqual(peers, [123_456]);
    t.regex(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Groups:\s*$/m);
  },
);

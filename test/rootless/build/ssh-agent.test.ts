/** What passes between a step and the user's ssh-agent. */
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { after } from '../../../src/long-timer.ts';
import { messages, serveAgent } from '../../../src/rootless/build/ssh-agent.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { both } from './steps.ts';

const message = (type: number, body = ''): Buffer => {
  const bytes = Buffer.alloc(5 + body.length);
  bytes.writeUInt32BE(1 + body.length);
  bytes[4] = type;
  bytes.write(body, 5, 'latin1');
  return bytes;
};

interface Agent {
  server: Server;
  path: string;
  /** types of the messages that reached it */
  heard: number[];
}

/** @param answer to each request, in pieces */
async function agentAt(folder: string, answer: readonly Buffer[]): Promise<Agent> {
  const heard: number[] = [];
  const path = join(folder, 'agent');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      heard.push(chunk[4]!);
      for (const piece of answer) socket.write(piece);
    });
  }).listen(path);
  await once(server, 'listening');
  return { server, path, heard };
}

async function ask(socket: Socket, bytes: Buffer): Promise<string> {
  const over = new AbortController();
  const { signal } = over;
  socket.write(bytes);
  const answer = await Promise.race([once(socket, 'data', { signal }), once(socket, 'close', { signal })]);
  over.abort();
  return Buffer.isBuffer(answer[0]) ? answer[0].toString('hex') : 'closed';
}

const FAILURE = '0000000105';

test('keys are listed and used; all else is refused and does not reach the agent', async (t) => {
  const folder = temporaryFolder('husk-agent-');
  const { server, path, heard } = await agentAt(folder, [message(12, 'keys')]);
  {
    await using served = await serveAgent(path, folder, 'served');
    const client = createConnection(served.path);
    for (const type of [11, 13]) t.is(await ask(client, message(type, 'x')), message(12, 'keys').toString('hex'));
    for (const type of [0, 1, 5, 9, 12, 17, 18, 19, 20, 22, 23, 25, 26, 27, 255])
      t.is(await ask(client, message(type, 'x')), FAILURE, String(type));
    t.is(await ask(client, message(11)), message(12, 'keys').toString('hex'));
  }
  t.deepEqual(heard, [11, 13, 11]);
  server.close();
});

test('requests that come together, and in pieces, are answered one by one', async (t) => {
  const folder = temporaryFolder('husk-agent-');
  const answer = message(14, 'signature');
  const { server, path } = await agentAt(folder, [answer.subarray(0, 3), answer.subarray(3)]);
  await using served = await serveAgent(path, folder, 'served');
  const client = createConnection(served.path);
  const all = Buffer.concat([message(13, 'a'), message(17, 'b'), message(13, 'c')]);
  const want = Buffer.concat([answer, Buffer.from(FAILURE, 'hex'), answer]);
  let got = Buffer.alloc(0);
  const whole = new Promise<void>((done) => {
    client.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      if (got.length >= want.length) done();
    });
  });
  client.write(all.subarray(0, 7));
  await once(client, 'data');
  client.write(all.subarray(7));
  await whole;
  t.is(got.toString('hex'), want.toString('hex'));
  client.destroy();
  server.close();
});

for (const [what, bytes] of [
  ['are refused', message(17)],
  ['go to the agent', message(11)],
] as const)
  test(`a client that asks without end and reads nothing is read no further: requests that ${what}`, async (t) => {
    const folder = temporaryFolder('husk-agent-');
    const { server, path } = await agentAt(folder, [message(12, 'keys')]);
    await using served = await serveAgent(path, folder, 'served');
    const client = createConnection(served.path).pause();
    await once(client, 'connect');
    const requests = Buffer.concat(Array.from({ length: 16 << 10 }, () => bytes));
    // The sockets, and what is read of them at once, have less room than this.
    const most = 16 * requests.length;
    let sent = 0;
    for (let isTaken = true; isTaken && sent < most; sent += isTaken ? requests.length : 0) {
      const taken = new Promise<boolean>((done) => client.write(requests, () => done(true)));
      isTaken = await Promise.race([taken, after(1000).then(() => false)]);
    }
    client.destroy();
    server.close();
    t.true(sent < most, `${sent} bytes of requests were read`);
  });

for (const [what, bytes] of [
  ['no bytes', Buffer.from([0, 0, 0, 0])],
  ['more than an agent takes', Buffer.from([0, 4, 0, 1, 13])],
  ['four gigabytes', Buffer.from([255, 255, 255, 255])],
] as const)
  test(`a message of ${what} ends the connection`, async (t) => {
    const folder = temporaryFolder('husk-agent-');
    const { server, path, heard } = await agentAt(folder, [message(12)]);
    await using served = await serveAgent(path, folder, 'served');
    t.is(await ask(createConnection(served.path), bytes), 'closed');
    t.deepEqual(heard, []);
    server.close();
  });

test('messages that come a byte at a time, or all at once, cost no more than their bytes', async (t) => {
  const long = message(13, 'x'.repeat((256 << 10) - 1));
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < long.length; at++) yield long.subarray(at, at + 1);
    yield Buffer.concat(Array.from({ length: 200_000 }, () => message(11)));
  }
  const before = process.cpuUsage();
  let count = 0;
  for await (const whole of messages(bytes())) {
    if (count++ === 0) t.true(whole.equals(long));
    else if (!whole.equals(message(11))) return t.fail(`message ${count} is another`);
  }
  t.is(count, 200_001);
  // Some 300 ms; where all is copied for each it is minutes.
  const { user, system } = process.cpuUsage(before);
  t.true(user + system < 10_000_000, `${user + system} us`);
});

test('an agent that is not there, or answers without end, ends the connection', async (t) => {
  const folder = temporaryFolder('husk-agent-');
  {
    await using served = await serveAgent(join(folder, 'none'), folder, 'served');
    t.is(await ask(createConnection(served.path), message(11)), 'closed');
  }
  const { server, path } = await agentAt(folder, [Buffer.from([127, 0, 0, 0])]);
  await using served = await serveAgent(path, folder, 'again');
  t.is(await ask(createConnection(served.path), message(11)), 'closed');
  server.close();
});

both(
  'a step finds its socket, with the mode and owner that are asked for',
  `
  const agent = resolve('agent');
  const made = await step('stat -c "%F %a %u %g" /run/buildkit/ssh_agent.0', { mounts: [{ type: 'ssh', target: '/run/buildkit/ssh_agent.0', agent, mode: 0o600, uid: 1000, gid: 7 }] });
  console.log(made.all, layerOf(made).size);
`,
  'socket 600 1000 7 1024\n',
);

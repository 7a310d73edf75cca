/**
 * What a guest says was left out of a layer: lines for a person, whatever they are. What it has of agents of ssh: the
 * real relay, and streams that stand for the guest's.
 */
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { DescriptorStream } from '../../../src/host/streams/descriptor-stream.ts';
import { setNonBlocking } from '../../../src/host/streams/packet-fd.ts';
import { streamPair } from '../../../src/host/streams/socket.ts';
import { serveAgent } from '../../../src/rootless/build/ssh-agent.ts';
import { carrier, leftOutOf } from '../../../src/vmm/build/machine.ts';
import { MAX_CONNECTIONS } from '../../../src/vmm/sockets/messages.ts';
import { SocketRelay } from '../../../src/vmm/sockets/relay.ts';
import { startRelay } from '../../../src/vmm/sockets/start.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

for (const [what, answer, expected] of [
  ['lines', { leftOut: ['/s is left out'] }, ['/s is left out']],
  ['no answer', undefined, []],
  ['another shape', { leftOut: { length: 1e9 } }, []],
  ['things that are no texts', { leftOut: [7, null, 'a', {}] }, ['a']],
  ['escapes', { leftOut: ['a\u001b[2Jb\nc'] }, ['a [2Jb c']],
] as const)
  test(`what was left out: ${what}`, (t) => {
    t.deepEqual(leftOutOf(answer), [...expected]);
  });

test('what was left out is bounded', (t) => {
  const lines = leftOutOf({ leftOut: Array.from({ length: 100_000 }, () => 'x'.repeat(10_000)) });
  t.is(lines.length, 11);
  t.true(lines.every((line) => line.length < 5000));
});

/** SSH_AGENTC_REQUEST_IDENTITIES, and the answer that there are no keys */
const LIST = Buffer.from([0, 0, 0, 1, 11]);
const NO_KEYS = Buffer.from([0, 0, 0, 5, 12, 0, 0, 0, 0]);

/** A user's agent, a machine's relay to the sockets agent-0 and agent-1, and the guest's streams. */
async function agents(t: ExecutionContext) {
  const folder = temporaryFolder('husk-build-agents-');
  const path = join(folder, 'own');
  const heard: Buffer[] = [];
  const own = createServer((client) =>
    client
      .on('error', () => {})
      .on('data', (request) => {
        heard.push(request);
        client.write(NO_KEYS);
      }),
  ).listen(path);
  await once(own, 'listening');
  t.teardown(() => own.close());
  const { pid, control } = await startRelay(['agent-0', 'agent-1'].map((name) => join(folder, name)));
  const relay = new SocketRelay(control.move());
  // What watches a relay that lives keeps this process from its end.
  t.teardown(() => !relay.isLost && process.kill(pid, 'SIGKILL'));
  return {
    heard,
    relay,
    /** a step begins that mounts the agent at agent-1; it is disposed of when the step ends */
    step: () => serveAgent(path, folder, 'agent-1'),
    /** what a process in the guest has of a connection to a socket of this number */
    opened: (number: number) => streamOf(carrier(relay, number)),
  };
}

function streamOf(carry: (stream: Duplex) => void): Socket {
  const { near, far } = streamPair();
  // libuv does it to the other end only.
  setNonBlocking(far.number);
  carry(new DescriptorStream(far, { outlivesWriting: true }));
  return new Socket({ fd: near.release() }).on('error', () => {});
}

/** @returns when it has ended, however: it is reset where something was under way */
const ended = (client: Socket): Promise<string> =>
  new Promise((done) => {
    if (client.destroyed) done('closed');
    else client.resume().once('close', () => done('closed'));
  });

/** @returns the answer, or that there is none: the connection has ended */
function ask(client: Socket, request: Buffer): Promise<string> {
  const answer = new Promise<string>((done) => client.once('data', (said: Buffer) => done(said.toString('hex'))));
  if (!client.destroyed) client.write(request);
  return Promise.race([answer, ended(client)]);
}

test('a stream of the guest reaches the agent behind its number, and none without a relay', async (t) => {
  const { relay, step, opened } = await agents(t);
  await using _step = await step();
  const client = opened(1);
  t.is(await ask(client, LIST), NO_KEYS.toString('hex'));
  client.destroy();
  // One after another: whoever looks at the second only when the first has ended may find it closed long since.
  for (const open of [() => opened(0), () => streamOf(carrier(undefined, 1))]) t.is(await ask(open(), LIST), 'closed');
  t.false(relay.isLost);
});

test('a guest keeps no connection to an agent beyond the step, and gets none before the next', async (t) => {
  const { heard, step, opened } = await agents(t);
  const first = await step();
  const kept = Array.from({ length: 3 }, () => opened(1));
  for (const client of kept) t.is(await ask(client, LIST), NO_KEYS.toString('hex'));
  const closed = kept.map(ended);
  await first[Symbol.asyncDispose]();
  await Promise.all(closed);
  t.is(await ask(opened(1), LIST), 'closed');
  t.is(heard.length, 3);
  await using _second = await step();
  const again = opened(1);
  t.is(await ask(again, LIST), NO_KEYS.toString('hex'));
  again.destroy();
});

test('a guest that opens a thousand streams has 64, and all places come back', async (t) => {
  const { relay, step, opened } = await agents(t);
  await using _step = await step();
  const streams = Array.from({ length: 1000 }, () => opened(1));
  const answers = await Promise.all(streams.map((client) => ask(client, LIST)));
  t.is(answers.filter((answer) => answer !== 'closed').length, MAX_CONNECTIONS);
  for (const client of streams) client.destroy();
  // A place is free when the relay has been told.
  let answer: string;
  do answer = await ask(opened(1), LIST);
  while (answer === 'closed');
  t.is(answer, NO_KEYS.toString('hex'));
  t.false(relay.isLost);
});

for (const [what, bytes, answer] of [
  ['no bytes', Buffer.from([0, 0, 0, 0]), 'closed'],
  ['more than an agent takes', Buffer.from([0, 4, 0, 1, 13]), 'closed'],
  ['four gigabytes', Buffer.from([255, 255, 255, 255]), 'closed'],
  ['the removal of all keys', Buffer.from([0, 0, 0, 1, 19]), '0000000105'],
  ['a lock', Buffer.from([0, 0, 0, 1, 22]), '0000000105'],
  ['an extension', Buffer.from([0, 0, 0, 1, 27]), '0000000105'],
] as const)
  test(`what a guest says reaches no agent: a message of ${what}`, async (t) => {
    const { heard, step, opened } = await agents(t);
    await using _step = await step();
    const client = opened(1);
    t.is(await ask(client, bytes), answer);
    client.destroy();
    t.deepEqual(heard, []);
  });

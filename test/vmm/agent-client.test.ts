/** The host's end of the agent protocol against agents that lie, flood, hang, say half of it, and go: each is noticed, none takes the VMM along. */
import { duplexPair, type Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { CONTROL_PORT, encodeMessage, MAX_MESSAGE, STREAM_PORT, type Message } from '../../src/agent-protocol.ts';
import { AgentClient } from '../../src/vmm/agent-client.ts';

const READY: Message = { kind: 'notice', notice: { type: 'ready', version: 1, kernel: '6.12.0-husk' } };

/** A guest that connects to what the client listens on, and says what it likes. */
function guest() {
  const ports = new Map<number, (connection: Duplex) => void>();
  const lost: string[] = [];
  const notices: unknown[] = [];
  const client = new AgentClient({ listen: (port, accept) => void ports.set(port, accept) }, { notice: (notice) => notices.push(notice), lost: ({ message }) => lost.push(message) });
  const connect = (port: number) => {
    const [host, end] = duplexPair();
    ports.get(port)!(host);
    return { host, say: (bytes: Uint8Array) => end.write(bytes), end: () => end.end() };
  };
  return { client, lost, notices, connect };
}

async function serving() {
  const made = guest();
  const control = made.connect(CONTROL_PORT);
  control.say(encodeMessage(READY));
  await made.client.ready();
  return { ...made, control };
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await turn();
};
const header = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const BREACHES: [what: string, bytes: Uint8Array, message: RegExp][] = [
  ['a frame over the bound', header(MAX_MESSAGE + 1), /broke the protocol: agent message of 4194305 bytes/],
  ['a frame of nothing', header(0), /broke the protocol: agent message of 0 bytes/],
  ['no JSON', Buffer.concat([header(3), Buffer.from('{x}')]), /broke the protocol/],
  ['a request of its own', encodeMessage({ kind: 'request', id: 1, request: { type: 'start' } }), /broke the protocol: agent message of unknown kind "request"/],
  ['an exit with no process', encodeMessage({ kind: 'notice', notice: { type: 'exited', process: -1, code: 0 } }), /broke the protocol: agent notice "exited" without/],
  ['a thousand brackets a byte', Buffer.concat([header(MAX_MESSAGE), Buffer.alloc(MAX_MESSAGE, '[')]), /broke the protocol/],
  ['another version', encodeMessage({ kind: 'notice', notice: { type: 'ready', version: 99, kernel: '' } }), /speaks protocol version 99/],
];
for (const [what, bytes, message] of BREACHES)
  test(`an agent that says ${what} is lost, once`, async (t) => {
    const { lost, control, client } = await serving();
    const waiting = client.request({ type: 'stats' });
    control.say(bytes);
    control.say(bytes);
    await settle();
    t.is(lost.length, 1);
    t.regex(lost[0]!, message);
    // the wait is ended by who knows why the machine ended
    client.fail(new Error('the machine ended'));
    await t.throwsAsync(waiting, { message: 'the machine ended' });
    await t.throwsAsync(client.request({ type: 'stats' }), { message: 'the machine ended' });
  });

for (const how of ['half', 'whole'] as const)
  test(`an agent that closes its connection (${how}) is lost, once`, async (t) => {
    const { lost, control } = await serving();
    if (how === 'half') control.end();
    else control.host.destroy();
    await settle();
    t.deepEqual(lost, ['the guest\'s agent closed its connection']);
  });

test('an agent that says half a frame and no more is no reason to wait for ever', async (t) => {
  const { client, control } = await serving();
  const waiting = client.request({ type: 'processes' });
  control.say(header(100));
  control.say(Buffer.from('{'));
  await settle();
  client.fail(new Error('switched off'));
  await t.throwsAsync(waiting, { message: 'switched off' });
});

// alone: it measures the process
test.serial('a frame that comes a byte at a time takes no more memory than its length', async (t) => {
  const { lost, control } = await serving();
  const before = process.memoryUsage();
  control.say(header(MAX_MESSAGE));
  for (let i = 0; i < 400_000; i++) {
    control.say(Buffer.from('"'));
    if (i % 1000 === 0) await turn();
  }
  const after = process.memoryUsage();
  t.deepEqual(lost, []);
  t.true(after.heapUsed + after.external - before.heapUsed - before.external < 64 << 20, `${after.heapUsed - before.heapUsed}`);
});

test('answers nobody asked for, and a flood of notices, change nothing', async (t) => {
  const { client, control, lost, notices } = await serving();
  const asked = client.request({ type: 'stats' });
  for (let id = 2; id < 1000; id++) control.say(encodeMessage({ kind: 'reply', id, value: 'lie' }));
  for (let i = 0; i < 1000; i++) control.say(encodeMessage({ kind: 'notice', notice: { type: 'exited', process: 77, code: 0 } }));
  control.say(encodeMessage({ kind: 'reply', id: 1, value: 'truth' }));
  t.is(await asked, 'truth');
  t.deepEqual(lost, []);
  t.is(notices.length, 1000);
});

test('requests to an agent that never answers are bounded in number', async (t) => {
  const { client } = await serving();
  const waiting = Array.from({ length: 1024 }, () => client.request({ type: 'stats' }));
  await t.throwsAsync(client.request({ type: 'stats' }), { message: /1024 requests unanswered/ });
  client.fail(new Error('switched off'));
  for (const one of waiting) await t.throwsAsync(one, { message: 'switched off' });
});

test('an agent that does not answer is told of, and its late answer is nobody\'s', async (t) => {
  const { client, control } = await serving();
  const { mock } = await import('node:test');
  mock.timers.enable({ apis: ['setTimeout'] });
  const asked = client.request({ type: 'exec', process: 1, spec: {} as never, streams: {} });
  const failed = t.throwsAsync(asked, { message: 'the guest\'s agent did not answer "exec" within 120 s' });
  mock.timers.tick(120_000);
  mock.timers.reset();
  await failed;
  control.say(encodeMessage({ kind: 'reply', id: 1, value: 'late' }));
  await settle();
  t.pass();
});

test('an error of the agent\'s is one line without control characters', async (t) => {
  const { client, control } = await serving();
  const asked = client.request({ type: 'start' });
  control.say(encodeMessage({ kind: 'error', id: 1, message: 'a\x1b[2J\nb', exitCode: 127 }));
  const { message, exitCode } = await t.throwsAsync<Error & { exitCode: number }>(asked);
  t.is(message, 'a [2J b');
  t.is(exitCode, 127);
});

test('a second control connection is closed: the first is the agent\'s', async (t) => {
  const { connect, lost } = await serving();
  const second = connect(CONTROL_PORT);
  await settle();
  t.true(second.host.destroyed);
  t.deepEqual(lost, []);
});

test('streams: only numbers given out, and each once; what is forgotten is not awaited', async (t) => {
  const { client, connect } = await serving();
  const opened: Duplex[] = [];
  const number = client.expectStream((stream) => opened.push(stream));
  const say = (bytes: Uint8Array) => {
    const connection = connect(STREAM_PORT);
    connection.say(bytes);
    return connection;
  };
  const stranger = say(header(number + 1));
  // a number that comes a byte at a time is one all the same, and what follows it is the stream's
  const honest = connect(STREAM_PORT);
  for (const byte of [...header(number), ...Buffer.from('data')]) honest.say(Uint8Array.of(byte));
  await settle();
  const twice = say(header(number));
  await settle();
  t.true(stranger.host.destroyed);
  t.true(twice.host.destroyed);
  t.is(opened.length, 1);
  t.is(String(opened[0]!.read()), 'data');
  t.false(client.forgetStream(number));
  const other = client.expectStream(() => t.fail());
  t.true(client.forgetStream(other));
  const late = say(header(other));
  await settle();
  t.true(late.host.destroyed);
});

test('streams that are never opened are bounded in number', (t) => {
  const { client } = guest();
  for (let i = 0; i < 1024; i++) client.expectStream(() => {});
  t.throws(() => client.expectStream(() => {}), { message: /1024 streams not yet opened/ });
});

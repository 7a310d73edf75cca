/**
 * The host's end of the agent protocol against agents that lie, flood, hang, say half of it, and go: each is noticed,
 * none takes the VMM along.
 */
import { duplexPair, type Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import {
  AGENT_PROTOCOL_VERSION,
  CONTROL_PORT,
  encodeMessage,
  MAX_MESSAGE,
  MAX_REQUEST,
  STREAM_PORT,
  STREAM_TOKEN_BYTES,
  type Message,
} from '../../src/agent-protocol.ts';
import { HuskError } from '../../src/errors.ts';
import { AgentClient, type Served } from '../../src/vmm/agent-client.ts';

const READY: Message = {
  kind: 'notice',
  notice: { type: 'ready', version: AGENT_PROTOCOL_VERSION, kernel: '6.12.0-husk' },
};

/** A guest that connects to what the client listens on, and says what it likes. */
function guest(served?: Served) {
  const ports = new Map<number, (connection: Duplex) => void>();
  const lost: string[] = [];
  const notices: unknown[] = [];
  const client = new AgentClient(
    { listen: (port, accept) => void ports.set(port, accept) },
    { notice: (notice) => notices.push(notice), lost: ({ message }) => lost.push(message) },
    served,
  );
  const connect = (port: number, guestPort?: number) => {
    const [host, end] = duplexPair();
    ports.get(port)!(Object.assign(host, { guestPort }));
    return { host, other: end, say: (bytes: Uint8Array) => end.write(bytes), end: () => end.end() };
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

const bytesOf = (token: string) => Buffer.from(token, 'hex');

const BREACHES: [what: string, bytes: Uint8Array, message: RegExp][] = [
  ['a frame over the bound', header(MAX_MESSAGE + 1), /broke the protocol: agent message of 4194305 bytes/],
  ['a frame of nothing', header(0), /broke the protocol: agent message of 0 bytes/],
  ['no JSON', Buffer.concat([header(3), Buffer.from('{x}')]), /broke the protocol/],
  [
    'a request of its own',
    encodeMessage({ kind: 'request', id: 1, request: { type: 'start' } }),
    /broke the protocol: agent message of unknown kind "request"/,
  ],
  [
    'an exit with no process',
    encodeMessage({ kind: 'notice', notice: { type: 'exited', process: -1, code: 0 } }),
    /broke the protocol: agent notice "exited" without/,
  ],
  [
    'a thousand brackets a byte',
    Buffer.concat([header(MAX_MESSAGE), Buffer.alloc(MAX_MESSAGE, '[')]),
    /broke the protocol/,
  ],
  [
    'another version',
    encodeMessage({ kind: 'notice', notice: { type: 'ready', version: 99, kernel: '' } }),
    /speaks protocol version 99/,
  ],
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
    t.deepEqual(lost, ["the guest's agent closed its connection"]);
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
  t.true(
    after.heapUsed + after.external - before.heapUsed - before.external < 64 << 20,
    `${after.heapUsed - before.heapUsed}`,
  );
});

test('answers nobody asked for, and a flood of notices, change nothing', async (t) => {
  const { client, control, lost, notices } = await serving();
  const asked = client.request({ type: 'stats' });
  for (let id = 2; id < 1000; id++) control.say(encodeMessage({ kind: 'reply', id, value: 'lie' }));
  for (let i = 0; i < 1000; i++)
    control.say(encodeMessage({ kind: 'notice', notice: { type: 'exited', process: 77, code: 0 } }));
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

test("an agent that does not answer is told of, and its late answer is nobody's", async (t) => {
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

test("an error of the agent's is one line without control characters", async (t) => {
  const { client, control } = await serving();
  const asked = client.request({ type: 'start' });
  control.say(encodeMessage({ kind: 'error', id: 1, message: 'a\x1b[2J\nb', exitCode: 127 }));
  const { message, exitCode } = await t.throwsAsync<Error & { exitCode: number }>(asked);
  t.is(message, 'a [2J b');
  t.is(exitCode, 127);
});

test("a second control connection is closed: the first is the agent's", async (t) => {
  const { connect, lost } = await serving();
  const second = connect(CONTROL_PORT);
  await settle();
  t.true(second.host.destroyed);
  t.deepEqual(lost, []);
});

test('streams: only tokens given out, and each once; what is forgotten is not awaited', async (t) => {
  const { client, connect } = await serving();
  const opened: Duplex[] = [];
  const token = bytesOf(client.expectStream((stream) => opened.push(stream)));
  const near = Buffer.from(token);
  near[STREAM_TOKEN_BYTES - 1]! ^= 1;
  const say = (bytes: Uint8Array) => {
    const connection = connect(STREAM_PORT);
    connection.say(bytes);
    return connection;
  };
  const stranger = say(near);
  // a token that comes a byte at a time is one all the same, and what follows it is the stream's
  const honest = connect(STREAM_PORT);
  for (const byte of [...token, ...Buffer.from('data')]) honest.say(Uint8Array.of(byte));
  await settle();
  const twice = say(token);
  await settle();
  t.true(stranger.host.destroyed);
  t.true(twice.host.destroyed);
  t.is(opened.length, 1);
  t.is(String(opened[0]!.read()), 'data');
  t.false(client.forgetStream(token.toString('hex')));
  const other = client.expectStream(() => t.fail());
  t.true(client.forgetStream(other));
  const late = say(bytesOf(other));
  await settle();
  t.true(late.host.destroyed);
});

test('streams: a token is not to be guessed from another', (t) => {
  const { client } = guest();
  const tokens = Array.from({ length: 1000 }, () => client.expectStream(() => {}));
  t.is(new Set(tokens).size, 1000);
  for (const token of tokens) t.regex(token, /^[\da-f]{32}$/);
  // some bit of each byte is set in some, and not in others
  for (let at = 0; at < STREAM_TOKEN_BYTES; at++) t.true(new Set(tokens.map((token) => bytesOf(token)[at])).size > 100);
});

// alone: the clock is the process's
test.serial(
  'a connection that says nothing, or half a token, is closed after a while; one that speaks is not',
  async (t) => {
    const { client, connect } = await serving();
    const { mock } = await import('node:test');
    mock.timers.enable({ apis: ['setTimeout'] });
    t.teardown(() => mock.timers.reset());
    const opened: Duplex[] = [];
    const token = client.expectStream((stream) => opened.push(stream));
    const [silent, half, honest] = [connect(STREAM_PORT), connect(STREAM_PORT), connect(STREAM_PORT)];
    half.say(bytesOf(token).subarray(0, 8));
    honest.say(bytesOf(token));
    await settle();
    mock.timers.tick(59_999);
    await settle();
    t.deepEqual(
      [silent, half, honest].map(({ host }) => host.destroyed),
      [false, false, false],
    );
    mock.timers.tick(1);
    await settle();
    t.deepEqual(
      [silent, half, honest].map(({ host }) => host.destroyed),
      [true, true, false],
    );
    t.is(opened.length, 1);
  },
);

test('of connections that say nothing the oldest go, and the agent still gets its own', async (t) => {
  const { client, connect } = await serving();
  const silent = Array.from({ length: 300 }, () => connect(STREAM_PORT));
  const opened: Duplex[] = [];
  const token = client.expectStream((stream) => opened.push(stream));
  connect(STREAM_PORT).say(bytesOf(token));
  await settle();
  t.is(silent.filter(({ host }) => !host.destroyed).length, 256 - 1);
  t.false(silent.at(-1)!.host.destroyed);
  t.is(opened.length, 1);
});

test('a request that is too long is refused by itself, and waits for nothing', async (t) => {
  const { client, control } = await serving();
  const error = await t.throwsAsync<HuskError>(
    client.request({ type: 'exec', process: 1, spec: { args: ['x'.repeat(MAX_REQUEST)] } as never, streams: {} }),
  );
  t.true(error instanceof HuskError);
  t.is(error.kind, 'limit');
  t.regex(error.message, /^cannot tell the guest's agent: agent message of \d+ bytes, at most 67108864 fit$/);
  // it takes none of the places of requests unanswered
  const waiting = Array.from({ length: 1024 }, () => client.request({ type: 'stats' }));
  control.say(encodeMessage({ kind: 'reply', id: 2, value: 'still here' }));
  t.is(await waiting[0], 'still here');
  client.fail(new Error('switched off'));
  for (const one of waiting.slice(1)) await t.throwsAsync(one, { message: 'switched off' });
});

test('streams that are never opened are bounded in number', (t) => {
  const { client } = guest();
  for (let i = 0; i < 1024; i++) client.expectStream(() => {});
  t.throws(() => client.expectStream(() => {}), { message: /1024 streams not yet opened/ });
});

test('a machine is saved between two requests: what is asked meanwhile is sent afterwards', async (t) => {
  const { client, control } = await serving();
  const heard: Buffer[] = [];
  control.other.on('data', (chunk: Buffer) => heard.push(chunk));
  client.request({ type: 'start' }).catch(() => {});
  await client.hold();
  await settle();
  const before = Buffer.concat(heard).length;
  t.true(before > 0);
  client.request({ type: 'stats' }).catch(() => {});
  await settle();
  t.is(Buffer.concat(heard).length, before);
  t.is(client.save().nextRequest, 3);
  client.release();
  await settle();
  t.regex(Buffer.concat(heard).toString('latin1'), /"start".*"stats"/s);
});

test('a machine whose agent is gone cannot be held', async (t) => {
  const { client, control } = await serving();
  control.host.destroy();
  await settle();
  await t.throwsAsync(client.hold(), { message: /closed its connection|does not serve/ });
});

test('a copy goes on with half a message of the agent, and with the streams that it takes', async (t) => {
  const first = await serving();
  const opened: string[] = [];
  const [kept, ended, late] = ['kept', 'ended', 'late'].map((name) =>
    first.client.expectStream(() => void opened.push(name)),
  ) as [string, string, string];
  for (const [token, port] of [
    [kept, 2000],
    [ended, 2001],
  ] as const)
    first.connect(STREAM_PORT, port).say(bytesOf(token));
  const frame = encodeMessage({ kind: 'notice', notice: { type: 'exited', process: 0, code: 7 } });
  first.control.say(frame.subarray(0, 10));
  await settle();
  t.deepEqual(opened, ['kept', 'ended']);
  await first.client.hold();
  const saved = first.client.save();
  t.deepEqual(saved.streams, [
    { token: kept, guestPort: 2000 },
    { token: ended, guestPort: 2001 },
  ]);
  t.deepEqual([saved.awaited, Buffer.from(saved.heard)], [[late], frame.subarray(0, 10)]);

  const copy = guest({ serves: true, saved });
  const taken: string[] = [];
  const take = (token: string, name: string) => copy.client.takeStream(token, () => void taken.push(name));
  t.deepEqual([take(kept, 'kept'), take(late, 'late'), take('0'.repeat(32), 'unknown')], [true, true, false]);
  const control = copy.connect(CONTROL_PORT);
  await copy.client.ready();
  copy.connect(STREAM_PORT, 2000);
  const other = copy.connect(STREAM_PORT, 2001);
  await settle();
  t.deepEqual([taken, other.host.destroyed], [['kept'], true]);
  copy.client.nothingKept();
  copy.connect(STREAM_PORT, 2000).say(bytesOf(late));
  control.say(frame.subarray(10));
  await settle();
  t.deepEqual(taken, ['kept', 'late']);
  t.like(copy.notices, [{ process: 0, code: 7 }]);
});

test('a connection to a socket of the host is not gone on with, and a new one is served', async (t) => {
  const first = await serving();
  const token = first.client.serveStreams(() => {});
  first.connect(STREAM_PORT, 3000).say(bytesOf(token));
  await settle();
  const copy = guest({ serves: true, saved: first.client.save() });
  let served = 0;
  copy.client.takeServed(token, () => served++);
  const old = copy.connect(STREAM_PORT, 3000);
  copy.connect(STREAM_PORT, 3001).say(bytesOf(token));
  await settle();
  t.deepEqual([old.host.destroyed, served], [true, 1]);
});

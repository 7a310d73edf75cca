/** A client of a supervisor, against one that says what the test wants it to say. */
import { once } from 'node:events';
import { readSync, writeSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { SupervisorClient, SupervisorGone } from '../../src/supervisor/client.ts';
import { streamPair } from '../../src/host/streams/socket.ts';
import { encodeFrame, encodeMessage, FrameDecoder } from '../../src/supervisor/protocol/frames.ts';
import { FRAME_STDERR, FRAME_STDOUT } from '../../src/supervisor/protocol/protocol.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';

test('a client goes when it knows the exit code, and does not wait for the supervisor', async (t) => {
  const server = createServer({ allowHalfOpen: true });
  t.teardown(() => server.close());
  const path = join(temporaryFolder('husk-client-'), 'socket');
  server.listen(path);
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  using client = new SupervisorClient(connect(path));
  const [supervisor] = await accepted;
  t.teardown(() => supervisor.destroy());
  const asked = client.open({ type: 'attach', stdin: false, stdout: true, stderr: true }, { stdin: false });
  await once(supervisor, 'data');
  supervisor.write(encodeMessage({ type: 'ok' }));
  const { streams } = await asked;
  // the end of its side of the connection is left out, as while it deletes files
  supervisor.write(encodeMessage({ type: 'exit', code: 7 }));
  t.deepEqual((await streams.exited).code, 7);
  supervisor.resume();
  await once(supervisor, 'end');
  t.pass('the client has closed the connection');
});

for (const [what, answer, gone] of [
  ['a supervisor that ends', undefined, true],
  ['a supervisor that answers that something is not to be had', 'cannot lock x', false],
] as const)
  test(`${what} is told from others`, async (t) => {
    const server = createServer();
    t.teardown(() => server.close());
    const path = join(temporaryFolder('husk-client-'), 'socket');
    server.listen(path);
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    using client = new SupervisorClient(connect(path));
    const [supervisor] = await accepted;
    const asked = t.throwsAsync(client.request({ type: 'pause' }));
    await once(supervisor, 'data');
    if (answer === undefined) supervisor.destroy();
    else supervisor.end(encodeMessage({ type: 'error', message: answer, kind: 'unavailable', exitCode: 125 }));
    const error = await asked;
    t.is(error instanceof SupervisorGone, gone);
    if (answer !== undefined) t.is(error?.message, answer);
  });

/** A client that has a process's stdio, and the supervisor's end of its connection. */
async function attached(t: ExecutionContext) {
  const server = createServer({ allowHalfOpen: true });
  const path = join(temporaryFolder('husk-client-'), 'socket');
  server.listen(path);
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = new SupervisorClient(connect(path));
  const [supervisor] = await accepted;
  t.teardown(() => {
    client[Symbol.dispose]();
    supervisor.destroy();
    server.close();
  });
  const asked = client.open({ type: 'attach', stdin: true, stdout: true, stderr: true }, { stdin: true });
  await once(supervisor, 'data');
  supervisor.write(encodeMessage({ type: 'ok' }));
  return { supervisor, ...(await asked).streams };
}

for (const [read, full] of [
  ['stderr', 'stdout'],
  ['stdout', 'stderr'],
] as const)
  test(`of ${full}, which nobody reads, no more is kept because ${read} is read`, async (t) => {
    const { supervisor, stdout, stderr } = await attached(t);
    const outputs = { stdout, stderr };
    const kinds = { stdout: FRAME_STDOUT, stderr: FRAME_STDERR };
    outputs[read].resume();
    // a line of each in turn, 16 MiB of them
    const line = Buffer.alloc(1000, 'x');
    const both = Buffer.concat([encodeFrame(kinds[full], line), encodeFrame(kinds[read], line)]);
    const all = Buffer.concat(Array.from({ length: 8192 }, () => both));
    let isSent = false;
    supervisor.write(all, () => (isSent = true));
    await once(outputs[full], 'readable');
    // as long as it takes to send it all to one that reads both
    for (let turn = 0; turn < 2000; turn++) await new Promise((next) => setImmediate(next));
    t.false(isSent);
    t.true(outputs[full].readableLength < 1 << 20, `${outputs[full].readableLength} bytes`);
    outputs[full].resume();
    await once(supervisor, 'drain');
    t.true(isSent);
  });

test('an output that is thrown away holds nothing back', async (t) => {
  const { supervisor, stdout, stderr } = await attached(t);
  supervisor.write(encodeFrame(FRAME_STDOUT, Buffer.alloc(1 << 20)));
  await once(stdout, 'readable');
  stdout.destroy();
  supervisor.write(encodeFrame(FRAME_STDERR, Buffer.from('still here')));
  t.is(String((await once(stderr, 'data'))[0]), 'still here');
});

test('a detach is said before the connection ends, and an older supervisor need not know it', async (t) => {
  for (const answer of ['end', 'error'] as const) {
    const { supervisor, stdout, stderr, detach } = await attached(t);
    detach();
    await Promise.all([stdout, stderr].map((stream) => once(stream.resume(), 'end')));
    const [said] = (await once(supervisor, 'data')) as [Buffer];
    t.deepEqual(said, encodeMessage({ type: 'detach' }));
    // what it writes still is thrown away
    supervisor.write(encodeFrame(FRAME_STDOUT, Buffer.alloc(1 << 20)));
    if (answer === 'end') supervisor.end();
    else supervisor.write(encodeMessage({ type: 'error', message: 'unknown request', kind: 'corrupt', exitCode: 125 }));
    supervisor.resume();
    await once(supervisor, 'end');
  }
  t.pass();
});

/** The launcher's socket, as the command inherits it: a number. */
function inherited() {
  const { near, far } = streamPair();
  return { number: near.release(), supervisor: far };
}

test('a supervisor is told its task before a stream is made, and answers by one', async (t) => {
  const { number, supervisor } = inherited();
  using client = new SupervisorClient(number);
  client.prepareNetworks();
  const asked = client.request({ type: 'pause' });
  const buffer = Buffer.alloc(1000);
  // both are there in the same turn
  const told = buffer.subarray(0, readSync(supervisor.number, buffer));
  t.deepEqual(
    [...new FrameDecoder().push(told)].map(({ payload }) => JSON.parse(payload.toString())),
    [{ type: 'prepare-networks' }, { type: 'pause' }],
  );
  writeSync(supervisor.number, encodeMessage({ type: 'ok' }));
  t.deepEqual(await asked, { type: 'ok' });
  supervisor.close();
});

test('a supervisor that has gone before it was told anything is gone', async (t) => {
  const { number, supervisor } = inherited();
  supervisor.close();
  using client = new SupervisorClient(number);
  client.prepareNetworks();
  await t.throwsAsync(client.request({ type: 'pause' }), { instanceOf: SupervisorGone });
});

test('a supervisor that is not needed reads the end', (t) => {
  const { number, supervisor } = inherited();
  new SupervisorClient(number)[Symbol.dispose]();
  t.is(readSync(supervisor.number, Buffer.alloc(1)), 0);
  supervisor.close();
});

test('a client that has gone asks nothing', async (t) => {
  const { number, supervisor } = inherited();
  const client = new SupervisorClient(number);
  client[Symbol.dispose]();
  client[Symbol.dispose]();
  await t.throwsAsync(client.request({ type: 'pause' }), { instanceOf: SupervisorGone });
  supervisor.close();
});

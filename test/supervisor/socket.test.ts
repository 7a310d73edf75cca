/**
 * The supervisor's socket against clients that do not keep to the protocol: each loses its own connection, the
 * container goes on.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { encodeFrame, encodeMessage } from '../../src/supervisor/protocol/frames.ts';
import { readAccess } from '../../src/supervisor/protocol/access.ts';
import { createOptions, openTestEngine, readAll } from '../engine/fixture.ts';

const HOLD = ['sh', '-c', 'cat; exit 0'];

async function running(t: ExecutionContext) {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(createOptions({ command: HOLD, interactive: true }));
  const attachment = (await fixture.engine.start(id, { attach: { stdin: true, stdout: true, stderr: true } }))!;
  const { socket, key } = readAccess(fixture.paths, id);
  return { ...fixture, id, attachment, socket, key: key!, hello: encodeMessage({ type: 'hello', key }) };
}

/** Connects, sends, and reads to the end of the connection. */
async function answerTo(socket: string, bytes: Buffer): Promise<string> {
  const client = connect(socket);
  client.on('error', () => {});
  let answer = '';
  client.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  const closed = new Promise((resolve) => client.once('close', resolve));
  client.write(bytes);
  await closed;
  return answer;
}

test('only its user reaches it', async (t) => {
  const { socket } = await running(t);
  t.is(statSync(socket).mode & 0o777 & ~0o700, 0);
});

// what a container can send that was given the runtime folder (-v /tmp:/tmp): it owns the sockets, and lacks the key
const KILL = encodeMessage({ type: 'signal', signal: 9, byUser: true });
for (const [what, before] of [
  ['no key', () => Buffer.alloc(0)],
  ['a wrong key', (key: string) => encodeMessage({ type: 'hello', key: key.replace(/./g, '0') })],
  ['a key of another length', () => encodeMessage({ type: 'hello', key: '' })],
  ['no text for a key', () => encodeMessage({ type: 'hello', key: { length: 64 } })],
  ['the key as input', (key: string) => encodeFrame(1, Buffer.from(key))],
] as const) {
  test(`a client that says ${what} is heard no further`, async (t) => {
    const { engine, id, socket, key, attachment } = await running(t);
    t.regex(await answerTo(socket, Buffer.concat([before(key), KILL])), /does not know the supervisor's key/);
    t.is(engine.get(id).state.status, 'running');
    attachment.stdin!.end('still here');
    t.like(await readAll(attachment), { code: 0, stdout: 'still here' });
  });
}

const namespaces = spawnSync('unshare', ['-r', 'true']).status === 0 ? test : test.skip; // needs user namespaces for whoever runs the tests
namespaces('a process of another user namespace is not heard, also with the key', async (t) => {
  const { engine, id, socket, key, attachment } = await running(t);
  const program = `const client = require('node:net').connect(process.argv[1]);
    client.on('error', () => {});
    client.once('close', () => process.exit(0));
    client.write(Buffer.from(process.argv[2], 'hex'));`;
  const bytes = Buffer.concat([encodeMessage({ type: 'hello', key }), KILL]).toString('hex');
  const { status } = spawnSync('unshare', ['-r', process.execPath, '-e', program, socket, bytes], { timeout: 60_000 });
  t.is(status, 0, 'its connection was closed');
  t.is(engine.get(id).state.status, 'running');
  attachment.stdin!.end('still here');
  t.like(await readAll(attachment), { code: 0, stdout: 'still here' });
});

for (const [name, bytes] of [
  ['no frame', Buffer.alloc(64, 0xff)],
  ['length 0', Buffer.from([0, 0, 0, 0, 0])],
  ['no JSON', encodeFrame(0, Buffer.from('{'))],
  ['unknown request', encodeMessage({ type: 'nonsense' })],
  ['output from a client', encodeFrame(2, Buffer.from('x'))],
  ['start of another container', encodeMessage({ type: 'start', task: { id: 'x' } })],
  ['exec of nothing', encodeMessage({ type: 'exec' })],
  ['stdin before attach', encodeFrame(1, Buffer.from('x'))],
  ['resize to nonsense', encodeMessage({ type: 'resize', columns: 'many', rows: -1 })],
  ['a torn frame', Buffer.from([200, 0, 0, 0, 0, 1])],
] as const) {
  test(`a client that sends ${name} harms nobody`, async (t) => {
    const { engine, id, socket, attachment, hello } = await running(t);
    const client = connect(socket);
    await once(client, 'connect');
    client.on('error', () => {});
    // not events.once: it would make a connection that was reset a failure
    const closed = new Promise((resolve) => client.once('close', resolve));
    client.end(Buffer.concat([hello, bytes]));
    client.resume();
    await closed;
    t.is(engine.get(id).state.status, 'running');
    attachment.stdin!.end('still here');
    t.like(await readAll(attachment), { code: 0, stdout: 'still here' });
  });
}

test('a client that attaches and never reads does not stop the others', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(
    createOptions({ command: ['sh', '-c', 'read line; seq 1 200000; sleep 0.2'], interactive: true }),
  );
  const attachment = (await fixture.engine.start(id, { attach: { stdin: true, stdout: true, stderr: true } }))!;
  const stuck = connect(fixture.paths.socket(id));
  await once(stuck, 'connect');
  stuck.pause();
  stuck.write(encodeMessage({ type: 'hello', key: readAccess(fixture.paths, id).key }));
  stuck.write(encodeMessage({ type: 'attach', stdin: false, stdout: true, stderr: true }));
  await new Promise((after) => setTimeout(after, 50));
  attachment.stdin!.end('\n');
  const { stdout } = await readAll(attachment);
  t.is(stdout.length, 1_288_895);
  stuck.destroy();
});

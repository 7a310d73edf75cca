/** The supervisor's socket against clients that do not keep to the protocol: each loses its own connection, the container goes on. */
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { encodeFrame, encodeMessage } from '../../src/supervisor/frames.ts';
import { createOptions, openTestEngine, readAll } from '../engine/fixture.ts';

const HOLD = ['sh', '-c', 'cat; exit 0'];

async function running(t: ExecutionContext) {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(createOptions({ command: HOLD, interactive: true }));
  const attachment = (await fixture.engine.start(id, { attach: { stdin: true, stdout: true, stderr: true } }))!;
  return { ...fixture, id, attachment, socket: fixture.paths.socket(id) };
}

test('only its user reaches it', async (t) => {
  const { socket } = await running(t);
  t.is(statSync(socket).mode & 0o777 & ~0o700, 0);
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
    const { engine, id, socket, attachment } = await running(t);
    const client = connect(socket);
    await once(client, 'connect');
    client.on('error', () => {});
    // not events.once: it would make a connection that was reset a failure
    const closed = new Promise((resolve) => client.once('close', resolve));
    client.end(bytes);
    client.resume();
    await closed;
    t.is(engine.get(id).state.status, 'running');
    attachment.stdin!.end('still here');
    t.like(await readAll(attachment), { code: 0, stdout: 'still here' });
  });
}

test('a client that attaches and never reads does not stop the others', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(createOptions({ command: ['sh', '-c', 'read line; seq 1 200000; sleep 0.2'], interactive: true }));
  const attachment = (await fixture.engine.start(id, { attach: { stdin: true, stdout: true, stderr: true } }))!;
  const stuck = connect(fixture.paths.socket(id));
  await once(stuck, 'connect');
  stuck.pause();
  stuck.write(encodeMessage({ type: 'attach', stdin: false, stdout: true, stderr: true }));
  await new Promise((after) => setTimeout(after, 50));
  attachment.stdin!.end('\n');
  const { stdout } = await readAll(attachment);
  t.is(stdout.length, 1_288_895);
  stuck.destroy();
});

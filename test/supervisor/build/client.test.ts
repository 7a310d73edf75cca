/** A build's client of a machine's monitor, which may have been taken over: it says here what it likes. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { exitOf, linesOf, MachineClient } from '../../../src/supervisor/build/client.ts';
import { FRAME, FrameReader, frames, type Frame, type FrameKind } from '../../../src/supervisor/build/frames.ts';
import type { MachineStep } from '../../../src/vmm/build/machine.ts';

const STEP = {} as MachineStep;

class Monitor {
  readonly frames: Frame[] = [];
  readonly socket: Socket;
  readonly #reader = new FrameReader(1 << 24);
  #heard: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.frames.push(...this.#reader.push(chunk));
      this.#heard?.();
    });
  }

  say(kind: FrameKind, id: number, content: unknown = ''): void {
    const bytes = Buffer.isBuffer(content)
      ? content
      : Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
    for (const piece of frames(kind, id, bytes)) this.socket.write(piece);
  }

  /** Until it has been told so many frames. */
  async heard(count: number): Promise<void> {
    while (this.frames.length < count) await new Promise<void>((heard) => (this.#heard = heard));
  }
}

async function pair(): Promise<{ client: MachineClient; monitor: Monitor; done: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-machine-'));
  const server = createServer().listen(join(folder, 's'));
  await once(server, 'listening');
  const near = connect(join(folder, 's'));
  const [far] = (await once(server, 'connection')) as [Socket];
  const client = new MachineClient(near);
  return {
    client,
    monitor: new Monitor(far),
    done: () => {
      client.close();
      far.destroy();
      server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

test('a step: its output comes before its exit', async (t) => {
  const { client, monitor, done } = await pair();
  const said: string[] = [];
  const run = client.run(3, STEP, (chunk, stream) => said.push(`${stream} ${chunk.toString()}`));
  monitor.say(FRAME.STDOUT, 1, 'one');
  monitor.say(FRAME.STDERR, 1, 'two');
  monitor.say(FRAME.STDOUT, 9, 'of nobody');
  monitor.say(FRAME.ANSWER, 1, { code: 137, signal: 9, oomKilled: true, more: 'x' });
  t.deepEqual(await run, { code: 137, signal: 9, oomKilled: true });
  t.deepEqual(said, ['stdout one', 'stderr two']);
  done();
});

test('a layer goes in piece by piece, and its end', async (t) => {
  const { client, monitor, done } = await pair();
  const sent = client.layer(
    1,
    (async function* () {
      yield Buffer.from('ab');
      yield Buffer.from('c');
    })(),
  );
  await monitor.heard(4);
  t.deepEqual(
    monitor.frames.map(({ kind, id, content }) => [kind, id, kind === FRAME.REQUEST ? '' : content.toString()]),
    [
      [FRAME.REQUEST, 1, ''],
      [FRAME.DATA, 1, 'ab'],
      [FRAME.DATA, 1, 'c'],
      [FRAME.END, 1, ''],
    ],
  );
  monitor.say(FRAME.ANSWER, 1, null);
  await sent;
  done();
});

test('a layer that the machine refuses is not sent to its end', async (t) => {
  const { client, monitor, done } = await pair();
  let yielded = 0;
  const sent = client.layer(
    1,
    (async function* () {
      for (;;) {
        yielded++;
        yield Buffer.alloc(64 << 10);
        if (yielded === 2) monitor.say(FRAME.FAILURE, 1, { message: 'no space\u001b[2J left', kind: 'limit' });
        await new Promise((turn) => setImmediate(turn));
      }
    })(),
  );
  const error = await t.throwsAsync(sent, { instanceOf: HuskError });
  t.is(error.message, 'no space [2J left');
  t.is(error.kind, 'limit');
  done();
});

test('a layer comes out, slowly read, byte for byte', async (t) => {
  const { client, monitor, done } = await pair();
  const { tar, leftOut } = client.seal(2, 5);
  await monitor.heard(1);
  t.deepEqual(JSON.parse(monitor.frames[0]!.content.toString()), { type: 'seal', number: 2, epoch: 5 });
  const bytes = Buffer.alloc(3 << 20, 'abc');
  monitor.say(FRAME.DATA, 1, bytes);
  monitor.say(FRAME.END, 1);
  monitor.say(FRAME.ANSWER, 1, ['/s is left out: a socket', 7]);
  const got: Buffer[] = [];
  for await (const chunk of tar) {
    got.push(chunk as Buffer);
    await new Promise((turn) => setImmediate(turn));
  }
  t.true(Buffer.concat(got).equals(bytes));
  t.deepEqual(await leftOut, ['/s is left out: a socket']);
  done();
});

test('a layer that its reader has given up is read away, and what follows is answered', async (t) => {
  const { client, monitor, done } = await pair();
  const { tar } = client.seal(2, undefined);
  for await (const _chunk of (monitor.say(FRAME.DATA, 1, Buffer.alloc(1 << 20)), tar)) break;
  monitor.say(FRAME.DATA, 1, Buffer.alloc(4 << 20));
  const run = client.run(3, STEP, () => {});
  monitor.say(FRAME.ANSWER, 2, { code: 0 });
  t.deepEqual(await run, { code: 0 });
  done();
});

const LIES: [what: string, say: (monitor: Monitor) => void, error: RegExp][] = [
  ['an exit without a code', (monitor) => monitor.say(FRAME.ANSWER, 1, { code: '0' }), /told no exit code/],
  ['an exit of 256', (monitor) => monitor.say(FRAME.ANSWER, 1, { code: 256 }), /told no exit code/],
  ['no JSON', (monitor) => monitor.say(FRAME.ANSWER, 1, '{'), /no JSON/],
  ['data nobody asked for', (monitor) => monitor.say(FRAME.DATA, 1, 'x'), /not asked for/],
  [
    'a frame too long',
    (monitor) => monitor.say(FRAME.ANSWER, 1, Buffer.alloc(2 << 20)),
    /a frame of kind 2 and 2097157/,
  ],
  ['a failure without a text', (monitor) => monitor.say(FRAME.FAILURE, 1, 7), /failed without a reason/],
  ['its death', (monitor) => monitor.say(FRAME.FAILURE, 0, { message: 'its kernel panicked' }), /its kernel panicked/],
  ['nothing, and closes', (monitor) => void monitor.socket.destroy(), /the virtual machine of the build has ended/],
];
for (const [what, say, error] of LIES)
  test(`a monitor that says ${what} fails the step`, async (t) => {
    const { client, monitor, done } = await pair();
    const run = client.run(1, STEP, () => {});
    await monitor.heard(1);
    say(monitor);
    t.regex((await t.throwsAsync(run, { instanceOf: HuskError })).message, error);
    done();
  });

test('when the monitor is gone, what is asked later fails at once, and a layer half read too', async (t) => {
  const { client, monitor, done } = await pair();
  const { tar, leftOut } = client.seal(1, undefined);
  await monitor.heard(1);
  const read = once(tar, 'end');
  monitor.socket.destroy();
  await t.throwsAsync(leftOut, { message: /has ended/ });
  await t.throwsAsync(read, { message: /has ended/ });
  t.true(client.isOver);
  await t.throwsAsync(
    client.run(2, STEP, () => {}),
    { message: /has ended/ },
  );
  t.notThrows(() => client.signal(2, 15));
  done();
});

test('shapes of answers', (t) => {
  t.deepEqual(exitOf({ code: 3, signal: 65, oomKilled: 'yes' }), { code: 3 });
  t.deepEqual(linesOf('no list'), []);
  t.is(linesOf(Array.from({ length: 1000 }, () => 'x')).length, 64);
  t.is(linesOf(['x'.repeat(100_000)])[0]!.length, 8192);
  t.deepEqual(linesOf(['a\nb']), ['a b']);
});

/**
 * A conversation whose client goes while its process is still being made: the process hears of its end all the same.
 */
import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import type { SandboxProcess } from '../../../src/sandbox.ts';
import type { ContainerControl } from '../../../src/supervisor/life/control.ts';
import { Conversation } from '../../../src/supervisor/conversation/conversation.ts';
import { FanOut } from '../../../src/supervisor/life/fan-out.ts';
import { encodeMessage } from '../../../src/supervisor/protocol/frames.ts';

async function socketPair(t: ExecutionContext): Promise<{ near: Socket; far: Socket }> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-talk-'));
  const server = createServer().listen(join(folder, 's'));
  await once(server, 'listening');
  const near = connect(join(folder, 's'));
  const [far] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => {
    server.close();
    for (const socket of [near, far]) socket.destroy();
    rmSync(folder, { recursive: true });
  });
  return { near, far };
}

for (const kind of ['exec', 'start'] as const)
  test(`a client that goes during its ${kind}: the command reads end-of-file, and nobody listens`, async (t) => {
    const { near, far } = await socketPair(t);
    const asked = Promise.withResolvers<void>();
    const made = Promise.withResolvers<void>();
    const stdin = new PassThrough();
    const process = {
      pid: 1,
      stdin,
      stdout: new PassThrough(),
      stderr: null,
      exited: new Promise(() => {}),
      resize: () => {},
      signal: () => {},
    } as unknown as SandboxProcess;
    const output = new FanOut();
    let listeners = 0;
    const { add, delete: remove } = output;
    output.add = (listener) => (listeners++, add.call(output, listener));
    output.delete = (listener) => (listeners--, remove.call(output, listener));
    const control = {
      process,
      output,
      terminal: false,
      stdinOnce: true,
      execs: { start: async () => (asked.resolve(), await made.promise, process) },
      record: () => {},
      settled: () => {},
      abandon: () => {},
      exit: () => new Promise(() => {}),
      start: async () => (asked.resolve(), await made.promise, { pid: 1, begin: () => {} }),
    } as unknown as ContainerControl;
    const over = new Conversation(far, control).run();
    const attach = { stdin: true, stdout: true, stderr: true };
    near.write(
      encodeMessage(
        kind === 'start'
          ? { type: 'start', task: {}, attach }
          : { type: 'exec', id: 'x', process: { args: ['cat'] }, stdin: true, terminal: false, detach: false },
      ),
    );
    await asked.promise;
    // as when the client is killed: what it has not read breaks the connection at once
    far.destroy();
    await once(far, 'close');
    made.resolve();
    stdin.resume();
    await once(stdin, 'end');
    await over;
    t.true(listeners <= 0);
  });

test("a client whose attaching fails once the command runs: the command's output is read all the same", async (t) => {
  const { near, far } = await socketPair(t);
  const begun = Promise.withResolvers<void>();
  const control = {
    process: {
      resize: () => {
        throw new Error('not a terminal any more');
      },
    },
    output: new FanOut(),
    terminal: true,
    abandon: () => {},
    exit: () => new Promise(() => {}),
    start: async () => ({ pid: 1, begin: begun.resolve }),
  } as unknown as ContainerControl;
  const over = new Conversation(far, control).run();
  const attach = { stdin: false, stdout: true, stderr: true, columns: 80, rows: 24 };
  near.write(encodeMessage({ type: 'start', task: {}, attach }));
  await begun.promise;
  near.destroy();
  await over;
  t.pass();
});

test('what is to be loaded ahead is not answered, and the request behind it is', async (t) => {
  const { near, far } = await socketPair(t);
  const control = { output: new FanOut(), settled: () => {}, pause: async () => {} };
  const over = new Conversation(far, control as unknown as ContainerControl).run();
  near.write(Buffer.concat([encodeMessage({ type: 'prepare-networks' }), encodeMessage({ type: 'pause' })]));
  const [answer] = (await once(near, 'data')) as [Buffer];
  t.deepEqual(answer, encodeMessage({ type: 'ok' }));
  near.destroy();
  await over;
});

/** An exec's process that writes what it is told to, and ends when it is told to. */
function execProcess(): { process: SandboxProcess; stdin: PassThrough; stdout: PassThrough; exit(): void } {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const exited = Promise.withResolvers<{ code: number }>();
  const process = { pid: 1, stdin, stdout, stderr: null, exited: exited.promise, resize: () => {}, signal: () => {} };
  return { process, stdin, stdout, exit: () => exited.resolve({ code: 3 }) };
}

test('a client that does not read keeps nobody from knowing that its exec has ended', async (t) => {
  const { near, far } = await socketPair(t);
  const { process, stdout, exit } = execProcess();
  const told = Promise.withResolvers<unknown[]>();
  const execs = { start: async () => process, end: (...said: unknown[]) => told.resolve(said) };
  const control = { execs, output: new FanOut(), settled: () => {} } as unknown as ContainerControl;
  const over = new Conversation(far, control).run();
  near.write(
    encodeMessage({ type: 'exec', id: 'x', process: { args: ['yes'] }, stdin: false, terminal: false, detach: false }),
  );
  await once(near, 'readable');
  // more than all buffers on the way take
  for (let count = 0; count < 64; count++) stdout.write(Buffer.alloc(1 << 16));
  exit();
  t.deepEqual(await told.promise, ['x', { code: 3 }]);
  near.destroy();
  await over;
});

for (const [terminal, ofContainer, ends] of [
  [false, true, true],
  [false, false, true],
  [true, false, false],
] as const)
  test(`a client that goes ends the stdin of its exec ${terminal ? 'on' : 'without'} a terminal in a container ${ofContainer ? 'on' : 'without'} one: ${ends}`, async (t) => {
    const { near, far } = await socketPair(t);
    const { process, stdin, exit } = execProcess();
    const execs = { start: async () => process, end: () => {} };
    const control = { execs, output: new FanOut(), terminal: ofContainer, settled: () => {} };
    const over = new Conversation(far, control as unknown as ContainerControl).run();
    near.write(
      encodeMessage({ type: 'exec', id: 'x', process: { args: ['cat'] }, stdin: true, terminal, detach: false }),
    );
    await once(near, 'readable');
    const closed = once(far, 'close');
    near.destroy();
    await Promise.all([over, closed]);
    t.is(stdin.writableEnded, ends);
    exit();
  });

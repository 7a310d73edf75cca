import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'ava';
import type { Context } from '../../src/cli/grammar/command.ts';
import { rawMode, runSession, type SessionOptions } from '../../src/cli/session.ts';
import type { Attachment } from '../../src/engine/contract.ts';
import type { ExitStatus } from '../../src/sandbox.ts';
import { FakeOutput } from './fake-context.ts';

class FakeTerminal extends PassThrough {
  isTTY = true;
  raw: boolean[] = [];
  setRawMode(mode: boolean): this {
    this.raw.push(mode);
    return this;
  }
}

function setUp(options: { terminal?: boolean } = {}) {
  const stdin = options.terminal ? new FakeTerminal() : new PassThrough();
  const stdout = new FakeOutput(options.terminal ? { columns: 100, rows: 30 } : undefined);
  const stderr = new FakeOutput();
  const received: string[] = [];
  const sizes: string[] = [];
  const signals: number[] = [];
  let exit!: (status: ExitStatus) => void;
  const input = new PassThrough();
  input.on('data', (chunk: Buffer) => received.push(chunk.toString()));
  const attachment: Attachment & { detached: boolean } = {
    stdin: input,
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    resize: (columns, rows) => sizes.push(`${columns}x${rows}`),
    signal: (signal) => signals.push(signal),
    exited: new Promise((resolve) => (exit = resolve)),
    detach() {
      attachment.detached = true;
    },
    detached: false,
  };
  const end = (code: number, error?: string): void => {
    (attachment.stdout as PassThrough).end();
    (attachment.stderr as PassThrough).end();
    exit({ code, error });
  };
  const context = { stdin, stdout, stderr, env: {} } as unknown as Context;
  const run = (more: Partial<SessionOptions> = {}) =>
    runSession(attachment, context, {
      stdin: true,
      stdout: true,
      stderr: true,
      tty: false,
      detachKeys: '',
      signals: false,
      ...more,
    });
  return { attachment, stdin, stdout, stderr, input, received, sizes, signals, end, run };
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test("stdout and stderr stay apart, and the exit code is the process's", async (t) => {
  const fake = setUp();
  const running = fake.run();
  (fake.attachment.stdout as PassThrough).write('out');
  (fake.attachment.stderr as PassThrough).write('err');
  fake.end(7);
  t.is(await running, 7);
  t.deepEqual([fake.stdout.text, fake.stderr.text], ['out', 'err']);
});

test('what is written just before the exit is not lost', async (t) => {
  const fake = setUp();
  const running = fake.run();
  (fake.attachment.stdout as PassThrough).write('x'.repeat(1_000_000));
  fake.end(0);
  await running;
  t.is(fake.stdout.text.length, 1_000_000);
});

test('stdin is passed on and half-closed', async (t) => {
  const fake = setUp();
  const running = fake.run();
  fake.stdin.end('hello');
  await soon();
  t.deepEqual(fake.received, ['hello']);
  t.true(fake.input.writableEnded);
  fake.end(0);
  t.is(await running, 0);
});

test('without stdin nothing is read', async (t) => {
  const fake = setUp();
  const running = fake.run({ stdin: false });
  fake.stdin.write('hello');
  await soon();
  t.deepEqual(fake.received, []);
  fake.end(0);
  await running;
});

test('a process that closes its stdin is no failure', async (t) => {
  const fake = setUp();
  const running = fake.run();
  fake.input.destroy(new Error('EPIPE'));
  fake.stdin.write('more');
  await soon();
  fake.end(3);
  t.is(await running, 3);
});

test('a terminal is raw meanwhile, and told sizes', async (t) => {
  const fake = setUp({ terminal: true });
  const running = fake.run({ tty: true });
  t.deepEqual((fake.stdin as FakeTerminal).raw, [true]);
  t.deepEqual(fake.sizes, ['100x30']);
  fake.stdout.columns = 50;
  fake.stdout.emit('resize');
  t.deepEqual(fake.sizes, ['100x30', '50x30']);
  fake.end(0);
  await running;
  t.deepEqual((fake.stdin as FakeTerminal).raw, [true, false]);
  t.is(fake.stdout.listenerCount('resize'), 0);
});

test('Ctrl-P Ctrl-Q leaves it running and gives the terminal back', async (t) => {
  const fake = setUp({ terminal: true });
  const running = fake.run({ tty: true });
  fake.stdin.write('ls\n\x10');
  fake.stdin.write('\x11');
  t.is(await running, undefined);
  t.true(fake.attachment.detached);
  t.deepEqual(fake.received, ['ls\n']);
  t.deepEqual((fake.stdin as FakeTerminal).raw, [true, false]);
  t.is(fake.stderr.text, 'read escape sequence\n');
});

test('without a terminal the detach keys are bytes like others', async (t) => {
  const fake = setUp();
  const running = fake.run();
  fake.stdin.write('\x10\x11');
  await soon();
  t.deepEqual(fake.received, ['\x10\x11']);
  fake.end(0);
  await running;
});

test('signals are passed on, the third Ctrl-C ends husk', async (t) => {
  // in a process of its own: signals do not reach the threads tests run in
  const script = `
    import { PassThrough } from 'node:stream';
    import { runSession } from ${JSON.stringify(join(import.meta.dirname, '../../src/cli/session.ts'))};
    const attachment = { stdin: null, stdout: new PassThrough(), stderr: new PassThrough(), resize() {}, signal: (n) => console.log('signal ' + n), exited: new Promise(() => {}), detach() {} };
    void runSession(attachment, process, { stdin: false, stdout: true, stderr: true, tty: false, detachKeys: '', signals: true });
    setInterval(() => {}, 1000);
    console.log('ready');`;
  const child = spawn(
    process.execPath,
    ['--input-type=module-typescript', '--disable-warning=ExperimentalWarning', '--eval', script],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const until = async (text: string): Promise<void> => {
    while (!output.includes(text)) await new Promise((resolve) => child.stdout.once('data', resolve));
  };
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await until('ready');
  for (const [signal, number] of [
    ['SIGHUP', 1],
    ['SIGUSR2', 12],
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    child.kill(signal);
    await until(`signal ${number}\n`);
  }
  child.kill('SIGINT');
  const code = await new Promise((resolve) => child.once('exit', resolve));
  t.is(code, 1);
});

test('a sandbox that failed is an error with its words', async (t) => {
  const fake = setUp();
  const running = fake.run();
  fake.end(137, 'the guest panicked');
  await t.throwsAsync(running, { name: 'HuskError', message: 'the guest panicked' });
});

test('raw mode ends with its disposal, also when the terminal is gone', (t) => {
  const terminal = new FakeTerminal();
  const before = process.listenerCount('exit');
  const raw = rawMode(terminal as unknown as NodeJS.ReadStream);
  terminal.setRawMode = () => {
    throw new Error('EIO');
  };
  raw[Symbol.dispose]();
  t.is(process.listenerCount('exit'), before);
});

/** `collect` against an input that fails; over a process that is made here. */
import { PassThrough } from 'node:stream';
import test from 'ava';
import type { Attachment } from '../../src/engine/contract.ts';
import { Process } from '../../src/library/process.ts';

/** `cat`: ends when its stdin does, or when it is killed */
function cat(): { process: Process; signals: number[] } {
  const signals: number[] = [];
  const stdin = new PassThrough();
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const { promise: exited, resolve } = Promise.withResolvers<{ code: number; signal?: number }>();
  const end = (status: { code: number; signal?: number }) => {
    stdout.end();
    stderr.end();
    resolve(status);
  };
  stdin.on('data', (chunk) => void stdout.write(chunk)).once('end', () => end({ code: 0 }));
  const signal = (number: number) => {
    signals.push(number);
    end({ code: 128 + number, signal: number });
  };
  const attachment = {
    stdin,
    stdout,
    stderr,
    exited,
    signal,
    resize: () => {},
    detach: () => {},
  } as unknown as Attachment;
  return { process: new Process(attachment), signals };
}

test('an input that fails ends the call with its error, and the command', async (t) => {
  const { process, signals } = cat();
  async function* failing() {
    yield Buffer.from('half');
    throw new Error('the source went away');
  }
  await t.throwsAsync(process.output({ input: failing() }), { message: 'the source went away' });
  t.deepEqual(signals, [9]);
});

test('an input that is whole is read to its end', async (t) => {
  const { process } = cat();
  async function* whole() {
    yield Buffer.from('one ');
    yield Buffer.from('two');
  }
  t.like(await process.output({ input: whole() }), { exitCode: 0, stdout: 'one two' });
});

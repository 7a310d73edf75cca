/** Programs of the host's that are waited for as a whole: what they say, how they end, and what never holds husk up. */
import test from 'ava';
import { runProgram, type ProgramOptions, type ProgramOutcome } from '../src/run-program.ts';

/** characters */
const MAX_OUTPUT = 1000;
/** ms within which even a busy machine notices a timeout of nothing; the programs below go on for longer */
const SOON = 30_000;

const shell = (script: string, options: Partial<ProgramOptions> = {}) =>
  runProgram('/bin/sh', ['-c', script], { maxOutput: MAX_OUTPUT, ...options });

const ends = (title: string, run: () => Promise<ProgramOutcome>, expected: Partial<ProgramOutcome>) =>
  test(`ends: ${title}`, async (t) => {
    const start = performance.now();
    t.like(await run(), expected);
    t.true(performance.now() - start < SOON);
  });

ends('well, with its input', () => shell('cat', { input: 'hello\n' }), { stdout: 'hello\n', stderr: '', exitCode: 0 });
ends('badly', () => shell('echo out; echo err >&2; exit 3'), { stdout: 'out\n', stderr: 'err\n', exitCode: 3 });
ends('without reading', () => shell('exec 0<&-; exit 2', { input: 'x'.repeat(1 << 20) }), { exitCode: 2 });
ends('by a signal', () => shell('kill -9 $$'), { exitCode: undefined, code: undefined, ended: undefined });
ends('before it starts', () => runProgram('/nowhere', [], { maxOutput: MAX_OUTPUT }), { code: 'ENOENT' });
ends('before it may start', () => runProgram('/etc/passwd', [], { maxOutput: MAX_OUTPUT }), { code: 'EACCES' });
ends('by its output', () => shell('yes'), { ended: 'by output' });
ends('in time', () => shell('exec sleep 60', { timeout: 100 }), { ended: 'by timeout' });
ends('in time, deaf to SIGTERM', () => shell('trap "" TERM; while :; do sleep 1; done', { timeout: 100 }), {
  ended: 'by timeout',
});
ends('in time, a child of its holding the output', () => shell('sleep 60 & wait', { timeout: 100 }), {
  ended: 'by timeout',
});
ends('with the environment it is given alone', () => shell('echo "$A${HOME-none}"', { env: { A: '1' } }), {
  stdout: '1none\n',
});

test('an abort ends it, with the reason', async (t) => {
  const controller = new AbortController();
  const reason = new Error('interrupted');
  const running = shell('sleep 60 & wait', { signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  t.is(await t.throwsAsync(running), reason);
});

/**
 * What a program can rely on: bounds, giving up, disposal, other Nodes' processes. Each case is a module of an ordinary
 * user's project.
 */
import test from 'ava';
import { engineOptions } from '../../src/library/container-options.ts';
import { abortable } from '../../src/library/abort.ts';
import { libraryProject, type Project } from './project.ts';

let project: Project;
test.before(() => {
  project = libraryProject();
});
test.after.always(() => project[Symbol.dispose]());

for (const [name, code, expected] of [
  [
    'output over the bound is refused, and the command killed',
    "try { await husk.run('busybox', ['yes'], { ...none, maxOutput: 1e6 }); } catch (error) { console.log(error.kind, error.message); }",
    'limit the command wrote more than 1000000 bytes\n',
  ],
  [
    'bytes',
    "const { stdout } = await husk.run('busybox', ['printf', '\\\\377'], { ...none, encoding: 'buffer' }); console.log(stdout);",
    '<Buffer ff>\n',
  ],
  [
    'input that is not read is no error',
    "console.log((await husk.run('busybox', ['head', '-c', '3'], { ...none, input: 'x'.repeat(1e7) })).stdout);",
    'xxx\n',
  ],
  [
    'input as a stream',
    "console.log((await husk.run('busybox', ['wc', '-c'], { ...none, input: (async function* () { for (let i = 0; i < 100; i++) yield Buffer.alloc(65536); })() })).stdout);",
    '6553600\n\n',
  ],
  [
    'an aborted run rejects with the reason',
    "try { await husk.run('busybox', ['sleep', '100'], { ...none, signal: AbortSignal.timeout(1500) }); } catch (error) { console.log(error.name); }",
    'TimeoutError\n',
  ],
  [
    'an aborted wait leaves the container alone',
    "await using c = await husk.start('busybox', ['sleep', '100'], none); try { await c.wait({ signal: AbortSignal.timeout(50) }); } catch (error) { console.log(error.name, c.state.status); }",
    'TimeoutError running\n',
  ],
  [
    'an aborted start rejects with the reason, wherever it was, and leaves nothing',
    "for (const ms of [5, 20, 40, 60, 80, 120, 250]) { const given = new AbortController(); setTimeout(() => given.abort(new Error('enough')), ms); try { await using c = await husk.start('busybox', ['sleep', '100'], { ...none, signal: given.signal }); } catch (error) { if (error.message !== 'enough') console.log(error.message); } } console.log('done');",
    'done\n',
  ],
  [
    'aborted before it began: nothing is made',
    "try { await husk.start('busybox', [], { ...none, signal: AbortSignal.abort(new Error('no')) }); } catch (error) { console.log(error.message); }",
    'no\n',
  ],
  [
    'a start that fails leaves nothing',
    "try { await husk.start('busybox', ['nope'], none); } catch (error) { console.log(error.kind, error.exitCode, error.kind === 'internal' ? error.message : ''); }",
    'start-failed 127 \n',
  ],
  [
    'kept, found again, removed',
    "{ await using c = await husk.start('busybox', ['sleep', '100'], { ...none, name: 'kept' }); c.keep(); } { await using again = husk.container('kept'); } const c = husk.container('kept'); console.log(c.state.status); await c.remove({ force: true }); try { husk.container('kept'); } catch (error) { console.log(error.kind); }",
    'running\nnot-found\n',
  ],
  [
    'signals, pids and exit codes of an exec',
    "await using c = await husk.start('busybox', ['sleep', '100'], none); const p = await c.exec(['sleep', '100']); p.stdout.resume(); p.stderr.resume(); p.kill('SIGTERM'); console.log(await p.exited);",
    /exitCode: 143/,
  ],
  [
    'a husk of its own data root',
    "using other = await Husk.open({ dataRoot: process.env.HOME + '/other' }); console.log(other.images.list().length, husk.images.list().length);",
    '0 1\n',
  ],
] as const) {
  test.serial(name, (t) => {
    const { status, stdout, stderr } = project.run(
      'case.mjs',
      `import { Husk, HuskError } from 'husk';\nusing husk = await Husk.open();\nconst none = { network: 'none' };\n${code}\n`,
    );
    t.is(status, 0, stderr);
    t.is(stderr, '');
    if (typeof expected === 'string') t.is(stdout, expected);
    else t.regex(stdout, expected);
    t.is(project.user.husk('ps', '-aq').stdout, '', 'a container was left');
  });
}

test('what is left out is as husk run has it', (t) => {
  t.like(engineOptions('image', [], {}), {
    command: undefined,
    network: 'default',
    pull: 'missing',
    logDriver: '',
    interactive: false,
    restart: { name: 'no', maximumRetryCount: 0 },
  });
  t.like(
    engineOptions('image', ['a'], {
      env: { A: '1' },
      restart: 'always',
      stdin: true,
      name: undefined,
      mounts: [{ type: 'bind', source: '/x/../y', target: '/z' }],
    }),
    {
      command: ['a'],
      env: ['A=1'],
      restart: { name: 'always', maximumRetryCount: 0 },
      interactive: true,
      mounts: [{ type: 'bind', source: '/y', target: '/z', readonly: false, options: [], createSource: false }],
    },
  );
});

test('abortable: the wait ends, what was waited for goes on', async (t) => {
  t.is(await abortable(Promise.resolve(1), undefined), 1);
  t.is(await abortable(Promise.resolve(1), new AbortController().signal), 1);
  const controller = new AbortController();
  const waiting = abortable(new Promise(() => {}), controller.signal);
  controller.abort(new Error('enough'));
  await t.throwsAsync(waiting, { message: 'enough' });
  await t.throwsAsync(abortable(Promise.reject(new Error('late')), AbortSignal.abort(new Error('before'))), {
    message: 'before',
  });
});

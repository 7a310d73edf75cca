/**
 * What a program can rely on: bounds, giving up, disposal, other Nodes' processes. Each case is a module of an ordinary
 * user's project.
 */
import test from 'ava';
import { engineOptions } from '../../src/library/container-options.ts';
import { abortable } from '../../src/library/abort.ts';
import { HUSK } from '../fixtures/user.ts';
import { libraryProject, type Project } from './project.ts';

/** how many short lives are waited for */
const ROUNDS = Number(process.env['HUSK_WAIT_ROUNDS'] ?? 12);

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
    'exit codes of lives of some milliseconds, started here and by the command line',
    [
      "import { spawn } from 'node:child_process';",
      "import { once } from 'node:events';",
      `const rounds = ${ROUNDS};`,
      'let right = 0;',
      'const one = async (round) => {',
      '  const code = round % 2 === 0 ? 0 : 1 + (round % 125);',
      "  const command = code === 0 ? ['true'] : ['sh', '-c', 'exit ' + code];",
      '  const options = { ...none, autoRemove: round % 3 === 0 };',
      "  const condition = options.autoRemove ? 'removed' : 'next-exit';",
      "  const c = await husk.create('busybox', command, options);",
      '  const waiting = c.wait({ condition });',
      "  if (round % 4 < 2) await once(spawn(HUSK, ['start', c.id], { stdio: 'ignore' }), 'exit');",
      '  else await c.start();',
      '  const found = await waiting;',
      '  if (found === code) right++; else console.log(round, condition, found, code);',
      '  if (!options.autoRemove) await c.remove();',
      '};',
      'let next = 0;',
      'await Promise.all([1, 2].map(async () => { while (next < rounds) await one(next++); }));',
      'console.log(right === rounds);',
    ].join('\n'),
    'true\n',
  ],
  [
    'a terminal has the size that it is given, without anybody attached to it',
    [
      'const told = \'trap "stty size" WINCH; echo ready; while :; do sleep 0.05; done\';',
      "await using c = await husk.start('busybox', ['sh', '-c', told], { ...none, tty: true });",
      'const lines = c.logs({ follow: true })[Symbol.asyncIterator]();',
      'const read = async () => (await lines.next()).value.text.trim();',
      'console.log(await read());',
      'await c.resize(100, 30);',
      'console.log(await read());',
      'await c.resize(71, 17);',
      'console.log(await read());',
      'await c.kill();',
      'await c.wait();',
      "try { await c.resize(80, 24); } catch (error) { console.log(error.kind, error.message === 'container ' + c.id + ' is not running'); }",
    ].join('\n'),
    'ready\n30 100\n17 71\nconflict true\n',
  ],
  [
    'a husk of its own data root',
    "using other = await Husk.open({ dataRoot: process.env.HOME + '/other' }); console.log(other.images.list().length, husk.images.list().length);",
    '0 1\n',
  ],
  [
    'contexts of builds: a URL, one by a name, a folder by its URL; a repository that is not there',
    [
      "import { mkdirSync, writeFileSync } from 'node:fs';",
      "import { createServer } from 'node:http';",
      "import { pathToFileURL } from 'node:url';",
      "const files = { '/Dockerfile': 'FROM scratch\\nCOPY --from=n /f /g\\nLABEL a=1\\n', '/f': 'f' };",
      'const server = createServer(({ url }, answer) => files[url] ? answer.end(files[url]) : answer.writeHead(404).end());',
      "await new Promise((done) => server.listen(0, '127.0.0.1', done));",
      "const at = 'http://127.0.0.1:' + server.address().port;",
      "const host = { network: 'host', allow: ['network.host'] };",
      "const image = await husk.images.build(at + '/Dockerfile', { ...host, contexts: { n: at + '/f' } });",
      "const n = { kind: 'remote', url: at + '/f', isGit: false };",
      "const same = await husk.images.build(new URL(at + '/Dockerfile'), { ...host, contexts: { n } });",
      'console.log(image.config.config.Labels, image.layers.length, same.id === image.id);',
      "const folder = process.env.HOME + '/a folder';",
      'mkdirSync(folder);',
      "writeFileSync(folder + '/Dockerfile', 'FROM scratch\\nLABEL b=2\\n');",
      'console.log((await husk.images.build(pathToFileURL(folder))).config.config.Labels);',
      "for (const wrong of [at + '/none.git', at + '/none'])",
      '  await husk.images.build(wrong, host).catch((error) => console.log(error instanceof HuskError, error.message));',
      'server.close();',
    ].join('\n'),
    /^\{ a: '1' \} 1 true\n\{ b: '2' \}\ntrue .*none\.git.*\ntrue .*404.*\n$/,
  ],
] as const) {
  test.serial(name, (t) => {
    const { status, stdout, stderr } = project.run(
      'case.mjs',
      `import { Husk, HuskError } from 'husk';\nusing husk = await Husk.open();\nconst none = { network: 'none' };\nconst HUSK = ${JSON.stringify(HUSK)};\n${code}\n`,
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

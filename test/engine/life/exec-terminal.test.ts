/**
 * An exec on a real terminal in a real container: its size at the start, and a new one from somebody else while it
 * runs. The engine is that of a program of an ordinary user, as the API's server is.
 */
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar } from '../../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT } from '../../fixtures/user.ts';

const PROGRAM = `
import { openEngine } from '${join(ROOT, 'src/engine/assembly/engine.ts')}';
const [engine, other] = [await openEngine(), await openEngine()];
const id = await engine.execCreate('box', {
  command: ['sh', '-c', 'stty size; read line; stty size; tty; exit 4'],
  interactive: true, tty: true, detach: false, env: [], privileged: false, consoleSize: { columns: 1, rows: 1 },
});
const { stdin, stdout, exited } = await engine.execStart(id, {
  detach: false, tty: true, consoleSize: { columns: 100, rows: 30 },
});
let all = '';
const first = Promise.withResolvers();
stdout.setEncoding('utf8').on('data', (text) => ((all += text), all.includes('\\n') && first.resolve()));
await first.promise;
await other.execResize(id, { columns: 77, rows: 22 });
const { running, pid } = other.execInspect(id);
stdin.write('go\\n');
const { code } = await exited;
console.log(all.trim().split('\\r\\n').join('|'), code, running, pid > 0, other.execInspect(id).exitCode);
process.exit(0);
`;

test('a terminal has the size of its start, and the one that somebody else gives it', (t) => {
  using user = ordinaryUser();
  const imported = user.run(['sh', '-c', '"$0" import - busybox <"$1"', HUSK, busyboxTar()]);
  t.is(imported.status, 0, imported.stderr);
  const started = user.husk('run', '-d', '--name', 'box', '--network', 'none', 'busybox', 'sleep', '1000');
  t.is(started.status, 0, started.stderr);
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', PROGRAM];
  const { stdout, stderr } = user.run(node);
  t.is(stdout, '30 100|go|22 77|/dev/pts/0 4 true true 4\n', stderr);
  t.is(user.husk('rm', '-f', 'box').status, 0);
});

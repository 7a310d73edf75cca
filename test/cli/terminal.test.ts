/**
 * A person's terminal, for real: script(1) makes a pseudo-terminal, `bin/husk` runs in it as an ordinary user, containers come
 * from an image of a loopback registry.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry, type Registry } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';

/** ms until what is waited for must have come */
const PATIENCE = 30_000;

const missing = missingImageTools() ?? (existsSync(join(ROOT, 'dist/husk-launch')) ? undefined : 'make build has not run') ?? (existsSync('/usr/bin/script') ? undefined : 'script(1) is not installed (apt install bsdutils)');
const real = missing === undefined ? test.serial : test.serial.skip;

let registry: Registry;
let user: TestUser;
let image: string;

if (missing === undefined) {
  test.before(async () => {
    registry = await startRegistry();
    image = await registry.push(`oci:${busyboxLayout()}:latest`, 'busybox:latest');
    user = ordinaryUser();
    const { status, stderr } = user.husk('pull', '-q', image);
    if (status !== 0) throw new Error(`husk pull: ${stderr}`);
  });
  test.after.always(async () => {
    const names = user?.husk('ps', '-aq').stdout.split('\n').filter(Boolean) ?? [];
    if (names.length > 0) user.husk('rm', '-f', ...names);
    user?.[Symbol.dispose]();
    await registry?.[Symbol.asyncDispose]();
  });
}

/** Runs a shell line on a terminal of 100 by 30. */
function terminal(line: string): { type(text: string): void; until(text: string | RegExp): Promise<void>; end(): Promise<number>; readonly output: string } {
  const child: ChildProcess = user.start(['script', '-qfec', `stty cols 100 rows 30; ${line}`, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  let looked = 0;
  const exited = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? -1)));
  child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  return {
    get output() {
      return output;
    },
    type: (text) => void child.stdin!.write(text),
    async until(text) {
      for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
        const rest = output.slice(looked);
        const found = typeof text === 'string' ? rest.indexOf(text) : rest.search(text);
        if (found !== -1) {
          looked += found + (typeof text === 'string' ? text.length : 1);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      child.kill('SIGKILL');
      throw new Error(`no ${text} in ${JSON.stringify(output)}`);
    },
    end: () => exited,
  };
}

real(`a shell: its size, its line ends, its exit code${missing === undefined ? '' : ` (${missing})`}`, async (t) => {
  const session = terminal(`${HUSK} run -it --rm ${image} sh; echo code $?; stty -a | grep -o -- '-\\?opost\\|-\\?icanon'`);
  await session.until('# ');
  session.type('stty size; tty\n');
  await session.until('30 100\r\n');
  await session.until('/dev/pts/0');
  session.type('printf "a\\nb"; stty -opost; printf "c\\nd"; stty opost; exit 5\n');
  await session.until('code 5');
  // the container's terminal made the first line end, and was told to leave the second alone
  t.true(session.output.includes('a\r\nbc\nd'), JSON.stringify(session.output));
  await session.end();
  t.regex(session.output, /\r\nopost\r\nicanon\r\n$/, 'the terminal is as it was');
});

real('a terminal made smaller, twice', async (t) => {
  const session = terminal(`t=$(tty); (for size in 11:55 12:66; do sleep 1.5; stty -F "$t" rows \${size%:*} cols \${size#*:}; done) & ${HUSK} run -it --rm ${image} sh -c 'trap "stty size" WINCH; stty size; i=0; while [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done'`);
  await session.until('30 100');
  await session.until('11 55');
  await session.until('12 66');
  session.type('\x03');
  t.is(await session.end(), 130);
});

real('Ctrl-P Ctrl-Q leaves it running, attach comes back', async (t) => {
  const first = terminal(`${HUSK} run -it --name stays ${image} sh; echo code $?`);
  await first.until('# ');
  first.type('kept=yes\n');
  await first.until('# ');
  first.type('\x10\x11');
  await first.until('read escape sequence');
  await first.until('code 0');
  await first.end();
  t.is(user.husk('inspect', '-f', '{{.State.Status}}', 'stays').stdout, 'running\n');
  const second = terminal(`${HUSK} attach --detach-keys x,y stays; echo code $?`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  second.type('echo kept=$kept\n');
  await second.until('kept=yes');
  second.type('x');
  second.type('y');
  await second.until('read escape sequence');
  await second.end();
  const third = terminal(`${HUSK} exec -it stays sh -c 'stty size; tty; exit 9'; echo code $?`);
  await third.until('30 100');
  await third.until('code 9');
  await third.end();
  t.is(user.husk('rm', '-f', 'stays').stdout, 'stays\n');
});

real('Ctrl-C goes to a container without a terminal, and its code comes back', async (t) => {
  const session = terminal(`trap : INT; ${HUSK} run --rm ${image} sh -c 'trap "echo got it; exit 4" INT; echo up; while :; do sleep 0.1; done'; echo code $?`);
  await session.until('up');
  session.type('\x03');
  await session.until('got it');
  await session.until('code 4');
  t.pass();
  await session.end();
});

real('a terminal is given back when husk is ended by a signal', async (t) => {
  const session = terminal(`${HUSK} run -it --name ended ${image} sh -c 'echo in; sleep 60' & pid=$!; sleep 0; fg %1 2>/dev/null || wait $pid; stty -a | grep -o -- '-\\?icanon'`);
  await session.until('in');
  const { stdout } = user.run(['pgrep', '-f', 'run -it --name ended']);
  for (const pid of stdout.split('\n').filter(Boolean)) user.run(['kill', '-TERM', pid]);
  await session.until(/\bicanon/);
  t.notRegex(session.output, /-icanon/);
  await session.end();
  user.husk('rm', '-f', 'ended');
});

real('piped: bytes through stdin and stdout, stderr apart, codes', (t) => {
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
  const cat = user.run([HUSK, 'run', '-i', '--rm', image, 'sh', '-c', 'md5sum'], { input: bytes });
  const here = user.run(['md5sum'], { input: bytes });
  t.is(cat.stdout, here.stdout);
  const both = user.husk('run', '--rm', image, 'sh', '-c', 'echo out; echo err >&2; exit 42');
  t.deepEqual([both.status, both.stdout, both.stderr], [42, 'out\n', 'err\n']);
  t.is(user.husk('run', '-it', '--rm', image, 'true').stderr.split('\n')[0], 'Error: the input device is not a TTY');
});

const CODES: [title: string, words: string[], code: number][] = [
  ['not found', ['nosuchcommand'], 127],
  ['not executable', ['/etc/passwd'], 126],
  ['a signal', ['sh', '-c', 'sh -c "kill -TERM \\$\\$"; exit $?'], 143],
];
for (const [title, words, code] of CODES) real(`exit code: ${title}`, (t) => t.is(user.husk('run', '--rm', image, ...words).status, code));

real('exit code: killed', (t) => {
  user.husk('run', '-d', '--name', 'victim', image, 'sleep', '100');
  user.husk('kill', 'victim');
  t.is(user.husk('wait', 'victim').stdout, '137\n');
  user.husk('rm', 'victim');
});

real('--cidfile, -d, ps -q, and a second container of the name', (t) => {
  const file = join(user.home, 'cid');
  const first = user.husk('run', '-d', '--cidfile', file, '--name', 'one', image, 'sleep', '100');
  t.regex(first.stdout, /^[0-9a-f]{64}\n$/);
  t.is(user.run(['cat', file]).stdout, first.stdout.trim());
  t.is(user.husk('ps', '-q', '--no-trunc').stdout, first.stdout);
  t.is(user.husk('run', '--cidfile', file, image, 'true').status, 125);
  const again = user.husk('run', '-d', '--name', 'one', image, 'true');
  t.is(again.status, 125);
  t.regex(again.stderr, /^Error: Conflict\. The container name "\/one" is already in use by container "[0-9a-f]{64}"\./);
  t.is(user.husk('rm', '-f', 'one').stdout, 'one\n');
});

real('a reader that goes away ends husk quietly', (t) => {
  const { stdout, stderr } = user.run(['sh', '-c', `${HUSK} run --rm ${image} sh -c 'yes | head -c 1000000' | head -1`]);
  t.deepEqual([stdout, stderr], ['y\n', '']);
});

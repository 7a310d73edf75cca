/** HUSK_TRACE: one timeline of all processes of a command, which viewers can read and the container cannot. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { HUSK, ordinaryUser, ROOT, TIMEOUT, type TestUser } from './fixtures/user.ts';

const built = existsSync(join(ROOT, 'dist/husk-main.cjs'));
const check = built ? test : test.skip;
const titled = (title: string) => `${title}${built ? '' : ' (needs make build)'}`;

interface Event {
  ph: 'X' | 'M';
  name: string;
  pid: number;
  tid: number;
  ts: number;
  dur: number;
  args?: { name: string };
}

/** The array is left open, so that processes only ever append. */
const read = (file: string) => JSON.parse(`${readFileSync(file, 'utf8').replace(/,\n$/, '')}]`) as Event[];

function imported(t: ExecutionContext): TestUser {
  const user = ordinaryUser();
  t.teardown(() => user[Symbol.dispose]());
  const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  t.is(user.run([HUSK, 'import', '-', 'box'], { input: tree }).status, 0);
  return user;
}

/** What a process of that name did, by its beginning. */
function lane(events: readonly Event[], name: string): string[] {
  const pids = events.filter((event) => event.ph === 'M' && event.args!.name === name).map(({ pid }) => pid);
  return events
    .filter((event) => event.ph === 'X' && pids.includes(event.pid))
    .toSorted((a, b) => a.ts - b.ts)
    .map((event) => event.name);
}

/** each name after the one before it, with whatever else between */
function inOrder(t: ExecutionContext, found: readonly string[], names: readonly string[]): void {
  let at = -1;
  for (const name of names) {
    at = found.indexOf(name, at + 1);
    if (at < 0) return t.fail(`no "${name}" in its place among ${found.join(', ')}`);
  }
  t.pass();
}

check(titled('run: launcher, command, supervisor and husk-init, each in order'), async (t) => {
  const user = imported(t);
  const { status, stdout } = user.run([HUSK, 'run', '--rm', '--network', 'none', 'box', 'env'], {
    env: { HUSK_TRACE: 'trace.json' },
  });
  t.is(status, 0);
  t.notRegex(stdout, /HUSK|trace/);
  const file = join(user.home, 'trace.json');
  t.is(statSync(file).mode & 0o777, 0o600);
  // the supervisor ends after the command
  const until = Date.now() + TIMEOUT;
  while (!read(file).some(({ ph, name }) => ph === 'X' && name === 'husk supervisor') && Date.now() < until)
    await after(20);
  const events = read(file);
  for (const { ph, pid, tid, ts, dur } of events) {
    t.true(pid > 0 && tid === pid);
    if (ph === 'X') t.true(Number.isSafeInteger(ts) && Number.isSafeInteger(dur) && dur >= 0);
  }
  const node = ['launcher', 'Node starts', 'V8 starts', 'Node makes its environment', 'husk loads'];
  inOrder(t, lane(events, 'husk run'), [
    ...node,
    'husk',
    'load the command',
    'open the engine',
    'open the database',
    'create the container',
    'make the task',
    'ask the supervisor to start it',
    'stay with the container',
    'wait for the removal',
  ]);
  inOrder(t, lane(events, 'husk supervisor'), [
    ...node,
    'husk supervisor',
    'open the database',
    'start the container',
    'spawn husk-init',
    'end the container',
    'announce the exit and delete the files',
  ]);
  inOrder(t, lane(events, 'husk-init'), [
    'start husk-init',
    'carry out the plan',
    'answer idmap',
    'answer exec',
    'run',
  ]);
});

check(titled('a second command goes on in the same file'), (t) => {
  const user = ordinaryUser();
  t.teardown(() => user[Symbol.dispose]());
  const trace = () => user.run([HUSK, 'ps', '-q'], { env: { HUSK_TRACE: join(user.home, 't') } });
  t.deepEqual([trace().status, trace().status], [0, 0]);
  t.is(new Set(read(join(user.home, 't')).map(({ pid }) => pid)).size, 2);
});

const REFUSED: [what: string, file: string, cause: string][] = [
  ['a folder that is not there', 'no/such', 'no such file or directory'],
  ['a folder', 'run', 'is a directory'],
  ['a file of root', '/etc/passwd', 'permission denied'],
  ['a full disk', '/dev/full', 'no space left on device'],
  ['a link to nowhere that may be written', 'link', 'permission denied'],
];
for (const [what, file, cause] of REFUSED)
  check(titled(`refused in one line: ${what}`), (t) => {
    const user = ordinaryUser();
    t.teardown(() => user[Symbol.dispose]());
    user.run(['ln', '-s', '/etc/husk-trace', 'link']);
    const expected = {
      status: 125,
      stdout: '',
      stderr: `Error: cannot write the trace ${file}: ${cause}\nFix: name another file in HUSK_TRACE, or unset it\n`,
    };
    const env = { HUSK_TRACE: file };
    const { status, stdout, stderr } = user.run([HUSK, 'ps'], { env });
    t.deepEqual({ status, stdout, stderr }, expected);
    // without the launcher: the sources
    const source = user.run(
      [process.execPath, '--disable-warning=ExperimentalWarning', join(ROOT, 'src/main.ts'), 'ps'],
      { env },
    );
    t.deepEqual({ status: source.status, stdout: source.stdout, stderr: source.stderr }, expected);
  });

/**
 * Logs of real containers, as an ordinary user runs them: nothing lost, torn or out of order at full speed; what
 * readers and a killed supervisor may do.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { busyboxTar } from '../fixtures/images.ts';
import { HUSK, ordinaryUser } from '../fixtures/user.ts';

const user = ordinaryUser();
test.after.always(() => {
  user.husk(
    'rm',
    '-f',
    ...user
      .husk('ps', '-aq')
      .stdout.split('\n')
      .filter((id) => id !== ''),
  );
  user[Symbol.dispose]();
});

/** lines of the big file */
const LINES = 400_000;
const BIG = join(user.home, 'shared');
const lineOf = (number: number) => `line ${number} ${'x'.repeat(85)}`;
/** KiB a supervisor may have resident, whatever its container writes: V8 and its code are 60 to 80 MiB of it */
const MOST_RESIDENT = 200 * 1024;

test.before('an image, and 40 MB of numbered lines', (t) => {
  t.is(user.run(['sh', '-c', `"$0" import --change 'CMD ["sh"]' - base <"$1"`, HUSK, busyboxTar()]).status, 0);
  mkdirSync(BIG);
  const file = openSync(join(BIG, 'lines'), 'w');
  for (let from = 0; from < LINES; from += 10_000)
    writeSync(file, Array.from({ length: 10_000 }, (_, index) => `${lineOf(from + index)}\n`).join(''));
  closeSync(file);
  chmodSync(BIG, 0o755);
});

const run = (name: string, command: string, ...flags: string[]) =>
  user.husk(
    'run',
    '--isolation=userns',
    '--network=none',
    '-d',
    '--name',
    name,
    '-v',
    `${BIG}:/d:ro`,
    ...flags,
    'base',
    'sh',
    '-c',
    command,
  );
const numbers = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number(/^line (\d+) x{85}\r?$/.exec(line)?.[1] ?? Number.NaN));
const firstWrong = (found: number[], from: number) => found.findIndex((number, index) => number !== from + index);

for (const [name, flags] of [
  ['json-file', []],
  ['local', ['--log-driver=local', '--log-opt=max-size=1g']],
] as const) {
  test.serial(`${name}: every line of both streams, in order, and a supervisor that stays small`, async (t) => {
    // so that its supervisor is found while there is one
    t.is(
      run(name, 'while [ ! -e /tmp/go ]; do sleep 0.1; done; cat /d/lines & cat /d/lines >&2; wait', ...flags).status,
      0,
    );
    const resident = await mostResident(name);
    const { stdout, stderr } = user.husk('logs', name);
    for (const text of [stdout, stderr]) {
      const found = numbers(text);
      t.is(found.length, LINES);
      t.is(firstWrong(found, 0), -1);
    }
    t.true(resident < MOST_RESIDENT, `${resident} KiB`);
  });
}

for (const [name, flags] of [
  ['rotated', ['--log-opt=max-size=3m', '--log-opt=max-file=3']],
  ['packed', ['--log-driver=local', '--log-opt=max-size=3m', '--log-opt=max-file=3']],
] as const) {
  test.serial(`${name}: the last files have the last lines, in order`, (t) => {
    run(name, 'cat /d/lines', ...flags);
    t.is(user.husk('wait', name).stdout, '0\n');
    const found = numbers(user.husk('logs', name).stdout);
    t.true(found.length > 30_000 && found.length < LINES);
    t.is(firstWrong(found, LINES - found.length), -1);
    t.is(user.husk('logs', '--tail', '2', name).stdout, `${lineOf(LINES - 2)}\n${lineOf(LINES - 1)}\n`);
  });
}

test.serial('with a terminal: every line, in order', (t) => {
  run('terminal', 'head -n 100000 /d/lines', '-t');
  user.husk('wait', 'terminal');
  const found = numbers(user.husk('logs', 'terminal').stdout);
  t.is(found.length, 100_000);
  t.is(firstWrong(found, 0), -1);
});

test.serial('a follower over many rotations sees whole lines in order, and the end', (t) => {
  run(
    'followed',
    'for i in 1 2 3 4 5 6 7 8 9 10; do tail -n +$((i * 10000 - 9999)) /d/lines | head -n 10000; sleep 0.3; done',
    '--log-opt=max-size=400k',
    '--log-opt=max-file=100',
  );
  // a follower that the files outrun misses some: here none is deleted
  const found = numbers(user.husk('logs', '-f', 'followed').stdout);
  t.is(firstWrong(found, 0), -1);
  t.is(found.at(-1), 99_999);
});

test.serial('a reader that stands still does not hold the container up; logs of one at full speed end', async (t) => {
  run('fast', 'while :; do cat /d/lines; done', '--log-opt=max-size=10m', '--log-opt=max-file=2');
  const reader = user.start([HUSK, 'logs', '-f', 'fast'], { stdio: ['ignore', 'pipe', 'ignore'] });
  await sleep(1000);
  const id = user.husk('inspect', '-f', '{{.Id}}', 'fast').stdout.trim();
  const folder = join(user.home, 'data/husk/containers', id);
  // the last but one: the last may be half written
  const newest = () =>
    numbers(
      user
        .run(['sh', '-c', 'tail -n 2 "$0" | head -n 1', join(folder, `${id}-json.log`)])
        .stdout.replace(/^\{"log":"|\\n".*/g, ''),
    );
  const first = newest();
  const { status, stdout } = user.husk('logs', '--tail', '100', 'fast');
  t.is(status, 0);
  t.is(numbers(stdout).filter(Number.isNaN).length, 0);
  t.is(user.husk('logs', 'fast').status, 0);
  t.notDeepEqual(newest(), first);
  reader.kill();
  user.husk('rm', '-f', 'fast');
});

test.serial('kill -9 of the supervisor: the log has whole lines only, and goes on at the next start', async (t) => {
  for (const driver of ['json-file', 'local']) {
    run(
      `killed-${driver}`,
      'while :; do head -n 20000 /d/lines; sleep 0.2; done',
      `--log-driver=${driver}`,
      '--log-opt=max-size=1g',
    );
    const lines = () => user.husk('logs', `killed-${driver}`).stdout.split('\n').length;
    while (lines() < 1000) await sleep(50);
    execFileSync('kill', ['-9', String(supervisorOf(`killed-${driver}`))]);
    const before = numbers(user.husk('logs', `killed-${driver}`).stdout);
    t.true(before.length >= 999 && !before.some(Number.isNaN));
    t.is(user.husk('start', `killed-${driver}`).status, 0);
    while (lines() <= before.length + 1) await sleep(50);
    user.husk('kill', `killed-${driver}`);
    const after = user.husk('logs', `killed-${driver}`).stdout.split('\n');
    // the last line is the one the container itself was killed in
    t.deepEqual(
      after.slice(0, -1).filter((line) => line !== '' && Number.isNaN(numbers(line)[0])),
      [],
    );
    t.true(after.length > before.length);
    user.husk('rm', '-f', `killed-${driver}`);
  }
});

test.serial('attributes, times and windows, as a person asks for them', (t) => {
  const { status, stderr } = run(
    'asked',
    'echo out; echo err >&2',
    '--label',
    'team=a b',
    '--log-opt=labels=team',
    '--log-opt=tag={{.Name}}',
  );
  t.is(status, 0, stderr);
  user.husk('wait', 'asked');
  t.deepEqual(user.husk('logs', '--details', 'asked').stdout, 'tag=asked,team=a+b out\n');
  t.regex(user.husk('logs', '-t', 'asked').stdout, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out\n$/);
  t.is(user.husk('logs', '--since', '1m', 'asked').stdout, 'out\n');
  t.is(user.husk('logs', '--until', '1m', 'asked').stdout, '');
  t.is(user.husk('logs', '--details', '--tail', '0', 'asked').stdout, '');
});

test.serial("none: Docker's text; the config file chooses driver and options", (t) => {
  t.is(run('silent', 'echo x', '--log-driver=none').status, 0);
  const refused = user.husk('logs', 'silent');
  t.is(refused.status, 1);
  t.is(refused.stderr, 'Error: configured logging driver does not support reading\n');
  const config = join(user.home, 'tmp/config.json');
  user.run(['tee', config], { input: '{"log-driver": "local", "log-opts": {"max-file": "2", "compress": "false"}}' });
  t.is(user.husk('--config', config, 'create', '--name', 'configured', 'base').status, 0);
  t.is(
    user.husk('inspect', '-f', '{{json .HostConfig.LogConfig}}', 'configured').stdout,
    '{"Type":"local","Config":{"compress":"false","max-file":"2"}}\n',
  );
  user.run(['tee', config], { input: '{"log-opts": {"max-file": 2}}' });
  t.regex(user.husk('--config', config, 'ps').stderr, /"log-opts" must be an object of strings/);
});

function supervisorOf(name: string): number {
  const first = Number(user.husk('inspect', '-f', '{{.State.Pid}}', name).stdout);
  for (let pid = first; pid > 1;) {
    if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('supervisor')) return pid;
    pid = Number(
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[1],
    );
  }
  throw new Error(`no supervisor above ${first}`);
}

/** Lets it begin. @returns KiB that the supervisor had resident at most, until the container has ended */
async function mostResident(name: string): Promise<number> {
  const pid = supervisorOf(name);
  user.husk('exec', name, 'touch', '/tmp/go');
  let most = 0;
  while (readdirSync('/proc').includes(String(pid))) {
    try {
      most = Math.max(most, Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0));
    } catch {
      break;
    }
    await sleep(50);
  }
  return most;
}

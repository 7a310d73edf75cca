/**
 * What the kernel takes, husk takes: arguments, environment and labels of run and exec; and in words which one is too
 * large where it does not.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';

const built = existsSync(join(ROOT, 'dist/husk-main.cjs')) ? test : test.skip; // make build

/** a user with the image `base`; the container `one` goes first */
function userWithBase(t: ExecutionContext): TestUser {
  const user = ordinaryUser();
  t.teardown(() => {
    user.husk('rm', '-f', 'one');
    user[Symbol.dispose]();
  });
  const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  t.is(user.run([HUSK, 'import', '-', 'base'], { input: tree }).status, 0);
  return user;
}

built('20,000 arguments, a megabyte of environment and of labels', (t) => {
  const user = userWithBase(t);
  const big = 'v'.repeat(120_000);
  writeFileSync(join(user.home, 'labels'), Array.from({ length: 20 }, (_, index) => `l${index}=${big}`).join('\n'));
  const run = user.husk(
    'run',
    '-d',
    '--name',
    'one',
    '--network',
    'none',
    '--label-file',
    join(user.home, 'labels'),
    'base',
    'sleep',
    '1000',
  );
  t.is(run.status, 0, run.stderr);
  const words = Array.from({ length: 20_000 }, (_, index) => String(index));
  const variables = Array.from({ length: 9 }, (_, index) => ['-e', `V${index}=${big}`]).flat();
  const tooLong = join(user.home, 'too-long');
  writeFileSync(tooLong, `LONG=${'v'.repeat(140_000)}\n`);
  for (const [verb, ...target] of [
    ['run', '--rm', '--network', 'none', 'base'],
    ['exec', 'one'],
  ] as [string, ...string[]][]) {
    const options = target.slice(0, -1);
    const name = target.at(-1)!;
    t.is(user.husk(verb, ...options, name, 'sh', '-c', 'echo $#', 'x', ...words).stdout, '20000\n', verb);
    t.is(
      user.husk(verb, ...options, ...variables, name, 'sh', '-c', 'echo ${#V0} ${#V8}').stdout,
      '120000 120000\n',
      verb,
    );
    const refused = user.husk(verb, ...options, '--env-file', tooLong, name, 'true');
    t.is(refused.status, 126, verb);
    t.regex(
      refused.stderr,
      /the environment variable LONG has 140005 bytes: Linux gives a program at most 131071 in one/,
    );
  }
  t.is(user.husk('rm', '-f', 'one').status, 0);
});

built(
  "what a container with the host's processes leaves behind ends with it, also when it has lost its parent",
  (t) => {
    const user = userWithBase(t);
    const leaves =
      '(setsid sh -c "sleep 4321 & touch /ready; exec sleep 4322" &); while ! [ -e /ready ]; do sleep 0.1; done; echo ready; exec sleep 4320';
    t.is(
      user.husk('run', '-d', '--name', 'one', '--pid', 'host', '--network', 'none', 'base', 'sh', '-c', leaves).status,
      0,
    );
    while (user.husk('logs', 'one').stdout !== 'ready\n');
    const left = () =>
      user
        .run(['ps', '-u', String(user.uid), '-o', 'stat=,args='])
        .stdout.split('\n')
        .filter((line) => /sleep 432\d$/.test(line) && !line.startsWith('Z'));
    t.is(left().length, 3);
    t.is(user.husk('stop', '-t', '0', 'one').status, 0);
    t.deepEqual(left(), []);
    t.is(user.husk('rm', 'one').status, 0);
  },
);

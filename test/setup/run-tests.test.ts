/** setup/run-tests: after what ava prints come the costs of each file, and last of all the counts. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { ROOT } from '../fixtures/user.ts';

test('what each file cost is listed, and the counts are the last line', (t) => {
  const { stdout, stderr, status } = spawnSync(
    join(ROOT, 'setup/run-tests'),
    ['test/notation/quoting.test.ts', 'test/notation/extra-hosts.test.ts'],
    { encoding: 'utf8' },
  );
  t.is(status, 0, stderr);
  const lines = stdout.trimEnd().split('\n');
  t.regex(lines.at(-1)!, /^[1-9]\d* passed, 0 failed, 0 skipped$/);
  const [title, ...files] = lines.slice(-4, -1);
  t.regex(title!, /^2 files: \d+ s, \d+ s of CPU; the slowest:$/);
  t.deepEqual(files.map((line) => line.replace(/^ +\d+\.\d s +\d+\.\d s of CPU {2}/, '')).toSorted(), [
    'test/notation/extra-hosts.test.ts',
    'test/notation/quoting.test.ts',
  ]);
});

/**
 * run-tests with a stand-in for ava.
 *
 * @param runs what ava says each time: the titles of tests that failed, beside one that passed
 * @param files that ava begins the first time
 */
function runTests(runs: string[][], files: string[], again?: number) {
  const folder = temporaryFolder('husk-run-tests-');
  // What other users cannot read run-tests copies first.
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'package.json'), '{}');
  for (const name of ['setup', 'node_modules/.bin']) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync(join(ROOT, 'setup/run-tests'), join(folder, 'setup/run-tests'));
  const program = (name: string, lines: string[]) =>
    writeFileSync(join(folder, name), ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  program('setup/test-user', []);
  for (const [number, failed] of runs.entries()) {
    const said = [
      '  ✔ one › passes',
      ...failed.map((title) => `  ✘ ${title}`),
      '  ─',
      '',
      ...(failed.length > 0 ? [`  ${failed.length} tests failed`] : ['  1 test passed']),
      ...failed.flatMap((title) => ['', `  ${title}`, '', '  because of it']),
    ];
    writeFileSync(join(folder, `said-${number}`), said.join('\n'));
  }
  program('node_modules/.bin/ava', [
    `echo "$*" >>${folder}/asked`,
    `number=$(($(wc -l <${folder}/asked) - 1))`,
    ...files.map((file) => `[ $number != 0 ] || echo "began ${file}" >>"$HUSK_TEST_TIMES"`),
    `cat ${folder}/said-$number`,
    `! grep -q failed ${folder}/said-$number`,
  ]);
  const { status, stdout, stderr } = spawnSync(join(folder, 'setup/run-tests'), ['test/a', 'test/b'], {
    env: { PATH: process.env['PATH'], ...(again !== undefined && { HUSK_TESTS_AGAIN: `${again}` }) },
    encoding: 'utf8',
  });
  const asked = readFileSync(join(folder, 'asked'), 'utf8').trimEnd().split('\n');
  return { status, lines: stdout.trimEnd().split('\n'), stderr, asked };
}

const FILES = ['test/a/one.test.ts', 'test/b/one.test.ts', 'test/b/c/two.test.ts'];

for (const [what, runs, again, expected] of [
  [
    'passes by itself: the run passes, and it is named',
    [['[fail]: b › one › x'], []],
    1,
    {
      status: 0,
      asked: ['test/a test/b', '--concurrency 1 test/b/one.test.ts'],
      last: '2 passed, 0 failed, 0 skipped',
    },
  ],
  [
    'fails again: so does the run',
    [['[fail]: b › c › two › x'], ['[fail]: x']],
    1,
    {
      status: 1,
      asked: ['test/a test/b', '--concurrency 1 test/b/c/two.test.ts'],
      last: '1 passed, 1 failed, 0 skipped',
    },
  ],
  [
    'is not run again where nobody asked for it',
    [['[fail]: b › one › x']],
    undefined,
    { status: 1, asked: ['test/a test/b'], last: '1 passed, 1 failed, 0 skipped' },
  ],
  [
    'is not run again where tests of more files failed',
    [['[fail]: b › one › x', '[fail]: a › one › x']],
    1,
    { status: 1, asked: ['test/a test/b'], last: '1 passed, 2 failed, 0 skipped' },
  ],
  [
    'of no file is not run again, nor is what failed beside it',
    [['[fail]: b › one › x', 'Timed out while running tests']],
    3,
    { status: 1, asked: ['test/a test/b'], last: '1 passed, 2 failed, 0 skipped' },
  ],
] as const)
  test(`a test that failed ${what}`, (t) => {
    const { status, asked, lines, stderr } = runTests(
      runs.map((titles) => [...titles]),
      FILES,
      again,
    );
    t.deepEqual({ status, asked, last: lines.at(-1)! }, expected as never, `${lines.join('\n')}\n${stderr}`);
    const [title, mark] = status === 0 ? ['failed once, passed by themselves:', '↻'] : ['the first failures:', '✘'];
    t.true(lines.includes(title!));
    t.true(lines.some((line) => line.startsWith(`  ${mark} `)));
    t.true(lines.includes('  because of it'));
  });

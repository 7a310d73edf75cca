/**
 * The launcher says the version without Node, and only where nothing else is asked for: what Node would have said, to
 * the byte.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../fixtures/user.ts';

const LAUNCHER = join(ROOT, 'dist/husk-launch');
const built = existsSync(LAUNCHER) && existsSync(join(ROOT, 'dist/husk.cjs'));
const titled = (title: string) => `${title}${built ? '' : ' (needs make build)'}`;
const check = built ? test : test.skip;

type Stdout = 'pipe' | number;
const run = (program: string, args: string[], stdout: Stdout, environment: NodeJS.ProcessEnv = {}) => {
  const {
    status,
    stdout: said,
    stderr,
  } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', stdout, 'pipe'],
  });
  return { status, stdout: said, stderr };
};
const byNode = (args: string[], stdout: Stdout) =>
  run(process.execPath, ['--disable-warning=ExperimentalWarning', '--', join(ROOT, 'dist/husk.cjs'), ...args], stdout);

for (const args of [
  ['--version'],
  ['-v'],
  ['--version', 'ps'],
  ['--version=true'],
  ['--version=false'],
  ['-v', '-D'],
  ['--', '--version'],
])
  check(titled(`husk ${args.join(' ')} is what Node says`), (t) => {
    t.deepEqual(run(LAUNCHER, args, 'pipe'), byNode(args, 'pipe'));
  });

check(titled('a full disk is told of in the same words'), (t) => {
  t.deepEqual(
    run(LAUNCHER, ['--version'], openSync('/dev/full', 'w')),
    byNode(['--version'], openSync('/dev/full', 'w')),
  );
});

check(titled('a reader that is gone ends it quietly'), (t) => {
  const { status, stderr } = spawnSync('bash', ['-c', `"${LAUNCHER}" --version | true; echo "$PIPESTATUS" >&2`], {
    encoding: 'utf8',
  });
  t.is(status, 0);
  // whether `true` has ended before the write is chance; either way nothing is said
  t.regex(stderr, /^(0|141)\n$/);
});

check(titled('no Node is started for it'), (t) => {
  // the C library's loader tells of each program that it starts; a static program has none
  const { stderr, stdout } = run(LAUNCHER, ['--version'], 'pipe', { LD_DEBUG: 'libs' });
  t.is(stderr, '');
  t.regex(stdout, /^husk version \d/);
  t.not(run(LAUNCHER, ['--version', '--debug'], 'pipe', { LD_DEBUG: 'libs' }).stderr, '');
});

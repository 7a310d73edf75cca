/** A launch that fails because no descriptors are left (EMFILE) gives back those that it had made. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { INIT } from './launching.ts';

test('no descriptor is lost, whichever of a launch is the first that is not to be had', (t) => {
  const driver = join(import.meta.dirname, 'few-descriptors.ts');
  const { stdout, stderr } = spawnSync(
    'prlimit',
    ['--nofile=64:64', process.execPath, '--disable-warning=ExperimentalWarning', driver, INIT],
    { encoding: 'utf8' },
  );
  t.is(stderr, '');
  const lost = JSON.parse(stdout) as number[];
  // ten are made: some of the attempts fail at each
  t.true(lost.length >= 8, stdout);
  t.deepEqual(
    lost,
    lost.map(() => 0),
  );
});

/** setup/run-tests: after what ava prints come the costs of each file, and last of all the counts. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
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

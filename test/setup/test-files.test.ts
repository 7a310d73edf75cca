/**
 * setup/test-files: each test file is in the sets it belongs to, by what it imports; none that starts a process for
 * itself is left out of the ordinary user's half of CI, and none is lost between the lanes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { allTests, FOLDERS, inTestHost, whyOnce } from '../../setup/test-files.ts';
import { ROOT } from '../fixtures/user.ts';

const listed = (set: string): string[] =>
  spawnSync(process.execPath, [join(ROOT, 'setup/test-files.ts'), set], { encoding: 'utf8' })
    .stdout.split('\n')
    .slice(0, -1);
const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

test('the two lanes have every test file once', (t) => {
  const [machines, others] = [listed('machines'), listed('others')];
  t.deepEqual([...machines, ...others].toSorted(), allTests());
  t.true(machines.includes('test/vmm/parity.test.ts') && machines.includes('test/engine/stress.test.ts'));
  t.true(others.includes('test/vmm/devices/virtqueue.test.ts'));
});

test('what calls for the test host is in its lane', (t) => {
  for (const file of allTests())
    if (/^ *(?:await|else await) onKvmHost\(|measureInTestHost\(/m.test(textOf(file))) t.true(inTestHost(file), file);
});

test('an ordinary user runs every file of the chosen folders that starts a process, but those with a reason', (t) => {
  const chosen = listed('user');
  const folders = FOLDERS.map((folder) => `test/${folder}/`);
  for (const file of allTests().filter((name) => folders.some((folder) => name.startsWith(folder)))) {
    t.is(chosen.includes(file), whyOnce(file) === undefined, file);
    // a file that names a way to start one itself
    if (/child_process|asUser|asRoot|openTestEngine|launch\(/.test(textOf(file)))
      t.true(
        chosen.includes(file) || inTestHost(file) || whyOnce(file)!.startsWith('runs each case as'),
        `${file}: ${whyOnce(file)}`,
      );
  }
});

test('the fixtures start husk and Podman as an ordinary user, whoever runs the tests', (t) => {
  // the other fixtures start tools that make images, registries and certificates, or what they are given
  const starters = readdirSync(join(ROOT, 'test/fixtures')).filter((name) =>
    /\bHUSK\b|bin\/husk|usr\/bin\/podman/.test(textOf(`test/fixtures/${name}`)),
  );
  // and root-podman.ts what is root's alone
  t.deepEqual(starters.toSorted(), ['podman.ts', 'root-podman.ts', 'test-host.ts', 'user.ts']);
});

for (const [file, why] of [
  ['test/engine/stress.test.ts', /test host/],
  ['test/peer/run.test.ts', /fixtures/],
  ['test/cli/output/table.test.ts', /starts nothing/],
  ['test/rootless/build/run.test.ts', /each case as an ordinary user too/],
  ['test/launch/executor.test.ts', undefined],
  ['test/cli/places.test.ts', undefined],
  ['test/engine/crash.test.ts', undefined],
] as const)
  test(`${file}: ${why ?? 'once more as an ordinary user'}`, (t) => {
    if (why) t.regex(whyOnce(file)!, why);
    else t.is(whyOnce(file), undefined);
  });

test('shares of a set are the set', (t) => {
  const named = (...args: string[]) =>
    spawnSync(process.execPath, [join(ROOT, 'setup/test-files.ts'), 'user', ...args], { encoding: 'utf8' });
  const lines = (...args: string[]) =>
    named(...args)
      .stdout.trim()
      .split('\n');
  const shares = ['1/3', '2/3', '3/3'].map((share) => lines(share));
  t.deepEqual(shares.flat().sort(), lines().sort());
  for (const share of ['0/3', '4/3', '1', 'a/b', '1/0']) t.regex(named(share).stderr, /is no share like 1\/3/);
});

test('a set that is not there is refused', (t) => {
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'setup/test-files.ts'), 'none'], {
    encoding: 'utf8',
  });
  t.is(status, 1);
  t.regex(stderr, /test-files: one of machines, others, user/);
});

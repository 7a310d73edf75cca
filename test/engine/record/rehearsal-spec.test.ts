/** The container that is rehearsed in a template is what most are: a bare run, without what is a person's. */
import test from 'ava';
import { containerSpec } from '../../../bench/vmm/spec.ts';
import { rehearsalSpec } from '../../../src/engine/record/rehearsal-spec.ts';

const KERNEL = '6.12.0';
const bare = containerSpec(['true'], '/nowhere');
const rehearsed = rehearsalSpec(KERNEL);

for (const part of ['namespaces', 'seccomp', 'maskedPaths', 'readonlyPaths'] as const)
  test(`${part} are those of a bare run`, (t) => t.deepEqual(rehearsed.linux[part], bare.linux[part]));

for (const part of ['capabilities', 'user', 'cwd'] as const)
  test(`the process has the ${part} of a bare run`, (t) => t.deepEqual(rehearsed.process[part], bare.process[part]));

test('mounts are those of a bare run, but for files of the host', (t) => {
  t.deepEqual(
    rehearsed.mounts,
    bare.mounts.filter(({ type }) => type !== 'bind'),
  );
  t.deepEqual(rehearsed.root, bare.root);
});

test('it goes through a command line: less than Linux takes for one argument', (t) => {
  // MAX_ARG_STRLEN, execve(2)
  t.true(JSON.stringify(rehearsed).length < 128 * 1024 - 4096);
});

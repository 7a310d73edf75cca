import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { complete } from '../../../src/cli/completion/complete.ts';
import { COMPLETION_SCRIPTS } from '../../../src/cli/completion/scripts.ts';
import type { Context } from '../../../src/cli/command.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import { container, husk, image } from '../fake-context.ts';

const engine = {
  images: { list: () => [image({ repoTags: ['alpine:3', 'debian:12'] }), image({ repoTags: ['bad\x1b[2J:1'] })] },
  list: () => [container({ name: 'up', state: { status: 'running' } }), container({ name: 'down', state: { status: 'exited' } }), container({ name: 'evil$(x)\n' })],
} as unknown as Engine;
const context = { engine: async () => engine } as Context;
const words = async (...typed: string[]) => (await complete(typed, context)).candidates.map(({ word }) => word);

const CASES: [typed: string[], expected: string[]][] = [
  [['ru'], ['run']],
  [['image', 'pr'], ['prune']],
  [['container', 'ren'], ['rename']],
  [['run', '--memory-s'], ['--memory-swap', '--memory-swappiness']],
  [['run', 'al'], ['alpine:3']],
  [['run', '-it', '--rm', 'al'], ['alpine:3']],
  [['run', '--name', 'x', 'deb'], ['debian:12']],
  [['run', '--pull', ''], ['always', 'missing', 'never']],
  [['run', '--pull=m'], ['--pull=missing']],
  [['run', '--network', 'h'], ['host']],
  [['run', 'alpine', '--pull'], []],
  [['stop', ''], ['up']],
  [['start', ''], ['down']],
  [['rm', ''], ['up', 'down']],
  [['kill', '-s', 'SIGT'], ['SIGTERM', 'SIGTSTP']],
  [['rename', 'up', ''], []],
  [['completion', ''], ['bash', 'zsh', 'fish']],
  [['help', 'vers'], ['version']],
  [['--debug', 'ver'], ['version']],
  [['--da'], ['--data-root']],
  [['--data-root', '/x', 'ver'], ['version']],
  [['nosuch', ''], []],
];

for (const [typed, expected] of CASES) test(`husk ${typed.join(' ')}<TAB>`, async (t) => t.deepEqual((await words(...typed)).filter((word) => !word.startsWith('evil')), expected));

test('files are left to the shell', async (t) => t.true((await complete(['run', '--env-file', ''], context)).files));

test('names with control characters are not offered', async (t) => {
  t.deepEqual((await words('run', '')).filter((word) => word.startsWith('bad')), []);
  t.deepEqual((await words('rm', 'evil')), []);
});

test('an engine that fails offers nothing, silently', async (t) => {
  const broken = { engine: async () => Promise.reject(new Error('no')) } as unknown as Context;
  t.deepEqual(await complete(['stop', ''], broken), { candidates: [], files: false });
});

test('husk __complete prints words and help', async (t) => {
  const { stdout } = await husk(['__complete', 'renam']);
  t.is(stdout, 'rename\tRename a container\n');
  t.is((await husk(['__complete', 'run', '-v', ''])).stdout, ':file\n');
});

for (const [shell, check] of [['bash', ['-n']], ['zsh', ['-n']], ['fish', ['--no-execute']]] as const) {
  const here = spawnSync(shell, ['--version']).status === 0;
  (here ? test : test.skip)(`${shell} accepts its script${here ? '' : ` (no ${shell} here)`}`, (t) => {
    // a file: fish does not read a script from standard input
    const folder = mkdtempSync(join(tmpdir(), 'husk-completion-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const file = join(folder, `husk.${shell}`);
    writeFileSync(file, COMPLETION_SCRIPTS[shell]);
    const { status, stderr } = spawnSync(shell, [...check, file], { encoding: 'utf8' });
    t.is(status, 0, stderr);
  });
}

test('bash completes through the script, and a name is quoted', (t) => {
  const script = `husk() { printf '%s\\n' 'plain\thelp' 'a b' '$(touch /x)'; }\n${COMPLETION_SCRIPTS.bash}\nCOMP_WORDS=(husk stop ''); COMP_CWORD=2; _husk; printf '<%s>' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], { encoding: 'utf8' });
  t.is(stdout, '<plain><a\\ b><\\$\\(touch\\ /x\\)>', stderr);
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { complete } from '../../../src/cli/completion/complete.ts';
import { COMPLETION_SCRIPTS } from '../../../src/cli/completion/scripts.ts';
import type { Context } from '../../../src/cli/grammar/command.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import { container, husk, image } from '../fake-context.ts';

const engine = {
  images: { list: () => [image({ repoTags: ['alpine:3', 'debian:12'] }), image({ repoTags: ['bad\x1b[2J:1'] })] },
  volumes: async () => ({ list: () => [{ name: 'vol' }] }),
  networks: async () => ({
    list: (filters: object) =>
      ['host', 'none', 'mine'].slice('type' in filters ? 2 : 0).map((name) => ({ name, driver: 'bridge' })),
  }),
  list: () => [
    container({ name: 'up', state: { status: 'running' } }),
    container({ name: 'down', state: { status: 'exited' } }),
    container({ name: 'evil$(x)\n' }),
  ],
} as unknown as Engine;
const context = { engine: async () => engine, env: { HOME: '/root', HOSTNAME: 'h' } } as unknown as Context;
const words = async (...typed: string[]) => (await complete(typed, context)).candidates.map(({ word }) => word);

const CASES: [typed: string[], expected: string[]][] = [
  [['ru'], ['run']],
  [['image', 'pr'], ['prune']],
  [['container', 'ren'], ['rename']],
  [
    ['run', '--memory-s'],
    ['--memory-swap', '--memory-swappiness'],
  ],
  [['run', 'al'], ['alpine:3']],
  [['run', '-it', '--rm', 'al'], ['alpine:3']],
  [['run', '--name', 'x', 'deb'], ['debian:12']],
  [
    ['run', '--pull', ''],
    ['always', 'missing', 'never'],
  ],
  [['run', '--pull=m'], ['--pull=missing']],
  [['run', '--network', 'h'], ['host']],
  [
    ['run', '--network', ''],
    ['host', 'none', 'mine', 'container:'],
  ],
  [
    ['network', 'inspect', ''],
    ['host', 'none', 'mine'],
  ],
  [['network', 'rm', ''], ['mine']],
  [['network', 'connect', 'mine', 'd'], ['down']],
  [['network', 'create', '-o', 'husk.'], ['husk.metadata=']],
  [['run', 'alpine', '--pull'], []],
  [
    ['search', '-f', ''],
    ['is-official=', 'stars='],
  ],
  [['search', '--filter', 'is-official=t'], ['is-official=true']],
  [['search', 'al'], []],
  [
    ['manifest', ''],
    ['annotate', 'create', 'inspect', 'push', 'rm'],
  ],
  [['manifest', 'push', '--p'], ['--purge']],
  [['manifest', 'create', 'mine', 'al'], ['alpine:3']],
  [
    ['buildx', ''],
    ['build', 'du', 'inspect', 'ls', 'prune', 'use', 'version'],
  ],
  [['buildx', 'use', ''], ['default']],
  [['buildx', '--builder', 'default', 'use', ''], ['default']],
  [
    ['buildx', '-D', '--builder=default', ''],
    ['build', 'du', 'inspect', 'ls', 'prune', 'use', 'version'],
  ],
  [['load', '--platform', 'linux/arm6'], ['linux/arm64']],
  [['stop', ''], ['up']],
  [['start', ''], ['down']],
  [
    ['rm', ''],
    ['up', 'down'],
  ],
  [
    ['kill', '-s', 'SIGT'],
    ['SIGTERM', 'SIGTSTP'],
  ],
  [['rename', 'up', ''], []],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['help', 'vers'], ['version']],
  [['--debug', 'ver'], ['version']],
  [['--da'], ['--data-root']],
  [['--data-root', '/x', 'ver'], ['version']],
  [['nosuch', ''], []],
  [['ps', '-f', 'sta'], ['status=']],
  [['ps', '-f', 'status=e'], ['status=exited']],
  [['ps', '--filter=status=p'], ['--filter=status=paused']],
  [['ps', '-f', 'status=exited', '-f', 'health=un'], ['health=unhealthy']],
  [['ps', '-f', 'name=u'], ['name=up']],
  [['ps', '-f', 'ancestor=al'], ['ancestor=alpine:3']],
  [['ps', '-f', 'label=a'], []],
  [['ps', '-f', 'constructor='], []],
  [['ps', '-f', 'network=n'], ['network=none']],
  [
    ['images', '-f', 'dangling='],
    ['dangling=true', 'dangling=false'],
  ],
  [['image', 'prune', '--filter', 'u'], ['until=']],
  [
    ['volume', 'ls', '-f', 'd'],
    ['dangling=', 'driver='],
  ],
  [
    ['volume', 'prune', '--filter', 'label'],
    ['label=', 'label!='],
  ],
  [
    ['events', '-f', 'event=exec_d'],
    ['event=exec_detach', 'event=exec_die'],
  ],
  [['events', '-f', 'type=v'], ['type=volume']],
  [
    ['run', '--cap-add', 'NET_'],
    ['NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW'],
  ],
  [['run', '--cap-add', 'net_r'], ['NET_RAW']],
  [['run', '--cap-drop', 'CAP_NET_R'], ['CAP_NET_RAW']],
  [['run', '--cap-drop', 'AL'], ['ALL']],
  [['run', '--network', 'c'], ['container:']],
  [['run', '--network', 'container:u'], ['container:up']],
  [['run', '--net=container:u'], ['--net=container:up']],
  [
    ['run', '--pid', ''],
    ['host', 'container:'],
  ],
  [['run', '--mount', 'ty'], ['type=']],
  [['run', '--mount', 'type=b'], ['type=bind']],
  [['run', '--mount', 'type=bind,re'], ['type=bind,readonly']],
  [['run', '--mount', 'type=volume,source=x,ty'], []],
  [
    ['run', '--mount', 'type=bind,bind-propagation=rs'],
    ['type=bind,bind-propagation=rshared', 'type=bind,bind-propagation=rslave'],
  ],
  [['run', '--mount=type=t'], ['--mount=type=tmpfs']],
  [['run', '--mount', 'type=i'], ['type=image']],
  [['run', '--mount', 'type=image,im'], ['type=image,image-subpath=']],
  [['run', '--ulimit', 'nof'], ['nofile=']],
  [['run', '--log-opt', 'mode=n'], ['mode=non-blocking']],
  [
    ['run', '--platform', 'linux/arm'],
    ['linux/arm64', 'linux/arm/v7'],
  ],
  [['inspect', 'vo'], ['vol']],
  [['inspect', '--type', 'vo'], ['volume']],
  [['inspect', '--type', 'volume', ''], ['vol']],
  [
    ['inspect', '--type=image', ''],
    ['alpine:3', 'debian:12'],
  ],
  [
    ['inspect', '--type', 'container', ''],
    ['up', 'down'],
  ],
  [['cp', 'u'], ['up:']],
  [
    ['exec', '-e', 'HO'],
    ['HOME', 'HOSTNAME'],
  ],
  [['exec', '-e', 'HOME='], []],
];

for (const [typed, expected] of CASES)
  test(`husk ${typed.join(' ')}<TAB>`, async (t) =>
    t.deepEqual(
      (await words(...typed)).filter((word) => !word.startsWith('evil')),
      expected,
    ));

test('files are left to the shell', async (t) => t.true((await complete(['run', '--env-file', ''], context)).files));

test('names with control characters are not offered', async (t) => {
  t.deepEqual(
    (await words('run', '')).filter((word) => word.startsWith('bad')),
    [],
  );
  t.deepEqual(await words('rm', 'evil'), []);
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

for (const [shell, check] of [
  ['bash', ['-n']],
  ['zsh', ['-n']],
  ['fish', ['--no-execute']],
] as const) {
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

/** husk, as each shell calls it: prints what it was asked, and answers as the real one does */
const FAKE = `case "$*" in
  "__complete stop ") printf '%s\\n' 'plain\thelp' 'a b' '$(touch /x)' ;;
  "__complete ps -f sta") echo status= ;;
  "__complete ps -f status=e") echo status=exited ;;
  "__complete ps --filter=status=e") echo --filter=status=exited ;;
  "__complete run --mount type=bind,r") echo type=bind,readonly ;;
  "__complete run --network container:u") echo container:up ;;
  *) echo "asked: $*" ;;
esac
`;

function fakeHusk(folder: string): NodeJS.ProcessEnv {
  writeFileSync(join(folder, 'husk'), `#!/bin/sh\n${FAKE}`, { mode: 0o755 });
  return {
    ...process.env,
    PATH: `${folder}:${process.env['PATH']}`,
    HOME: folder,
    XDG_CONFIG_HOME: folder,
    XDG_DATA_HOME: folder,
    TERM: 'dumb',
  };
}

/**
 * What stands on the line after <TAB>: bash replaces what is behind its last word break, and is given what it splits.
 */
const LINES: [line: string, bashWords: string[], bash: string, fish: string][] = [
  ['husk stop ', ['husk', 'stop', ''], '<plain><a\\ b><\\$\\(touch\\ /x\\)>', 'plain\thelp\na b\n$(touch /x)\n'],
  ['husk ps -f sta', ['husk', 'ps', '-f', 'sta'], '<status=>', 'status=\n'],
  ['husk ps -f status=e', ['husk', 'ps', '-f', 'status', '=', 'e'], '<exited>', 'status=exited\n'],
  [
    'husk ps --filter=status=e',
    ['husk', 'ps', '--filter', '=', 'status', '=', 'e'],
    '<exited>',
    '--filter=status=exited\n',
  ],
  [
    'husk run --mount type=bind,r',
    ['husk', 'run', '--mount', 'type', '=', 'bind,r'],
    '<bind\\,readonly>',
    'type=bind,readonly\n',
  ],
  ['husk run --network container:u', ['husk', 'run', '--network', 'container', ':', 'u'], '<up>', 'container:up\n'],
];
for (const [line, split, bash, fish] of LINES) {
  test(`bash: ${line}<TAB>`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-completion-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const script = `${COMPLETION_SCRIPTS.bash}\nCOMP_LINE=$1; COMP_POINT=\${#1}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _husk; printf '<%s>' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script, 'bash', line, ...split], {
      encoding: 'utf8',
      env: fakeHusk(folder),
    });
    t.is(stdout, bash, stderr);
  });
  const here = spawnSync('fish', ['--version']).status === 0;
  (here ? test : test.skip)(`fish: ${line}<TAB>${here ? '' : ' (no fish here)'}`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-completion-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'husk.fish'), COMPLETION_SCRIPTS.fish);
    const { stdout, stderr } = spawnSync(
      'fish',
      ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', join(folder, 'husk.fish'), line],
      { encoding: 'utf8', env: fakeHusk(folder) },
    );
    t.is(stdout.split('\n').toSorted().join('\n'), fish.split('\n').toSorted().join('\n'), stderr);
  });
}

const zsh = spawnSync('zsh', ['-fc', 'zmodload zsh/zpty']).status === 0;
for (const [line, completed] of [
  ['husk ps -f sta', 'husk ps -f status='],
  ['husk ps -f status=e', 'husk ps -f status=exited '],
  ['husk run --mount type=bind,r', 'husk run --mount type=bind,readonly '],
  ['husk run --network container:u', 'husk run --network container:up '],
] as const)
  (zsh ? test : test.skip)(`zsh: ${line}<TAB>${zsh ? '' : ' (no zsh with zpty here)'}`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-completion-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'husk.zsh'), COMPLETION_SCRIPTS.zsh);
    // a real line editor: after the Tab it hands its buffer over
    const script = `zmodload zsh/zpty
zpty shell zsh -fi
give() { zpty -w shell "$1"; }
give 'PS1=; autoload -Uz compinit; compinit -D -u; source ${join(folder, 'husk.zsh')}; show() { print -r -- "<<$BUFFER>>" >${join(folder, 'line')}; exit }; zle -N show; bindkey "^X" show; print ready'
zpty -r shell said '*ready*ready*'
zpty -w -n shell "$1"$'\\t\\C-x'
while zpty -r shell said; do :; done
cat ${join(folder, 'line')}`;
    const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', script, 'zsh', line], {
      encoding: 'utf8',
      env: fakeHusk(folder),
      timeout: 60_000,
    });
    t.is(stdout, `<<${completed}>>\n`, stderr);
  });

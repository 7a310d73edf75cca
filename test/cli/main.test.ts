import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { HuskError } from '../../src/errors.ts';
import { main } from '../../src/cli/main.ts';
import { FakeOutput, husk } from './fake-context.ts';

const USAGE_RUN = 'Usage:  husk run [OPTIONS] IMAGE [COMMAND] [ARG...]';
const HELP_RUN = "'husk run --help' for more information\n";

/** Texts and exit codes as the docker client 28 gives them, with husk's name; suggestions are husk's own. */
const CASES: [words: string[], code: number, stderr: string][] = [
  [['foo'], 1, "husk: unknown command: husk foo\n\nRun 'husk --help' for more information\n"],
  [
    ['rnu'],
    1,
    "husk: unknown command: husk rnu\n\nDid you mean 'husk run'?\n\nRun 'husk --help' for more information\n",
  ],
  [
    ['container', 'foo'],
    1,
    "husk: unknown command: husk container foo\n\nUsage:  husk container COMMAND\n\nRun 'husk container --help' for more information\n",
  ],
  [['run'], 1, `husk: 'husk run' requires at least 1 argument\n\n${USAGE_RUN}\n\nSee ${HELP_RUN}`],
  [
    ['container', 'run'],
    1,
    "husk: 'husk container run' requires at least 1 argument\n\nUsage:  husk container run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nSee 'husk container run --help' for more information\n",
  ],
  [
    ['ps', 'x'],
    1,
    "husk: 'husk ps' accepts no arguments\n\nUsage:  husk ps [OPTIONS]\n\nRun 'husk ps --help' for more information\n",
  ],
  [
    ['rename', 'a'],
    1,
    "husk: 'husk rename' requires 2 arguments\n\nUsage:  husk rename CONTAINER NEW_NAME\n\nRun 'husk rename --help' for more information\n",
  ],
  [
    ['logs'],
    1,
    "husk: 'husk logs' requires 1 argument\n\nUsage:  husk logs [OPTIONS] CONTAINER\n\nRun 'husk logs --help' for more information\n",
  ],
  [
    ['exec', 'a'],
    1,
    "husk: 'husk exec' requires at least 2 arguments\n\nUsage:  husk exec [OPTIONS] CONTAINER COMMAND [ARG...]\n\nSee 'husk exec --help' for more information\n",
  ],
  [['run', '--foo'], 125, `unknown flag: --foo\n\n${USAGE_RUN}\n\nRun ${HELP_RUN}`],
  [['run', '--nmae', 'x'], 125, `unknown flag: --nmae\nDid you mean '--name'?\n\n${USAGE_RUN}\n\nRun ${HELP_RUN}`],
  [['run', '-qz', 'x'], 125, `unknown shorthand flag: 'z' in -z\n\n${USAGE_RUN}\n\nRun ${HELP_RUN}`],
  [
    ['run', '--dns', 'foo', 'x'],
    125,
    `invalid argument "foo" for "--dns" flag: IP address is not correctly formatted: foo\n\n${USAGE_RUN}\n\nRun ${HELP_RUN}`,
  ],
  [
    ['-H', 'tcp://far:2375', 'ps'],
    125,
    'Error: tcp://far:2375: husk has no daemon to connect to, it runs containers on this machine\nFix: leave out -H, --host, --context\n',
  ],
  [
    ['--context', 'far', 'ps'],
    125,
    'Error: far: husk has no daemon to connect to, it runs containers on this machine\nFix: leave out -H, --host, --context\n',
  ],
  ...['container', 'image', 'volume', 'system'].map((group): [string[], number, string] => [
    [group, '--nosuch'],
    125,
    `unknown flag: --nosuch\n\nUsage:  husk ${group} COMMAND\n\nRun 'husk ${group} --help' for more information\n`,
  ]),
  [
    ['container', '-z', 'ls'],
    125,
    "unknown shorthand flag: 'z' in -z\n\nUsage:  husk container COMMAND\n\nRun 'husk container --help' for more information\n",
  ],
  [
    ['--log-level', 'loud', 'ps'],
    125,
    'invalid argument "loud" for "-l, --log-level" flag: not one of "debug", "info", "warn", "error", "fatal"\n\nUsage:  husk [OPTIONS] COMMAND [ARG...]\n\nRun \'husk --help\' for more information\n',
  ],
  [
    ['--foo', 'ps'],
    125,
    "unknown flag: --foo\n\nUsage:  husk [OPTIONS] COMMAND [ARG...]\n\nRun 'husk --help' for more information\n",
  ],
  [
    ['ps', '-n', 'x'],
    125,
    'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax\n\nUsage:  husk ps [OPTIONS]\n\nRun \'husk ps --help\' for more information\n',
  ],
  [
    ['ps', '--filter', 'foo'],
    125,
    'invalid argument "foo" for "-f, --filter" flag: bad format of filter (expected name=value)\n\nUsage:  husk ps [OPTIONS]\n\nRun \'husk ps --help\' for more information\n',
  ],
  [['ps', '--format', '{{.Foo'], 1, 'Error: failed to parse template: template: :1: unclosed action\n'],
  [['run', '--publish', ':x', 'x'], 125, `Error: invalid containerPort: x\n\nRun ${HELP_RUN}`],
  [
    ['run', '--network', 'name=a,alias=b', '--network-alias', 'c', 'x'],
    125,
    `Error: conflicting options: cannot specify both --network-alias and per-network alias\n\nRun ${HELP_RUN}`,
  ],
  [['run', ''], 125, `Error: invalid reference format\n\nRun ${HELP_RUN}`],
  [['search', '--limit', '101', 'a'], 1, 'Error: limit 101 is outside the range of [1, 100]\n'],
  [['search', '-f', 'x=1', 'a'], 1, "Error: invalid filter 'x'\nFix: use one of is-official, stars\n"],
  [['search', '-f', 'stars=x', 'a'], 1, "Error: invalid filter 'stars=[x]'\n"],
  [['search', '-f', 'is-official=x', 'a'], 1, "Error: invalid filter 'is-official=[x]'\n"],
  [['cp', 'a', 'b'], 1, 'Error: must specify at least one container source\n'],
  [['cp', 'a:x', 'b:y'], 1, 'Error: copying between containers is not supported\n'],
  [['cp', './a:x', '/b:y'], 1, 'Error: must specify at least one container source\n'],
  [['cp', '', 'b:y'], 1, 'Error: source can not be empty\n'],
  [['cp', 'b:y', ''], 1, 'Error: destination can not be empty\n'],
  [['help', 'foo'], 1, 'Error: unknown help topic: foo\n'],
];

for (const [words, code, stderr] of CASES) {
  test(`says no to: husk ${JSON.stringify(words)}`, async (t) =>
    t.deepEqual(await husk(words), { code, stdout: '', stderr }));
}

test('the version is that of package.json', async (t) => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  t.is((await husk(['--version'])).stdout, `husk version ${version}\n`);
  t.is((await husk(['-v'])).stdout, `husk version ${version}\n`);
});

test('flags before the command that change nothing here', async (t) => {
  t.like(await husk(['--context', 'default', '-l', 'error', '--version']), { code: 0, stderr: '' });
  t.like(
    await husk(['--tls', '--tlsverify=false', '--tlscacert', '/a', '--tlscert=/b', '--tlskey', '/c', '--version']),
    { code: 0, stderr: '' },
  );
});

test('the help of a group is on stdout when asked for', async (t) => {
  for (const words of [
    ['container', '--help'],
    ['container', '-h'],
  ])
    t.like(await husk(words), { code: 0, stderr: '' });
  t.like(await husk(['container']), { code: 0, stdout: '' });
});

const FAR: [env: NodeJS.ProcessEnv, config: object, said: string][] = [
  [{ DOCKER_HOST: 'tcp://far:2375' }, {}, 'DOCKER_HOST=tcp://far:2375'],
  [{ DOCKER_HOST: 'unix:///run/user/1000/docker.sock' }, {}, 'DOCKER_HOST=unix:///run/user/1000/docker.sock'],
  [{ DOCKER_CONTEXT: 'far' }, { currentContext: 'other' }, 'DOCKER_CONTEXT=far'],
  [{}, { currentContext: 'far' }, 'the context "far"'],
  [{ DOCKER_CONTEXT: 'default' }, { currentContext: 'far' }, ''],
  [{ DOCKER_HOST: '' }, { currentContext: 'default' }, ''],
  [{}, {}, ''],
];
for (const [env, config, said] of FAR)
  test(`another engine is not followed, and that is said once: ${JSON.stringify([env, config])}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-client-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    const told = new Set<string>();
    const engine = { list: () => [], isNews: (text: string) => !told.has(text) && !!told.add(text) };
    const ps = () => husk(['--config', folder, 'ps', '-q'], { engine, env: { ...env } });
    const line =
      said === ''
        ? ''
        : `husk: ${said} is not followed: husk has no daemon to connect to, it runs containers on this machine\n`;
    t.deepEqual(await ps(), { code: 0, stdout: '', stderr: line });
    t.deepEqual(await ps(), { code: 0, stdout: '', stderr: '' });
  });

test('--config: a folder is the Docker client configuration, a file is husk’s', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-client-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'husk.json'), '{}');
  const seen: (string | undefined)[] = [];
  for (const path of [folder, join(folder, 'new'), join(folder, 'husk.json'), join(folder, 'new.json')]) {
    const context = { env: {} as NodeJS.ProcessEnv };
    await main(['--config', path, '--version'], { ...context, stdout: new FakeOutput(), stderr: new FakeOutput() });
    seen.push(context.env['DOCKER_CONFIG']);
  }
  t.deepEqual(seen, [folder, join(folder, 'new'), undefined, undefined]);
});

test('no command at all shows the help on stderr, --help on stdout; both succeed', async (t) => {
  const bare = await husk([]);
  const asked = await husk(['--help']);
  t.deepEqual([bare.code, bare.stdout, asked.code, asked.stderr], [0, '', 0, '']);
  t.is(bare.stderr, asked.stdout);
});

test('an engine error is one line, its fix another, and its exit code its own', async (t) => {
  const engine = {
    stop: async () => {
      throw new HuskError('No such container: x', { kind: 'not-found', fix: 'see husk ps -a' });
    },
  };
  t.deepEqual(await husk(['stop', 'x'], { engine }), {
    code: 1,
    stdout: '',
    stderr: 'Error: No such container: x\nFix: see husk ps -a\n',
  });
});

test('one failure of several does not stop the others', async (t) => {
  const engine = {
    kill: async (name: string, signal: string) => {
      if (name === 'b') throw new HuskError(`No such container: ${name}`, { kind: 'not-found' });
      t.is(signal, 'KILL');
    },
  };
  t.deepEqual(await husk(['kill', 'a', 'b', 'c'], { engine }), {
    code: 1,
    stdout: 'a\nc\n',
    stderr: 'Error: No such container: b\n',
  });
});

test('rm -f of what is not there says so and succeeds, rm does not', async (t) => {
  const engine = {
    remove: async (name: string) => {
      throw new HuskError(`No such container: ${name}`, { kind: 'not-found' });
    },
  };
  t.deepEqual(await husk(['rm', '-f', '/x'], { engine }), {
    code: 0,
    stdout: '',
    stderr: 'Error: No such container: x\n',
  });
  t.is((await husk(['rm', 'x'], { engine })).code, 1);
});

test('a bug shows its stack and says what it is', async (t) => {
  const engine = {
    stop: async () => {
      throw new TypeError('oops');
    },
  };
  const { code, stderr } = await husk(['stop', 'x'], { engine });
  t.is(code, 1);
  t.regex(stderr, /^husk: internal error, please report it: TypeError: oops\n +at /);
});

test('an error text cannot drive the terminal', async (t) => {
  const engine = {
    stop: async () => {
      throw new HuskError('bad \x1b]0;owned\x07\x9b2J name', { kind: 'invalid' });
    },
  };
  t.is(
    (await husk(['stop', 'x'], { engine, terminal: { columns: 80, rows: 24 } })).stderr,
    'Error: bad \uFFFD]0;owned\uFFFD\uFFFD2J name\n',
  );
});

test('a command typed on a terminal is echoed without its control characters', async (t) => {
  const { stderr } = await husk(['\x1b[2J'], { terminal: { columns: 80, rows: 24 } });
  t.notRegex(stderr, /\x1b/);
});

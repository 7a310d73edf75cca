/** `ps`, `images`, `history`, `inspect`, `logs`, `wait`, `top`: what they print for what the engine says. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import type { PushOptions } from '../../../src/images/store/contract.ts';
import { container, husk, image, NOW } from '../fake-context.ts';

const at = (ms: number): string => new Date(NOW - ms).toISOString();
const MINUTE = 60_000;

const CONTAINERS = [
  container({ name: 'web', state: { status: 'running', startedAt: at(3000) } }),
  container({
    id: 'd'.repeat(64),
    name: 'old',
    createdAt: NOW - 86_400_000 * 3,
    state: { status: 'exited', exitCode: 3, startedAt: at(10 * MINUTE), finishedAt: at(5 * MINUTE) },
    config: { labels: { 'com.example.some-label': 'v', b: 'w' } },
  }),
];
const engine = { list: () => CONTAINERS } as Partial<Engine>;

test('ps', async (t) => {
  t.is(
    (await husk(['ps', '-a'], { engine })).stdout,
    [
      'CONTAINER ID   IMAGE      COMMAND                  CREATED       STATUS                     PORTS     NAMES',
      'c0ffee000000   alpine:3   "sh -c \'echo hello t…"   2 hours ago   Up 3 seconds                         web',
      'dddddddddddd   alpine:3   "sh -c \'echo hello t…"   3 days ago    Exited (3) 5 minutes ago             old',
      '',
    ].join('\n'),
  );
});

const STATES: [state: Parameters<typeof container>[0], text: string][] = [
  [{ state: { status: 'created' } }, 'Created'],
  [{ state: { status: 'running', startedAt: at(500) } }, 'Up Less than a second'],
  [{ state: { status: 'paused', startedAt: at(2 * MINUTE) } }, 'Up 2 minutes (Paused)'],
  [
    { state: { status: 'restarting', exitCode: 1, startedAt: at(2 * MINUTE), finishedAt: at(MINUTE) } },
    'Restarting (1) About a minute ago',
  ],
  [{ state: { status: 'removing' } }, 'Removal In Progress'],
  [{ state: { status: 'dead' } }, 'Dead'],
  [{ state: { status: 'exited', exitCode: 137, finishedAt: at(7_200_000) } }, 'Exited (137) 2 hours ago'],
];
for (const [state, text] of STATES)
  test(`status ${text}`, async (t) =>
    t.is(
      (await husk(['ps', '-a', '--format', '{{.Status}}'], { engine: { list: () => [container(state)] } })).stdout,
      `${text}\n`,
    ));

const PS: [words: string[], stdout: string][] = [
  [['-q'], 'c0ffee000000\ndddddddddddd\n'],
  [['-q', '--no-trunc'], `c0ffee${'0'.repeat(58)}\n${'d'.repeat(64)}\n`],
  [['--format', '{{.Names}}'], 'web\nold\n'],
  [['--format', '{{.Names}}\\t{{.State}}'], 'web\trunning\nold\texited\n'],
  [['--format', '{{.Label "b"}}|{{.Labels}}'], '|\nw|b=w,com.example.some-label=v\n'],
  [
    ['--format', 'table {{.Names}}\\t{{.Label "com.example.some-label"}}'],
    'NAMES     some label\nweb       \nold       v\n',
  ],
  [['--format', 'table {{.ID}}'], 'CONTAINER ID\nc0ffee000000\ndddddddddddd\n'],
  [['--format', '{{json .Names}}'], '"web"\n"old"\n'],
  [
    ['--format', '{{.Isolation}} {{.Networks}} {{.RunningFor}}'],
    'userns bridge 2 hours ago\nuserns bridge 3 days ago\n',
  ],
];
for (const [words, stdout] of PS)
  test(`ps ${words.join(' ')}`, async (t) => t.is((await husk(['ps', ...words], { engine })).stdout, stdout));

test('ps with both isolations says which', async (t) => {
  const list = () => [container(), container({ name: 'two', config: { isolation: 'vm' } })];
  t.regex((await husk(['ps'], { engine: { list } })).stdout, /NAMES +ISOLATION\n.*userns\n.*vm\n$/);
});

test('ps --format json is one object a line', async (t) => {
  const [first] = (await husk(['ps', '--format', 'json'], { engine })).stdout.split('\n');
  t.like(JSON.parse(first!), { Names: 'web', ID: 'c0ffee000000', State: 'running' });
});

test("a field no container has is an error with Go's words", async (t) => {
  t.deepEqual(await husk(['ps', '--format', '{{.Nope}}'], { engine }), {
    code: 1,
    stdout: '',
    stderr:
      'Error: failed to execute template: template: :1:2: executing "" at <.Nope>: can\'t evaluate field Nope in type *formatter.ContainerContext\n',
  });
});

test('what ps asks the engine', async (t) => {
  const asked: unknown[] = [];
  const spy = { list: (options: unknown) => (asked.push(options), []) } as Partial<Engine>;
  await husk(['ps', '-f', 'label=a', '-f', 'label=b=c', '-f', 'status=exited'], { engine: spy });
  await husk(['ps', '-l'], { engine: spy });
  await husk(['ps', '-n', '3', '-s'], { engine: spy });
  await husk(['ps', '--format', '{{.Size}}'], { engine: spy });
  t.deepEqual(JSON.parse(JSON.stringify(asked)), [
    { all: true, filters: { label: ['a', 'b=c'], status: ['exited'] } },
    { all: true, filters: {}, last: 1 },
    { all: true, filters: {}, last: 3 },
    { all: false, filters: {} },
  ]);
});

test('on a terminal a hostile name or label stays text', async (t) => {
  const list = () => [container({ config: { image: 'a\x1b[2Jb', labels: { x: '\x1b]0;t\x07' } } })];
  const { stdout } = await husk(['ps', '--format', 'table {{.Image}}\t{{.Labels}}\t{{.Label "x"}}'], {
    engine: { list },
    terminal: { columns: 80, rows: 24 },
  });
  t.notRegex(stdout, /\x1b|\x07/);
});

const IMAGES = [
  image({ repoTags: ['alpine:3', 'localhost:5000/mine:v1'], repoDigests: ['alpine@sha256:aaaa'] }),
  image({ id: `sha256:${'c'.repeat(64)}`, repoTags: [], created: '2025-12-01T00:00:00Z', labels: { k: 'v' } }),
  image({
    id: `sha256:${'d'.repeat(64)}`,
    repoTags: [],
    repoDigests: ['debian@sha256:dddd'],
    created: '2024-01-01T00:00:00Z',
  }),
];
const imageEngine = {
  images: { list: () => IMAGES, get: () => IMAGES[1], find: () => IMAGES[1] },
} as unknown as Partial<Engine>;

test('images', async (t) => {
  t.is(
    (await husk(['images'], { engine: imageEngine })).stdout,
    [
      'REPOSITORY            TAG       IMAGE ID       CREATED        SIZE',
      'alpine                3         bbbbbbbbbbbb   24 hours ago   7.65MB',
      'localhost:5000/mine   v1        bbbbbbbbbbbb   24 hours ago   7.65MB',
      '<none>                <none>    cccccccccccc   4 weeks ago    7.65MB',
      'debian                <none>    dddddddddddd   2 years ago    7.65MB',
      '',
    ].join('\n'),
  );
});

const IMAGE_CASES: [words: string[], stdout: string][] = [
  [['-q'], 'bbbbbbbbbbbb\ncccccccccccc\ndddddddddddd\n'],
  [['-q', '-f', 'dangling=true'], 'cccccccccccc\ndddddddddddd\n'],
  [['-q', '-f', 'label=k=v'], 'cccccccccccc\n'],
  [['-q', '-f', 'since=c'], 'bbbbbbbbbbbb\n'],
  [['-q', '-f', 'before=c'], 'dddddddddddd\n'],
  [['-q', '-f', 'reference=al*'], 'bbbbbbbbbbbb\n'],
  [['-q', '-f', 'reference=*/mine:v?'], 'bbbbbbbbbbbb\n'],
  [['-q', '-f', 'reference=mine'], ''],
  [['-q', '-f', 'reference=[a-b]lpine:?'], 'bbbbbbbbbbbb\n'],
  [['-q', '-f', 'label=constructor'], ''],
  [['--format', '{{.Repository}}', 'alpine'], 'alpine\n'],
  [['--format', '{{.Repository}}:{{.Tag}}', 'alpine:3'], 'alpine:3\n'],
  [['--format', '{{.Repository}}', '-f', 'reference=*/mine:v?'], 'localhost:5000/mine\n'],
  [['--format', '{{.Repository}}', '-f', 'reference=alpine', '-f', 'reference=debian'], 'alpine\ndebian\n'],
  [['--format', '{{.Repository}}', 'nothing'], ''],
  [['--format', '{{.Repository}}@{{.Digest}}', '-f', 'reference=alpine'], 'alpine@sha256:aaaa\n'],
];
for (const [words, stdout] of IMAGE_CASES)
  test(`images ${words.join(' ')}`, async (t) =>
    t.is((await husk(['images', ...words], { engine: imageEngine })).stdout, stdout));

/** what docker 28.2.2 prints of these images, with and without a terminal; "in use" is husk's own knowledge */
const LONG = 'registry.example.com:5000/some/very/long/repository/name:v1.2.3';
const treeEngine = {
  images: {
    list: () => [
      image({ repoTags: ['alpine:3', 'localhost:5000/mine:v1'] }),
      image({ id: `sha256:${'c'.repeat(64)}`, repoTags: [], created: '2026-01-01T00:00:00Z' }),
      image({ id: `sha256:${'d'.repeat(64)}`, repoTags: [LONG], created: '2025-01-01T00:00:00Z' }),
    ],
    platforms: () => [],
  },
  imageUsers: (id: string) => (id.startsWith('sha256:b') ? [{ id: 'x', running: false }] : []),
} as unknown as typeof imageEngine;
const TREE_CASES: [columns: number | undefined, env: NodeJS.ProcessEnv, words: string[], expected: string[]][] = [
  [
    undefined,
    { LANG: 'C.UTF-8' },
    [],
    [
      '                                                              Info ->  U In Use ',
      '',
      'IMAGE                           ID             DISK USAGE   CONTENT SIZE   EXTRA',
      'localhost:5000/mine:v1',
      'alpine:3                        bbbbbbbbbbbb       7.65MB             0B   U    ',
      'registry.example.com:5000/so…   dddddddddddd       7.65MB             0B        ',
    ],
  ],
  [
    120,
    { LANG: 'C.UTF-8' },
    ['-a'],
    [
      '                                                                                                   i Info →   U  In Use ',
      '',
      'IMAGE                                                             ID             DISK USAGE   CONTENT SIZE   EXTRA',
      'localhost:5000/mine:v1',
      'alpine:3                                                          bbbbbbbbbbbb       7.65MB             0B    U   ',
      '<untagged>                                                        cccccccccccc       7.65MB             0B        ',
      `${LONG}   dddddddddddd       7.65MB             0B        `,
    ],
  ],
  [
    60,
    { LANG: 'C' },
    [],
    [
      '                                          Info ->  U In Use ',
      '',
      'IMAGE               ID             DISK USAGE   CONTENT SIZE',
      'localhost:5000/mine:v1',
      'alpine:3            bbbbbbbbbbbb       7.65MB             0B',
      'registry.example…   dddddddddddd       7.65MB             0B',
    ],
  ],
  [
    10,
    { LANG: 'C' },
    [],
    [
      '  Info ->  U In Use ',
      '',
      'IMAGE               ',
      'localhost:5000/mine…',
      'alpine:3            ',
      'registry.example.co…',
    ],
  ],
];
for (const [columns, env, words, expected] of TREE_CASES)
  test(`images --tree ${words.join(' ')} at ${columns ?? 'no'} columns`, async (t) => {
    const terminal = columns === undefined ? undefined : { columns, rows: 24 };
    const { stdout } = await husk(['images', '--tree', ...words], { engine: treeEngine, env, terminal });
    t.deepEqual(stdout.split('\n'), [
      "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.",
      ...expected,
      '',
    ]);
  });
test('images --tree has the platforms of a name below it, as docker 28.2.2', async (t) => {
  const [own, arm] = ['b', 'c'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
  const platforms = [
    { id: own, platform: { os: 'linux', architecture: 'amd64' } },
    { id: arm, platform: { os: 'linux', architecture: 'arm', variant: 'v6' } },
  ];
  const images = {
    list: () => [image({ repoTags: ['app:1', 'app:2'] }), image({ id: `sha256:${'d'.repeat(64)}`, repoTags: ['c:1'] })],
    platforms: (id: string) => (id === own ? platforms : []),
    find: (id: string) => (id === own ? image({}) : undefined),
  };
  const imageUsers = (id: string) => (id === own ? [{ id: 'x', running: false }] : []);
  const engine = { images, imageUsers } as unknown as typeof imageEngine;
  t.deepEqual((await husk(['images', '--tree'], { engine })).stdout.split('\n').slice(3), [
    'IMAGE                 ID             DISK USAGE   CONTENT SIZE   EXTRA',
    'app:1',
    'app:2                 bbbbbbbbbbbb       7.65MB             0B   U    ',
    '├─ linux/amd64        bbbbbbbbbbbb       7.65MB             0B   U    ',
    '└─ linux/arm/v6       cccccccccccc           0B             0B        ',
    '',
    'c:1                   dddddddddddd       7.65MB             0B        ',
    '',
    '',
  ]);
});

for (const [flag, spelling] of [
  ['-q', '--quiet'],
  ['--no-trunc', '--no-trunc'],
  ['--digests', '--show-digest'],
  ['--format=x', '--format'],
] as const) {
  test(`images --tree ${flag} is refused as by Docker`, async (t) =>
    t.is(
      (await husk(['images', '--tree', flag], { engine: imageEngine })).stderr,
      `Error: ${spelling} is not yet supported with --tree\n`,
    ));
}

test('a push by digest is refused as Docker does, before anything is said or asked', async (t) => {
  const digest = `sha256:${'a'.repeat(64)}`;
  for (const name of [`alpine@${digest}`, `alpine:3@${digest}`, `localhost:5000/x@${digest}`]) {
    const { code, stdout, stderr } = await husk(['push', name], { engine: {} });
    t.is(code, 1);
    t.is(stdout, '');
    t.regex(stderr, /^Error: cannot push a digest reference\nFix: .*husk tag \S+ (?:alpine|localhost:5000\/x):TAG\n$/);
    const all = await husk(['push', '-a', name], { engine: {} });
    t.regex(all.stderr, /^Error: tag can't be used with --all-tags\/-a\n/);
  }
});

const PLATFORM_COMMANDS = [['history'], ['save'], ['push'], ['rmi'], ['image', 'inspect']];
for (const words of PLATFORM_COMMANDS) {
  test(`${words.join(' ')} --platform is refused for an image of another one, and bogus ones`, async (t) => {
    const other = await husk([...words, '--platform', 'linux/arm64', 'alpine:3'], { engine: imageEngine });
    t.regex(
      other.stderr,
      /^Error: image with reference alpine:3 was found but does not provide the specified platform \(linux\/arm64\)\nFix: it has linux\/amd64\n/,
    );
    t.is(other.code, 1);
    t.regex(
      (await husk([...words, '--platform', 'bogus', 'alpine:3'], { engine: imageEngine })).stderr,
      /^Error: "bogus": unknown operating system or architecture: invalid argument\n/,
    );
  });
}

test('push says which platforms of an index are not here, when one image has gone instead', async (t) => {
  const pushed: object[] = [];
  const images = {
    find: () => IMAGES[1],
    push: async (name: string, { platform }: PushOptions) => {
      pushed.push({ name, platform });
      return platform ? {} : { lacking: [{ os: 'linux', architecture: 'arm', variant: 'v7' }] };
    },
  };
  const engine = { images } as unknown as Partial<Engine>;
  const { code, stdout } = await husk(['push', '-q', 'alpine:3'], { engine });
  t.is(code, 0);
  t.is(
    stdout,
    'alpine:3\n\nInfo -> Not all multiplatform-content is present and only the available single-platform image was pushed: alpine:3 is without linux/arm/v7\n',
  );
  t.is((await husk(['push', '-q', '--platform', 'linux/amd64', 'alpine:3'], { engine })).stdout, 'alpine:3\n');
  t.deepEqual(pushed, [
    { name: 'alpine:3', platform: undefined },
    { name: 'alpine:3', platform: { os: 'linux', architecture: 'amd64' } },
  ]);
});

for (const word of ['reference=a', 'before=x', 'since=x', 'constructor=x'])
  test(`image prune has no filter ${word}`, async (t) => {
    const { code, stdout, stderr } = await husk(['image', 'prune', '-f', '--filter', word], { engine: imageEngine });
    t.deepEqual([code, stdout, stderr.split('\n')[0]], [1, '', `Error: invalid filter '${word.split('=')[0]}'`]);
  });

test('a list with a pattern that is none says so in one line', async (t) => {
  t.deepEqual(await husk(['images', '-f', 'reference=['], { engine: imageEngine }), {
    code: 1,
    stdout: '',
    stderr: 'Error: invalid reference pattern "[": syntax error in pattern\n',
  });
});

test('a label named as what every object has is no label', async (t) =>
  t.is(
    (await husk(['ps', '--format', '{{.Label "constructor"}}|{{.Label "__proto__"}}'], { engine })).stdout,
    '|\n|\n',
  ));

test('images refuses a filter it does not know', async (t) =>
  t.regex((await husk(['images', '-f', 'foo=bar'], { engine: imageEngine })).stderr, /^Error: invalid filter 'foo'/));

test('history', async (t) => {
  const one = image({ layers: [{ diffId: 'sha256:1', tar: '', size: 7_000_000 }] });
  one.config.history = [
    { created: '2026-01-01T03:04:05Z', created_by: 'ADD file:0123456789 in / and a lot more that is cut off' },
    { created: '2026-01-01T03:04:05Z', created_by: 'CMD\t["sh"]', empty_layer: true, comment: 'c' },
  ];
  t.is(
    (await husk(['history', 'x'], { engine: { images: { get: () => one } } as unknown as Partial<Engine> })).stdout,
    [
      'IMAGE          CREATED        CREATED BY                                      SIZE      COMMENT',
      'bbbbbbbbbbbb   24 hours ago   CMD ["sh"]                                      0B        c',
      '<missing>      24 hours ago   ADD file:0123456789 in / and a lot more that…   7MB       ',
      '',
    ].join('\n'),
  );
});

const INSPECTED = {
  Id: 'c0ffee',
  State: { Status: 'running', Pid: 42, Health: null },
  Config: { Labels: { b: '2', a: '1' }, Env: ['A=1'] },
  NetworkSettings: { Ports: {} },
};
const notFound = (what: string) => () => {
  throw new HuskError(`No such ${what}: x`, { kind: 'not-found' });
};
const inspecting = {
  networks: async () => ({ find: () => undefined }),
  inspect: async () => INSPECTED,
  inspectImage: notFound('image'),
  volumes: async () => ({ find: () => undefined }),
} as unknown as Partial<Engine>;

const INSPECT: [format: string, stdout: string][] = [
  ['{{.State.Pid}}', '42\n'],
  ['{{.Config.Labels.a}} {{.Config.Labels.zz}} {{index .Config.Labels "b"}}', '1 <no value> 2\n'],
  ['{{json .Config.Labels}}', '{"a":"1","b":"2"}\n'],
  ['{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}', 'a=1 b=2 \n'],
  ['{{range .Config.Env}}{{println .}}{{end}}', 'A=1\n\n'],
  ['{{if .State.Health}}y{{else}}n{{end}}', 'n\n'],
  ['{{.Config.Env}} {{len .NetworkSettings.Ports}}', '[A=1] 0\n'],
];
for (const [format, stdout] of INSPECT)
  test(`inspect -f ${format}`, async (t) =>
    t.deepEqual(await husk(['inspect', '-f', format, 'x'], { engine: inspecting }), { code: 0, stdout, stderr: '' }));

test('inspect: a field nobody has', async (t) => {
  t.deepEqual(await husk(['inspect', '-f', '{{.State.Nope}}', 'x'], { engine: inspecting }), {
    code: 1,
    stdout: '\n',
    stderr:
      'Error: template parsing error: template: :1:8: executing "" at <.State.Nope>: map has no entry for key "Nope"\n',
  });
});

test('inspect prints what it found, and an empty list for nothing', async (t) => {
  t.deepEqual(JSON.parse((await husk(['inspect', 'x'], { engine: inspecting })).stdout), [INSPECTED]);
  t.deepEqual(
    await husk(['inspect', 'x'], { engine: { ...inspecting, inspect: async () => notFound('container')() } }),
    { code: 1, stdout: '[]\n', stderr: 'Error: No such object: x\n' },
  );
});

test('logs keep their streams, and -t says when', async (t) => {
  const asked: unknown[] = [];
  const logging = {
    async *logs(_name: string, options: unknown) {
      asked.push(options);
      yield { time: '2026-01-01T00:00:00.000000001Z', stream: 'stdout' as const, text: 'a\n' };
      yield { time: '2026-01-01T00:00:00.000000002Z', stream: 'stderr' as const, text: 'b' };
    },
  } as unknown as Partial<Engine>;
  t.deepEqual(await husk(['logs', 'x'], { engine: logging }), { code: 0, stdout: 'a\n', stderr: 'b' });
  t.is(
    (await husk(['logs', '-t', '--tail', '5', '--since', '1m', 'x'], { engine: logging })).stdout,
    '2026-01-01T00:00:00.000000001Z a\n',
  );
  t.like(asked, [
    { follow: false, since: undefined },
    { follow: false, tail: 5, since: BigInt(NOW - MINUTE) * 1_000_000n },
  ]);
});

test('wait prints codes in the order asked', async (t) => {
  const waiting = {
    wait: async (name: string) => (name === 'x' ? notFound('container')() : { code: Number(name) }),
  } as unknown as Partial<Engine>;
  t.deepEqual(await husk(['wait', '3', 'x', '0'], { engine: waiting }), {
    code: 1,
    stdout: '3\n0\n',
    stderr: 'Error: No such container: x\n',
  });
});

test('top', async (t) => {
  const topping = {
    top: async () => ({ titles: ['UID', 'CMD'], processes: [['root', 'sleep 5']] }),
  } as Partial<Engine>;
  t.is(
    (await husk(['top', 'x', '-o', 'pid'], { engine: topping })).stdout,
    'UID                 CMD\nroot                sleep 5\n',
  );
});

test('a filter that nothing asks first: prune wants a yes', async (t) => {
  let pruned = 0;
  const pruning = { prune: async () => (pruned++, { deleted: ['a', 'b'], reclaimed: 1500 }) } as Partial<Engine>;
  const { stdout } = await husk(['container', 'prune'], { engine: pruning });
  t.regex(
    stdout,
    /^WARNING! This will remove all stopped containers\.\nAre you sure you want to continue\? \[y\/N\] $/,
  );
  t.is(pruned, 0);
  t.is(
    (await husk(['container', 'prune', '-f'], { engine: pruning })).stdout,
    'Deleted Containers:\na\nb\n\nTotal reclaimed space: 1.5kB\n',
  );
});

/** a label, a variable and a key that would retitle the terminal, and turn the direction of writing */
const HOSTILE = {
  Id: 'x',
  Name: '/x',
  Config: { Labels: { a: 'b\x1b]0;pwned\x07c', 'k\x9b31m': 'v' }, Env: ['A=\x1b[2J\u202e', 'B=two\nlines\tand tabs'] },
};
const hostile = { inspect: async () => HOSTILE } as unknown as Partial<Engine>;
const TERMINAL: [words: string[], terminal: RegExp, pipe: RegExp][] = [
  [['inspect', '-f', '{{index .Config.Labels "a"}}'], /^b\uFFFD\]0;pwned\uFFFDc\n$/, /\x1b\]0;pwned\x07/],
  [
    ['inspect', '-f', '{{range .Config.Env}}{{println .}}{{end}}'],
    /^A=\uFFFD\[2J\uFFFD\nB=two\nlines\tand tabs\n\n$/,
    /\x1b\[2J\u202e/,
  ],
  [['inspect', '-f', '{{json .Config.Labels}}'], /"k\uFFFD31m"/, /k\x9b31m/],
  [['inspect'], /"k\uFFFD31m"/, /k\x9b31m/],
  [['inspect', '-f', '{{printf "%c[1m" 27}}{{.Name}}'], /^\x1b\[1m\/x\n$/, /^\x1b\[1m\/x\n$/],
];
for (const [words, terminal, pipe] of TERMINAL) {
  test(`${words.join(' ')}: a terminal gets no control characters of a container's, a pipe gets every byte`, async (t) => {
    t.regex((await husk([...words, 'x'], { engine: hostile, terminal: { columns: 80, rows: 24 } })).stdout, terminal);
    t.regex((await husk([...words, 'x'], { engine: hostile })).stdout, pipe);
  });
}

test('ps --format json: a terminal gets no control characters of a label', async (t) => {
  const labelled = { list: () => [container({ config: { labels: { a: 'x\x9b31m' } } })] };
  t.regex(
    (await husk(['ps', '--format', 'json'], { engine: labelled, terminal: { columns: 80, rows: 24 } })).stdout,
    /"a=x\uFFFD31m"/,
  );
  t.regex((await husk(['ps', '--format', 'json'], { engine: labelled })).stdout, /"a=x\x9b31m"/);
});

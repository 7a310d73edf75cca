/** The small parts of the containers family, as tables. */
import test from 'ava';
import { commitConfig } from '../../../../src/service/engine-api/containers/commit-config.ts';
import { readExec } from '../../../../src/service/engine-api/containers/exec.ts';
import { goFileMode } from '../../../../src/service/engine-api/containers/go-file-mode.ts';
import { readUpdate } from '../../../../src/service/engine-api/containers/update.ts';

/** the first two as recorded of dockerd; the rest by Go's io/fs package */
const MODES: [name: string, mode: number, expected: number][] = [
  ['/tmp', 0o041777, 2148532735],
  ['a link', 0o120777, 134218239],
  ['a file', 0o100644, 0o644],
  ['setuid', 0o104755, 2 ** 23 + 0o755],
  ['setgid', 0o102755, 2 ** 22 + 0o755],
  ['a character device', 0o020666, 2 ** 26 + 2 ** 21 + 0o666],
  ['a block device', 0o060660, 2 ** 26 + 0o660],
  ['a pipe', 0o010600, 2 ** 25 + 0o600],
  ['a socket', 0o140700, 2 ** 24 + 0o700],
];
for (const [name, mode, expected] of MODES) test(`mode of ${name}`, (t) => t.is(goFileMode(mode), expected));

const COMMITTED: [body: unknown, config: object | undefined][] = [
  [undefined, undefined],
  [null, undefined],
  [{}, {}],
  [{ Hostname: 'a', Tty: true, Image: 'i', Cmd: [], Env: null, OnBuild: [], Healthcheck: {}, User: '' }, {}],
  [{ Env: ['A=b "c" $D\n', 'NOVALUE'] }, { Env: ['A=b "c" $D\n'] }],
  [{ Labels: { 'a b': 'c' } }, { Labels: { 'a b': 'c' } }],
  [
    { Cmd: ['a', '"'], Entrypoint: [] },
    { Cmd: ['a', '"'], Entrypoint: [] },
  ],
  [
    { Entrypoint: 'a', WorkingDir: '/w', User: 'u', StopSignal: 'INT' },
    { Entrypoint: ['a'], WorkingDir: '/w', User: 'u', StopSignal: 'INT' },
  ],
  [
    { ExposedPorts: { 80: {}, '90/udp': {} }, Volumes: { '/v': {} } },
    { ExposedPorts: { '80/tcp': {}, '90/udp': {} }, Volumes: { '/v': {} } },
  ],
  [
    { OnBuild: ['RUN x'], Shell: ['sh'], Healthcheck: { Test: ['CMD', 'a'], Retries: 2, Interval: 0 } },
    { OnBuild: ['RUN x'], Shell: ['sh'], Healthcheck: { Test: ['CMD', 'a'], Retries: 2 } },
  ],
];
for (const [body, config] of COMMITTED)
  test(`commit of ${JSON.stringify(body)}`, (t) => t.deepEqual(commitConfig(body), config as never));

for (const body of [
  { User: 'a\0b' },
  { ExposedPorts: { '80\nUSER root': {} } },
  { OnBuild: 'RUN x' },
  { Healthcheck: { Test: 'true' } },
  { Labels: { a: 1 } },
  [],
])
  test(`commit refuses ${JSON.stringify(body)}`, (t) => t.throws(() => commitConfig(body), { name: 'HuskError' }));

const plain = (value: object): object => JSON.parse(JSON.stringify(value)) as object;

const UPDATES: [body: object, expected: object][] = [
  [{}, {}],
  // as docker update --restart no -m 128m --memory-swap 256m sent it
  [
    {
      CpuShares: 0,
      Memory: 134217728,
      MemorySwap: 268435456,
      PidsLimit: null,
      Ulimits: null,
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    },
    { resources: { memory: 134217728, memorySwap: 268435456 }, restart: { name: 'no', maximumRetryCount: 0 } },
  ],
  [{ RestartPolicy: { Name: '' } }, {}],
  [{ PidsLimit: -1 }, { resources: { pidsLimit: 0 } }],
  [{ PidsLimit: 0 }, { resources: { pidsLimit: 0 } }],
];
for (const [body, expected] of UPDATES)
  test(`update of ${JSON.stringify(body)}`, (t) => t.deepEqual(plain(readUpdate(body)), expected));

test('update refuses what is a container’s for good, by name', (t) => {
  t.throws(() => readUpdate({ CgroupParent: 'x' }), { message: /^CgroupParent: / });
});

test('an exec as docker sent it', (t) => {
  const body = {
    User: 'nobody',
    Privileged: false,
    Tty: false,
    AttachStdin: false,
    AttachStderr: true,
    AttachStdout: true,
    Detach: false,
    DetachKeys: '',
    Env: ['X=1'],
    WorkingDir: '/tmp',
    Cmd: ['sh', '-c', 'exit 4'],
  };
  t.deepEqual(plain(readExec(body)), {
    command: ['sh', '-c', 'exit 4'],
    interactive: false,
    tty: false,
    detach: false,
    env: ['X=1'],
    user: 'nobody',
    workdir: '/tmp',
    privileged: false,
    attach: { stdout: true, stderr: true },
  });
});
for (const [body, message] of [
  [undefined, /No exec command/],
  [{ Cmd: [] }, /No exec command/],
  [{ Cmd: ['a'], DetachKeys: 'x,nokey' }, /invalid detach keys/],
  [{ Cmd: ['a\0b'] }, /Cmd must be/],
] as const)
  test(`an exec is refused: ${JSON.stringify(body)}`, (t) => t.throws(() => readExec(body), { message }));

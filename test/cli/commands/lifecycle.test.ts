/** `update`, `port`, `rename` and `start` as typed. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import { husk } from '../fake-context.ts';

type Change = Parameters<Engine['update']>[1];

async function update(...words: string[]) {
  const asked: [string, Change][] = [];
  const engine: Partial<Engine> = {
    update: async (name, change) => (asked.push([name, JSON.parse(JSON.stringify(change)) as Change]), ['told']),
  };
  return { ...(await husk(['update', ...words], { engine })), asked };
}

for (const [words, change] of [
  [['--restart', 'always'], { restart: { name: 'always', maximumRetryCount: 0 } }],
  [['--restart=on-failure:3'], { restart: { name: 'on-failure', maximumRetryCount: 3 } }],
  [['-m', '64m', '--memory-swap', '-1'], { resources: { memory: 2 ** 26, memorySwap: -1 } }],
  [
    ['--cpus', '1.5', '-c', '512', '--pids-limit', '-1', '--cpuset-cpus', '0-1', '--blkio-weight', '100'],
    { resources: { cpus: 1.5, cpuShares: 512, pidsLimit: -1, cpusetCpus: '0-1', blkioWeight: 100 } },
  ],
  [
    ['--cpu-period', '1000', '--cpu-quota', '-1', '--memory-reservation', '1g', '--restart', 'no'],
    {
      resources: { cpuPeriod: 1000, cpuQuota: -1, memoryReservation: 2 ** 30 },
      restart: { name: 'no', maximumRetryCount: 0 },
    },
  ],
] as [string[], Change][])
  test(`update ${words.join(' ')}`, async (t) => {
    const { code, stdout, stderr, asked } = await update(...words, 'a', 'b');
    t.deepEqual(asked, [
      ['a', change],
      ['b', change],
    ]);
    t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'a\nb\n', stderr: 'WARNING: told\n' });
  });

for (const [words, says, exit] of [
  [['a'], /you must provide one or more flags when using this command/, 1],
  [['--restart', 'sometimes', 'a'], /invalid restart policy: unknown policy 'sometimes'/, 1],
  [['--restart', 'always:3', 'a'], /maximum retry count cannot be used with restart policy 'always'/, 1],
  [['--kernel-memory', '5m', 'a'], /kernel memory limits are no longer supported/, 1],
  [['--memory', 'x', 'a'], /invalid argument "x" for "-m, --memory" flag: invalid size: 'x'/, 125],
] as const)
  test(`update ${words.join(' ')} is refused`, async (t) => {
    const { code, stderr, asked } = await update(...words);
    t.regex(stderr, says);
    t.is(code, exit);
    t.deepEqual(asked, []);
  });

async function port(ports: object, ...words: string[]) {
  return husk(['port', 'box', ...words], { engine: { inspect: async () => ({ NetworkSettings: { Ports: ports } }) } });
}

const PUBLISHED = {
  '80/tcp': [
    { HostIp: '0.0.0.0', HostPort: '8080' },
    { HostIp: '::', HostPort: '8080' },
  ],
  '9/udp': [{ HostIp: '127.0.0.1', HostPort: '9' }],
  '443/tcp': null,
};
for (const [title, ports, words, code, stdout, stderr] of [
  ['nothing published: nothing printed', {}, [], 0, '', ''],
  ['all', PUBLISHED, [], 0, '9/udp -> 127.0.0.1:9\n80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n', ''],
  ['one', PUBLISHED, ['80'], 0, '0.0.0.0:8080\n[::]:8080\n', ''],
  ['one of udp', PUBLISHED, ['9/udp'], 0, '127.0.0.1:9\n', ''],
  ['one that is only exposed', PUBLISHED, ['443'], 1, '', "Error: No public port '443' published for box\n"],
  ['one that is not there', {}, ['80/udp'], 1, '', "Error: No public port '80/udp' published for box\n"],
  ['no number', {}, ['http'], 1, '', 'Error: invalid port (http): strconv.ParseUint: parsing "http": invalid syntax\n'],
] as const)
  test(`port: ${title}`, async (t) => t.deepEqual(await port(ports, ...words), { code, stdout, stderr }));

const missing = (name: string) => new HuskError(`No such container: ${name}`, { kind: 'not-found' });

test('start: why, for each that did not, and their names in a last line', async (t) => {
  const engine: Partial<Engine> = {
    start: async (name) => {
      if (name !== 'there') throw missing(name);
      return undefined;
    },
  };
  t.deepEqual(await husk(['start', 'x', 'there', 'y'], { engine }), {
    code: 1,
    stdout: 'there\n',
    stderr: 'Error: No such container: x\nError: No such container: y\nError: failed to start containers: x, y\n',
  });
});

test('start -a: one line', async (t) => {
  const engine: Partial<Engine> = {
    get: (name) => {
      throw missing(name);
    },
  };
  t.deepEqual(await husk(['start', '-a', 'x'], { engine }), {
    code: 1,
    stdout: '',
    stderr: 'Error: No such container: x\n',
  });
});

test('rename: why not, and of which', async (t) => {
  const engine: Partial<Engine> = {
    rename: (name) => {
      throw missing(name);
    },
  };
  t.deepEqual(await husk(['rename', 'x', 'y'], { engine }), {
    code: 1,
    stdout: '',
    stderr: 'Error: No such container: x\nError: failed to rename container named x\n',
  });
});

test('start --all-restartable: rank by rank, one failure does not stop the others', async (t) => {
  const started: string[] = [];
  const engine: Partial<Engine> = {
    restartable: () => [['base', 'lost'], ['above']],
    start: async (name) => {
      if (name === 'lost') throw new Error('lost its image');
      started.push(name);
      return undefined;
    },
  };
  const { code, stdout, stderr } = await husk(['start', '--all-restartable'], { engine });
  t.deepEqual([code, stdout, started], [1, 'base\nabove\n', ['base', 'above']]);
  t.regex(stderr, /lost its image/);
});

for (const [words, says] of [
  [['start'], /'husk start' requires at least 1 argument/],
  [['start', '--all-restartable', 'x'], /'husk start' accepts no arguments/],
  [['start', '--all-restartable', '-a'], /cannot attach with --all-restartable/],
] as const)
  test(`husk ${words.join(' ')} is refused`, async (t) => {
    const { code, stderr } = await husk([...words], { engine: {} });
    t.is(code, 1);
    t.regex(stderr, says);
  });

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createOptions, parseRestart } from '../../../src/cli/grammar/create-options.ts';
import { parseLines } from '../../../src/cli/grammar/env-file.ts';
import { parseFlags } from '../../../src/cli/grammar/flag-set.ts';
import { CREATE_FLAGS } from '../../../src/cli/table/create-flags.ts';

const words = (line: string): string[] => line.split(' ');

const folder = mkdtempSync(join(tmpdir(), 'husk-create-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

const env = { FROM_HOST: 'yes' };
function options(...words: string[]) {
  const parsed = parseFlags(CREATE_FLAGS, words, { interspersed: false, env });
  return createOptions(parsed.flags, parsed.arguments, {
    env,
    workdir: '/work',
    consoleSize: { columns: 80, rows: 24 },
  });
}

test('nothing but an image', (t) => {
  t.like(options('alpine'), {
    image: 'alpine',
    command: undefined,
    entrypoint: undefined,
    env: [],
    interactive: false,
    tty: false,
    autoRemove: false,
    network: 'default',
    pull: 'missing',
    isolation: 'auto',
    restart: { name: 'no', maximumRetryCount: 0 },
    mounts: [],
    consoleSize: undefined,
  });
});

const CASES: [title: string, words: string[], expected: Record<string, unknown>][] = [
  [
    'the command is what follows',
    ['-it', 'alpine', 'sh', '-c', 'x'],
    { interactive: true, tty: true, command: ['sh', '-c', 'x'], consoleSize: { columns: 80, rows: 24 } },
  ],
  ['an entrypoint', ['--entrypoint', 'sh', 'a'], { entrypoint: ['sh'] }],
  ['an empty entrypoint resets', ['--entrypoint=', 'a'], { entrypoint: [''] }],
  ['environment', ['-e', 'A=1', '-e', 'FROM_HOST', '-e', 'NOBODY', 'a'], { env: ['A=1', 'FROM_HOST=yes', 'NOBODY'] }],
  ['labels', ['-l', 'a=b=c', '--label', 'x', 'a'], { labels: { a: 'b=c', x: '' } }],
  ['tmpfs', ['--tmpfs', '/run:size=1m', '--tmpfs', '/tmp', 'a'], { tmpfs: { '/run': 'size=1m', '/tmp': '' } }],
  ['restart', ['--restart', 'on-failure:3', 'a'], { restart: { name: 'on-failure', maximumRetryCount: 3 } }],
  [
    'ulimits: the last of a name',
    ['--ulimit', 'nofile=1:2', '--ulimit', 'nofile=3', '--ulimit', 'core=-1', 'a'],
    {
      ulimits: [
        { name: 'nofile', soft: 3, hard: 3 },
        { name: 'core', soft: -1, hard: -1 },
      ],
    },
  ],
  [
    'health',
    ['--health-cmd', 'true', '--health-interval', '5s', 'a'],
    {
      healthcheck: {
        Test: ['CMD-SHELL', 'true'],
        Interval: 5e9,
        Timeout: 0,
        StartPeriod: 0,
        StartInterval: 0,
        Retries: undefined,
      },
    },
  ],
  ['no health', ['--no-healthcheck', 'a'], { healthcheck: { Test: ['NONE'] } }],
  [
    'hosts',
    ['--add-host', 'a:1.2.3.4', '--add-host', 'b=[::1]', '--add-host', 'c:host-gateway', 'a'],
    { extraHosts: ['a:1.2.3.4', 'b:::1', 'c:host-gateway'] },
  ],
  [
    'security',
    ['--security-opt', 'no-new-privileges', '--security-opt', 'seccomp:unconfined', 'a'],
    { securityOpt: ['no-new-privileges', 'seccomp=unconfined'] },
  ],
  [
    'namespaces',
    ['--pid', 'container:x', '--uts', 'host', '--ipc', 'host', 'a'],
    { pid: 'container:x', uts: 'host', ipc: 'host' },
  ],
  [
    'a range of ports is its ports',
    ['--expose', '90-92/udp', '--expose', '80', '--expose', '91/udp', 'a'],
    { expose: ['90/udp', '91/udp', '92/udp', '80/tcp'] },
  ],
  ["Docker's own words for isolation", ['--isolation', 'default', 'a'], { isolation: 'auto' }],
  ['and the other', ['--isolation', 'process', 'a'], { isolation: 'auto' }],
  ['a runtime that is an isolation', ['--runtime', 'vm', 'a'], { isolation: 'vm' }],
  ["Docker's runtime", ['--runtime', 'runc', 'a'], { isolation: 'auto' }],
  ['and its shim', ['--runtime=io.containerd.runc.v2', '--isolation', 'userns', 'a'], { isolation: 'userns' }],
  ['rules for devices', ['--device-cgroup-rule', 'c 42:* rmw', 'a'], { deviceRules: ['c 42:* rmw'] }],
  ['GPUs', ['--gpus', 'all', '--device', '/dev/x', 'a'], { devices: ['/dev/x', 'nvidia.com/gpu=all'] }],
  ['a CDI device', ['--device', 'example.com/net=one', 'a'], { devices: ['example.com/net=one'] }],
  ['the size of the disk', ['--storage-opt', 'size=1g', 'a'], { storageSize: 2 ** 30 }],
  ['the one volume driver', ['--volume-driver', 'local', 'a'], { image: 'a' }],
  ['no real-time limits', ['--cpu-rt-period', '0', 'a'], { image: 'a' }],
  ['the old word for network', ['--net', 'host', 'a'], { network: 'host', networks: undefined, links: undefined }],
  ['a network by its long form alone', ['--network', 'name=mine', 'a'], { network: 'mine', networks: undefined }],
  [
    'what belongs to the first network',
    words(
      '--network mine --network name=other,alias=o,gw-priority=-3 --ip 10.0.0.5 --network-alias web --mac-address 02:00:00:00:00:01 --link db:d a',
    ),
    {
      network: 'mine',
      networks: [
        { name: 'mine', ipv4: '10.0.0.5', aliases: ['web'], mac: '02:00:00:00:00:01', links: ['db:d'] },
        { name: 'other', aliases: ['o'], gatewayPriority: -3 },
      ],
      links: undefined,
    },
  ],
  ['links on the default network', words('--link db:d --link x a'), { networks: undefined, links: ['db:d', 'x'] }],
  [
    'an address without a network',
    words('--ip6 fd00::5 a'),
    { network: 'default', networks: [{ name: 'default', ipv6: 'fd00::5' }] },
  ],
];

for (const [title, words, expected] of CASES) test(title, (t) => t.like(options(...words), expected));

test('limits', (t) => {
  t.like(
    options(
      '-m',
      '64m',
      '--memory-swap=-1',
      '--cpus',
      '1.5',
      '--pids-limit',
      '-1',
      '--device-read-bps',
      '/dev/sda:1mb',
      '--memory-swappiness',
      '10',
      '-c',
      '512',
      'a',
    ).resources,
    {
      memory: 67_108_864,
      memorySwap: -1,
      cpus: 1.5,
      pidsLimit: -1,
      deviceReadBps: ['/dev/sda:1048576'],
      memorySwappiness: 10,
      cpuShares: 512,
      cpuQuota: undefined,
    },
  );
  t.is(options('a').resources.memorySwappiness, undefined);
});

test('files of environment and labels come before single ones', (t) => {
  const values = file('env', '\uFEFF# comment\n\n  A=1 \nB="quoted"\r\nFROM_HOST\nNOBODY\n');
  t.deepEqual(options('--env-file', values, '-e', 'A=2', 'a').env, ['A=1 ', 'B="quoted"', 'FROM_HOST=yes', 'A=2']);
  t.deepEqual(options('--label-file', file('labels', 'x=1\nbare\n'), '-l', 'x=2', 'a').labels, { x: '2', bare: '' });
});

test('a seccomp profile becomes its text', (t) => {
  t.deepEqual(
    options('--security-opt', `seccomp=${file('profile', '{ "defaultAction": "SCMP_ACT_ALLOW" }\n')}`, 'a').securityOpt,
    ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'],
  );
});

test("a label named as an object's parent is a label", (t) =>
  t.deepEqual(Object.entries(options('-l', '__proto__=x', 'a').labels), [['__proto__', 'x']]));

const BAD: [words: string[], message: RegExp][] = [
  [['--rm', '--restart', 'always', 'a'], /^conflicting options: cannot specify both --restart and --rm$/],
  [['--kernel-memory', '1m', 'a'], /no longer supported/],
  [['--pull', 'foo', 'a'], /^invalid pull option: 'foo': must be one of "always", "missing" or "never"$/],
  [['--isolation', 'hyperv', 'a'], /^invalid isolation: "hyperv"$/],
  [['--runtime', 'kata', 'a'], /^unknown or invalid runtime name: kata$/],
  [['--runtime', 'vm', '--isolation', 'userns', 'a'], /^conflicting options: --runtime vm and --isolation userns$/],
  [['--cpu-count', '2', 'a'], /^"--cpu-count" is only supported on a Docker daemon running on windows/],
  [['--cpu-percent', '2', 'a'], /^"--cpu-percent" is only supported/],
  [['--io-maxbandwidth', '2m', 'a'], /^"--io-maxbandwidth" is only supported/],
  [['--io-maxiops', '2', 'a'], /^"--io-maxiops" is only supported/],
  [['--cpu-rt-period', '2', 'a'], /^--cpu-rt-period: your kernel does not support CPU real-time scheduler/],
  [['--cpu-rt-runtime', '2', 'a'], /^--cpu-rt-runtime: your kernel does not support CPU real-time scheduler/],
  [['--volume-driver', 'nfs', 'a'], /^error looking up volume plugin nfs: plugin "nfs" not found$/],
  [['--storage-opt', 'size', 'a'], /^invalid storage option$/],
  [['--storage-opt', 'quota=1', 'a'], /^unknown option quota$/],
  [['--storage-opt', 'size=x', 'a'], /^invalid size: 'x'$/],
  [['--gpus', 'driver=amd', 'a'], /^could not select device driver "amd"/],
  [['--use-api-socket', 'a'], /^--use-api-socket: the socket of the Engine API is not there yet/],
  [['--pid', 'foo', 'a'], /^--pid: invalid PID mode$/],
  [['--uts', 'container:x', 'a'], /^--uts: invalid UTS mode$/],
  [['--health-cmd', 'x', '--no-healthcheck', 'a'], /^--no-healthcheck conflicts with --health-\* options$/],
  [['--health-interval=-1s', 'a'], /^--health-interval cannot be negative$/],
  [['--security-opt', 'foo', 'a'], /^Invalid --security-opt: "foo"$/],
  [
    ['--security-opt', 'seccomp=/nonexist', 'a'],
    /^opening seccomp profile \(\/nonexist\) failed: open \/nonexist: no such file or directory$/,
  ],
  [['--env-file', '/nonexist', 'a'], /^open \/nonexist: no such file or directory$/],
  [['-v', '/a:/x', '--mount', 'type=tmpfs,target=/x', 'a'], /^Duplicate mount point: \/x$/],
  [['-v', '/a:x', 'a'], /^invalid volume specification/],
  [
    ['--network', 'name=a,ip=10.0.0.2', '--ip', '10.0.0.3', 'a'],
    /^conflicting options: cannot specify both --ip and per-network IPv4 address/,
  ],
  [['--expose', '80:90', 'a'], /^invalid port format for --expose: 80:90$/],
  [['-p', '80/foo', 'a'], /^invalid proto: foo$/],
];

for (const [words, message] of BAD) {
  test(`refuses ${words.join(' ')}`, (t) => t.throws(() => options(...words), { name: 'HuskError', message }));
}

const RESTARTS: [text: string, message: string][] = [
  [':3', 'invalid restart policy format: no policy provided before colon'],
  ['foo', "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"],
  ['on-failure:x', 'invalid restart policy format: maximum retry count must be an integer'],
  ['always:3', "invalid restart policy: maximum retry count cannot be used with restart policy 'always'"],
  ['on-failure:-1', 'invalid restart policy: maximum retry count cannot be negative'],
];

for (const [text, message] of RESTARTS)
  test(`--restart ${text}`, (t) => t.throws(() => parseRestart(text), { message }));

test('lines of an environment file', (t) => {
  t.throws(() => parseLines('a b=1'), { message: "variable 'a b' contains whitespaces" });
  t.throws(() => parseLines('=1'), { message: "no variable name on line '=1'" });
});

/**
 * Limits as a real stress program feels them: Debian's stress-ng in containers of both isolations, in the test host,
 * where cgroup v2 is whole. Nothing is read back from control files: what counts is what was killed, how much CPU time
 * there was, how many bytes moved in a second.
 */
import { existsSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { HUSK_INSIDE, hostPatience, measureInTestHost, missingTestHost } from '../fixtures/test-host.ts';
import { ROOT } from '../fixtures/user.ts';
import { missingWorkloadTools, workloadTar } from '../fixtures/workload-image.ts';

/** MiB of swap in the test host */
const SWAP = 256;
const hasVm = ['vmlinux', 'agent.erofs', 'writable.disk'].every((part) => existsSync(`${ROOT}/dist/${part}`));

/** In the container: `fits N`, does a process that fills N MiB live? */
const FITS = `fits() { stress-ng --vm 1 --vm-bytes "$1"m --vm-keep --vm-method zero-one --vm-ops 1 --oomable -t 60s 2>&1 | grep -q prematurely && echo "$1 killed" || echo "$1 fits"; }`;
/** `cpu SECONDS`: CPU time that two busy processes got, in CPUs */
const CPU = `cpu() { stress-ng --cpu 2 --cpu-method int64 -t "$1"s --metrics-brief 2>&1 | awk '/metrc.* cpu /{print "cpu", ($7 + $8) / $6}'; }`;
/** `forks`: processes there are when no more can be made; counted without making one */
const FORKS = `forks() { (for i in $(seq 60); do sleep 100 & done) 2>/dev/null; set -- /proc/[0-9]*; echo "forks $#"; }`;
/** `seconds COMMAND…` */
const SECONDS = `seconds() { from=$(cut -d' ' -f1 /proc/uptime); "$@" >/dev/null 2>&1; to=$(cut -d' ' -f1 /proc/uptime); awk "BEGIN { print \\"seconds\\", $to - $from }"; }`;
/** shared memory has an end */
const SHARED = `dd if=/dev/zero of=/dev/shm/big bs=1M count=20 2>/dev/null; echo "shm $(stat -c %s /dev/shm/big)"; rm /dev/shm/big`;
const ALL = [
  '-m',
  '64m',
  '--memory-swap',
  '64m',
  '--cpus',
  '0.5',
  '--pids-limit',
  '30',
  '--shm-size',
  '16m',
  '--oom-score-adj',
  '700',
];

/**
 * HUSK_STRESS_PARTS=all,cpuset,smallest,killed,swap,cgroup-parent,rate,weights,shares: what is measured; each takes its
 * time
 */
const PARTS = (process.env['HUSK_STRESS_PARTS'] ?? 'all,cpuset,smallest,killed,swap,cgroup-parent').split(',');
const isChosen = (name: string) => PARTS.some((part) => name.includes(part));

const PROGRAM = `
const { spawnSync, spawn } = await import('node:child_process');
const fs = await import('node:fs');
const env = { ...process.env, XDG_DATA_HOME: process.cwd() + '/data', XDG_CONFIG_HOME: process.cwd() + '/config' };
const HUSK = '${HUSK_INSIDE}/bin/husk';
const husk = (...args) => { const { status, stdout, stderr } = spawnSync(HUSK, args, { env, encoding: 'utf8' }); return { status, out: stdout.trim(), err: stderr.trim() }; };
const start = (...args) => new Promise((done) => { const child = spawn(HUSK, args, { env }); let out = ''; child.stdout.on('data', (data) => (out += data)); child.stderr.on('data', (data) => (out += data)); child.on('close', (status) => done({ status, out: out.trim() })); });
const run = (isolation, flags, script) => husk('run', '--rm', '--isolation=' + isolation, '--network', 'none', ...flags, 'work', 'sh', '-c', script);
const FUNCTIONS = ${JSON.stringify([FITS, CPU, FORKS, SECONDS].join('\n'))} + '\\n';
const parts = ${JSON.stringify(PARTS)};
const measure = (name, body) => { if (!parts.some((part) => name.includes(part))) return; const at = Date.now(); const found = body(); report(name, found); console.log(Math.round((Date.now() - at) / 1000) + ' s', name, JSON.stringify(found)); };
const imported = husk('import', "WORKLOAD", 'work');
if (imported.status !== 0) throw new Error(imported.err);

const ISOLATIONS = ${JSON.stringify(hasVm ? ['userns', 'vm'] : ['userns'])};
for (const isolation of ISOLATIONS) {
  measure(isolation + ': all', () => run(isolation, ${JSON.stringify(ALL)}, FUNCTIONS + 'fits 40; fits 100; cpu 1; ' + ${JSON.stringify(SHARED)} + '; forks; echo alive').out.split('\\n'));
  measure(isolation + ': cpuset', () => run(isolation, ['--cpuset-cpus', '1'], FUNCTIONS + 'nproc; cpu 3').out.split('\\n'));
}
// of a VM: test/vmm/container.test.ts
measure('userns: the smallest', () => run('userns', ['-m', '6m'], 'echo alive'));
measure('userns: killed', () => {
  const { status } = husk('run', '--name', 'oom', '--isolation=userns', '--network', 'none', '-m', '24m', 'work', 'sh', '-c', 'exec tail -c 60000000 /dev/zero');
  const since = husk('events', '--since', '1h', '--until', '0s', '--filter', 'container=oom', '--format', '{{.Action}}');
  return { status, state: husk('inspect', '-f', '{{.State.OOMKilled}} {{.State.ExitCode}}', 'oom').out, events: since.out.split('\\n').filter((line) => /^(oom|die)$/.test(line)) };
});
for (const [flags, sizes] of ${JSON.stringify([
  [
    ['-m', '24m', '--memory-swap', '0'],
    [38, 64],
  ],
  [
    ['-m', '24m', '--memory-swap', '24m'],
    [14, 40],
  ],
  [
    ['-m', '24m', '--memory-swap', '40m'],
    [30, 56],
  ],
  [['-m', '24m', '--memory-swap', '-1'], [64]],
])}) measure('swap: ' + flags.join(' '), () => run('userns', flags, FUNCTIONS + sizes.map((size) => 'fits ' + size).join('; ')).out.split('\\n'));

fs.mkdirSync('/sys/fs/cgroup/husk-user/batch', { recursive: true });
measure('cgroup-parent', () => {
  fs.writeFileSync('/sys/fs/cgroup/husk-user/cgroup.subtree_control', '+memory');
  fs.writeFileSync('/sys/fs/cgroup/husk-user/batch/memory.max', '33554432');
  fs.writeFileSync('/sys/fs/cgroup/husk-user/batch/memory.swap.max', '0');
  return run('userns', ['--cgroup-parent', 'batch/night'], FUNCTIONS + 'fits 14; fits 48').out.split('\\n');
});
measure('rate: free', () => run('userns', ['--device', '/dev/ram1'], FUNCTIONS + 'seconds dd if=/dev/ram1 of=/dev/null bs=64k count=64 iflag=direct').out);
measure('rate: --device-read-bps', () => run('userns', ['--device', '/dev/ram1', '--device-read-bps', '/dev/ram1:1mb'], FUNCTIONS + 'seconds dd if=/dev/ram1 of=/dev/null bs=64k count=64 iflag=direct').out);
measure('rate: --device-write-bps', () => run('userns', ['--device', '/dev/ram1', '--device-write-bps', '/dev/ram1:1mb'], FUNCTIONS + 'seconds dd if=/dev/zero of=/dev/ram1 bs=64k count=64 oflag=direct').out);
measure('rate: --device-read-iops', () => run('userns', ['--device', '/dev/ram1', '--device-read-iops', '/dev/ram1:10'], FUNCTIONS + 'seconds dd if=/dev/ram1 of=/dev/null bs=4k count=40 iflag=direct').out);
measure('rate: --device-write-iops', () => run('userns', ['--device', '/dev/ram1', '--device-write-iops', '/dev/ram1:10'], FUNCTIONS + 'seconds dd if=/dev/zero of=/dev/ram1 bs=4k count=40 oflag=direct').out);
measure('weights', () => run('userns', ['--blkio-weight', '100', '--cpuset-mems', '0', '--memory-reservation', '32m'], 'echo alive'));
// two on one CPU at once, each busy from before the other's start until after its end
if (parts.includes('shares')) {
  const contenders = ['512', '1024'].map((shares) => start('run', '--rm', '--network', 'none', '--isolation=userns', '--cpuset-cpus', '1', '--cpu-shares', shares, 'work', 'sh', '-c', FUNCTIONS + 'cpu 12'));
  report('shares', (await Promise.all(contenders)).map(({ out }) => out));
}
`;

const reason =
  missingTestHost() ??
  missingWorkloadTools() ??
  (existsSync(`${ROOT}/dist/husk.cjs`) ? undefined : 'husk is not built');
const found: Record<string, unknown> = {};
/** @param name of what was measured */
const row = (title: string, name: string, body: (t: ExecutionContext) => void, possible = true): void => {
  if (reason === undefined && possible && isChosen(name)) test(title, body);
  else
    test.skip(`${title} — ${reason ?? (possible ? `HUSK_STRESS_PARTS does not have it` : 'needs make vm')}`, () => {});
};
if (reason === undefined)
  test.before(async (t) => {
    t.timeout(hostPatience());
    Object.assign(
      found,
      await measureInTestHost(PROGRAM.replace('"WORKLOAD"', JSON.stringify(workloadTar())), {
        memory: 4096,
        swap: SWAP,
      }),
    );
  });

const lines = (name: string) => found[name] as string[];
/** the number after a word in the lines */
const figure = (name: string, word: string) =>
  Number(
    lines(name)
      .find((line) => line.startsWith(`${word} `))
      ?.slice(word.length + 1),
  );

for (const isolation of ['userns', 'vm']) {
  const inIsolation = (title: string, name: string, body: (t: ExecutionContext) => void) =>
    row(`${isolation}: ${title}`, name, body, isolation === 'userns' || hasVm);
  const all = `${isolation}: all`;
  inIsolation('-m kills what takes more, and leaves the container', all, (t) =>
    t.deepEqual(
      lines(all).filter((line) => /fits|killed|alive/.test(line)),
      ['40 fits', '100 killed', 'alive'],
    ),
  );
  inIsolation('--cpus 0.5', all, (t) => within(t, figure(all, 'cpu'), 0.2, 0.65));
  inIsolation('--pids-limit 30 holds a fork bomb', all, (t) => within(t, figure(all, 'forks'), 25, 30));
  inIsolation('--shm-size', all, (t) => t.is(figure(all, 'shm'), 16 * 2 ** 20));
  inIsolation('--cpuset-cpus', `${isolation}: cpuset`, (t) => {
    t.is(lines(`${isolation}: cpuset`)[0], '1');
    within(t, figure(`${isolation}: cpuset`, 'cpu'), 0.3, 1.15);
  });
}

row('userns: 6 MiB are enough to start', 'userns: the smallest', (t) =>
  t.like(found['userns: the smallest'], { status: 0, out: 'alive' }),
);
row('userns: exit code, state and events of an OOM kill', 'userns: killed', (t) =>
  t.deepEqual(found['userns: killed'], { status: 137, state: 'true 137', events: ['oom', 'die'] }),
);
for (const [flags, expected] of [
  ['-m 24m --memory-swap 0', ['38 fits', '64 killed']],
  ['-m 24m --memory-swap 24m', ['14 fits', '40 killed']],
  ['-m 24m --memory-swap 40m', ['30 fits', '56 killed']],
  ['-m 24m --memory-swap -1', ['64 fits']],
] as const)
  row(`userns: ${flags}`, `swap: ${flags}`, (t) => t.deepEqual(lines(`swap: ${flags}`), [...expected]));

row('userns: --cgroup-parent: the limits of the parent hold', 'cgroup-parent', (t) =>
  t.deepEqual(lines('cgroup-parent'), ['14 fits', '48 killed']),
);
for (const flag of ['--device-read-bps', '--device-write-bps', '--device-read-iops', '--device-write-iops'])
  // 4 MiB at 1 MiB/s, 40 operations at 10/s
  row(`userns: ${flag}`, `rate: ${flag}`, (t) => within(t, seconds(`rate: ${flag}`), 3, 12));
row('userns: without a rate', 'rate: free', (t) => within(t, seconds('rate: free'), 0, 2));
row('userns: weights and a reservation are taken', 'weights', (t) =>
  t.like(found['weights'], { status: 0, out: 'alive' }),
);
row('userns: --cpu-shares 1024 gets more than 512 on one CPU', 'shares', (t) => {
  const [less, more] = (found['shares'] as string[]).map((text) => Number(/cpu (\S+)/.exec(text)?.[1])) as [
    number,
    number,
  ];
  // weights 59 and 100
  within(t, more / less, 1.3, 2.2);
});

function seconds(name: string): number {
  return Number(/^seconds (\S+)$/.exec(found[name] as string)?.[1]);
}

function within(
  t: { true(value: boolean, message: string): unknown },
  value: number,
  least: number,
  most: number,
): void {
  t.true(value >= least && value <= most, `${value} is not within ${least}-${most}`);
}

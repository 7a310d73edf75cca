/**
 * Limits, pause, figures and clean-up in a real cgroup v2, inside the test host as an ordinary user; judged by what
 * containers can still do, not by reading control files back. And what a host without cgroup v2 says.
 */
import test from 'ava';
import { existsSync } from 'node:fs';
import { hostPatience, missingTestHost, measureInTestHost, HUSK_INSIDE } from '../fixtures/test-host.ts';
import { ordinaryUser, ROOT } from '../fixtures/user.ts';
import { checkLimits } from '../../src/container/cgroup/cgroup.ts';
import { readLimits } from '../../src/engine/request/request.ts';
import { resources } from '../../src/engine/create/spec/limits.ts';
import type { ResourceRequest } from '../../src/engine/contract.ts';
import { PRELUDE } from './containers.ts';

/** least and most CPU seconds a second: the host is emulated and its neighbours are busy, wide margins */
const PACES: Record<string, [least: number, most: number]> = {
  free: [0.6, 1.1],
  half: [0.35, 0.58],
  updated: [0.1, 0.28],
  paused: [0, 0.02],
};

const PROGRAM = `${PRELUDE}
const MiB = 2 ** 20;
const CGROUPS = '/sys/fs/cgroup/husk-user';
const folders = () => fs.readdirSync(CGROUPS, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort();
const limited = (resources) => ({ change: (spec) => ({ ...spec, linux: { ...spec.linux, resources } }) });
/** dd keeps a block in memory: as a process's own pages, never as page cache */
const hold = (mebibytes) => ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=' + mebibytes + 'M', 'count=1'];
const begin = async (args, resources) => {
  const sandbox = makeSandbox(args, limited(resources));
  await sandbox.prepare(NOTHING);
  const child = await sandbox.start();
  let bytes = 0;
  child.stdout.on('data', (data) => (bytes += data.length));
  child.stderr?.resume();
  return { sandbox, child, printed: () => bytes };
};
const exec = async (sandbox, args) => {
  const child = await sandbox.exec({ ...makeSpec(args).process }, NOTHING);
  const [out, err, exit] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
  return { out, err, exit };
};
/**
 * CPU seconds a second of wall clock. While the emulated machine stands still its clock goes on, and what was on its
 * CPU has used it all and owes it: some seconds then tell too much or too little, and others are looked at. @returns
 * the first that is as it should be, or the last
 */
const pace = async (sandbox, [least, most], seconds = 3) => {
  for (let tries = 1; ; tries++) {
    const [cpu, at] = [(await sandbox.stats()).cpuNanoseconds, performance.now()];
    await sleep(seconds * 1000);
    const found = ((await sandbox.stats()).cpuNanoseconds - cpu) / 1e6 / (performance.now() - at);
    if (tries === 10 || (found >= least && found <= most)) return found;
  }
};
const PACES = ${JSON.stringify(PACES)};
const BUSY = ['sh', '-c', 'while :; do :; done'];

{ // two at once: one over its limit, one beside it
  const neighbour = await begin(['sleep', '1000'], { memory: { limit: 64 * MiB } });
  report('memory: over', (await run(hold(200), limited({ memory: { limit: 64 * MiB, swap: 128 * MiB } }))).exit);
  report('memory: under', (await run(hold(20), limited({ memory: { limit: 64 * MiB, swap: 128 * MiB } }))).exit);
  report('memory: no swap', (await run(hold(200), limited({ memory: { limit: 64 * MiB, swap: 64 * MiB } }))).exit);
  report('memory: endless swap', (await run(hold(20), limited({ memory: { limit: 64 * MiB, swap: -1 } }))).exit);
  report('neighbour lives', (await neighbour.sandbox.processes()).length);
  report('exec: over', (await exec(neighbour.sandbox, hold(200))).exit);
  report('exec: the container goes on', (await neighbour.sandbox.processes()).length);
  await neighbour.sandbox.update({ memory: { limit: 256 * MiB, swap: 512 * MiB } });
  report('update: more memory', (await exec(neighbour.sandbox, hold(100))).exit.code);
  report('folders of one', folders().length);
  await neighbour.sandbox.destroy();
  report('folders after', folders());
}
{
  const { out, err, exit } = await sh('i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo all', limited({ pids: { limit: 10 } }));
  report('pids', { out, err: /fork/.test(err), code: exit.code });
  const bomb = await begin(['sh', '-c', '(while :; do sleep 1000 & done) & exec sleep 1000'], { pids: { limit: 20 } });
  await within(async () => (await bomb.sandbox.stats()).pids >= 18);
  await sleep(1000);
  const { pids, pidsLimit } = await bomb.sandbox.stats();
  report('bomb', { pids, pidsLimit });
  report('outside of the bomb', spawnSync('true').status);
  await bomb.sandbox.destroy();
  report('folders after the bomb', folders());
}
{
  const free = await begin(BUSY, {});
  report('pace: free', await pace(free.sandbox, PACES.free));
  await free.sandbox.update({ cpu: { quota: 20000, period: 100000 } });
  report('pace: updated to 0.2', await pace(free.sandbox, PACES.updated));
  await free.sandbox.pause();
  report('pace: paused', await pace(free.sandbox, [0, 2], 1));
  await free.sandbox.destroy();
  const half = await begin(BUSY, { cpu: { quota: 50000, period: 100000 } });
  report('pace: half', await pace(half.sandbox, PACES.half));
  await half.sandbox.destroy();
}
{
  const clock = await begin(['sh', '-c', 'while :; do echo x; sleep 0.05; done'], {});
  await within(() => clock.printed() > 4);
  const before = clock.printed();
  await clock.sandbox.pause();
  // what it printed before is read: the event loop has had its turns
  for (let turn = 0; turn < 5; turn++) await sleep(50);
  const paused = clock.printed();
  await sleep(1500);
  const still = clock.printed();
  await clock.sandbox.unpause();
  await within(() => clock.printed() > still + 4);
  report('pause', { before, paused, still, after: clock.printed() });
  await clock.sandbox.pause();
  const at = performance.now();
  await clock.sandbox.destroy();
  report('destroy paused', performance.now() - at);
}
{
  const holder = await begin(['sh', '-c', 'head -c 31457280 /dev/zero >/dev/shm/x; echo; sleep 1000; :'], { memory: { limit: 100 * MiB }, pids: { limit: 50 } });
  // the shell has printed, and its last child is there
  await within(async () => holder.printed() > 0 && (await holder.sandbox.stats()).pids === 2);
  report('stats', await holder.sandbox.stats());
  report('cgroup seen inside', (await exec(holder.sandbox, ['cat', '/proc/self/cgroup'])).out);
  const raise = await exec(holder.sandbox, ['sh', '-c', 'echo max >/sys/fs/cgroup/memory.max; cat /sys/fs/cgroup/memory.max']);
  report('raised from inside', raise.out.trim());
  await holder.sandbox.destroy();
}
{
  // a config of its own: no machine is started here, whose start HUSK_TEST_VM_START could be about (test-host.ts)
  const env = { ...process.env, HUSK_CONFIG: undefined, XDG_DATA_HOME: resolve('data'), XDG_CONFIG_HOME: resolve('config') };
  fs.mkdirSync('config/husk', { recursive: true });
  fs.writeFileSync('config/husk/config.json', '{ "default-isolation": "userns" }');
  const husk = (...args) => { const { status, stdout, stderr } = spawnSync('${HUSK_INSIDE}/bin/husk', args, { env, encoding: 'utf8' }); return { status, stdout: stdout.trim(), stderr: stderr.trim() }; };
  const sleepers = () => fs.readdirSync('/proc').filter((pid) => { try { return fs.readFileSync('/proc/' + pid + '/cmdline', 'latin1').includes('sleep\\0' + '4321'); } catch { return false; } }).length;
  execFileSync('tar', ['-C', 'lower', '-cf', 'b.tar', '.']);
  husk('import', 'b.tar', 'b');
  report('host network', husk('run', '--rm', '--network', 'host', 'b', 'sh', '-c', 'ls -d /sys/class/net/lo && cat /proc/self/cgroup && test -e /sys/fs/cgroup/cgroup.procs && ! mkdir /sys/fs/cgroup/x 2>/dev/null && echo closed'));
  report('run: over', husk('run', '--name', 'over', '--network', 'none', '-m', '64m', 'b', ...hold(200)).status);
  report('run: state', husk('inspect', '-f', '{{.State.OOMKilled}} {{.State.ExitCode}}', 'over').stdout);
  report('run: warning', husk('create', '--network', 'none', '-m', '64m', '--memory-swappiness', '5', 'b', 'true').stderr);
  report('info', husk('info', '-f', '{{.MemoryLimit}} {{.CpuCfsQuota}} {{.CPUSet}} {{.PidsLimit}}').stdout);
  fs.mkdirSync('context');
  const build = (command) => { fs.writeFileSync('context/Dockerfile', 'FROM b\\nRUN ' + command + '\\n'); return husk('build', '--isolation=userns', '--network', 'none', '-m', '64m', '--memory-swap', '64m', 'context'); };
  const over = build(JSON.stringify(hold(200)));
  report('build: over', { status: over.status, said: /did not complete successfully: it was killed, as memory ran out$/m.test(over.stderr) });
  report('build: a process over', build('(' + hold(200).join(' ') + ') || cat /proc/self/cgroup').status);
  report('folders after builds', folders());
  husk('run', '-d', '--name', 'many', '--network', 'none', '--pid', 'host', 'b', 'sh', '-c', 'setsid sleep 4321 & setsid sh -c "sleep 4321 & sleep 4321" & exec sleep 4321');
  await within(() => sleepers() === 4);
  report('sleepers', sleepers());
  husk('kill', 'many');
  husk('wait', 'many');
  report('sleepers after', sleepers());
  husk('run', '-d', '--name', 'orphan', '--network', 'none', '-m', '64m', 'b', 'sleep', '4321');
  let pid = Number(husk('inspect', '-f', '{{.State.Pid}}', 'orphan').stdout);
  const isSupervisor = () => fs.readFileSync('/proc/' + pid + '/cmdline', 'latin1').startsWith('husk-supervisor');
  while (pid > 1 && !isSupervisor()) pid = Number(fs.readFileSync('/proc/' + pid + '/stat', 'latin1').replace(/^.*\\) . /s, '').split(' ')[0]);
  const there = folders();
  process.kill(pid, 'SIGKILL');
  await within(() => !fs.existsSync('/proc/' + pid));
  report('orphan', { before: there.length, ps: husk('ps', '-a', '--filter', 'name=orphan', '--format', '{{.Status}}').stdout.replace(/ .*/, ''), sleepers: sleepers(), folders: folders() });
}
`;

interface Exit {
  code: number;
  signal?: number;
  oomKilled?: boolean;
}
interface Pause {
  before: number;
  paused: number;
  still: number;
  after: number;
}

const reason = missingTestHost() ?? (existsSync(`${ROOT}/dist/husk.cjs`) ? undefined : 'husk is not built');
const found: Record<string, unknown> = {};
const inHost = reason === undefined ? test : test.skip;
if (reason === undefined)
  test.before(async (t) => {
    t.timeout(hostPatience());
    Object.assign(found, await measureInTestHost(PROGRAM, { cpus: 1 }));
  });

const KILLED: Exit = { code: 137, signal: 9, oomKilled: true };
const exactly: [title: string, name: string, value: unknown][] = [
  ['-m kills what takes more', 'memory: over', KILLED],
  ['-m leaves what takes less', 'memory: under', { code: 0 }],
  ['--memory-swap equal to -m', 'memory: no swap', KILLED],
  ['--memory-swap -1', 'memory: endless swap', { code: 0 }],
  ['another container is left alone', 'neighbour lives', 1],
  ['an exec is within the limit', 'exec: over', KILLED],
  ['the container of a killed exec goes on', 'exec: the container goes on', 1],
  ['update gives a running container more memory', 'update: more memory', 0],
  ['the session and one container have cgroups', 'folders of one', 2],
  ['nothing is left of a cgroup', 'folders after', ['session']],
  ['--pids-limit refuses forks', 'pids', { out: '', err: true, code: 2 }],
  ['a fork bomb outside is not felt', 'outside of the bomb', 0],
  ['nothing is left of a fork bomb', 'folders after the bomb', ['session']],
  ['a container sees its cgroup as the root', 'cgroup seen inside', '0::/\n'],
  [
    'with the host network a container has its own cgroup all the same',
    'host network',
    { status: 0, stdout: '/sys/class/net/lo\n0::/\nclosed', stderr: '' },
  ],
  ['a container cannot raise its own limit', 'raised from inside', String(100 * 2 ** 20)],
  ['run gives 137', 'run: over', 137],
  ['-m of a build kills a step that takes more', 'build: over', { status: 1, said: true }],
  ['a step goes on when one of its processes took more', 'build: a process over', 0],
  ['nothing is left of the cgroups of steps', 'folders after builds', ['session']],
  ['inspect tells of the OOM killer', 'run: state', 'true 137'],
  [
    'what is discarded is told at create',
    'run: warning',
    'WARNING: Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
  ],
  ['info lists what can be limited', 'info', 'true true true true'],
  ['processes in sessions of their own, without a pid namespace', 'sleepers', 4],
  ['are killed with the container', 'sleepers after', 0],
  [
    'a supervisor killed -9 leaves no cgroup behind the next command',
    'orphan',
    { before: 2, ps: 'Exited', sleepers: 0, folders: ['session'] },
  ],
];
for (const [title, name, value] of exactly) inHost(title, (t) => t.deepEqual(found[name], value));

for (const [title, name, [least, most]] of [
  ['a busy loop without a limit', 'pace: free', PACES['free']!],
  ['--cpus 0.5', 'pace: half', PACES['half']!],
  ['update to 0.2 CPUs', 'pace: updated to 0.2', PACES['updated']!],
  ['a paused busy loop', 'pace: paused', PACES['paused']!],
  ['ms to destroy a paused container', 'destroy paused', [0, 5000]],
] as [string, string, [number, number]][])
  inHost(title, (t) => {
    const value = found[name] as number;
    t.true(value >= least && value <= most, `${value} is not within ${least}-${most}`);
  });

inHost('a fork bomb stops at its limit', (t) => {
  const { pids, pidsLimit } = found['bomb'] as { pids: number; pidsLimit: number };
  t.is(pidsLimit, 20);
  t.true(pids >= 18 && pids <= 20, String(pids));
});
inHost('pause stands still, unpause goes on', (t) => {
  const { before, paused, still, after } = found['pause'] as Pause;
  t.true(before > 4);
  t.is(still, paused);
  t.true(after > still + 4, `${still} → ${after}`);
});
inHost('figures', (t) => {
  const stats = found['stats'] as Record<string, number>;
  t.true(stats['memoryBytes']! >= 30 * 2 ** 20 && stats['memoryBytes']! < 60 * 2 ** 20, String(stats['memoryBytes']));
  t.is(stats['memoryLimitBytes'], 100 * 2 ** 20);
  t.is(stats['pidsLimit'], 50);
  t.is(stats['pids'], 2);
  t.true(stats['cpuNanoseconds']! > 1e6);
});

const here = checkHere();
const FLAGS: [flag: string, value: string, request: ResourceRequest][] = [
  ['--memory', '64m', { memory: 64 * 2 ** 20 }],
  ['--cpus', '0.5', { cpus: 0.5 }],
  ['--pids-limit', '5', { pidsLimit: 5 }],
  ['--cpu-shares', '5', { cpuShares: 5 }],
  ['--cpuset-cpus', '0', { cpusetCpus: '0' }],
  ['--memory-reservation', '32m', { memoryReservation: 32 * 2 ** 20 }],
  ['--blkio-weight', '100', { blkioWeight: 100 }],
];
for (const [flag, value, request] of FLAGS) {
  const none = { kind: 'none', reason: 'this host has no cgroup v2 at /sys/fs/cgroup', fix: 'f' } as const;
  test(`${flag} without cgroups names the flag`, (t) =>
    void t.throws(() => checkLimits(resources(readLimits(request), { cpus: 1, blockDevice: () => undefined }), none), {
      message: new RegExp(`^cannot enforce ${flag}(, --cpu-quota)?: this host has no cgroup v2`),
    }));
  (here === undefined ? test.serial.skip : test.serial)(
    `husk create ${flag} and run are refused here in one line, before there is a record`,
    (t) => {
      using user = ordinaryUser();
      importImage(user);
      for (const verb of ['create', 'run']) {
        const { status, stderr } = user.husk(verb, '--network', 'none', flag, value, 'b', 'true');
        t.regex(stderr, new RegExp(`cannot enforce ${flag}`));
        t.is(status, 125);
      }
      t.is(user.husk('ps', '-aq').stdout, '');
    },
  );
}

/** @returns does this machine enforce nothing */
function checkHere(): boolean | undefined {
  return existsSync('/sys/fs/cgroup/cgroup.controllers') || !existsSync(`${ROOT}/dist/husk.cjs`) ? undefined : true;
}

function importImage(user: ReturnType<typeof ordinaryUser>): void {
  user.run(['sh', '-c', 'mkdir r; tar -C r -cf b.tar .']);
  user.husk('import', 'b.tar', 'b');
}

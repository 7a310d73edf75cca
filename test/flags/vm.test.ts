/**
 * cases.ts in machines of our own, with a health check, updates of one that runs, and a restart policy; then update and
 * pause of a container in user namespaces on a whole cgroup v2: all in one boot of the test host, as an ordinary user.
 * What was printed there is judged out here.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { HUSK_INSIDE, hostPatience, measureInTestHost, missingTestHost } from '../fixtures/test-host.ts';
import { ROOT } from '../fixtures/user.ts';
import {
  DISK,
  expected,
  groups,
  groupScript,
  IMAGE_REFUSES,
  KEPT,
  printed,
  PROFILE,
  SYSLOG,
  VM_REFUSES,
} from './cases.ts';

const MIB = 2 ** 20;
const GROUPS = [...groups('profile.json'), KEPT, DISK];
const REFUSED = [...VM_REFUSES, ...IMAGE_REFUSES];

/** what a probe does is decided by files: it succeeds with /ok, and hangs with /hang */
const PROBE = 'while test -e /hang; do sleep 1; done; test -e /ok && echo fine';
const PROGRAM = `
import { execFileSync, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
const env = { ...process.env, XDG_DATA_HOME: process.cwd() + '/data', XDG_CONFIG_HOME: process.cwd() + '/config' };
const husk = (...args) => {
  const { status, stdout, stderr } = spawnSync('${HUSK_INSIDE}/bin/husk', args, { env, encoding: 'utf8', timeout: 400000 });
  return { status, stdout, stderr };
};
const run = (...args) => husk('run', '--isolation=vm', '--network', 'none', '--cpus', '1', ...args);
const shown = (template, name) => husk('inspect', '-f', template, name).stdout.trim();
const until = async (template, name, wanted) => {
  for (const began = Date.now(); shown(template, name) !== wanted && Date.now() - began < 400000; ) await sleep(500);
  return shown(template, name);
};
writeFileSync('base.tar', Buffer.from(readFileSync(process.env.VMHOST_OUT + '/program.mjs', 'utf8').split('BASE' + ':')[1].trim(), 'base64'));
writeFileSync('profile.json', ${JSON.stringify(JSON.stringify(PROFILE))});
mkdirSync('own', { mode: 0o700 });
writeFileSync('own/before', 'before\\n');
report('image', husk('import', '--change', 'CMD ["/bin/sh"]', 'base.tar', 'husk/base'));
${REFUSED.map(([flags]) => `report(${JSON.stringify(`refused ${flags.join(' ')}`)}, run('--rm', ...${JSON.stringify(flags)}, 'husk/base', 'true'));`).join('\n')}
${GROUPS.map((group) => `report(${JSON.stringify(`group ${group.title}`)}, run('--rm', ...${JSON.stringify(group.flags)}, 'husk/base', 'sh', '-c', ${JSON.stringify(groupScript(group))}));`).join('\n')}
{ // what writes the log is the machine's monitor, in its jail
  let lines = '';
  const socket = process.cwd() + '/log.sock';
  const server = createServer((peer) => peer.setEncoding('utf8').on('data', (text) => (lines += text)));
  await new Promise((listening) => server.listen(socket, listening));
  report('syslog: run', run('--rm', ...${JSON.stringify(SYSLOG.flags('SOCKET'))}.map((flag) => flag.replace('SOCKET', socket))));
  for (const began = Date.now(); !/said out[^]*said err/.test(lines) && Date.now() - began < 400000; ) await sleep(100);
  report('syslog: lines', lines);
  server.close();
}
{ // a machine that runs nothing, for its files alone
  report('image: create', husk('create', '--name', 'shown', '--isolation=vm', '--network', 'none', '--mount', 'type=image,source=husk/base,target=/x,image-subpath=etc', 'husk/base'));
  report('image: cp of a stopped one', husk('cp', 'shown:/x/os-release', 'shown-release').status === 0 && readFileSync('shown-release', 'utf8').split('\\n')[0]);
  report('image: cp into it', husk('cp', 'shown-release', 'shown:/x/'));
}
{
  report('health: run', run('-d', '--name', 'ill', '-m', '64m', '--health-cmd', ${JSON.stringify(PROBE)}, '--health-interval', '1s', '--health-timeout', '5s', '--health-retries', '2', 'husk/base', 'sleep', '1000'));
  report('health: ps', husk('ps', '--format', '{{.Status}}').stdout);
  husk('exec', 'ill', 'touch', '/ok');
  report('health: good', await until('{{.State.Health.Status}}', 'ill', 'healthy'));
  husk('exec', 'ill', 'touch', '/hang');
  report('health: bad', await until('{{.State.Health.Status}}', 'ill', 'unhealthy'));
  report('health: log', JSON.parse(shown('{{json .State.Health.Log}}', 'ill')));
  await sleep(12000);
  report('health: probes alive', Number(husk('exec', 'ill', 'sh', '-c', 'ps | grep -c "[t]est -e /hang"').stdout));
  report('update', husk('update', '-m', '96m', '--memory-swap', '-1', '--pids-limit', '17', '--cpus', '0.5', 'ill'));
  report('update: inside', husk('exec', 'ill', 'cat', '/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/pids.max', '/sys/fs/cgroup/cpu.max').stdout);
  report('update: record', shown('{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}', 'ill'));
  report('update: too much memory', husk('update', '-m', '2g', '--memory-swap', '-1', 'ill'));
  report('update: too many CPUs', husk('update', '--cpus', '2', 'ill'));
  report('update: a restart policy', husk('update', '--restart', 'always', 'ill'));
  report('update: record after refusals', shown('{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}}', 'ill'));
  report('pause', [husk('pause', 'ill').status, husk('ps', '--format', '{{.Status}}').stdout]);
  report('stop of what is paused', husk('stop', '-t', '1', 'ill').status);
  report('update of what is stopped', husk('update', '-m', '2g', '--memory-swap', '-1', '--restart', 'always', 'ill'));
}
{
  report('restart: run', run('-d', '--name', 'again', '--restart', 'always', 'husk/base', 'sh', '-c', 'sleep 0.5; exit 3'));
  report('restart: again', await until('{{ge .RestartCount 1}}', 'again', 'true'));
  // the next machine is being made, most of the time
  report('restart: stop', husk('stop', '-t', '1', 'again').status);
  await sleep(3000);
  report('restart: stopped', shown('{{.State.Status}}', 'again'));
}
{ // the same commands on the host's own cgroup v2
  report('userns: run', husk('run', '-d', '--isolation=userns', '--network', 'none', '--name', 'grow', '-m', '64m', '--pids-limit', '50', '--health-cmd', 'true', '--health-interval', '500ms', 'husk/base', 'sleep', '1000'));
  const hold = (mebibytes) => husk('exec', 'grow', 'dd', 'if=/dev/zero', 'of=/dev/null', 'bs=' + mebibytes + 'M', 'count=1').status;
  report('userns: over its memory', hold(200));
  report('userns: update', husk('update', '-m', '256m', '--memory-swap', '-1', '--pids-limit', '0', 'grow'));
  report('userns: within its new memory', hold(200));
  report('userns: pids', husk('exec', 'grow', 'cat', '/sys/fs/cgroup/pids.max').stdout);
  report('userns: healthy', await until('{{.State.Health.Status}}', 'grow', 'healthy'));
  report('userns: pause', [husk('pause', 'grow').status, shown('{{.State.Status}} {{.State.Health.Status}}', 'grow'), husk('exec', 'grow', 'true').status]);
  report('userns: unpause', husk('unpause', 'grow').status);
  report('userns: healthy again', await until('{{.State.Health.Status}}', 'grow', 'healthy'));
}
husk('rm', '-f', 'ill', 'again', 'grow', 'shown');
// a supervisor ends after its container's record
const left = () => spawnSync('pgrep', ['-c', '-f', 'husk-supervisor'], { encoding: 'utf8' }).stdout.trim();
for (const began = Date.now(); left() !== '0' && Date.now() - began < 400000; ) await sleep(200);
report('left', left());
`;

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

const needed = ['husk.cjs', 'vmlinux', 'agent.erofs', 'writable.disk']
  .map((name) => join(ROOT, 'dist', name))
  .filter((path) => !existsSync(path));
const reason = missingTestHost() ?? (needed.length > 0 ? `needs ${needed.join(', ')} (make vm)` : undefined);
const found: Record<string, unknown> = {};
const inHost = reason === undefined ? test : test.skip;
if (reason === undefined)
  test.before(async (t) => {
    t.timeout(hostPatience());
    const base = execFileSync('setup/base-tree', { cwd: ROOT, maxBuffer: 1 << 24 });
    Object.assign(found, await measureInTestHost(`${PROGRAM}\n// ${'BASE'}:${base.toString('base64')}`));
  });
else test.skip(`VM containers: ${reason}`, () => {});

inHost('the image is there', (t) => t.is((found['image'] as Outcome).status, 0));

for (const [flags, says] of REFUSED)
  inHost(`${flags.join(' ')} is refused in one line`, (t) => {
    const { status, stderr } = found[`refused ${flags.join(' ')}`] as Outcome;
    t.regex(stderr, says);
    t.is(status, 125);
  });

for (const group of GROUPS)
  inHost(group.title, (t) => {
    const { status, stdout, stderr } = found[`group ${group.title}`] as Outcome;
    t.is(status, 0, stderr);
    const texts = printed(stdout);
    for (const [index, check] of group.checks.entries()) {
      const wanted = expected(check, 'vm');
      if (typeof wanted === 'string') t.is(texts[index], wanted, check.title);
      else t.regex(texts[index] ?? '', wanted, check.title);
    }
  });

const exactly: [title: string, name: string, value: unknown][] = [
  ['files of an image mounted into a stopped container', 'image: cp of a stopped one', 'NAME="husk base"'],
  ['probes that succeed make it healthy', 'health: good', 'healthy'],
  ['probes over their time make it unhealthy', 'health: bad', 'unhealthy'],
  ["update changes the guest's cgroup", 'update: inside', `${96 * MIB}\n17\n50000 100000\n`],
  ['and the record', 'update: record', `${96 * MIB} 17 500000000`],
  ['what was refused is not in the record', 'update: record after refusals', `${96 * MIB} 500000000 no`],
  ['what is paused can be stopped', 'stop of what is paused', 0],
  ['a restart policy makes the next machine', 'restart: again', 'true'],
  ['a stop while a machine is being made', 'restart: stop', 0],
  ['holds', 'restart: stopped', 'exited'],
  ['in user namespaces: over its memory', 'userns: over its memory', 137],
  ['in user namespaces: within what update gave', 'userns: within its new memory', 0],
  ['in user namespaces: --pids-limit 0 takes the limit away', 'userns: pids', 'max\n'],
  ['in user namespaces: healthy', 'userns: healthy', 'healthy'],
  ['in user namespaces: paused, nobody probes and nothing enters', 'userns: pause', [0, 'paused unhealthy', 1]],
  ['in user namespaces: goes on', 'userns: unpause', 0],
  ['in user namespaces: and is probed again', 'userns: healthy again', 'healthy'],
  ['nothing is left', 'left', '0'],
];
for (const [title, name, value] of exactly) inHost(title, (t) => t.deepEqual(found[name], value));

for (const [title, name, status, says] of [
  [
    'an image mounted into a stopped container takes nothing',
    'image: cp into it',
    1,
    /mounted volume is marked read-only/,
  ],
  ['a container whose log goes to a socket', 'syslog: run', 0, /^said err\n$/],
  ['update of a running one', 'update', 0, /^$/],
  ['update in user namespaces', 'userns: update', 0, /^$/],
  [
    "its memory cannot grow above the machine's",
    'update: too much memory',
    1,
    /cannot raise the memory limit to 2048 MiB: the container's virtual machine has \d+ MiB of memory, and cannot change while it runs/,
  ],
  [
    'nor its CPUs',
    'update: too many CPUs',
    1,
    /cannot give the container 2 CPUs: the container's virtual machine has 1, and cannot change while it runs|Range of CPUs/,
  ],
  [
    'it cannot be given a restart policy',
    'update: a restart policy',
    1,
    /cannot give the running container [0-9a-f]{64} a restart policy/,
  ],
  ['what is stopped can be given all of it', 'update of what is stopped', 0, /^$/],
] as const)
  inHost(title, (t) => {
    const outcome = found[name] as Outcome;
    t.regex(outcome.stderr, says);
    t.is(outcome.status, status);
  });

inHost('the log comes to the socket', (t) => {
  for (const line of SYSLOG.lines) t.regex(found['syslog: lines'] as string, line);
});

inHost('ps shows health and pause', (t) => {
  t.regex(found['health: ps'] as string, /^Up .* \((health: starting|unhealthy)\)\n$/);
  const [status, text] = found['pause'] as [number, string];
  t.is(status, 0);
  t.regex(text, /\(Paused\)\n$/);
});

inHost('a probe over its time is killed with its children, and none piles up', (t) => {
  const log = found['health: log'] as { ExitCode: number; Output: string }[];
  t.like(log.at(-1), { ExitCode: -1, Output: 'Health check exceeded timeout (5s)' });
  t.true((found['health: probes alive'] as number) <= 1);
});

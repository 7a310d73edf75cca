/**
 * cases.ts in user namespaces, as an ordinary user; and what only shares a kernel: the namespaces of the host and of
 * other containers, devices.
 */
import { chmodSync, existsSync, lstatSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { execFileSync } from 'node:child_process';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { HUSK, ordinaryUser, ROOT, TIMEOUT, type TestUser } from '../fixtures/user.ts';
import { DISK, expected, groups, groupScript, IMAGE_REFUSES, KEPT, printed, PROFILE, SYSLOG } from './cases.ts';

const built = existsSync(join(ROOT, 'dist/husk-main.cjs'));
const withHusk = built ? test.serial : test.serial.skip;
let user: TestUser;

test.before(() => {
  if (!built) return;
  user = ordinaryUser();
  const tar = join(user.home, 'base.tar');
  execFileSync('sh', ['-c', 'setup/base-tree >"$0"', tar], { cwd: ROOT });
  writeFileSync(join(user.home, 'profile.json'), JSON.stringify(PROFILE));
  user.run(['sh', '-c', 'mkdir -m 700 own && echo before >own/before']);
  const { status, stderr } = user.husk('import', '--change', 'CMD ["/bin/sh"]', tar, 'husk/base');
  if (status !== 0) throw new Error(stderr);
});
test.after.always(() => {
  if (!built) return;
  const left = user.husk('ps', '-aq').stdout.split('\n').filter(Boolean);
  if (left.length > 0) user.husk('rm', '-f', ...left);
  user[Symbol.dispose]();
});

const run = (...args: string[]) => user.husk('run', '--rm', '--isolation=userns', '--network', 'none', ...args);
const sh = (flags: string[], script: string) => run(...flags, 'husk/base', 'sh', '-c', script);

for (const group of [...groups('profile.json'), KEPT])
  withHusk(group.title, (t) => {
    const { status, stdout, stderr } = sh(group.flags, groupScript(group));
    t.is(status, 0, stderr);
    for (const [index, text] of printed(stdout).entries()) {
      const { title, prints } = group.checks[index]!;
      const wanted = expected({ title, script: '', prints }, 'userns');
      if (typeof wanted === 'string') t.is(text, wanted, title);
      else t.regex(text, wanted, title);
    }
    t.is(printed(stdout).length, group.checks.length);
  });

for (const [flags, says] of IMAGE_REFUSES)
  withHusk(`${flags.join(' ')} is refused`, (t) => {
    const { status, stderr } = run(...flags, 'husk/base', 'true');
    t.regex(stderr, says);
    t.is(status, 125);
  });

withHusk('a log that goes to a socket', async (t) => {
  const socket = join(user.home, 'run/log.sock');
  let lines = '';
  const server = createServer((peer) => peer.setEncoding('utf8').on('data', (text: string) => (lines += text)));
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.teardown(() => server.close());
  chmodSync(socket, 0o777);
  const { status, stderr } = run(...SYSLOG.flags(socket));
  t.is(status, 0, stderr);
  for (const began = Date.now(); !SYSLOG.lines.every((line) => line.test(lines)) && Date.now() - began < TIMEOUT;)
    await sleep(50);
  for (const line of SYSLOG.lines) t.regex(lines, line);
});

withHusk("the host's namespaces", (t) => {
  t.is(sh(['--uts', 'host'], 'hostname').stdout.trim(), hostname());
  const pid = sh(['--pid', 'host'], 'test $$ -gt 50 && ls -d /proc/[0-9]* | wc -l');
  t.true(Number(pid.stdout) > 5, pid.stderr + pid.stdout);
  t.is(
    sh(['--ipc', 'host'], 'readlink /proc/self/ns/ipc').stdout.trim(),
    execFileSync('readlink', ['/proc/self/ns/ipc'], { encoding: 'utf8' }).trim(),
  );
  t.not(
    sh([], 'readlink /proc/self/ns/ipc').stdout.trim(),
    execFileSync('readlink', ['/proc/self/ns/ipc'], { encoding: 'utf8' }).trim(),
  );
  t.is(
    sh(['--cgroupns', 'host'], 'readlink /proc/self/ns/cgroup').stdout.trim(),
    execFileSync('readlink', ['/proc/self/ns/cgroup'], { encoding: 'utf8' }).trim(),
  );
  t.not(
    sh([], 'readlink /proc/self/ns/cgroup').stdout.trim(),
    execFileSync('readlink', ['/proc/self/ns/cgroup'], { encoding: 'utf8' }).trim(),
  );
});

withHusk("another container's namespaces", (t) => {
  const donor = run(
    '-d',
    '--name',
    'donor',
    '--ipc',
    'shareable',
    'husk/base',
    'sh',
    '-c',
    'echo shared >/dev/shm/note; exec sleep 1000',
  );
  t.is(donor.status, 0, donor.stderr);
  while (user.husk('exec', 'donor', 'cat', '/dev/shm/note').stdout !== 'shared\n');
  const seen = sh(
    ['--ipc', 'container:donor', '--pid', 'container:donor'],
    'cat /dev/shm/note; readlink /proc/self/ns/ipc; tr "\\0" " " </proc/1/cmdline; kill -9 1; echo',
  );
  t.is(seen.status, 0, seen.stderr);
  const [note, ipc, first] = seen.stdout.split('\n');
  t.deepEqual([note, first], ['shared', 'sleep 1000 ']);
  t.is(ipc, user.husk('exec', 'donor', 'readlink', '/proc/self/ns/ipc').stdout.trim());
  for (const [flag, says] of [
    ['--ipc', /non-shareable IPC/],
    ['--pid', /No such container: nobody/],
  ] as const) {
    if (flag === '--ipc')
      user.husk('run', '-d', '--name', 'private', '--network', 'none', 'husk/base', 'sleep', '1000');
    const { status, stderr } = sh([flag, `container:${flag === '--ipc' ? 'private' : 'nobody'}`], 'true');
    t.regex(stderr, says);
    t.is(status, 125);
  }
  user.husk('stop', '-t', '0', 'private');
  const { status, stderr } = sh(['--pid', 'container:private'], 'true');
  t.regex(stderr, /cannot join pid namespace of a non running container/);
  t.is(status, 125);
});

withHusk("who joins another's network has its host name, through who has joined it too", (t) => {
  t.is(run('-d', '--name', 'named', '--hostname', 'ah', 'husk/base', 'sleep', '1000').status, 0);
  t.is(
    user.husk('run', '-d', '--name', 'between', '--network', 'container:named', 'husk/base', 'sleep', '1000').status,
    0,
  );
  for (const name of ['named', 'between']) {
    const { stdout, stderr } = user.husk(
      'run',
      '--rm',
      '--isolation=userns',
      '--network',
      `container:${name}`,
      'husk/base',
      'sh',
      '-c',
      'hostname; cat /etc/hostname; echo $HOSTNAME',
    );
    t.is(stdout, 'ah\nah\nah\n', stderr);
  }
});

withHusk("/.dockerenv is no change of the container's, of an image that has one neither", (t) => {
  user.husk('run', '--name', 'marked', '--network', 'none', 'husk/base', 'touch', '/x');
  t.is(user.husk('diff', 'marked').stdout, 'A /x\n');
  const tar = join(user.home, 'marked.tar');
  t.is(user.husk('export', '-o', tar, 'marked').status, 0);
  t.is(user.husk('import', tar, 'husk/marked').status, 0);
  user.husk('run', '--name', 'again', '--network', 'none', 'husk/marked', 'touch', '/y');
  t.is(user.husk('diff', 'again').stdout, 'A /y\n');
});

for (const [limit, message] of [
  ['-n 64', /^Error: the limit of open files is 64, and husk needs 128\nFix: .*\n$/],
  ['-v 400000', /^Error: the limit of address space is 400000 KiB, and husk needs 1048576 at the least\nFix: .*\n$/],
] as const)
  withHusk(`too low a limit is told in one line: ulimit ${limit}`, (t) => {
    const { status, stderr } = user.run([
      'sh',
      '-c',
      `ulimit ${limit}; exec "$0" run --rm --network none husk/base true`,
      HUSK,
    ]);
    t.is(status, 125);
    t.regex(stderr, message);
  });
for (const files of ['64', '128'])
  withHusk(`--ulimit nofile=${files}`, (t) =>
    t.is(run('--ulimit', `nofile=${files}`, 'husk/base', 'sh', '-c', 'ulimit -n').stdout, `${files}\n`),
  );

withHusk("-u with the caller's own number and a folder: the folder is the caller's, as with Docker", (t) => {
  const own = `${user.uid}:${user.gid}`;
  t.is(sh(['-u', own, '-v', './own:/w'], 'touch /w/mine && stat -c %u:%g /w/mine /etc').stdout, `${own}\n0:0\n`);
  const { uid, gid } = lstatSync(join(user.home, 'own/mine'));
  t.deepEqual([uid, gid], [user.uid, user.gid]);
  const other = sh(['--userns', 'private', '-u', own, '-v', './own:/w'], 'touch /w/other');
  t.regex(other.stderr, /permission denied/i);
});

withHusk('keep-id: files go in and out with their owners, stopped or running, and into an image', (t) => {
  const made = user.husk(
    'create',
    '--name',
    'keeper',
    '--network',
    'none',
    '--isolation=userns',
    '--userns',
    'keep-id',
    'husk/base',
    'sleep',
    '1000',
  );
  t.is(made.status, 0, made.stderr);
  t.is(user.husk('diff', 'keeper').stdout, '');
  user.husk('cp', 'profile.json', 'keeper:/stopped');
  t.is(user.husk('start', 'keeper').status, 0);
  user.husk('cp', 'profile.json', 'keeper:/running');
  t.is(
    user.husk('exec', 'keeper', 'stat', '-c', '%u:%g', '/', '/stopped', '/running', '/etc/passwd').stdout,
    '0:0\n'.repeat(4),
  );
  t.is(user.husk('exec', 'keeper', 'id', '-u').stdout, `${user.uid}\n`);
  t.is(user.husk('diff', 'keeper').stdout, 'A /running\nA /stopped\n');
  t.is(user.husk('commit', 'keeper', 'husk/kept').status, 0);
  t.is(sh(['-u', '0', '--userns', 'private'], 'true').status, 0);
  t.is(run('-u', '0', 'husk/kept', 'stat', '-c', '%u:%g', '/stopped').stdout, '0:0\n');
  const joined = user.husk('run', '--rm', '--isolation=userns', '--network', 'container:keeper', 'husk/base', 'true');
  t.regex(joined.stderr, /its user namespace has another map of ids\nFix: use --userns keep-id:uid=/);
  t.is(user.husk('rmi', '-f', 'husk/kept').status, 0);
  t.is(user.husk('system', 'check').stdout, 'nothing is damaged\n');
});

withHusk("a device: its node at a place of one's own, with the rights it gives", (t) => {
  t.is(sh(['--device', '/dev/zero:/dev/mine'], 'head -c 3 /dev/mine | od -An -tx1').stdout.trim(), '00 00 00');
  t.is(sh(['--device', '/dev/zero'], 'head -c 1 /dev/zero | wc -c').stdout.trim(), '1');
  const missing = sh(['--device', '/dev/no-such'], 'true');
  t.regex(
    missing.stderr,
    /error gathering device information while adding custom device "\/dev\/no-such": no such file or directory/,
  );
  t.is(missing.status, 125);
});

const closed = ['/dev/kmsg', '/dev/mem', '/dev/port', '/dev/loop-control', '/dev/vcs'].find((path) => {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isCharacterDevice() && (stat.mode & 0o006) === 0;
});
(closed === undefined || !built ? test.serial.skip : test.serial)(
  `a device that only root may open (${closed ?? 'none on this machine'}): told at create, closed inside`,
  (t) => {
    const { stdout, stderr, status } = sh(['--device', closed!], `head -c 1 ${closed} 2>&1; :`);
    t.is(status, 0);
    t.regex(stderr, new RegExp(`WARNING: --device ${closed}: its node \\(.*\\) gives you no access`));
    t.regex(stdout, /permission denied|not permitted/i);
  },
);

for (const [flags, says] of [
  [DISK.flags, /--storage-opt size: in user namespaces a container writes to the disk of the data root/],
  [['--userns', 'host'], /--userns host: root of a container is never root of the host/],
  [['--userns', 'auto'], /--userns: invalid USER mode/],
  [['--userns', 'keep-id:x=1'], /unknown option "x=1"/],
  [['--security-opt', 'apparmor=mine'], /loads no AppArmor profile/],
  [['--device', '/dev/zero:/dev/zero:r'], /cannot narrow the use of a device/],
  [['--cap-add', 'NOPE'], /unknown capability: "NOPE"/],
  [['--sysctl', 'kernel.panic=1'], /sysctl 'kernel.panic=1' is not allowed/],
] as const)
  withHusk(`create ${flags.join(' ')} is refused before there is a container`, (t) => {
    const { status, stderr } = user.husk('create', '--network', 'none', ...flags, 'husk/base');
    t.regex(stderr, says);
    t.is(status, 125);
  });

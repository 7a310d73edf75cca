/**
 * How a machine ends when it does not end well: each end is told on stderr and in the record, in one line with the
 * kernel's last ones, with a sensible exit code, within a bounded time; and nothing is left running.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Home, supervisorsLeft } from './home.ts';
import { missingParts, notByItself, onKvmHost, root } from './kvm-host.ts';
import { signalAgent } from './signal-agent.ts';

/**
 * seconds from the act to the report, boot included: KILL_TIMEOUT is 60 s, and this machine is slow; other work beside
 * it makes it slower
 */
const BOUND = 240;
/** made by test/vm-host: a tmpfs of 48 MiB */
const DISK = '/run/vm-host-disk';
const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 1300 });

function register(): void {
  const home = new Home();
  test.after.always('nothing is left running', async (t) => t.deepEqual(await home.end(), []));

  const ENDS: [what: string, script: string, said: RegExp][] = [
    [
      'a panic',
      'echo 2 >/proc/sys/vm/panic_on_oom; exec tail -c 90000000 /dev/zero',
      /its kernel panicked \(Out of memory: compulsory panic_on_oom is enabled\); its last lines: .*Kernel panic - not syncing/,
    ],
    [
      'a killed agent',
      `${signalAgent('KILL')}; sleep 100`,
      /it reset itself; its last lines: .*husk-init: the agent was killed by signal 9/,
    ],
  ];
  for (const [what, script, said] of ENDS)
    test.serial(`${what} is reported as such`, async (t) => {
      const start = Date.now();
      const { status, stderr } = home.run(
        '--name',
        'end',
        '--privileged',
        '-m',
        '64m',
        'husk/base',
        'sh',
        '-c',
        script,
      );
      t.true(Date.now() - start < BOUND * 1000, `${Date.now() - start} ms`);
      t.is(status, 137, stderr);
      t.regex(stderr, said);
      t.is(stderr.trim().split('\n').length, 1, stderr);
      t.regex(
        home.must(
          'inspect',
          '-f',
          '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}',
          'end',
        ),
        new RegExp(`^exited 137 false the virtual machine of the container ended: .*${said.source.slice(0, 10)}`),
      );
      t.deepEqual(await supervisorsLeft(), []);
      home.must('rm', 'end');
    });

  test.serial('an agent that stands still: the container cannot be told to stop, and is switched off', async (t) => {
    home.must(
      'run',
      '-d',
      '--name',
      'still',
      '--isolation=vm',
      '--network',
      'none',
      '--privileged',
      '-v',
      `${home.make('seen')}:/seen`,
      'husk/base',
      'sh',
      '-c',
      `sleep 1; ${signalAgent('STOP')}; touch /seen/stopped; sleep 1000`,
    );
    while (!home.exists('seen/stopped')) await sleep(100);
    const start = Date.now();
    t.is(home.husk('stop', '-t', '1', 'still').status, 0);
    t.true(Date.now() - start < BOUND * 1000);
    t.regex(
      home.must('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}', 'still'),
      /^exited 137 the virtual machine of the container ended: its container did not end within 60 s of SIGKILL/,
    );
    t.deepEqual(await supervisorsLeft(), []);
    home.must('rm', 'still');
  });

  test.serial('kill -9 of the supervisor leaves nothing running; the next start finds what was synced', async (t) => {
    home.must(
      'run',
      '-d',
      '--name',
      'shot',
      '--isolation=vm',
      '--network',
      'none',
      '-v',
      `${home.make('seen')}:/seen`,
      'husk/base',
      'sh',
      '-c',
      'test -e /kept && exec cat /kept; echo kept >/kept; sync; touch /seen/synced; sleep 1000',
    );
    while (!home.exists('seen/synced')) await sleep(100);
    const supervisors = home.supervisors();
    t.is(supervisors.length, 1);
    process.kill(Number(supervisors[0]), 'SIGKILL');
    t.deepEqual(await supervisorsLeft(), []);
    t.regex(home.must('ps', '-a', '--filter', 'name=shot', '--format', '{{.Status}}'), /^Exited \(137\)/);
    t.is(home.husk('start', '-a', 'shot').stdout, 'kept\n');
  });

  test.serial(
    'what was written is on the disk though somebody was still reading its files when the container ended',
    async (t) => {
      const seen = home.make('seen-by-reader');
      home.must(
        'run',
        '-d',
        '--name',
        'read',
        '--isolation=vm',
        '--network',
        'none',
        '-v',
        `${seen}:/seen`,
        'husk/base',
        'sh',
        '-c',
        'test -e /made && exec md5sum /made; while ! test -e /seen/go; do sleep 0.2; done; head -c 6000000 /bin/busybox >/made; echo last >>/made; md5sum /made >/seen/sum',
      );
      // nobody takes what it reads: it stands still with files open
      const reader = spawn(join(root, 'bin/husk'), ['export', 'read'], {
        env: home.env,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      await once(reader.stdout, 'readable');
      home.write('seen-by-reader/go', '');
      t.is(home.must('wait', 'read'), '0');
      reader.kill('SIGKILL');
      t.is(home.must('inspect', '-f', '{{.State.Error}}', 'read'), '');
      t.is(home.must('start', '-a', 'read'), home.read('seen-by-reader/sum').trim());
      home.must('rm', 'read');
    },
  );

  test.serial('a restart policy and CPUs of its own: the second machine starts in the locked process', (t) => {
    home.must(
      'run',
      '-d',
      '--name',
      'again',
      '--isolation=vm',
      '--network',
      'none',
      '--restart',
      'on-failure:1',
      '--cpuset-cpus',
      '0',
      'husk/base',
      'sh',
      '-c',
      'exit 3',
    );
    t.is(home.must('wait', 'again'), '3');
    for (let tries = 0; tries < 3 && home.must('inspect', '-f', '{{.State.Status}}', 'again') !== 'exited'; tries++)
      home.must('wait', 'again');
    t.is(home.must('inspect', '-f', '{{.RestartCount}} {{.State.ExitCode}} {{.State.Error}}', 'again'), '1 3');
    home.must('rm', 'again');
  });

  test.serial('a disk of nonsense is one line at the next start', async (t) => {
    damage(home);
    const start = Date.now();
    const { status, stderr } = home.husk('start', '-a', 'shot');
    t.true(Date.now() - start < BOUND * 1000);
    t.is(status, 125, stderr);
    t.regex(
      stderr,
      /^Error.*cannot mount the container's own disk: its file system is damaged \(\w+\); what it held is lost, remove the container\n$/,
    );
    t.deepEqual(await supervisorsLeft(), []);
    home.must('rm', 'shot');
  });

  test.serial(
    'a full disk: of the guest, which says so; of the host, which is an error in the guest and no end',
    (t) => {
      const inside = home.run('--rm', 'husk/base', 'sh', '-c', 'fallocate -l 100G /fill; echo $?; echo still here');
      t.is(inside.stdout + inside.stderr, "1\nstill here\nfallocate: fallocate '/fill': No space left on device\n");
      using small = new Home(DISK);
      const { status, stdout, stderr } = small.run(
        '--name',
        'fill',
        'husk/base',
        'sh',
        '-c',
        'dd if=/dev/zero of=/fill bs=1M count=64 conv=fsync 2>&1 | grep -c "rror"; echo still here',
      );
      t.regex(stdout, /^1\nstill here\n$/, `${status} ${stderr}`);
      t.regex(stderr, /^$|^Error: the container's disk was not unmounted, and what it wrote last may be lost: /);
      t.like(small.husk('rm', '-f', 'fill'), { status: 0, stderr: '' });
      t.is(small.husk('ps', '-aq').stdout, '');
    },
  );
}

/** What a hostile guest may leave: garbage where ext4 has its superblock (1 KiB in) and after it. */
function damage(home: Home): void {
  const containers = home.path('data/husk/containers');
  for (const id of readdirSync(containers)) {
    const file = openSync(`${containers}/${id}/writable.ext4`, 'r+');
    writeSync(file, Buffer.alloc(64 * 1024, 0xa5), 0, 64 * 1024, 512);
    closeSync(file);
  }
}

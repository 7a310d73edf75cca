/**
 * The same command lines under both isolations, one beside the other in the same place: output, errors and exit codes
 * must agree to the byte. What cannot agree is in docs/differences.md § Virtual machines, and is not asked here.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Home, type Result } from './home.ts';
import { missingParts, notWanted, onKvmHost } from './kvm-host.ts';

/** ms for what a container does at once */
const PATIENCE = 240_000;
const ISOLATIONS = ['userns', 'vm'] as const;

/** Everything a process can see of its container, in one go: a VM takes its time to boot. */
const FACTS = `
echo "== environment"; env | sort
echo "== process"; pwd; id; umask; tty; ls /proc/self/fd | wc -l; cat /proc/1/comm; echo $0 $#
echo "== names"; hostname; cat /etc/hosts /etc/hostname /etc/resolv.conf
echo "== limits"; ulimit -n; ulimit -Hn; ulimit -c; ulimit -s
echo "== rights"; grep -E '^(Cap...|NoNewPrivs|Seccomp):' /proc/self/status
echo "== devices"; ls -l /dev | awk 'NR > 1 { print substr($1, 1, 1), $NF }' | sort; ls /dev/pts | grep -v '[0-9]'
for node in null zero full random urandom tty; do stat -c "%n %t:%T %a" /dev/$node; done; echo x >/dev/null; head -c 4 /dev/zero | od -An -tx1; head -c 4 /dev/urandom | wc -c; echo x >/dev/full
echo "== masked"; for file in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats /proc/timer_stats; do cat $file 2>/dev/null | wc -c; done
ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v :$ | grep .
echo "== closed"; for file in /proc/sys/kernel/hostname /proc/sys/vm/swappiness /sys/kernel/profiling; do (echo 1 >$file) 2>&1; done
echo "== mounts"; awk '{ split($4, o, ","); line = ""; for (i in o) if (o[i] ~ /^(ro|rw|nosuid|nodev|noexec)$/) line = line " " o[i]; print $2, $3, line }' /proc/self/mounts | grep -E "^(/|/dev|/dev/mqueue|/dev/pts|/dev/shm|/proc|/proc/sys|/proc/bus|/scratch|/sys) " | sort | awk '{ n = split($0, w, " "); s = w[1] " " w[2]; m = 0; for (k = 3; k <= n; k++) f[++m] = w[k]; for (a = 1; a <= m; a++) for (b = a + 1; b <= m; b++) if (f[b] < f[a]) { x = f[a]; f[a] = f[b]; f[b] = x } for (a = 1; a <= m; a++) s = s " " f[a]; print s }'
echo "== sizes"; df -k /dev/shm /scratch 2>/dev/null | awk 'NR > 1 { print $2, $6 }'; stat -c "%a %u:%g %n" / /tmp /scratch /dev/shm /work/deep 2>/dev/null
echo "== network"; ip -o link | awk '{ print $2 }'; ip -o addr | awk '{ print $4 }'
echo "== calls"; (unshare -m true; mount -t tmpfs x /mnt; chroot / true; hostname other; dmesg | head -1; date -s 2000-01-01; swapoff -a) 2>&1
echo "== files"; touch /new && ls -l /new | cut -c1-10; echo x >/etc/passwd && wc -c </etc/passwd; rm /bin/vi && test ! -e /bin/vi && echo gone; mv /etc/group /etc/group2 && ls /etc/group2; ln -s a /b; chown 5:6 /new; stat -c %u:%g /new; mkfifo /fifo; chmod 4755 /new; stat -c %a /new
`;

const SCRIPT = ['sh', '-c'];
type Case = [title: string, flags: string[], command: string[], input?: Buffer];

/** not compressible, the same each time */
const BULK = Buffer.concat(Array.from({ length: 131_072 }, (_, i) => createHash('sha256').update(String(i)).digest()));

const RUNS: Case[] = [
  [
    'everything a process sees',
    [
      '-h',
      'inside',
      '-e',
      'A=b c',
      '-e',
      'EMPTY=',
      '-w',
      '/work/deep',
      '--tmpfs',
      '/scratch:size=1m,mode=750',
      '--ulimit',
      'nofile=100:200',
      '--ulimit',
      'core=0',
      '--shm-size',
      '16m',
      '--add-host',
      'other:10.1.2.3',
      '--dns',
      '10.9.9.9',
      '--dns-search',
      'example.org',
      '--cap-drop',
      'NET_RAW',
      '--cap-add',
      'SYS_NICE',
    ],
    [...SCRIPT, FACTS, 'zero', 'one', 'two'],
  ],
  [
    'an ordinary user in a read-only container with --init',
    [
      '-h',
      'inside',
      '-u',
      '1000:1000',
      '--group-add',
      '7',
      '--read-only',
      '--init',
      '--security-opt',
      'no-new-privileges',
      '--tmpfs',
      '/scratch:size=2m',
    ],
    [...SCRIPT, FACTS],
  ],
  ['megabytes through stdin and stdout, both ways at once', ['-i'], ['cat'], BULK],
  [
    'an entrypoint, stdin that ends at once, an exit code',
    ['--entrypoint', '/bin/sh'],
    ['-c', 'cat; echo "$@"; echo err >&2; exit 7', 'sh', 'a b', ''],
  ],
  ['a command that is not there', [], ['nosuchcommand']],
  ['a file that is no program', [], ['/etc/passwd']],
  ['a user that is not there', ['-u', 'nosuchuser'], ['true']],
  ['killed by a signal', ['--init'], [...SCRIPT, 'kill -SEGV $$']],
  [
    'privileged',
    ['--privileged', '-h', 'inside'],
    [
      ...SCRIPT,
      'grep -E "^(CapEff|Seccomp|NoNewPrivs)" /proc/self/status; mount -t tmpfs x /mnt && echo mounted; hostname other && hostname; test -w /proc/sys/kernel/hostname && echo writable',
    ],
  ],
];

const EXECS: Case[] = [
  [
    'the environment',
    ['-e', 'MORE=1'],
    [...SCRIPT, 'env | sort; pwd; id; cat /proc/self/status | grep -E "^(CapEff|Seccomp)"'],
  ],
  ['another user and folder', ['-u', '33:7', '-w', '/usr'], [...SCRIPT, 'id; pwd; touch /usr/x']],
  ['by name', ['-u', 'daemon'], ['id']],
  ['binary data through stdin', ['-i'], ['sha256sum'], BULK],
  ['every byte there is, and back', ['-i'], ['cat'], Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
  ['no stdin', [], [...SCRIPT, 'cat; echo end']],
  ['a great deal of stderr beside stdout', [], [...SCRIPT, 'seq 20000; seq 20000 >&2']],
  [
    'output closed by a reader that has enough',
    ['-i'],
    [...SCRIPT, 'head -c 10; exec 1>&-; exit 3'],
    BULK.subarray(0, 100_000),
  ],
  [
    'a terminal',
    ['-t'],
    [...SCRIPT, 'tty; echo text; stty -a | grep -c "isig icanon"; test -t 0 && test -t 1 && test -t 2 && echo all'],
  ],
  ['exit codes', [], [...SCRIPT, 'exit 200']],
  ['killed', [], [...SCRIPT, 'kill -TERM $$']],
  ['no such command', [], ['nosuchcommand']],
  ['no program', [], ['/etc/passwd']],
  ['no such user', ['-u', 'nosuchuser'], ['true']],
  ['no such folder', ['-w', '/nosuchfolder'], ['true']],
  ['children that outlive it', [], [...SCRIPT, '(sleep 1000 &) ; echo started']],
  // busybox is "exe" until it has become the program it is asked for
  ['processes', [], [...SCRIPT, 'all=$(ps -o comm=); echo "$all" | grep -v -x -e ps -e exe | sort -u']],
];

const missing = missingParts() ?? notWanted();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 900 });

function register(): void {
  const home = new Home();
  test.after.always('nothing is left running', async (t) => t.deepEqual(await home.end(), []));
  /** a container's id is the one thing that must differ */
  const shown = ({ status, stdout, stderr }: Result) => ({
    status,
    stdout:
      stdout.length > 100_000 ? createHash('sha256').update(stdout, 'latin1').digest('hex') : stdout.replace(/\r/g, ''),
    stderr:
      stderr.length > 100_000
        ? createHash('sha256').update(stderr, 'latin1').digest('hex')
        : stderr.replace(/\b[0-9a-f]{12,64}\b/g, 'ID'),
  });

  for (const [title, flags, command, input] of RUNS)
    test.serial(`run: ${title}`, async (t) => {
      const [userns, vm] = await Promise.all(
        ISOLATIONS.map(async (isolation) =>
          shown(
            await home.feed(
              input ?? '',
              'run',
              '--rm',
              `--isolation=${isolation}`,
              '--network',
              'none',
              ...flags,
              'husk/base',
              ...command,
            ),
          ),
        ),
      );
      t.deepEqual(vm, userns);
    });

  test.serial('both are started', (t) => {
    for (const isolation of ISOLATIONS) {
      home.must(
        'run',
        '-d',
        '--name',
        isolation,
        '--isolation',
        isolation,
        '--network',
        'none',
        '-h',
        'inside',
        '-e',
        'FIRST=one',
        '--stop-signal',
        'USR1',
        'husk/base',
        'sh',
        '-c',
        'trap "echo usr1; exit 12" USR1; trap "echo hup" HUP; echo up; while :; do sleep 0.1; done',
      );
      t.pass();
    }
  });

  for (const [title, flags, command, input] of EXECS)
    test.serial(`exec: ${title}`, async (t) => {
      const [userns, vm] = await Promise.all(
        ISOLATIONS.map(async (isolation) =>
          shown(await home.feed(input ?? '', 'exec', ...flags, isolation, ...command)),
        ),
      );
      t.deepEqual(vm, userns);
    });

  test.serial('kill, logs, stop, wait, inspect', async (t) => {
    const [userns, vm] = await Promise.all(
      ISOLATIONS.map(async (isolation) => {
        const seen: Result[] = [];
        const husk = async (...args: string[]) => seen.push(await home.feed('', ...args));
        await husk('kill', '-s', 'HUP', isolation);
        // the shell hears of it between two of its sleeps
        for (
          const start = Date.now();
          !/^hup$/m.test(home.husk('logs', isolation).stdout) && Date.now() - start < PATIENCE;
        )
          await sleep(500);
        await husk('logs', isolation);
        await husk('stop', isolation);
        await husk('wait', isolation);
        await husk('logs', isolation);
        await husk(
          'inspect',
          '-f',
          '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}} {{.RestartCount}} {{.Config.StopSignal}}',
          isolation,
        );
        await husk('start', isolation);
        await husk('kill', isolation);
        await husk('wait', isolation);
        await husk('rm', isolation);
        return seen.map((one) => ({ ...shown(one), stdout: one.stdout.replaceAll(isolation, 'NAME') }));
      }),
    );
    t.deepEqual(vm, userns);
  });
}

/**
 * `run` under husk and under Podman: environment, identity, rights, files of the system, limits, exit codes. One case a
 * line.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { environment, peers, runCases, type Peers } from './peers.ts';

const test = anyTest;
let both: Peers | string = 'not set up';
test.before(async () => {
  both = await peers('debian');
  if (typeof both !== 'string')
    writeFileSync(join(both.user.home, 'env'), '# a comment\nX=1 2\n\n Z=3\nUNSET_HERE\nHOME=/x\n');
});
test.after.always(() => {
  if (typeof both !== 'string') both[Symbol.dispose]();
});
const same = runCases(test, () => both);
const sh = (script: string) => ['bash', '-c', script];

// environment
same([], ['env'], { view: environment });
same(['-u', '1000', '-h', 'x'], ['env'], { view: environment });
same(['-e', 'A=1', '-e', 'B', '-e', 'C=', '-e', 'HOME', '-e', 'USER', '-e', 'PATH=/bin'], ['env'], {
  view: environment,
});
same(['--env-file', 'env', '-e', 'X=over'], ['env'], { view: environment });

// identity; Podman makes up an entry for a uid or gid that has none, whose name `id` shows
const ids = (text: string) => text.replaceAll(/=(1000|77)\(\1\)/g, '=$1');
for (const flags of [
  [],
  ['-u', '1000'],
  ['-u', 'daemon'],
  ['-u', 'daemon:mail'],
  ['-u', '1000:mail'],
  ['-u', ':mail'],
  ['-u', '1:77'],
  ['-u', 'daemon', '--group-add', 'audio', '--group-add', '77'],
  ['--group-add', 'audio'],
])
  same(flags, ['id'], { view: ids });
same(['-u', 'nosuch'], ['id'], {
  podmanStatus: 126,
  says: /^Error: unable to find user nosuch: no matching entries in passwd file\n/,
});
same(['-u', 'daemon:nosuch'], ['id'], {
  podmanStatus: 126,
  says: /^Error: unable to find group nosuch: no matching entries in group file\n/,
});
same(['-u', '-1'], ['id'], { podmanStatus: 126, says: /uids and gids must be in range 0-2147483647/ });

// rights. Docker's first process has its primary group among the supplementary ones, too (CVE-2022-36109): not in
// Podman 4
const STATUS = ['grep', '-E', '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid)', '/proc/self/status'];
for (const flags of [
  [],
  ['-u', '1000'],
  ['--cap-add', 'SYS_TIME'],
  ['--cap-add', 'CAP_NET_ADMIN'],
  ['--cap-add', 'net_admin'],
  ['--cap-drop', 'ALL'],
  ['--cap-drop', 'ALL', '--cap-add', 'chown'],
  ['--cap-add', 'ALL'],
  ['--cap-add', 'ALL', '--cap-drop', 'MKNOD'],
  ['--privileged'],
  ['--privileged', '-u', '1000'],
  ['--security-opt', 'no-new-privileges'],
  ['--security-opt', 'no-new-privileges', '-u', '1000'],
  ['--security-opt', 'seccomp=unconfined'],
])
  same(flags, STATUS);
same(['--cap-add', 'NOSUCH'], STATUS, { says: /unknown capability: "NOSUCH"/ });

// files of the system; Podman's / is mode 555
same([], ['ls', '-lA', '--time-style=+', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue']);
same(
  [],
  sh(
    'stat -c "%n %a %F" /proc/kcore /proc/keys /proc/timer_list /proc/acpi /proc/scsi /sys/firmware /proc/sys /proc/irq 2>&1; cat /proc/keys /proc/timer_list; ls /proc/acpi /sys/firmware',
  ),
);
same(
  [],
  sh(
    'for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_helper /proc/bus/x /proc/fs/x; do echo x 2>/dev/null >$f && echo $f; done; true',
  ),
);
same(['-h', 'my.host'], sh('hostname; cat /etc/hostname; echo; cat /proc/sys/kernel/hostname'), {
  view: (text) => text.replaceAll(/\n+/g, '\n'),
});
same([], sh('hostname; cat /etc/hostname'), { view: (text) => text.replaceAll(/[0-9a-f]{12}\n?/g, 'ID\n') });
same(['--add-host', 'foo:1.2.3.4', '--add-host', 'six:::1'], ['grep', '-E', 'foo|six', '/etc/hosts'], {
  view: (text) => text.replaceAll('\t', ' '),
});
same([], ['cat', '/etc/resolv.conf']);
same([], ['df', '--output=size,target', '/dev', '/dev/shm'], { view: (text) => text.replace(' 64000 ', ' 65536 ') });
const mounted = (text: string) =>
  text
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, path]) => /^\/(proc|sys|dev|dev\/(pts|mqueue))$/.test(path ?? ''))
    .map(([, path, type]) => `${path} ${type}`)
    .sort()
    .join('\n');
same([], ['cat', '/proc/mounts'], { view: mounted });
same(['--privileged'], sh('ls /dev | grep -cE "^(null|zero|full|fuse|kmsg)$"'));

// limits. Podman lowers the number of processes, and the sudo before it the size of cores (its rlimit_core)
const limits = (text: string) => text.replaceAll(/^(?:max user processes|core file size).*\n/gm, '');
same([], sh('ulimit -a; ulimit -Ha'), { view: limits });
same(['--ulimit', 'nofile=100:200', '--ulimit', 'core=0', '--ulimit', 'nproc=77'], sh('ulimit -a; ulimit -Ha'));
same(['--ulimit', 'nofile=100'], sh('ulimit -n; ulimit -Hn'));
same(['--ulimit', 'nofile=5:3'], ['true'], { says: /soft limit must be less than or equal to hard limit/ });
same(
  ['--sysctl', 'net.ipv4.ip_forward=1', '--sysctl', 'kernel.shmmax=1000', '--sysctl', 'fs.mqueue.msg_max=20'],
  ['cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/kernel/shmmax', '/proc/sys/fs/mqueue/msg_max'],
);
same(['--sysctl', 'kernel.panic=1'], ['true'], { says: /sysctl 'kernel.panic=1' is not allowed/ });
same(['--shm-size', '10m'], ['df', '/dev/shm']);
same(['--oom-score-adj', '700'], ['cat', '/proc/self/oom_score_adj']);
same(['--oom-score-adj', '1001'], ['true'], {
  podmanStatus: 126,
  says: /Invalid value 1001, range for oom score adj is \[-1000, 1000\]/,
});

// namespaces, devices
same(['--uts', 'host'], sh('hostname; readlink /proc/self/ns/uts'));
same(['--cgroupns', 'host'], sh('readlink /proc/self/ns/cgroup'));
same(['--ipc', 'none'], sh('grep -c /dev/shm /proc/mounts'));
same(['--device', '/dev/zero:/dev/mine'], sh('head -c 3 /dev/mine | od -An -tx1'));
same(['--device', '/dev/no-such'], ['true'], { says: /no such file or directory/ });
same(
  ['--read-only', '--tmpfs', '/scratch:size=1m'],
  sh(
    'touch /x; touch /scratch/x && echo written; dd if=/dev/zero of=/scratch/y bs=1M count=2 2>&1 | grep -o "No space left"',
  ),
);
same(['--security-opt', 'seccomp=/no/such'], ['true'], { says: /opening seccomp profile \(\/no\/such\) failed/ });
same(['--ipc', 'container:no-such'], ['true'], { says: /No such container: no-such/ });
same(['--restart', 'always'], ['true'], { says: /cannot specify both --restart and --rm/ });

// command, folder, exit codes
same(['--entrypoint', '/bin/echo'], ['a', 'b']);
same(['--entrypoint', ''], ['echo', 'hi']);
same(['-w', '/tmp'], ['pwd']);
same(['-w', '/nowhere/deep'], sh('pwd; stat -c "%a %u:%g" /nowhere'), { podmanStatus: 126, says: /^$/ });
same(['-w', 'rel'], ['pwd'], {
  podmanStatus: 126,
  says: /the working directory 'rel' is invalid, it needs to be an absolute path/,
});
same(['-w', '/etc/passwd'], ['pwd'], {
  podmanStatus: 126,
  says: /chdir to cwd \("\/etc\/passwd"\) set in config.json failed: not a directory/,
});
for (const script of [
  'exit 0',
  'exit 3',
  'exit 255',
  'kill -9 $$',
  'kill -TERM $BASHPID; sleep 1; exit 4',
  'echo out; echo err >&2; exit 5',
  'kill -SEGV $$',
])
  same([], sh(script));
same([], ['nosuch'], { says: /exec: "nosuch": executable file not found in \$PATH: unknown/ });
same([], ['/no/such'], { says: /exec: "\/no\/such": stat \/no\/such: no such file or directory: unknown/ });
same([], ['/etc/passwd'], { says: /exec: "\/etc\/passwd": permission denied: unknown/ });
same([], ['/etc'], { says: /exec: "\/etc": is a directory: unknown/ });
same(['--bogus'], ['true'], { says: /^unknown flag: --bogus\n/ });
same(['--stop-signal', 'NOPE'], ['true'], { says: /invalid signal: NOPE/ });
same(['--name', 'a b'], ['true'], {
  says: /Invalid container name \(a b\), only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] are allowed/,
});
same(['--memory', 'abc'], ['true'], { says: /invalid size: 'abc'/ });

// standard streams
same([], ['cat'], { input: 'one\ntwo\n' });
same([], sh('cat >&2; echo done'), { input: 'x'.repeat(300_000) });
same([], sh('readlink /proc/self/fd/0; test -t 0 || echo none'));
same(['-t'], sh('test -t 1 && echo terminal; echo err >&2'));

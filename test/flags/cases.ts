/**
 * Security and namespace flags by what they do inside: one table for both isolations. A group is one container (a VM
 * costs 10 s in the test host), each of its checks a script in it and what the script prints, errors included.
 */
import { readFileSync } from 'node:fs';

export interface Check {
  title: string;
  script: string;
  /** trimmed; one for each isolation where they may differ */
  prints: string | RegExp | { userns: string | RegExp; vm: string | RegExp };
}

export interface Group {
  title: string;
  flags: string[];
  checks: Check[];
}

const check = (title: string, script: string, prints: Check['prints']): Check => ({ title, script, prints });
const status = (name: string) => `grep -E '^${name}:' /proc/self/status | cut -f2`;
/** Docker's limits as far as this process's own go: nobody but root raises them */
function limitsHere(): string {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  return [
    ['processes', Infinity],
    ['open files', 1_048_576],
    ['pending signals', Infinity],
  ]
    .map(([name, most]) => {
      const hard = new RegExp(`^Max ${name}\\s+\\S+\\s+(\\S+)`, 'm').exec(limits)![1]!;
      const limit = Math.min(most as number, hard === 'unlimited' ? Infinity : Number(hard));
      const shown = limit === Infinity ? 'unlimited' : String(limit);
      return `${(name as string).split(' ').at(-1)} ${shown} ${shown}`;
    })
    .join('\n');
}

const DOCKERS_14 = '00000000a80425fb';
const ALL_41 = '000001ffffffffff';

/** denies one thing that nobody needs: its effect is seen, nothing else breaks */
export const PROFILE = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 }],
};

/** @param profile path of a file with PROFILE */
export const groups = (profile: string): Group[] => [
  {
    title: 'no flags',
    flags: [],
    checks: [
      check("Docker's capabilities", status('CapEff'), DOCKERS_14),
      check('a filter, and setuid programs count', `${status('Seccomp')}; ${status('NoNewPrivs')}`, '2\n0'),
      check(
        'files, processes and signals as Docker gives them',
        'grep -E "open files|processes|pending" /proc/self/limits | sed "s/Max //;s/open //;s/pending //" | tr -s " " | cut -d" " -f1-3',
        {
          userns: limitsHere(),
          vm: 'processes unlimited unlimited\nfiles 1048576 1048576\nsignals unlimited unlimited',
        },
      ),
      check('no mounts', 'mount -t tmpfs none /tmp', /permission denied|not permitted/i),
      check('no namespaces', 'unshare -U true', /not permitted/i),
      check('kernel settings are read-only', 'echo 1 >/proc/sys/net/ipv4/ip_forward', /read-only file system/i),
      check('secrets are masked', 'cat /proc/keys /proc/timer_list | wc -c', '0'),
      check(
        'no disks, none can be made',
        'ls /dev | grep -c -E "^(vd|sd|nvme)"; mknod /disk b 254 1 2>/dev/null && head -c 1 /disk >/dev/null',
        { userns: /^0$/, vm: /^0\n.*not permitted/i },
      ),
      check('64 MiB of shared memory', 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2', '65536'),
      check(
        '/.dockerenv, as Docker has it',
        'stat -c "%F %a %u" /.dockerenv; : >/.dockerenv && rm /.dockerenv && ls /.dockerenv 2>&1',
        /^regular empty file 755 0\n.*No such file/,
      ),
      check(
        'every group may ping',
        'set -- $(cat /proc/sys/net/ipv4/ping_group_range); test $1 -eq 0 && test $2 -ge 65535 && echo yes',
        'yes',
      ),
      check(
        'the command is PID 1, alone',
        'tr "\\0" " " </proc/1/cmdline | head -c5; echo; ls -d /proc/[0-9]* | wc -l',
        /^sh -c\n[1-6]$/,
      ),
    ],
  },
  {
    title: 'limits and namespaces of its own',
    flags: [
      '--cap-drop',
      'ALL',
      '--cap-add',
      'NET_ADMIN',
      '--cap-add',
      'cap_chown',
      '--security-opt',
      'no-new-privileges',
      '--group-add',
      '1234',
      '--group-add',
      'users',
      '--ulimit',
      'nofile=100:200',
      '--ulimit',
      'core=0',
      '--shm-size',
      '10m',
      '--oom-score-adj',
      '500',
      '--sysctl',
      'kernel.shmmax=12345',
      '--sysctl',
      'net.ipv4.ip_forward=1',
      '--init',
      '--hostname',
      'box',
      '--domainname',
      'example',
      '--ipc',
      'private',
      '--cgroupns',
      'private',
    ],
    checks: [
      check(
        'those capabilities and no more',
        `${status('CapEff')}; ${status('CapBnd')}`,
        '0000000000001001\n0000000000001001',
      ),
      check('what they allow is allowed', 'ip link set lo down && touch /f && chown 5 /f && stat -c %u /f', '5'),
      check('what they do not is not', 'mknod /n c 1 3', /not permitted/i),
      check('no new privileges', status('NoNewPrivs'), '1'),
      check('further groups', 'id -G', '0 100 1234'),
      check('ulimits', 'ulimit -Sn; ulimit -Hn; ulimit -c', '100\n200\n0'),
      check(
        'its own size of shared memory',
        'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2; dd if=/dev/zero of=/dev/shm/x bs=1M count=11 2>&1 | grep -o "No space left"',
        '10240\nNo space left',
      ),
      check('oom_score_adj', 'cat /proc/self/oom_score_adj', '500'),
      check('sysctls', 'cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward', '12345\n1'),
      check(
        'an init that reaps',
        '(sleep 0.1 &) ; sleep 0.6; n=0; while ps -o stat | grep -q Z && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done; ls /proc | grep -c "^1$"; ps -o stat | grep -c Z',
        '1\n0',
      ),
      check('host and domain name', 'hostname; cat /proc/sys/kernel/domainname', 'box\nexample'),
      check('its cgroup is the root of what it sees', 'grep -q "^0::/[^/]" /proc/self/cgroup || echo root', 'root'),
    ],
  },
  {
    title: 'privileged',
    flags: ['--privileged', '--mount', 'type=image,source=husk/base,target=/image'],
    checks: [
      check(
        'an image stays as it is',
        'mount -o remount,rw /image 2>/dev/null; touch /image/x',
        /Read-only file system/,
      ),
      check('every capability', status('CapEff'), ALL_41),
      check('no filter', status('Seccomp'), '0'),
      check(
        'mounts',
        'mount -t tmpfs none /mnt 2>/dev/null || { mkdir /mnt; mount -t tmpfs none /mnt; }; grep -c " /mnt tmpfs" /proc/mounts',
        '1',
      ),
      check('namespaces', 'unshare -m true && echo made', 'made'),
      check(
        'kernel settings of its namespaces',
        'echo 1 >/proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward',
        '1',
      ),
      check('nothing is masked', 'grep -c -E " /proc/(keys|kcore|timer_list|sys) " /proc/mounts', '0'),
      check(
        'the devices of its machine',
        'ls -d /dev/vda /dev/vdb /dev/kmsg 2>/dev/null | wc -l; head -c 4 /dev/vdb 2>/dev/null | wc -c',
        { userns: /^\d+\n0$/, vm: '3\n4' },
      ),
      check("root is not the host's", 'head -1 /proc/self/uid_map | tr -s " "', {
        userns: /^0 (?!0\b)\d+/,
        vm: /^0 0 /,
      }),
    ],
  },
  {
    title: 'read-only',
    flags: ['--read-only', '--tmpfs', '/scratch:size=1m', '-w', '/scratch'],
    checks: [
      check(
        'nothing can be written',
        'for f in /x /tmp/x /etc/hosts /root/x; do echo x 2>/dev/null >$f && echo $f; done; touch /x',
        /^touch: \/x: Read-only file system$/,
      ),
      check(
        'but on what is mounted',
        'echo here >/scratch/y && cat y; echo shm >/dev/shm/y && cat /dev/shm/y',
        'here\nshm',
      ),
      check(
        'a tmpfs of that size',
        'dd if=/dev/zero of=big bs=1M count=2 2>&1 | grep -o "No space left"',
        'No space left',
      ),
      check(
        'without programs',
        'cp /bin/busybox . 2>/dev/null; printf "#!/bin/sh\\necho ran\\n" >z; chmod +x z; ./z',
        /permission denied/i,
      ),
    ],
  },
  {
    title: 'images that are mounted',
    flags: [
      'type=image,source=husk/base,target=/image',
      'type=image,source=husk/base,target=/users,image-subpath=etc/passwd,readonly=false',
      'type=image,source=husk/base,target=/programs,image-subpath=./bin/../bin',
    ].flatMap((text) => ['--mount', text]),
    checks: [
      check(
        'all of one, a file, a folder',
        'head -1 /image/etc/os-release; tail -1 /users | cut -d: -f1; test -L /programs/ls && echo a link',
        'NAME="husk base"\nnobody\na link',
      ),
      check('its programs run', '/image/bin/busybox echo ran; /programs/busybox echo and ran', 'ran\nand ran'),
      check(
        'nothing is written to it',
        'touch /image/x; rm /programs/ls; cp /etc/hosts /users',
        /^touch: \/image\/x: Read-only file system\nrm: .*Read-only file system\ncp: .*Read-only file system$/i,
      ),
      check('each is a read-only mount', 'grep -c -E "^[^ ]+ /(image|users|programs) [^ ]+ ro," /proc/mounts', '3'),
      check('its owners and modes', 'stat -c "%u:%g %a" /image/root /image/tmp', '0:0 700\n0:0 1777'),
    ],
  },
  {
    title: "a seccomp profile of one's own",
    flags: [
      '--security-opt',
      `seccomp=${profile}`,
      '--ipc',
      'none',
      '--cap-drop',
      'CAP_NET_RAW,CAP_MKNOD'.split(',')[0]!,
      '--cap-drop',
      'mknod',
    ],
    checks: [
      check('it decides', 'mkdir /d; touch /f && echo touched', /No space left on device\ntouched$/),
      check('and is there', status('Seccomp'), '2'),
      check('no shared memory', 'grep -c /dev/shm /proc/mounts', '0'),
      check(
        'capabilities dropped one by one',
        `mknod /n c 1 3; ${status('CapEff')}`,
        /not permitted\n00000000a00405fb$/i,
      ),
    ],
  },
  {
    title: 'unconfined',
    flags: [
      '--security-opt',
      'seccomp=unconfined',
      '--security-opt',
      'systempaths=unconfined',
      '--security-opt',
      'label=disable',
      '--security-opt',
      'apparmor=unconfined',
      '--cap-add',
      'ALL',
      '--cap-drop',
      'SYS_TIME',
    ],
    checks: [
      check('no filter', status('Seccomp'), '0'),
      check('every capability but one', status('CapEff'), '000001fffdffffff'),
      check(
        'system paths as they are',
        'grep -c -E " /proc/(keys|kcore|timer_list|sys|irq) " /proc/mounts; echo 1 >/proc/sys/net/ipv4/ip_forward && echo set',
        '0\nset',
      ),
      check('namespaces', 'unshare -m true && echo made', 'made'),
    ],
  },
  {
    title: 'a user without rights',
    flags: ['-u', '1000:100', '--group-add', '33', '--cap-add', 'NET_ADMIN'],
    checks: [
      check(
        'none in effect, those given in the bounding set',
        `${status('CapEff')}; ${status('CapBnd')}`,
        '0000000000000000\n00000000a80435fb',
      ),
      check('who it is', 'id -u; id -g; id -G', '1000\n100\n100 33'),
      check('what it may not', 'ip link set lo down; touch /x', /not permitted[\s\S]*permission denied/i),
    ],
  },
];

/** Only a machine has a disk of its own; user namespaces refuse it. */
export const DISK: Group = {
  title: 'a disk of a size',
  flags: ['--storage-opt', 'size=64m'],
  checks: [
    check(
      'no more is free than that',
      'test $(df -k / | tail -1 | tr -s " " | cut -d" " -f4) -le 65536 && echo within',
      'within',
    ),
    check(
      'it is full at its size, and what is deleted can be written again',
      'for try in 1 2; do dd if=/dev/zero of=/big bs=1M count=100 2>&1 | grep -o "No space left"; size=$(stat -c %s /big); test $size -gt 33554432 && test $size -le 67108864 && echo within; rm /big; done',
      'No space left\nwithin\nNo space left\nwithin',
    ),
  ],
};

/**
 * A log that goes to a socket of this host, whoever writes it: `socket` is a stream that listens, `lines` what comes
 * there.
 */
export const SYSLOG = {
  flags: (socket: string) => [
    '--log-driver',
    'syslog',
    '--log-opt',
    `syslog-address=unix://${socket}`,
    '--log-opt',
    'tag=told',
    'husk/base',
    'sh',
    '-c',
    'echo said out; sleep 0.2; echo said err >&2',
  ],
  lines: [/^<30>.* told\[\d+\]: said out$/m, /^<27>.* told\[\d+\]: said err$/m],
};

/** What an image cannot have, or hides behind a link, told when the container is made or started: exit 125. */
export const IMAGE_REFUSES: [flags: string[], says: RegExp][] = [
  [
    ['--mount', 'type=image,source=husk/base,target=/x,image-subpath=bin/sh'],
    /cannot mount subpath bin\/sh of image [0-9a-f]{12}: it leads out of the image/,
  ],
  [
    ['--mount', 'type=image,source=husk/base,target=/x,image-subpath=no/such'],
    /cannot mount subpath no\/such of image [0-9a-f]{12}: no such file or directory/,
  ],
  [
    ['--mount', 'type=image,source=husk/base,target=/x,image-subpath=../etc'],
    /invalid mount config for type "image": subpath must be a relative path within the volume/,
  ],
  [['--pull', 'never', '--mount', 'type=image,source=husk/none,target=/x'], /No such image: husk\/none:latest/],
];

/** The caller's own files, whoever the caller is: shared from the working folder. */
export const KEPT: Group = {
  title: "the caller's own files under a number of one's own",
  flags: ['--userns', 'keep-id:uid=1234,gid=1235', '-v', './own:/w', '-v', 'kept:/bin'],
  checks: [
    check('who it is', 'id -u; id -g', '1234\n1235'),
    check(
      "the image is still root's, also where a new volume has it",
      'stat -c %u:%g / /etc /etc/passwd /root /bin /bin/busybox',
      Array.from({ length: 6 }, () => '0:0').join('\n'),
    ),
    check(
      "the folder is one's own, and so is what is made",
      'stat -c %u:%g /w /w/before; echo new >/w/new && echo more >>/w/before && stat -c %u:%g /w/new',
      '1234:1235\n1234:1235\n1234:1235',
    ),
    check(
      'no rights over anything else',
      'touch /x 2>&1; chown 0 /w/new 2>&1',
      /Permission denied[\s\S]*not permitted/,
    ),
  ],
};

/** One script for all checks of a group: what each prints is set apart by its number. */
export function groupScript({ checks }: Group): string {
  return `${checks.map(({ script }, index) => `echo "@@${index}"; { ${script}\n} 2>&1`).join('\n')}\n:`;
}

export function printed(stdout: string): string[] {
  return stdout
    .split(/^@@\d+\n/m)
    .slice(1)
    .map((text) => text.trim());
}

export function expected({ prints }: Check, isolation: 'userns' | 'vm'): string | RegExp {
  return typeof prints === 'string' || prints instanceof RegExp ? prints : prints[isolation];
}

/** What a machine of its own cannot have, in one line, exit 125. */
export const VM_REFUSES: [flags: string[], says: RegExp][] = [
  [['--pid', 'host'], /--pid host is not possible with --isolation=vm/],
  [['--ipc', 'host'], /--ipc host is not possible with --isolation=vm/],
  [['--uts', 'host'], /--uts host is not possible with --isolation=vm/],
  [['--pid', 'container:other'], /--pid container:other is not possible with --isolation=vm/],
  [['--ipc', 'container:other'], /--ipc container:other is not possible with --isolation=vm/],
  [['--cgroupns', 'host'], /--cgroupns host is not possible with --isolation=vm/],
  [['--userns', 'host'], /--userns host: root of a container is never root of the host/],
  [['--device', '/dev/kmsg'], /--device \/dev\/kmsg is not possible with --isolation=vm|cannot give \/dev\/kmsg/],
];

/** The launch-plan executor, one case for each step, as root and as an ordinary user. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { FIRST_INHERITED } from '../../src/launch/executor.ts';
import type { Step } from '../../src/launch/plan.ts';
import { memfd } from '../../src/host/memory/memfd.ts';
import {
  CLONE_NEWNET,
  DEV,
  entering,
  inContainer,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
  PROC,
  run,
  runHere,
  RUNNERS,
  sh,
  tree,
  type Entries,
} from './launching.ts';

const mount = (source: string, target: string, fstype: string, flags: number, data = ''): Step & { op: 'mount' } => ({
  op: 'mount',
  source,
  target,
  fstype,
  flags,
  data,
  inRoot: true,
  create: 'directory',
});
const bind = (source: string, target: string, flags = 0, create: 'directory' | 'file' = 'directory'): Step => ({
  ...mount(source, target, '', MS_BIND | flags),
  create,
});
const CAP_NET_RAW = 1n << 13n;
const CAP_CHOWN = 1n;
const capabilities = (mask: bigint, ambient = 0n): Step => ({
  op: 'capabilities',
  bounding: mask,
  effective: mask,
  permitted: mask,
  inheritable: ambient,
  ambient,
});

/** Nothing but renames: the kernel gives up a lookup of `..` that is under way meanwhile. */
const RENAMES = `
  const { renameSync, writeFileSync } = require('node:fs');
  writeFileSync('one', '');
  process.stdout.write('.');
  for (;;) { renameSync('one', 'two'); renameSync('two', 'one'); }`;

interface Case {
  before?: Step[];
  after?: Step[];
  entries?: Entries;
  script: string;
  stdout?: string | RegExp;
  code?: number;
}

/** Steps that work. `before`: with the host's mounts still there; `after`: with the container's root entered. */
const CASES: Record<string, Case> = {
  'exec gives the exit code': { script: 'exit 7', code: 7 },
  'a new pid namespace starts with 1': { script: 'echo $$', stdout: '1\n' },
  sethostname: { after: [{ op: 'sethostname', name: 'box' }], script: 'hostname', stdout: 'box\n' },
  setdomainname: {
    after: [{ op: 'setdomainname', name: 'example.org' }],
    script: 'cat /proc/sys/kernel/domainname',
    stdout: 'example.org\n',
  },
  'pivotRoot leaves nothing of the host': {
    script: 'cat /proc/self/mountinfo | wc -l; ls /',
    stdout: /^2\nbin\ndev\netc\nproc\ntmp\n$/,
  },
  'only stdio passes exec': { script: 'ls /proc/self/fd', stdout: '0\n1\n2\n3\n' /* 3 is ls itself */ },
  'mount tmpfs with flags and data': {
    before: [mount('tmpfs', '/x/y', 'tmpfs', MS_NOSUID | MS_NODEV, 'mode=1777,size=64k')],
    script: 'grep /x/y /proc/mounts; stat -c %a /x/y',
    stdout: /^tmpfs \/x\/y tmpfs rw,nosuid,nodev,.*size=64k.*\n1777\n$/,
  },
  'mount: mode from the target': {
    before: [
      { op: 'mkdir', path: '/x', mode: 0o700, inRoot: true },
      { ...mount('tmpfs', '/x', 'tmpfs', 0, 'size=4k'), modeFromTarget: true },
    ],
    script: 'stat -c %a /x',
    stdout: '700\n',
  },
  'mount bind with flags at once': {
    before: [bind('/usr', '/x', MS_RDONLY | MS_NOSUID | MS_NODEV)],
    script: 'grep " /x " /proc/mounts; touch /x/a 2>&1',
    stdout: /ro,nosuid,nodev.*Read-only file system/s,
    code: 1,
  },
  'mount bind of a file': {
    before: [bind('/etc/hostname', '/etc/hostname', MS_RDONLY, 'file')],
    script: 'test -s /etc/hostname; grep -c /etc/hostname /proc/mounts',
    stdout: '1\n',
  },
  'mount bind with attributes, those of all below and propagation at once': {
    before: [
      mount('tmpfs', '/a', 'tmpfs', 0),
      mount('tmpfs', '/a/b', 'tmpfs', 0),
      {
        ...mount('ROOT/a', '/x', '', MS_BIND | MS_REC),
        attributes: { set: MS_NODEV, clear: 0 },
        recursive: { set: MS_RDONLY, clear: 0 },
        propagation: [MS_SHARED, MS_SLAVE | MS_REC],
        create: 'like-source',
      },
    ],
    script: 'grep " /x" /proc/mounts; grep -c "master:.* - tmpfs" /proc/self/mountinfo',
    stdout: /^tmpfs \/x tmpfs ro,nodev,.*\ntmpfs \/x\/b tmpfs ro,relatime.*\n0\n$/,
    code: 1,
  },
  'mount tmpfs with what goes beyond its flags': {
    before: [
      {
        ...mount('tmpfs', '/x', 'tmpfs', MS_NOEXEC, 'size=8k,,mode=711'),
        recursive: { set: MS_RDONLY, clear: 0 },
        propagation: [MS_SHARED],
      },
    ],
    script: 'grep " /x " /proc/self/mountinfo; stat -c %a /x',
    stdout: / ro,noexec.* shared:.* rw,size=8k,mode=711.*\n711\n$/,
  },
  'mount tmpfs read-only': {
    before: [mount('tmpfs', '/x', 'tmpfs', MS_RDONLY, 'nr_inodes=7')],
    script: 'grep " /x " /proc/self/mountinfo',
    stdout: / ro,relatime .* ro,nr_inodes=7/,
  },
  'a missing target is made as what is bound: a folder': {
    before: [{ ...mount('/usr', '/new/place', '', MS_BIND), create: 'like-source' }],
    script: 'test -d /new/place/bin && echo folder',
    stdout: 'folder\n',
  },
  'a missing target is made as what is bound: a file': {
    before: [{ ...mount('/etc/hostname', '/new/place', '', MS_BIND), create: 'like-source' }],
    script: 'test -s /new/place && echo file',
    stdout: 'file\n',
  },
  'a missing target is made as what is bound: a path beneath the source': {
    before: [{ ...mount('/etc', '/new/place', '', MS_BIND, 'hostname'), create: 'like-source' }],
    script: 'test -s /new/place && echo file',
    stdout: 'file\n',
  },
  'mount remount of a bind': {
    before: [bind('/usr', '/x'), mount('', '/x', '', MS_BIND | MS_REMOUNT | MS_RDONLY)],
    script: 'grep " /x " /proc/mounts',
    stdout: / ro[, ]/,
  },
  'mount propagation': {
    before: [bind('/usr', '/x', MS_SLAVE)],
    script: 'grep " /x " /proc/self/mountinfo',
    stdout: /^((?!shared).)*$/s,
  },
  'mount mqueue': {
    before: [mount('mqueue', '/dev/mqueue', 'mqueue', MS_NOSUID)],
    script: 'grep -c mqueue /proc/mounts',
    stdout: '1\n',
  },
  'mount sysfs': {
    before: [
      { op: 'unshare', flags: CLONE_NEWNET },
      mount('sysfs', '/sys', 'sysfs', MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC),
    ],
    script: 'ls /sys/class/net',
    stdout: 'lo\n',
  },
  'mount overlay, relative lower folders': {
    entries: { 'low/a/one': '1', 'low/b/two': '2', 'up/': null, 'work/': null },
    before: [
      { op: 'chdir', path: 'ROOT' },
      {
        ...mount('overlay', 'ROOT/tmp', 'overlay', 0, 'lowerdir=low/a:low/b,upperdir=up,workdir=work,userxattr'),
        inRoot: false,
      },
    ],
    script: 'echo 3 > /tmp/three; ls /tmp /up',
    stdout: '/tmp:\none\nthree\ntwo\n\n/up:\nthree\n',
  },
  'mountAttributes, recursive': {
    before: [
      mount('tmpfs', '/x', 'tmpfs', 0),
      mount('tmpfs', '/x/y', 'tmpfs', 0),
      { op: 'mountAttributes', target: '/x', set: MS_RDONLY, clear: 0, recursive: true, inRoot: true },
    ],
    script: 'touch /x/y/a 2>&1',
    stdout: /Read-only/,
    code: 1,
  },
  'holdTree and placeTree: what is covered meanwhile': {
    entries: { 'held/f': 'kept', 'held/other': 'x' },
    before: [
      { op: 'holdTree', source: 'ROOT/held', beneath: 'f', tree: 1, recursive: false },
      { op: 'holdTree', source: 'ROOT/held', tree: 0, recursive: true },
      mount('tmpfs', '/held', 'tmpfs', 0),
      { op: 'mkdir', path: '/held/whole', mode: 0o755, inRoot: true },
      { op: 'writeFile', path: '/held/file', content: '', create: true, inRoot: true },
      { op: 'placeTree', tree: 0, target: '/held/whole', inRoot: true },
      { op: 'placeTree', tree: 1, target: '/held/file', inRoot: true },
      // its number is free again
      { op: 'holdTree', source: 'ROOT/bin', tree: 0, recursive: false },
    ],
    script: 'cat /held/file; ls /held /held/whole',
    stdout: 'kept/held:\nfile\nwhole\n\n/held/whole:\nf\nother\n',
  },
  umount: {
    before: [mount('tmpfs', '/x', 'tmpfs', 0)],
    after: [{ op: 'umount', target: '/x', flags: 0 }],
    script: 'grep -c " /x " /proc/mounts',
    stdout: '0\n',
    code: 1,
  },
  'umount in root': {
    before: [mount('tmpfs', '/x', 'tmpfs', 0), { op: 'umount', target: '/x', flags: 0, inRoot: true }],
    script: 'grep -c " /x " /proc/mounts',
    stdout: '0\n',
    code: 1,
  },
  'mkdir, chmod, symlink': {
    before: [
      { op: 'mkdir', path: '/a/b', mode: 0o1777, inRoot: true },
      { op: 'mkdir', path: '/a/b', mode: 0o700, inRoot: true },
      { op: 'symlink', target: 'b', path: '/a/l', inRoot: true },
      { op: 'mkdir', path: '/c', mode: 0o755, inRoot: true },
      { op: 'chmod', path: '/c', mode: 0o751, inRoot: true },
    ],
    script: 'stat -c %a /a /a/b /c; readlink /a/l',
    stdout: '755\n1777\n751\nb\n',
  },
  chown: {
    before: [
      { op: 'mkdir', path: '/a', mode: 0o755, inRoot: true },
      { op: 'chown', path: '/a', uid: 33, gid: 44, inRoot: true },
    ],
    script: 'stat -c %u:%g /a',
    stdout: '33:44\n',
  },
  'mknod of a FIFO': {
    before: [{ op: 'mknod', path: '/f', mode: 0o10644, major: 0, minor: 0, inRoot: true }],
    script: 'stat -c %F /f',
    stdout: 'fifo\n',
  },
  'chmod of a FIFO': {
    before: [
      { op: 'mknod', path: '/f', mode: 0o10644, major: 0, minor: 0, inRoot: true },
      { op: 'chmod', path: '/f', mode: 0o601, inRoot: true },
    ],
    script: 'stat -c %a /f',
    stdout: '601\n',
  },
  'mount moves a mount': {
    before: [
      mount('tmpfs', '/x', 'tmpfs', 0),
      {
        op: 'mount',
        source: 'ROOT/x',
        target: '/y',
        fstype: '',
        flags: 8192,
        data: '',
        inRoot: true,
        create: 'directory',
      },
    ],
    script: 'grep -c " /y " /proc/mounts; grep -c " /x " /proc/mounts',
    stdout: '1\n0\n',
    code: 1,
  },
  loopbackUp: {
    before: [{ op: 'unshare', flags: CLONE_NEWNET }, { op: 'loopbackUp' }],
    script: 'cat /proc/net/if_inet6 | grep -c lo; ping -c 1 -w 2 127.0.0.1 | grep -c "1 packets received"',
    stdout: /1\n$/,
  },
  setns: {
    before: [
      { op: 'setns', path: '/proc/self/ns/uts', type: 0x4000000 },
      { op: 'setns', path: '/proc/self/ns/ipc', type: 0 },
    ],
    script: 'echo ok',
    stdout: 'ok\n',
  },
  'writeFile makes a file': {
    before: [{ op: 'writeFile', path: '/etc/hosts', content: 'x\ny\n', mode: 0o600, create: true, inRoot: true }],
    script: 'cat /etc/hosts; stat -c %a /etc/hosts',
    stdout: 'x\ny\n600\n',
  },
  'writeFile makes the folders': {
    before: [{ op: 'writeFile', path: '/a/b/c', content: 'x', mode: 0o640, create: true, inRoot: true }],
    script: 'cat /a/b/c; stat -c %a /a /a/b /a/b/c',
    stdout: 'x755\n755\n640\n',
  },
  'writeFile shortens a file': {
    entries: { 'etc/hosts': 'long content' },
    before: [{ op: 'writeFile', path: '/etc/hosts', content: 'x', create: true, inRoot: true }],
    script: 'cat /etc/hosts',
    stdout: 'x',
  },
  'writeFile of a sysctl': {
    after: [{ op: 'writeFile', path: '/proc/sys/kernel/msgmax', content: '4097', inRoot: true }],
    script: 'cat /proc/sys/kernel/msgmax',
    stdout: '4097\n',
  },
  'maskPath over a file and a folder': {
    before: DEV,
    after: [
      { op: 'maskPath', path: '/proc/keys' },
      { op: 'maskPath', path: '/proc/sys' },
      { op: 'maskPath', path: '/proc/absent' },
    ],
    script: 'wc -c < /proc/keys; ls /proc/sys | wc -l; touch /proc/sys/a 2>/dev/null',
    stdout: '0\n0\n',
    code: 1,
  },
  readonlyPath: {
    after: [
      { op: 'readonlyPath', path: '/proc/sys' },
      { op: 'readonlyPath', path: '/absent' },
    ],
    script: 'echo a > /proc/sys/kernel/hostname',
    code: 1,
  },
  'chdir makes the folder': {
    after: [{ op: 'chdir', path: '/w/x', create: true, uid: 12, gid: 13 }],
    script: 'pwd; stat -c %u:%g .',
    stdout: '/w/x\n12:13\n',
  },
  umask: { after: [{ op: 'umask', mask: 0o77 }], script: 'touch /tmp/u; stat -c %a /tmp/u', stdout: '600\n' },
  'umask without a step': { script: 'touch /tmp/u; stat -c %a /tmp/u', stdout: '644\n' },
  rlimit: {
    after: [{ op: 'rlimit', resource: 7, soft: 100n, hard: 200n }],
    script: 'ulimit -n; ulimit -Hn',
    stdout: '100\n200\n',
  },
  'setgroups, setgid, setuid': {
    after: [
      { op: 'setgroups', gids: [20, 30] },
      { op: 'setgid', gid: 10 },
      { op: 'setuid', uid: 9 },
    ],
    script: 'id -u; id -g; id -G',
    stdout: '9\n10\n10 20 30\n',
  },
  'capabilities, all five sets': {
    after: [capabilities(CAP_NET_RAW | CAP_CHOWN, CAP_CHOWN)],
    script: 'grep ^Cap /proc/self/status',
    stdout:
      'CapInh:\t0000000000000001\nCapPrm:\t0000000000002001\nCapEff:\t0000000000002001\nCapBnd:\t0000000000002001\nCapAmb:\t0000000000000001\n',
  },
  'capabilities after setuid': {
    after: [{ op: 'setuid', uid: 9 }, capabilities(CAP_NET_RAW, CAP_NET_RAW)],
    script: 'grep ^CapEff /proc/self/status',
    stdout: 'CapEff:\t0000000000002000\n',
  },
  'capabilities, rootOnly, not root': {
    after: [
      { op: 'setuid', uid: 9 },
      { ...(capabilities(CAP_NET_RAW) as Step & { op: 'capabilities' }), rootOnly: true },
    ],
    script: 'grep ^Cap /proc/self/status',
    stdout: /CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000002000/,
  },
  'capabilities, rootOnly, root': {
    after: [{ ...(capabilities(CAP_NET_RAW) as Step & { op: 'capabilities' }), rootOnly: true }],
    script: 'grep ^CapEff /proc/self/status',
    stdout: 'CapEff:\t0000000000002000\n',
  },
  noNewPrivileges: {
    after: [{ op: 'noNewPrivileges' }],
    script: 'grep NoNewPrivs /proc/self/status',
    stdout: 'NoNewPrivs:\t1\n',
  },
  // BPF: errno EPERM for uname (63), else allow; linux/bpf_common.h, linux/seccomp.h
  seccomp: {
    after: [
      {
        op: 'seccomp',
        filter: filter([
          [0x20, 0, 0, 0],
          [0x15, 0, 1, 63],
          [0x06, 0, 0, 0x00050001],
          [0x06, 0, 0, 0x7fff0000],
        ]),
        flags: 0,
      },
    ],
    script: 'grep ^Seccomp: /proc/self/status; hostname',
    stdout: 'Seccomp:\t2\n?\n',
  },
  // sendmsg (46), pidfd_open (434) and close_range (436) refused with EPERM: no profile may keep a plan from its end
  'a seccomp profile that forbids what husk-init likes to call': {
    after: [
      {
        op: 'seccomp',
        filter: filter([
          [0x20, 0, 0, 0],
          [0x15, 3, 0, 46],
          [0x15, 2, 0, 434],
          [0x15, 1, 0, 436],
          [0x06, 0, 0, 0x7fff0000],
          [0x06, 0, 0, 0x00050001],
        ]),
        flags: 0,
      },
      { op: 'reaper' },
    ],
    script: 'echo ran; ls /proc/self/fd',
    stdout: 'ran\n0\n1\n2\n3\n',
  },
  environment: { script: 'env | grep -v -e SHLVL -e PWD', stdout: 'PATH=/bin\n' },
  newSessionKeyring: { after: [{ op: 'newSessionKeyring' }], script: 'echo ok', stdout: 'ok\n' },
  setsid: {
    after: [{ op: 'setsid' }],
    script: 'cut() { :; }; set -- $(cat /proc/self/stat); test $6 = $$ && echo leader',
    stdout: 'leader\n',
  },
  'reaper: PID 1 is not the command': {
    after: [{ op: 'reaper' }],
    script: 'echo $$; cat /proc/1/comm; exit 5',
    stdout: '2\nhusk-init\n',
    code: 5,
  },
  'reaper: takes orphans': {
    after: [{ op: 'reaper' }],
    script:
      '(sleep 0.1 &) ; sleep 0.3; for i in $(seq 100); do ps -o stat | grep -q Z || break; sleep 0.1; done; ps -o stat | grep -c Z',
    stdout: '0\n',
    code: 1,
  },
  'reaper: a killed command is 128 + n': { after: [{ op: 'reaper' }], script: 'kill -9 $$', code: 137 },
  'the executor cannot be reached from the container': {
    after: [{ op: 'reaper' }],
    script: 'readlink /proc/1/exe; ls /proc/1/fd 2>&1 >/dev/null | head -c 3',
    stdout: 'ls:',
  },
};

function filter(instructions: [number, number, number, number][]): Uint8Array {
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, [code, yes, no, k]] of instructions.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(yes, index * 8 + 2);
    bytes.writeUInt8(no, index * 8 + 3);
    bytes.writeUInt32LE(k, index * 8 + 4);
  }
  return bytes;
}

const relocate = (steps: Step[], root: string): Step[] =>
  steps.map(
    (step) =>
      Object.fromEntries(
        Object.entries(step).map(([key, value]) => [
          key,
          typeof value === 'string' ? value.replace(/^ROOT/, root) : value,
        ]),
      ) as Step,
  );

for (const as of RUNNERS) {
  for (const [name, { before = [], after = [], entries, script, stdout, code = 0 }] of Object.entries(CASES)) {
    test.serial(`${as}: ${name}`, async (t) => {
      using root = tree(as, entries);
      const outcome = await run(
        as,
        inContainer(root, [PROC, ...relocate(before, root.path)], [...after, ...sh(script)]),
      );
      t.is(outcome.error?.message, undefined);
      if (typeof stdout === 'string') t.is(outcome.stdout, stdout, outcome.stderr);
      else if (stdout) t.regex(outcome.stdout, stdout, outcome.stderr);
      t.is(outcome.code, code, outcome.stderr);
    });
  }
}

/** `--user`: the image's own passwd and group; [user, additional groups, what id says, or the error] */
const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\n# comment\n\nbroken\napp:x:1000:1001:App:/home/app:/bin/sh\n42:x:7:7::/numeric:\nbig:x:99999999999:1::/:\n';
const GROUP = 'root:x:0:\nwheel:x:10:app,root\napp:x:1001:\nextra:x:50:other,app\nother:x:60:apple\n';
const USERS: [string, string[], string][] = [
  ['', [], '0 0 0,10 /root'],
  ['root', [], '0 0 0,10 /root'],
  ['app', [], '1000 1001 10,50,1001 /home/app'],
  ['1000', [], '1000 1001 10,50,1001 /home/app'],
  ['app:wheel', [], '1000 10 10 /home/app'],
  ['app:77', [], '1000 77 77 /home/app'],
  ['1234', [], '1234 0 0 /'],
  ['1234:55', [], '1234 55 55 /'],
  ['1234:app', ['extra', '99'], '1234 1001 50,99,1001 /'],
  ['42', [], '7 7 7 /numeric'],
  [':wheel', [], '0 10 10 /root'],
  ['nobody', [], 'unable to find user nobody: no matching entries in passwd file'],
  ['app:nosuch', [], 'unable to find group nosuch: no matching entries in group file'],
  ['app', ['nosuch'], 'unable to find group nosuch: no matching entries in group file'],
  ['2147483648', [], 'uids and gids must be in range 0-2147483647: 2147483648'],
  ['99999999999999999999', [], 'uids and gids must be in range 0-2147483647: 99999999999999999999'],
  ['-1', [], 'uids and gids must be in range 0-2147483647: -1'],
  ['root:-1', [], 'uids and gids must be in range 0-2147483647: -1'],
  ['app:99999999999', [], 'uids and gids must be in range 0-2147483647: 99999999999'],
];
for (const [user, additionalGroups, expected] of USERS) {
  test.serial(`setuser ${JSON.stringify(user)} ${additionalGroups}`, async (t) => {
    using root = tree(RUNNERS[0]!, { 'etc/passwd': PASSWD, 'etc/group': GROUP });
    const script = 'echo $(id -u) $(id -g) $(grep ^Groups /proc/self/status) $HOME';
    const outcome = await runHere(
      inContainer(
        root,
        [PROC],
        [
          { op: 'environment', env: ['PATH=/bin'] },
          { op: 'setuser', user, additionalGroups },
          { op: 'exec', args: ['sh', '-c', script] },
        ],
      ),
    );
    const [, uid, gid, groups, home] = /^(\d+) (\d+) Groups: ([\d ]*) (\S+)$/m.exec(outcome.stdout) ?? [];
    const got =
      outcome.error?.message ??
      `${uid} ${gid} ${groups
        ?.split(' ')
        .map(Number)
        .sort((a, b) => a - b)
        .join(',')} ${home}`;
    t.is(got, expected, outcome.stderr);
    if (outcome.error) t.is(outcome.error.exitCode, 125);
  });
}

/** Images that want out, or want us to hang: what the plan says, and what must come of it. */
const HOSTILE: Record<
  string,
  { entries: Entries; before?: Step[]; after?: Step[]; error?: RegExp; script?: string; stdout?: string }
> = {
  '/proc is a link': {
    entries: { proc: { link: '/etc' } },
    before: [PROC],
    error: /cannot mount \/proc: openat2: too many levels of symbolic links/,
  },
  '/proc is a dangling link': {
    entries: { proc: { link: '/nowhere' } },
    before: [PROC],
    error: /cannot mount \/proc: openat2: too many levels of symbolic links/,
  },
  '/dev/pts is a link out': {
    entries: { 'dev/pts': { link: '/../../../../../../etc' } },
    before: [mount('tmpfs', '/dev/pts', 'tmpfs', 0)],
    script: 'grep -c "^tmpfs /etc " /proc/mounts || cat /proc/mounts',
    stdout: '1\n',
  },
  'a folder is to be made under a link to /': {
    entries: { up: { link: '/' } },
    before: [{ op: 'mkdir', path: '/up/../../made/here', mode: 0o755, inRoot: true }],
    script: 'ls -d /made/here',
    stdout: '/made/here\n',
  },
  'a folder is to be made under a dangling link out': {
    entries: { up: { link: '../../../../tmp/husk-escape/x' } },
    before: [mount('tmpfs', '/up/y', 'tmpfs', 0)],
    script: 'grep -c " /tmp/husk-escape/x/y " /proc/mounts',
    stdout: '1\n',
  },
  'a tree is placed on a link out': {
    entries: { up: { link: '/../../../../bin' } },
    before: [
      { op: 'holdTree', source: 'ROOT/etc', tree: 0, recursive: false },
      { op: 'placeTree', tree: 0, target: '/up', inRoot: true },
    ],
    script: '',
    error: /executable file not found/,
  },
  'a tree from behind a link out': {
    entries: { 'v/up': { link: '../etc' } },
    before: [{ op: 'holdTree', source: 'ROOT/v', beneath: 'up/passwd', tree: 0, recursive: false }],
    error: /cannot mount subpath up\/passwd of .*\/v: it leads out of the volume/,
  },
  'a tree that was never held': {
    entries: {},
    before: [{ op: 'placeTree', tree: 7, target: '/tmp', inRoot: true }],
    error: /the launch plan is refused at step \d+ \(placeTree\): no tree is held there/,
  },
  'a tree held twice': {
    entries: {},
    before: [1, 2].map(() => ({ op: 'holdTree', source: 'ROOT/etc', tree: 0, recursive: false })),
    error: /a tree is held there already/,
  },
  'links that turn in a circle': {
    entries: { a: { link: 'b' }, b: { link: 'a' } },
    before: [mount('tmpfs', '/a/x', 'tmpfs', 0)],
    error: /cannot mount \/a\/x: openat2: too many levels of symbolic links/,
  },
  'a link grows at each turn': {
    entries: { a: { link: 'a/a/a/a/a/a/a/a/a' } },
    before: [mount('tmpfs', '/a/x', 'tmpfs', 0)],
    error: /openat2: (too many levels of symbolic links|file name too long)/,
  },
  'a file where a folder must be': {
    entries: { x: 'file' },
    before: [mount('tmpfs', '/x/y', 'tmpfs', 0)],
    error: /cannot mount \/x\/y: openat2: not a directory/,
  },
  'writeFile through a link out': {
    entries: { 'etc/hosts': { link: '/../../../../../../../tmp/husk-escape' } },
    before: [{ op: 'writeFile', path: '/etc/hosts', content: 'x', create: true, inRoot: true }],
    script: 'cat /tmp/husk-escape',
    stdout: 'x',
  },
  'writeFile to a FIFO': {
    entries: {},
    before: [
      { op: 'mknod', path: '/f', mode: 0o10644, major: 0, minor: 0, inRoot: true },
      { op: 'writeFile', path: '/f', content: 'x', inRoot: true },
    ],
    error: /cannot writeFile \/f: openat2: no such device or address/,
  },
  'a magic link': {
    entries: {},
    before: [PROC, { op: 'writeFile', path: '/proc/self/root/etc/x', content: 'x', create: true, inRoot: true }],
    error: /openat2: too many levels of symbolic links/,
  },
  'a sysctl that is no sysctl': {
    entries: { 'proc/sys/kernel/msgmax': '' },
    after: [{ op: 'writeFile', path: '/proc/sys/kernel/msgmax', content: '1', inRoot: true }],
    error: /cannot writeFile .*: not the kind of file it must be/,
  },
  '/dev/null is a link': {
    entries: { 'dev/null': { link: '/etc/passwd' } },
    after: [{ op: 'maskPath', path: '/etc/group' }],
    error: /cannot maskPath \/dev\/null: openat2: too many levels of symbolic links/,
  },
  '/dev/null is a file': {
    entries: { 'dev/null': 'x' },
    after: [{ op: 'maskPath', path: '/etc/group' }],
    error: /cannot maskPath \/dev\/null: openat2: not the kind of file it must be/,
  },
  'maskPath through a link': {
    entries: { m: { link: '/../../../bin' } },
    before: [PROC, { op: 'maskPath', path: '/m' }],
    script: '',
    error: /executable file not found/,
  },
  'passwd is a FIFO': {
    entries: {},
    before: [
      { op: 'mknod', path: '/etc/p', mode: 0o10644, major: 0, minor: 0, inRoot: true },
      bind('ROOT/etc/p', '/etc/passwd', 0, 'file'),
    ],
    after: [{ op: 'setuser', user: 'root', additionalGroups: [] }],
    error: /cannot setuser \/etc\/passwd: openat2: not the kind of file it must be/,
  },
  'passwd is a folder': {
    entries: { 'etc/passwd': { link: '/tmp' } },
    after: [{ op: 'setuser', user: 'root', additionalGroups: [] }],
    error: /not the kind of file it must be/,
  },
  'passwd is over 1 MiB': {
    entries: { 'etc/passwd': 'x'.repeat((1 << 20) + 1) },
    after: [{ op: 'setuser', user: 'root', additionalGroups: [] }],
    error: /cannot setuser \/etc\/passwd: read: file too large/,
  },
  'passwd is one line of 1 MiB': {
    entries: { 'etc/passwd': 'x:'.repeat(1 << 19) },
    after: [{ op: 'setuser', user: '0', additionalGroups: [] }],
    script: 'echo ok',
    stdout: 'ok\n',
  },
  'passwd has NUL bytes': {
    entries: { 'etc/passwd': 'a\0\nroot:x:0:0::/nul:/bin/sh\n' },
    after: [{ op: 'setuser', user: 'root', additionalGroups: [] }],
    script: 'echo $HOME',
    stdout: '/nul\n',
  },
  'passwd is missing': {
    entries: { etc: 'x' },
    after: [{ op: 'setuser', user: '7:8', additionalGroups: [] }],
    script: 'echo $HOME $(id -u) $(id -g)',
    stdout: '/ 7 8\n',
  },
  'ptmx is not of a devpts': {
    entries: { 'dev/pts/ptmx': '' },
    after: [{ op: 'openPty', columns: 80, rows: 24, console: false }],
    error: /cannot openPty \/dev\/pts\/ptmx: openat2: not the kind of file it must be/,
  },
  'the working folder is a file': {
    entries: { w: 'x' },
    after: [{ op: 'chdir', path: '/w', create: true }],
    error: /chdir to cwd \("\/w"\) set in config.json failed: not a directory/,
  },
};
for (const [name, { entries, before = [], after = [], error, script = '', stdout }] of Object.entries(HOSTILE)) {
  test.serial(`hostile root: ${name}`, async (t) => {
    using root = tree(RUNNERS[0]!, entries);
    const withProc = script.includes('/proc') ? [PROC] : [];
    const outcome = await runHere(
      inContainer(root, [...withProc, ...relocate(before, root.path)], [...after, ...sh(script)]),
    );
    if (error) t.regex(outcome.error?.message ?? 'no error', error);
    else t.is(outcome.error?.message, undefined);
    if (stdout !== undefined) t.is(outcome.stdout, stdout, outcome.stderr);
  });
}

/** exec: [args, PATH, exit code, message]; the root has files of every kind */
const EXEC: [string[], string, number, RegExp][] = [
  [['nosuch'], '/bin', 127, /^exec: "nosuch": executable file not found in \$PATH$/],
  [['/nosuch'], '/bin', 127, /^exec: "\/nosuch": stat \/nosuch: no such file or directory$/],
  [['/etc/passwd/x'], '/bin', 127, /^exec: "\/etc\/passwd\/x": stat .*: not a directory$/],
  [[''], '/bin', 127, /^exec: "": executable file not found in \$PATH$/],
  [['/etc/passwd'], '/bin', 126, /^exec: "\/etc\/passwd": permission denied$/],
  [['passwd'], '/bin:/etc', 126, /^exec: "passwd": permission denied$/],
  [['etc'], '/bin:/', 127, /^exec: "etc": executable file not found in \$PATH$/],
  [['/etc'], '/bin', 126, /^exec: "\/etc": is a directory$/],
  [['/bin/text'], '/bin', 126, /^exec \/bin\/text: exec format error$/],
  [['text'], '/bin', 126, /^exec \/bin\/text: exec format error$/],
  [
    ['/bin/script'],
    '/bin',
    127,
    /^exec \/bin\/script: no such file or directory \(the file is there, its interpreter is not\)$/,
  ],
  [['script'], '/etc:/bin', 127, /its interpreter is not/],
];
for (const [args, path, exitCode, message] of EXEC) {
  test.serial(`exec error: ${JSON.stringify(args[0])} in ${path}`, async (t) => {
    using root = tree(RUNNERS[0]!, { 'bin/text': 'no program\n', 'bin/script': '#!/no/interpreter\n' });
    const { error, code } = await runHere(
      inContainer(
        root,
        [],
        [
          { op: 'environment', env: [`PATH=${path}`] },
          { op: 'exec', args },
        ],
      ),
    );
    t.regex(error?.message ?? 'started', message);
    t.is(error?.exitCode, exitCode);
    t.is(error?.op, 'exec');
    t.is(code, 125);
  });
}

/** exec that works: [args, PATH or none, stdout] */
const FOUND: [string[], string | undefined, string][] = [
  [['echo', 'a b', ''], '/nosuch:/etc:/bin', 'a b \n'],
  [['echo', 'x'], '/etc/passwd:/bin', 'x\n'],
  [['echo', 'x'], undefined, 'x\n'],
  [['bin/echo', 'x'], '/', 'x\n'],
  [['echo', 'x'], ':/nosuch', 'x\n'],
];
for (const [args, path, stdout] of FOUND) {
  test.serial(`exec: ${args[0]} in ${path}`, async (t) => {
    using root = tree(RUNNERS[0]!);
    const chdir: Step = { op: 'chdir', path: path?.startsWith(':') ? '/bin' : '/' };
    const outcome = await runHere(
      inContainer(
        root,
        [],
        [chdir, { op: 'environment', env: path === undefined ? [] : [`PATH=${path}`] }, { op: 'exec', args }],
      ),
    );
    t.is(outcome.stdout, stdout, outcome.error?.message);
  });
}

test.serial('subpaths beside a process that does nothing but rename', async (t) => {
  using root = tree('user', { 'v/f': 'x', 'v/deep/g': 'x' });
  const base = mkdtempSync(join(tmpdir(), 'husk-renames-'));
  t.teardown(() => rmSync(base, { recursive: true, force: true }));
  const renaming = spawn(process.execPath, ['-e', RENAMES], { cwd: base });
  t.teardown(() => renaming.kill('SIGKILL'));
  await once(renaming.stdout, 'data');
  // not many `..`: a lookup that takes longer than the time between two renames would never end
  const beneath = 'deep/../deep/../f';
  const before = Array.from({ length: 500 }, (_, number): Step => {
    return { op: 'holdTree', source: join(root.path, 'v'), beneath, tree: number, recursive: false };
  });
  const { code, error } = await run('user', inContainer(root, before, sh('exit 7')));
  t.deepEqual([error, code], [undefined, 7]);
  t.is(renaming.exitCode, null, 'it renamed until the end');
});

test.serial('an error names the step, the call and the path', async (t) => {
  using root = tree(RUNNERS[0]!);
  const { error } = await runHere([
    ...entering(root.path),
    { op: 'mount', source: '/nosuch', target: '/x', fstype: '', flags: MS_BIND | MS_REC, data: '', inRoot: true },
    ...sh(''),
  ]);
  t.like(error, {
    op: 'mount',
    step: 10,
    path: '/nosuch',
    errno: 2,
    exitCode: 125,
    message: 'invalid mount config for type "bind": bind source path does not exist: /nosuch',
  });
});

test.serial('the plan is refused as a whole before its first step', async (t) => {
  const folder = mkdtempSync('/tmp/husk-plan-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { error } = await runHere([
    { op: 'mkdir', path: join(folder, 'made'), mode: 0o755 },
    { op: 'closeFrom', fd: 1 },
    { op: 'exec', args: ['true'] },
  ]);
  t.is(error?.message, 'the launch plan is refused at step 1 (closeFrom): stdio would be closed');
  t.throws(() => chmodSync(join(folder, 'made'), 0o755), { code: 'ENOENT' });
});

test.serial('a descriptor that is to be inherited is the first after ours, and the only one', async (t) => {
  using file = memfd('passed', Buffer.from('what was passed'));
  const passed = await runHere(
    [{ op: 'closeFrom', fd: FIRST_INHERITED + 1 }, ...sh(`ls /proc/self/fd; cat /proc/self/fd/${FIRST_INHERITED}`)],
    { inherit: [file.number] },
  );
  t.is(passed.stdout, `0\n1\n2\n3\n${FIRST_INHERITED}\nwhat was passed`);
});

test.serial('what the starter left open above a gap is closed before the command is looked up', async (t) => {
  using root = tree(RUNNERS[0]!);
  const folder = mkdtempSync('/var/tmp/husk-left-open-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'stranger'), '#!/bin/sh\necho a program of the host\n', { mode: 0o755 });
  const left = openSync(folder, 'r');
  t.teardown(() => closeSync(left));
  // beyond those that are passed on, which nothing closes in between
  const inherit = Array.from({ length: 40 }, () => left);
  const outcome = await runHere(
    inContainer(
      root,
      [PROC],
      [
        { op: 'environment', env: ['PATH=/bin'] },
        { op: 'exec', args: [`/proc/self/fd/${FIRST_INHERITED + 39}/stranger`] },
      ],
    ),
    { inherit },
  );
  t.is(outcome.stdout, '');
  t.regex(outcome.error?.message ?? 'it ran', /no such file or directory/);
});

test.serial('a missing husk-init is said', async (t) => {
  const { error, code } = await runHere([{ op: 'exec', args: ['true'] }], {
    init: '/nosuch/husk-init',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  t.regex(error!.message, /cannot start \/nosuch\/husk-init/);
  t.is(code, 125);
});

test.serial('a rejected await ends the process', async (t) => {
  const outcome = await runHere([{ op: 'await', tag: 'network' }, ...sh('echo ran')], {
    onAwait() {
      throw new Error('no network for you');
    },
  });
  t.is(outcome.error?.message, 'no network for you');
  t.is(outcome.stdout, '');
});

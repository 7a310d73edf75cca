/**
 * The defaults, run: a busybox tree through buildSpec, planContainer and launch as an ordinary user, beside rootless
 * Podman with the same tree. What differs on purpose is named where it is taken out of the comparison.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { DEFAULT_CAPABILITIES } from '../../src/container/capabilities.ts';
import { defaultProfile } from '../../src/container/seccomp/default-profile.ts';
import { asPeer, missingForPodman } from '../fixtures/podman.ts';
import { ordinaryUser, ROOT, type Result, type TestUser } from '../fixtures/user.ts';
import type { Request } from './run-container.ts';

const INIT = join(ROOT, 'dist/husk-init');
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n';
const GROUP = 'root:x:0:\nbin:x:1:root\napp:x:1000:\nextra:x:2000:app\n';

function missing(): string | undefined {
  if (!existsSync('/bin/busybox')) return 'busybox-static is not installed';
  if (!existsSync(INIT)) return 'dist/husk-init is not built (make build)';
  return existsSync('/usr/bin/newuidmap') ? undefined : 'newuidmap is not installed (uidmap)';
}

/** A user with a busybox tree in `tree`. */
function prepare(): TestUser & { tree: string } {
  const user = ordinaryUser();
  const tree = join(user.home, 'tree');
  for (const folder of ['', 'bin', 'etc', 'tmp', 'proc', 'secret', 'v'])
    mkdirSync(join(tree, folder), { recursive: true });
  copyFileSync('/bin/busybox', join(tree, 'bin/busybox'));
  execFileSync('/bin/busybox', ['--install', '-s', join(tree, 'bin')]);
  for (const applet of [
    'sh',
    'id',
    'ls',
    'cat',
    'mount',
    'grep',
    'env',
    'sleep',
    'ps',
    'touch',
    'sed',
    'mknod',
    'unshare',
    'true',
    'stat',
    'echo',
    'sort',
    'readlink',
    'hostname',
  ])
    execFileSync('ln', ['-sf', 'busybox', join(tree, 'bin', applet)]);
  writeFileSync(join(tree, 'etc/passwd'), PASSWD);
  writeFileSync(join(tree, 'etc/group'), GROUP);
  chmodSync(join(tree, 'tmp'), 0o1777);
  chmodSync(join(tree, 'secret'), 0o700);
  if (process.getuid!() === 0) execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, tree]);
  return Object.assign(user, { tree });
}

function husk(user: TestUser & { tree: string }, request: Omit<Request, 'lower' | 'directory'>): Result {
  const full: Request = { lower: [user.tree], directory: join(user.home, 'container'), ...request };
  return user.run(
    [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      join(ROOT, 'test/container/run-container.ts'),
      JSON.stringify(full),
    ],
    { env: { HUSK_INIT_PROGRAM: INIT } },
  );
}

/** Podman 4.3's own defaults are eleven capabilities and another seccomp profile: here it gets Docker's. */
function podman(user: TestUser & { tree: string }, flags: string[], command: string[]): Result {
  const profile = join(user.home, 'seccomp.json');
  writeFileSync(profile, JSON.stringify(defaultProfile()));
  const seccomp = flags.includes('--privileged') ? [] : ['--security-opt', `seccomp=${profile}`];
  const argv = [
    'podman',
    '--cgroup-manager=cgroupfs',
    'run',
    '--rm',
    '--cgroups=disabled',
    '--network',
    'none',
    '--cap-drop',
    'all',
    ...DEFAULT_CAPABILITIES.map((name) => `--cap-add=${name}`),
    ...seccomp,
    ...flags,
    '--rootfs',
    user.tree,
    ...command,
  ];
  const peer = (command: string[]) => {
    const [program, ...args] = asPeer(user, command);
    return spawnSync(program!, args, { cwd: user.home, env: user.env, encoding: 'utf8' });
  };
  const result = peer(argv);
  // the process that holds its user namespace open would stay for good
  peer(['sh', '-c', 'kill $(cat "$XDG_RUNTIME_DIR/libpod/tmp/pause.pid")']);
  return result;
}

const compare = test.macro<
  [flags: { husk: Request['options']; podman: string[] }, command: string[], normalise?: (text: string) => string]
>((t, flags, command, normalise = (text) => text) => {
  const why = missing() ?? missingForPodman();
  if (why) return skip(t, why);
  using user = prepare();
  const ours = husk(user, { command, options: flags.husk });
  let theirs = podman(user, flags.podman, command);
  // Podman 4.3 attaches while the container runs: on a busy machine it may come too late for all of a short command's
  // output
  for (let again = 0; again < 3 && theirs.status === ours.status && theirs.stdout === ''; again++)
    theirs = podman(user, flags.podman, command);
  t.is(theirs.status, ours.status, `podman: ${theirs.stderr} husk: ${ours.stderr}`);
  t.not(ours.stdout, '');
  t.is(normalise(ours.stdout), normalise(theirs.stdout));
});

function skip(t: ExecutionContext, why: string): void {
  t.log(`skipped: ${why}`);
  t.pass();
}

/** one after another: they share the user */
const serial = test.serial;
const NONE = { husk: {}, podman: [] };
const STATUS = ['sh', '-c', 'grep -E "^(Cap|NoNewPrivs|Seccomp|Groups|Uid|Gid)" /proc/self/status'];
/** Podman leaves root out of root's own group list */
const groups = (text: string) => text.replace(/^(Groups:\s*|.*groups=)0(\(root\))?[ ,]/m, '$1');
/** in the second column of Groups of status a trailing blank */
const tidy = (text: string) => groups(text).replace(/[ \t]+$/gm, '');

serial('as podman: status of root', compare, NONE, STATUS, tidy);
// Podman gives what --cap-add names to a user who is not root too, as ambient capabilities; Docker gives such a user
// none
serial('as podman: status of a named user', compare, { husk: { user: 'app' }, podman: ['-u', 'app'] }, STATUS, (text) =>
  tidy(text).replace(/^(Groups|CapInh|CapPrm|CapEff|CapAmb):.*\n/gm, ''),
);
serial(
  'as podman: status with no-new-privileges',
  compare,
  { husk: { securityOpt: ['no-new-privileges'] }, podman: ['--security-opt', 'no-new-privileges'] },
  STATUS,
  tidy,
);
serial('as podman: status when privileged', compare, { husk: { privileged: true }, podman: ['--privileged'] }, [
  'grep',
  '-E',
  '^(NoNewPrivs|Seccomp)',
  '/proc/self/status',
]);
serial('as podman: id', compare, NONE, ['id'], (text) => groups(text));
serial('as podman: id of a user', compare, { husk: { user: 'app' }, podman: ['-u', 'app'] }, ['id', '-u']);
serial('as podman: id of numbers', compare, { husk: { user: '77:88' }, podman: ['-u', '77:88'] }, [
  'sh',
  '-c',
  'id -u; id -g; id -G',
]);
serial(
  'as podman: /dev',
  compare,
  NONE,
  ['sh', '-c', 'ls -la /dev | sed -E "s/ [A-Z][a-z]{2} +[0-9]+ [0-9:]+ / /" | grep -v " \\.\\.$"'],
  (text) => text.replace(/^total \d+$/m, ''),
);
serial(
  'as podman: mount points and their types',
  compare,
  NONE,
  ['sh', '-c', 'mount | sed -E "s/^(\\S+) on (\\S+) type (\\S+) .*/\\2 \\3/" | sort'],
  mountPoints,
);
serial('as podman: flags of the system mounts', compare, NONE, [
  'sh',
  '-c',
  'mount | grep -E " on (/proc|/sys|/dev/pts|/dev/mqueue) "| sort',
]);
serial('as podman: exit code', compare, NONE, ['sh', '-c', 'echo out; exit 7']);
serial(
  'as podman: limits',
  compare,
  { husk: { ulimits: [{ name: 'nofile', soft: 100, hard: 200 }] }, podman: ['--ulimit', 'nofile=100:200'] },
  ['grep', 'open files', '/proc/self/limits'],
);
serial('as podman: unshare is refused by the filter', compare, NONE, ['sh', '-c', 'unshare -U true 2>&1; echo $?']);
serial('as podman: personality is refused by its argument', compare, NONE, [
  'sh',
  '-c',
  'busybox linux32 true; echo $?; busybox setarch i386 true; echo $?',
]);
serial('as podman: mknod is refused', compare, NONE, ['sh', '-c', 'mknod /tmp/x c 1 3 2>&1; echo $?']);

/**
 * Taken out: the root (overlay here, the tree itself there); cgroup (Podman binds cgroup v1 where there is only that,
 * husk shows an empty folder); Podman's own files, /sys/dev/block and /run; /etc/resolv.conf, which Podman has not
 * without a network; /proc/interrupts, which Docker masks since 28.
 */
function mountPoints(text: string): string {
  const apart =
    /^(\/ |\/sys\/fs\/cgroup|\/run|\/sys\/dev\/block|\/etc\/|\/proc\/interrupts|\/sys\/devices\/virtual\/powercap)/;
  return text
    .split('\n')
    .filter((line) => !apart.test(line))
    .join('\n');
}

const huskOnly = (what: string, body: (t: ExecutionContext, user: TestUser & { tree: string }) => void) =>
  serial(what, (t) => {
    const why = missing();
    if (why) return skip(t, why);
    using user = prepare();
    body(t, user);
  });

huskOnly('a user who is not root has no capabilities', (t, user) =>
  t.is(
    husk(user, {
      command: ['grep', '-E', '^(Groups|Cap)', '/proc/self/status'],
      options: { user: 'app' },
    }).stdout.replace(/[ \t]+/g, ' '),
    [
      'Groups: 1000 2000 ',
      'CapInh: 0000000000000000',
      'CapPrm: 0000000000000000',
      'CapEff: 0000000000000000',
      'CapBnd: 00000000a80425fb',
      'CapAmb: 0000000000000000',
      '',
    ].join('\n'),
  ),
);
huskOnly('the environment', (t, user) => {
  const { stdout } = husk(user, { command: ['env'], config: { env: ['A=1'] } });
  t.deepEqual(stdout.trim().split('\n').sort(), [
    'A=1',
    'HOME=/root',
    'HOSTNAME=c0ffee000000',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ]);
});
huskOnly('exec joins, with a user of its own and the same limits', (t, user) => {
  const { stdout, status, stderr } = husk(user, {
    command: ['sleep', '60'],
    exec: [
      'sh',
      '-c',
      'id; grep -E "CapBnd|CapEff|Seccomp:" /proc/self/status; echo $EXTRA; hostname; ps | grep -c "[s]leep 60"',
    ],
    execUser: 'app',
  });
  t.is(stderr, '');
  t.is(status, 0);
  t.deepEqual(stdout.replace(/\t/g, ' ').trim().split('\n'), [
    'uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)',
    'CapEff: 0000000000000000',
    'CapBnd: 00000000a80425fb',
    'Seccomp: 2',
    '1',
    'c0ffee000000',
    '1',
  ]);
});
huskOnly('a second container joins the network, ipc and pid namespaces of a first', (t, user) => {
  const links =
    'for n in net ipc mnt; do for p in 1 self; do readlink /proc/$p/ns/$n; done; done; ps | grep -c "[s]leep 77"; busybox ip link | head -1; mount | grep -c " on /sys "';
  const { stdout, stderr, status } = husk(user, {
    command: ['sleep', '77'],
    beside: { command: ['sh', '-c', links], join: ['network', 'ipc', 'pid'] },
  });
  t.is(stderr, '');
  t.is(status, 0);
  const [net, ownNet, ipc, ownIpc, mnt, ownMnt, sleeps, link, sys] = stdout.trim().split('\n');
  t.is(net, ownNet);
  t.is(ipc, ownIpc);
  t.not(mnt, ownMnt);
  t.deepEqual([sleeps, sys], ['1', '1']);
  t.regex(link!, /lo: <LOOPBACK,UP/);
});
huskOnly('a reaper is PID 1 with --init', (t, user) =>
  t.regex(
    husk(user, { command: ['sh', '-c', 'echo $$; ps'], options: { init: true } }).stdout,
    /^2\n[^]*\s1 root\s+\S*husk-init/,
  ),
);
huskOnly('--read-only', (t, user) => {
  const { stdout } = husk(user, {
    command: [
      'sh',
      '-c',
      'for f in /x /etc/hosts /tmp/x /dev/shm/x; do touch $f 2>/dev/null && echo yes || echo no; done',
    ],
    options: { readOnly: true, tmpfs: { '/tmp': '' } },
  });
  t.is(stdout, 'no\nno\nyes\nyes\n');
});
huskOnly('a tmpfs takes the mode of the folder', (t, user) =>
  t.is(
    husk(user, {
      command: ['stat', '-c', '%a', '/tmp', '/secret', '/v'],
      options: { tmpfs: { '/tmp': '', '/secret': '', '/v': 'mode=711' } },
    }).stdout,
    '1777\n700\n711\n',
  ),
);
huskOnly('what is written goes to the upper layer', (t, user) => {
  husk(user, { command: ['sh', '-c', 'echo new > /etc/new; rm /etc/group'] });
  t.true(existsSync(join(user.home, 'container/upper/etc/new')));
  t.false(existsSync(join(user.tree, 'etc/new')));
  t.is(husk(user, { command: ['sh', '-c', 'cat /etc/new; ls /etc/group 2>/dev/null'] }).stdout, 'new\n');
});
huskOnly('a bind mount, read-only with all below it', (t, user) => {
  mkdirSync(join(user.home, 'shared/below'), { recursive: true });
  execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, join(user.home, 'shared')]);
  const mounts = [
    { type: 'bind' as const, source: join(user.home, 'shared'), destination: '/ro', readonly: true, options: [] },
    {
      type: 'bind' as const,
      source: join(user.home, 'shared'),
      destination: '/made/on/the/way',
      readonly: false,
      options: [],
    },
  ];
  t.is(
    husk(user, {
      command: ['sh', '-c', 'touch /ro/x 2>/dev/null || echo no; touch /made/on/the/way/y && ls /ro'],
      config: { mounts },
    }).stdout,
    'no\nbelow\ny\n',
  );
});
huskOnly('a link in the image leads nowhere outside', (t, user) => {
  // the attack: the image's /v is a link to the host's folder, and a mount or file goes there
  const outside = join(user.home, 'outside');
  mkdirSync(outside);
  execFileSync('rm', ['-r', join(user.tree, 'v')]);
  execFileSync('ln', ['-s', `../../../../../../../..${outside}`, join(user.tree, 'v')]);
  const { stdout } = husk(user, {
    command: ['sh', '-c', 'touch /v/inside && ls /v'],
    options: { tmpfs: { '/v/deep': '' } },
  });
  t.is(stdout, 'deep\ninside\n');
  t.false(existsSync(join(outside, 'inside')));
  t.false(existsSync(join(outside, 'deep')));
});
for (const target of ['proc', 'sys'])
  huskOnly(`a link at /${target} is refused (CVE-2019-16884)`, (t, user) => {
    execFileSync('rm', ['-rf', join(user.tree, target)]);
    execFileSync('ln', ['-s', '/tmp', join(user.tree, target)]);
    const { status, stderr } = husk(user, { command: ['true'] });
    t.is(status, 125);
    t.regex(stderr, new RegExp(`/${target}`));
  });
for (const [command, status] of [
  ['nope', 127],
  ['/nope', 127],
  ['/etc', 126],
  ['/etc/passwd', 126],
] as const)
  huskOnly(`${command} ends with ${status}`, (t, user) => t.is(husk(user, { command: [command] }).status, status));
huskOnly('an unknown user', (t, user) =>
  t.like(husk(user, { command: ['true'], options: { user: 'nobody-here' } }), {
    stderr: 'unable to find user nobody-here: no matching entries in passwd file\n',
  }),
);
huskOnly('sysctls and names', (t, user) =>
  t.is(
    husk(user, {
      command: ['sh', '-c', 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/domainname; hostname'],
      options: { hostname: 'me', domainname: 'example' },
    }).stdout,
    '0\nexample\nme\n',
  ),
);
huskOnly('a private network has a loopback that is up', (t, user) =>
  t.regex(husk(user, { command: ['busybox', 'ip', 'addr'] }).stdout, /lo: <LOOPBACK,UP/),
);

/**
 * The keeper of a network, its pin, and pasta: who goes when, whoever is killed (keeper-driver.ts carries the cases
 * out). By root and by an ordinary user with a stand-in for pasta, and by root with pasta itself.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { coverable } from '../../src/network/keeper.ts';
import { findProgram } from '../../src/rootless/programs.ts';
import { ordinaryUser, ROOT, TIMEOUT } from '../fixtures/user.ts';

execFileSync('make', ['-s', '-C', join(ROOT, 'guest/net')]);

const AS_ROOT = process.getuid!() === 0;
const NONE = '0000000000000000';

const ARGUMENTS = [
  ['--config-net', '--interface', 'lo', '--ns-ifname', 'out', '--mac-addr', '02:42:a9:fe:02:02', '--mtu', '65520'],
  ['--address', '169.254.2.2', '--netmask', '30', '--gateway', '169.254.2.1'],
  ['--address', 'fd00:2::2', '--gateway', 'fd00:2::1'],
  ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--no-map-gw', '--dns-forward', '169.254.1.1'],
  ['--no-dhcp', '--no-dhcpv6', '--no-ra', '--no-ndp', '--quiet', '--foreground', '--pid', '/proc/self/fd/1'],
].flat();
const BY_PATH = [
  '--runas',
  '0:0',
  '--no-netns-quit',
  '--userns',
  `${coverable()}/user`,
  '--netns',
  `${coverable()}/net`,
];

for (const [program, place] of [
  ['/usr/lib/husk/husk-net', '/tmp'],
  ['/tmp/husk/dist/husk-net', '/mnt'],
  ['/tmpx/husk-net', '/tmp'],
] as const)
  test(`of a husk at ${program} ${place} is covered`, (t) => t.is(coverable(program), place));

const STAND_IN = (last: readonly string[]) => ({
  'the way out': true,
  'its arguments': [...ARGUMENTS, ...last],
  'what it holds': [true, true, true],
  // effective and permitted capabilities, no_new_privs
  'the pin can do nothing': [NONE, NONE, '1'],
  'and shows its namespaces': true,
  'pasta killed: it is started again': true,
  'a port is left: it stays': true,
  'the last port goes: all go': true,
  'the keeper killed: pasta and pin go': true,
  'and the network stays': true,
  // which this one refuses, and the keeper is there all the same
  'systemd is asked to take both out of a service': ['--user', true, true],
  'the pin killed: keeper and pasta go': true,
  'a pasta that fails is tried again': true,
  'and its reason is told to anybody': 'Failed to open() /dev/net/tun',
  'of no other process': [null, null],
  'while the keeper stays': true,
  'and goes as any other': true,
  'nobody waits for its way out any longer': 'cannot keep the network: husk-net ended with status 0',
  'no such pasta, and a signal ends it': true,
  'without a way out': [],
});
const REAL = {
  'addresses of out': '169.254.2.2/30',
  'routes by out': 'default via 169.254.2.1 dev out',
  'the host by its address': 'reached',
  "the host's loopback": ['', ''],
  'pasta killed: it is started again': true,
  'the keeper killed: pasta and pin go': true,
  'and the network stays': true,
};

const driver = (...args: string[]): [string, ...string[]] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, 'keeper-driver.ts'),
  ...args,
];
const asRoot = (command: [string, ...string[]]) =>
  spawnSync(command[0], command.slice(1), { encoding: 'utf8', timeout: TIMEOUT, cwd: '/' });
const asUser = (command: string[]) => {
  using user = ordinaryUser();
  return user.run(command);
};

/** as an ordinary user, on a machine where everybody may open /dev/net/tun */
function asUserWithTun(command: string[]) {
  using user = ordinaryUser();
  const script = `set -e; mount -t tmpfs none /mnt; mknod -m 666 /mnt/tun c 10 200
    mount --bind /mnt/tun /dev/net/tun; umount -l /mnt
    exec setpriv --reuid ${user.uid} --regid ${user.gid} --init-groups "$@"`;
  const { env, home } = user;
  return spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', ...command], {
    env,
    cwd: home,
    encoding: 'utf8',
    timeout: TIMEOUT,
  });
}

function results(t: ExecutionContext, { stdout, stderr }: { stdout: string; stderr: string }): Map<string, unknown> {
  t.is(stderr, '');
  return new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; value: unknown })
      .map(({ name, value }) => [name, value]),
  );
}

const isKeeper = (pid: number) => /husk-net\0keep\0/.test(commandLine(pid));
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

for (const [who, run, last] of [
  ...(AS_ROOT ? ([['root', asRoot, BY_PATH]] as const) : []),
  ['user', asUser, ['PIN']] as const,
])
  test.serial(`a network is kept for as long as it is used (${who})`, async (t) => {
    t.timeout(TIMEOUT);
    const came = results(t, run(driver()));
    const [keeper, pin] = (came.get('outlives') ?? []) as [number, number];
    came.delete('outlives');
    t.deepEqual(Object.fromEntries(came), STAND_IN(last));
    // whoever started it has ended, and what had made the network
    t.true(isKeeper(keeper));
    process.kill(keeper);
    for (const end = Date.now() + TIMEOUT; Date.now() < end && commandLine(pin) !== '';)
      await new Promise((after) => setTimeout(after, 5));
    t.false(isKeeper(keeper));
    t.is(commandLine(pin), '');
  });

const hasPasta = AS_ROOT && findProgram('pasta', '/usr/bin') && existsSync('/dev/net/tun');
const real = hasPasta ? test.serial : test.serial.skip;
const needed = hasPasta ? '' : ': needs root, pasta and /dev/net/tun';
for (const [who, run] of [
  ['root', asRoot],
  ['user', asUserWithTun],
] as const)
  real(`pasta itself: out by one address, never to the host, and started again (${who}${needed})`, (t) => {
    t.timeout(TIMEOUT);
    t.deepEqual(Object.fromEntries(results(t, run(driver('real')))), REAL);
  });

/**
 * Cases of the keeper, carried out by whoever runs this, with a stand-in for pasta (/dev/net/tun is not for everybody),
 * or with `real` pasta; each prints one line of JSON: its name and what came of it. Its last keeper outlives it.
 * Started by keeper.test.ts, which says what is right. Not a test itself.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { CLONE_NEWNET, CLONE_NEWUSER } from '../../src/container/namespaces.ts';
import { open, type Fd } from '../../src/host/fd.ts';
import { receive, seqpacketPair } from '../../src/host/streams/socket.ts';
import { FIRST_INHERITED } from '../../src/launch/executor.ts';
import {
  KEEPER_FD,
  pastaCommand,
  startKeeper,
  startPin,
  type Keeper,
  type KeeperOptions,
  type Pin,
} from '../../src/network/keeper.ts';
import { reasonOfKeeper } from '../../src/network/readiness.ts';
import { hostInterface } from '../../src/network/host-interface.ts';
import { runInUserNamespace } from '../../src/rootless/namespace.ts';

const REAL = process.argv[2] === 'real';
const folder = mkdtempSync('/var/tmp/husk-keeper-');
chmodSync(folder, 0o755);
const say = (name: string, value: unknown) => console.log(JSON.stringify({ name, value }));

async function until(done: () => boolean): Promise<boolean> {
  for (const end = performance.now() + 60_000; performance.now() < end;) {
    if (done()) return true;
    await new Promise((after) => setTimeout(after, 5));
  }
  return done();
}

const read = (file: string): string => {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
};
const isGone = (pid: number) => !existsSync(`/proc/${pid}`) || /^State:\tZ/m.test(read(`/proc/${pid}/status`));
const childrenOf = (pid: number) =>
  read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);

// a network: namespaces, a bridge, and sockets made in there
const { near, far } = seqpacketPair();
const inside = runInUserNamespace({
  program: [
    'unshare',
    '--net',
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    join(import.meta.dirname, 'network-inside.ts'),
    String(FIRST_INHERITED),
  ],
  stdin: 'pipe',
  inherit: [far.number],
});
far.close();
const pid = await inside.pid;
const routes = await new Promise<Fd[]>((done, failed) => {
  const again = () => {
    const message = receive(near.number);
    if (message === null) failed(new Error('the network was not made'));
    else if (message) done(message.fds);
    else setTimeout(again, 5);
  };
  again();
});
const users = open(`/proc/${pid}/ns/user`, 0);
const namespace = open(`/proc/${pid}/ns/net`, 0);
const enter = ['--target', String(pid), '--user', '--net'];
const ip = (...args: string[]) =>
  spawnSync('nsenter', [...enter, '/usr/sbin/ip', ...args], { encoding: 'utf8' }).stdout;
const hasLink = (name: string) => ip('-o', 'link', 'show', 'dev', name) !== '';
function addPort(name: string): void {
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-far`);
  ip('link', 'set', name, 'master', 'br0');
}

/** argv in a file, an interface, its pid to stdout once that is there, and one more line in the other file */
const standIn = join(folder, 'pasta');
writeFileSync(
  standIn,
  `#!/bin/sh
printf '%s\\n' "$@" >${folder}/arguments
for last; do :; done
case $last in /*) where="--user=/tmp/user --net=/tmp/net" ;; *) where="--target $last --user --net" ;; esac
nsenter $where sh -c '
  /usr/sbin/ip link delete out 2>/dev/null
  /usr/sbin/ip link add out type bridge && /usr/sbin/ip link set out up' || exit 1
echo $$ >>${folder}/starts
echo $$
exec sleep 1000
`,
  { mode: 0o755 },
);
const failing = join(folder, 'failing');
writeFileSync(failing, `#!/bin/sh\necho $$ >>${folder}/failures\necho 'Failed to open() /dev/net/tun' >&2\nexit 1\n`, {
  mode: 0o755,
});
const ipv6From = REAL ? hostInterface()?.ipv6 && hostInterface()!.name : 'lo';
const starts = () => read(join(folder, 'starts')).split('\n').filter(Boolean).map(Number);

/** a systemd that refuses, its argv in a file */
writeFileSync(join(folder, 'busctl'), `#!/bin/sh\nprintf '%s\\n' "$@" >${folder}/asked\necho no >&2\nexit 1\n`, {
  mode: 0o755,
});

async function begin(
  program: string | undefined,
  { linger = 50, manager }: Pick<KeeperOptions, 'linger' | 'manager'> = {},
): Promise<{ keeper: Keeper; pin: Pin }> {
  const pin = await startPin(
    [
      { op: 'setns', path: `/proc/self/fd/${FIRST_INHERITED}`, type: CLONE_NEWUSER },
      { op: 'setns', path: `/proc/self/fd/${FIRST_INHERITED + 1}`, type: CLONE_NEWNET },
    ],
    { inherit: [users, namespace] },
  );
  const route = routes.pop()!;
  const pasta =
    program === undefined
      ? undefined
      : pastaCommand({
          pin,
          mac: '02:42:a9:fe:02:02',
          ...(ipv6From && { ipv6From }),
          resolvConf: 'nameserver 127.0.0.53',
          program,
        });
  const keeper = await startKeeper({
    route,
    namespace,
    users,
    pin,
    ...(pasta && { pasta }),
    linger,
    ...(manager && { manager }),
  });
  // the keeper's from here on
  route.close();
  pin.socket.close();
  return { keeper, pin };
}

if (REAL) {
  const { keeper, pin } = await begin('pasta');
  await keeper.out;
  const addresses = ip('-o', 'addr', 'show', 'dev', 'out');
  const all = [...addresses.matchAll(/inet6? (?!fe80)(\S+)/g)].map(([, address]) => address);
  say('addresses of out', all.join(' ').replace(ipv6From ? ' fd00:2::2/64' : ' ', ''));
  say('routes by out', ip('route', 'show', 'default').trim().split(' ').slice(0, 5).join(' '));
  // a server of this host's, reached by its own address; and its loopback by none
  const server = createServer((socket) => socket.end('reached')).listen(0, '0.0.0.0');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const own = Object.values(networkInterfaces())
    .flat()
    .find((info) => info?.family === 'IPv4' && !info.internal)?.address;
  const reach = async (address: string) => {
    const { spawn } = await import('node:child_process');
    const code = `require('node:net').connect(${port}, '${address}').on('data', (d) => process.stdout.write(d)).on('error', () => {}).setTimeout(2000, function () { this.destroy(); })`;
    const child = spawn('nsenter', [...enter, process.execPath, '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => (text += part));
    await once(child, 'close');
    return text;
  };
  say('the host by its address', own === undefined ? 'reached' : await reach(own));
  say("the host's loopback", await Promise.all([reach('169.254.2.1'), reach('127.0.0.1')]));
  server.close();
  const [first] = childrenOf(keeper.pid);
  process.kill(first!, 'SIGKILL');
  say(
    'pasta killed: it is started again',
    await until(() => childrenOf(keeper.pid)[0] !== first && ip('route').includes('dev out')),
  );
  const [second] = childrenOf(keeper.pid);
  process.kill(keeper.pid, 'SIGKILL');
  say('the keeper killed: pasta and pin go', await until(() => isGone(second!) && isGone(pin.pid)));
  say('and the network stays', hasLink('br0') && !hasLink('out'));
  rmSync(folder, { recursive: true });
  process.exit(0);
}

{
  const { keeper, pin } = await begin(standIn);
  await keeper.out;
  say('the way out', ip('-o', 'link', 'show', 'dev', 'out').includes('UP'));
  say('its arguments', read(join(folder, 'arguments')).trim().replace(String(pin.pid), 'PIN').split('\n'));
  const link = (number: number) => readlinkSync(`/proc/${keeper.pid}/fd/${number}`);
  say('what it holds', [
    link(KEEPER_FD.network) === readlinkSync(`/proc/${pid}/ns/net`),
    link(KEEPER_FD.users) === readlinkSync(`/proc/${pid}/ns/user`),
    readdirSync(`/proc/${keeper.pid}/fd`).length <= 9,
  ]);
  const fields = (process: number) =>
    ['CapEff', 'CapPrm', 'NoNewPrivs'].map(
      (name) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(read(`/proc/${process}/status`))?.[1],
    );
  say('the pin can do nothing', fields(pin.pid));
  say('and shows its namespaces', readlinkSync(`/proc/${pin.pid}/ns/net`) === readlinkSync(`/proc/${pid}/ns/net`));
  const [first] = childrenOf(keeper.pid);
  process.kill(first!, 'SIGKILL');
  say('pasta killed: it is started again', await until(() => starts().length === 2));
  addPort('v1');
  addPort('v2');
  ip('link', 'delete', 'v1');
  process.kill(childrenOf(keeper.pid)[0]!, 'SIGKILL');
  say('a port is left: it stays', await until(() => starts().length === 3));
  const last = starts().at(-1)!;
  ip('link', 'delete', 'v2');
  say('the last port goes: all go', await until(() => [keeper.pid, pin.pid, last].every(isGone)));
  keeper[Symbol.dispose]();
}
{
  const { keeper, pin } = await begin(standIn);
  await keeper.out;
  const pasta = starts().at(-1)!;
  process.kill(keeper.pid, 'SIGKILL');
  say('the keeper killed: pasta and pin go', await until(() => isGone(pasta) && isGone(pin.pid)));
  say('and the network stays', hasLink('br0'));
  keeper[Symbol.dispose]();
}
{
  process.env['PATH'] = `${folder}:${process.env['PATH']}`;
  const { keeper, pin } = await begin(standIn, { manager: 'user' });
  await keeper.out;
  const asked = read(join(folder, 'asked')).split('\n');
  say('systemd is asked to take both out of a service', [
    asked[0],
    asked.includes(`husk-keeper-${keeper.pid}.scope`),
    asked.slice(asked.indexOf('PIDs')).slice(2, 5).join() === `2,${keeper.pid},${pin.pid}`,
  ]);
  const pasta = starts().at(-1)!;
  process.kill(pin.pid, 'SIGKILL');
  say('the pin killed: keeper and pasta go', await until(() => isGone(keeper.pid) && isGone(pasta)));
  keeper[Symbol.dispose]();
}
{
  const { keeper, pin } = await begin(failing);
  const failures = () => read(join(folder, 'failures')).split('\n').filter(Boolean).length;
  say('a pasta that fails is tried again', await until(() => failures() >= 3));
  say('and its reason is told to anybody', reasonOfKeeper(keeper.pid));
  say('of no other process', [pin.pid, process.pid].map(reasonOfKeeper));
  say('while the keeper stays', !isGone(keeper.pid));
  addPort('v3');
  ip('link', 'delete', 'v3');
  say('and goes as any other', await until(() => isGone(keeper.pid) && isGone(pin.pid)));
  say('nobody waits for its way out any longer', await keeper.out.catch((error: Error) => error.message));
}
{
  const missing = await begin('/no/pasta');
  process.kill(missing.keeper.pid, 'SIGTERM');
  say('no such pasta, and a signal ends it', await until(() => isGone(missing.keeper.pid) && isGone(missing.pin.pid)));
}
{
  const { keeper, pin } = await begin(undefined);
  say('without a way out', childrenOf(keeper.pid));
  say('outlives', [keeper.pid, pin.pid]);
}
rmSync(folder, { recursive: true });
process.exit(0);

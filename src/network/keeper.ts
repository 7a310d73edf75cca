/**
 * The keeper of a network: `husk-net keep` in the host's namespaces holds the network's, runs pasta for the way out,
 * and goes when no container is left. It outlives whoever starts it. Beside it sits the pin, a process that lives in
 * the namespaces so that pasta can be given a pid. Neither is ever told anything after its start.
 */
import { existsSync, realpathSync } from 'node:fs';
import type { Scope } from '../container/cgroup/systemd-scope.ts';
import { CLONE_NEWNS } from '../container/namespaces.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { streamPair } from '../host/streams/socket.ts';
import { FIRST_INHERITED, launch, type Launched, type Sockets } from '../launch/executor.ts';
import { MS_BIND, MS_PRIVATE, MS_REC } from '../launch/mount-options.ts';
import type { Step } from '../launch/plan.ts';
import { INIT_PROGRAM, NET_PROGRAM } from '../program.ts';
import { keeperScope, leavingService } from './keeper-scope.ts';
import { openSaid, PID_FILE } from './readiness.ts';
import { dnsForward } from './way-out.ts';

/** where /proc/KEEPER/fd has a network's namespaces: guest/net/keep.c */
export const KEEPER_FD = { network: 4, users: 5 } as const;
/** ms from the last container's end: one `run --rm` after another finds the network warm */
const LINGER = 3000;
/** pasta's interface in the network, and the network's only way out */
const OUT_INTERFACE = 'out';
/** bytes of payload in a frame: long frames are few frames */
const MTU = 65_520;
/** folders that systems have and pasta has no need of: one is covered by a tmpfs in the keeper's own mount namespace */
const PLACES = ['/tmp', '/mnt', '/media'];
const SIGKILL = 9;
/** characters of its stdout that are looked at: two words, one of them again and again */
const MAX_WORDS = 1024;

/** A process in the network's namespaces, and the socket whose last copy ends it. */
export interface Pin {
  pid: number;
  socket: Fd;
}

export interface KeeperOptions {
  /** a socket of rtnetlink(7) made in the network's namespace, the keeper's alone: who shares one reads its answers */
  route: Fd;
  namespace: Fd;
  users: Fd;
  pin: Pin;
  /** argv of pasta (`pastaCommand`); absent: an internal network, or a host without a way out */
  pasta?: readonly string[];
  /** ms */
  linger?: number;
  /** whose systemd is to take it out of the service that it is started in; @default if it is in one, as can be told */
  manager?: Scope['manager'];
}

export interface Keeper extends Disposable {
  readonly pid: number;
  /** resolves when the way out is there, with pasta's interface configured; rejects when the keeper ends before that */
  readonly out: Promise<void>;
}

/**
 * Starts a keeper; resolves when it watches. The descriptors stay the caller's; what is disposed of is the listening to
 * it, never the keeper.
 * @throws HuskError
 */
export async function startKeeper(options: KeeperOptions): Promise<Keeper> {
  using unwound = new DisposableStack();
  using said = openSaid();
  const descriptors = [options.route, options.namespace, options.users, options.pin.socket];
  const manager = options.manager ?? leavingService();
  const launched = launch(
    [
      // before pasta is, which stays where the keeper is when it starts it
      ...(manager === undefined ? [] : [{ op: 'await', tag: 'cgroup' } as const]),
      // it outlives the command that starts it, and is no part of its terminal
      { op: 'parentDeathSignal', signal: 0 },
      { op: 'setsid' },
      ...(options.pasta && process.getuid!() === 0 ? bindNamespaces(options.pin.pid) : []),
      { op: 'closeFrom', fd: FIRST_INHERITED + descriptors.length },
      { op: 'environment', env: [`PATH=${process.env['PATH'] ?? ''}:/usr/bin:/bin`, 'LC_ALL=C'] },
      { op: 'exec', args: keeperCommand(options) },
    ],
    {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 'pipe',
      stderr: said.number,
      inherit: descriptors.map(({ number }) => number),
      detached: true,
      onAwait: (_tag, pid) => leaveService(keeperScope(manager!, pid, options.pin.pid)),
    },
  );
  unwound.defer(() => launched.stdout!.destroy());
  const { ready, out } = words(launched);
  // a caller may never wait for the way out
  out.catch(() => {});
  await launched.started;
  await ready;
  const pid = await launched.pid;
  const held = unwound.move();
  return { pid, out, [Symbol.dispose]: () => held.dispose() };
}

/** Where systemd refuses, the keeper stays in the service: with its end the network is as after kill -9 of a keeper. */
async function leaveService(scope: Scope): Promise<void> {
  const { enterScope } = await import('../container/cgroup/systemd-scope.ts');
  await enterScope(scope).catch(() => {});
}

function keeperCommand({ pin, pasta = [], linger = LINGER }: KeeperOptions): string[] {
  const descriptors = [0, 1, 2, 3].map((index) => String(FIRST_INHERITED + index));
  return [NET_PROGRAM, 'keep', String(linger), ...descriptors, String(pin.pid), ...pasta];
}

/** Its stdout: `ready` when it watches, `out` each time the way out is there. */
function words(launched: Launched): { ready: Promise<void>; out: Promise<void> } {
  const [ready, out] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let text = '';
  launched.stdout!.setEncoding('utf8').on('data', (more: string) => {
    text = (text + more).slice(-MAX_WORDS);
    if (text.includes('ready\n')) ready.resolve();
    if (text.includes('out\n')) out.resolve();
  });
  void launched.exited.then(({ code }) => {
    const error = new HuskError(`cannot keep the network: husk-net ended with status ${code}`, {
      kind: 'start-failed',
      exitCode: EXIT_HUSK_FAILED,
    });
    ready.reject(error);
    out.reject(error);
  });
  ready.promise.catch(() => {});
  return { ready: ready.promise, out: out.promise };
}

/** A pin as it is started: its socket and the keeper's are the caller's to dispose of, once the keeper has them. */
export interface StartedPin extends Pin, Disposable {
  /** of rtnetlink(7), made in the network's namespace: the keeper's alone */
  readonly route: Fd;
  /** Ends it, and a keeper that was started with it. */
  end(): void;
}

/**
 * Puts a pin into namespaces that have none, or none any longer.
 * @param into what leads into them, or makes them on the way
 * @param options.inherit descriptors that these steps need, from FIRST_INHERITED on
 * @param options.onSockets is given what they make
 * @throws LaunchError
 */
export async function startPin(
  into: readonly Step[],
  { inherit, onSockets }: { inherit: readonly Fd[]; onSockets?: (sockets: Sockets) => void },
): Promise<StartedPin> {
  using unwound = new DisposableStack();
  const { near, far } = streamPair();
  unwound.use(near);
  let route: Fd | undefined;
  using theirs = far;
  // the last `sockets` step is the one for the keeper
  let left = into.filter(({ op }) => op === 'sockets').length;
  const launched = launch(
    [
      { op: 'parentDeathSignal', signal: 0 },
      { op: 'setsid' },
      ...into,
      { op: 'sockets', make: ['rtnetlink'] },
      // which are closed by the pin: before that they are needed here
      { op: 'closeFrom', fd: FIRST_INHERITED + inherit.length },
      { op: 'environment', env: [] },
      { op: 'exec', args: [NET_PROGRAM, 'pin'] },
    ],
    {
      init: INIT_PROGRAM,
      stdin: theirs.number,
      stdout: 'null',
      stderr: 'null',
      inherit: inherit.map(({ number }) => number),
      detached: true,
      onSockets: (sockets) => {
        if (left-- > 0) onSockets?.(sockets);
        else route = unwound.use(sockets.rtnetlink!);
      },
    },
  );
  await launched.started;
  const pid = await launched.pid;
  const held = unwound.move();
  return {
    pid,
    socket: near,
    route: route!,
    end: () => launched.signal(SIGKILL),
    [Symbol.dispose]: () => held.dispose(),
  };
}

/** What pasta needs to know of a network. */
export interface WayOut {
  pin: Pin;
  /** six bytes of text: pasta's own on `out`, for the loopback interface has none to copy */
  mac: string;
  /**
   * the host's interface with a default route of IPv6; absent: IPv4 alone. pasta copies a link-local address from it,
   * which the loopback interface has none of, and without one has no IPv6
   */
  ipv6From?: string;
  /** the host's resolv.conf(5): a resolver on the host's loopback is reached by pasta's forwarder */
  resolvConf: string;
  /** full path; @default found by $PATH */
  program?: string;
}

/**
 * Argv of pasta. Its template is the host's loopback interface, so that it starts on a host without any route and works
 * once one comes (with IPv6 it needs the interface, not its route); masquerade hides the network behind the one address
 * that `out` has.
 */
export function pastaCommand({ pin, mac, ipv6From, resolvConf, program = 'pasta' }: WayOut): string[] {
  const template = [
    '--interface',
    ipv6From ?? 'lo',
    '--ns-ifname',
    OUT_INTERFACE,
    '--mac-addr',
    mac,
    '--mtu',
    String(MTU),
  ];
  const ipv4 = ['--address', '169.254.2.2', '--netmask', '30', '--gateway', '169.254.2.1'];
  const both = ipv6From ? ['--address', 'fd00:2::2', '--gateway', 'fd00:2::1'] : ['--ipv4-only'];
  // in: nothing. out: never to the host itself, neither by its loopback nor by the gateway's address
  const rules = ['-t', '-u', '-T', '-U'].flatMap((direction) => [direction, 'none']);
  const noServers = ['--no-dhcp', '--no-dhcpv6', '--no-ra', '--no-ndp'];
  return [
    program,
    '--config-net',
    ...template,
    ...ipv4,
    ...both,
    ...rules,
    '--no-map-gw',
    ...dnsForward(resolvConf),
    ...noServers,
    '--quiet',
    '--foreground',
    // its pid is written once everything is set up: to the keeper, as a sign of it
    '--pid',
    PID_FILE,
    ...(process.getuid!() === 0
      ? ['--runas', '0:0', '--no-netns-quit', '--userns', `${coverable()}/user`, '--netns', `${coverable()}/net`]
      : [String(pin.pid)]),
  ];
}

/**
 * @param program what is executed once the folder is covered: husk may lie in one of them itself
 * @returns the first of PLACES that is there and has not the program in it
 * @throws HuskError `unsupported` when there is none
 */
export function coverable(program = NET_PROGRAM): string {
  const real = existsSync(program) ? realpathSync(program) : program;
  const place = PLACES.find(
    (folder) => existsSync(folder) && ![program, real].some((path) => path.startsWith(`${folder}/`)),
  );
  if (place !== undefined) return place;
  throw new HuskError(`cannot keep a network: none of ${PLACES.join(', ')} is a folder without husk's own files`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix: 'mkdir /mnt',
  });
}

/**
 * Started by root, pasta gives up CAP_SYS_PTRACE first of all things, without which another uid's /proc/PID/ns is
 * closed to it. So the two namespaces are bound where it can open them, in a mount namespace of the keeper's own.
 */
function bindNamespaces(pid: number): Step[] {
  const place = coverable();
  const bind = (type: string): Step[] => [
    { op: 'writeFile', path: `${place}/${type}`, content: '', create: true },
    {
      op: 'mount',
      source: `/proc/${pid}/ns/${type}`,
      target: `${place}/${type}`,
      fstype: '',
      flags: MS_BIND,
      data: '',
    },
  ];
  return [
    { op: 'unshare', flags: CLONE_NEWNS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | MS_PRIVATE, data: '' },
    { op: 'mount', source: 'husk', target: place, fstype: 'tmpfs', flags: 0, data: 'mode=700' },
    ...bind('user'),
    ...bind('net'),
  ];
}

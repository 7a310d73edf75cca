/**
 * The network namespace of a network, below the user's own user namespace: found, or made, with what is set in it by
 * sysctl; and the sockets by which this process, outside, sets up links and rules in it. Knows no link, address or
 * rule.
 *
 * Found by way of its keeper, then of any member that holds it. One at a time does so (a lock in the runtime folder),
 * until the network has a keeper again.
 */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { CLONE_NEWNET, CLONE_NEWUSER } from '../container/namespaces.ts';
import { HuskError } from '../errors.ts';
import { open, type Fd } from '../host/fd.ts';
import { waitForLock } from '../host/files/flock.ts';
import { namespaceName, owningNamespace } from '../host/kernel/namespace.ts';
import { networkCookie } from '../host/streams/socket.ts';
import { FIRST_INHERITED, launch, type Sockets } from '../launch/executor.ts';
import { explainLaunchError } from '../launch/failure.ts';
import type { SocketKind, Step } from '../launch/plan.ts';
import { INIT_PROGRAM } from '../program.ts';
import { KEEPER_FD, startPin, type Pin, type StartedPin } from './keeper.ts';
import { NAME_SERVER } from './names/address.ts';
import {
  enterUsersNamespace,
  holdUsersNamespace,
  noteHolder,
  usersNamespaceOf,
  type UsersNamespace,
} from '../rootless/users-namespace.ts';
import { makeRuntimeFolder } from '../runtime-folder.ts';
import { identifySelf, isAlive, type ProcessIdentity } from '../state/process-identity.ts';

/** What is written down of a network that runs. */
interface NetworkRuntime {
  bootId: string;
  /** of its namespace, as its descriptors are called: the N of `net:[N]` */
  inode: number;
  /** of its namespace, and of no other in this boot: an inode is another's as soon as it is free */
  cookie?: string;
  keeper: ProcessIdentity;
}

export interface NetworkPlace {
  dataRoot: string;
  runtimeDir: string;
  /** the network has IPv6 */
  ipv6: boolean;
  load(): NetworkRuntime | undefined;
  save(runtime: NetworkRuntime): void;
  /** processes that may hold the namespace: supervisors of its containers */
  members(): Iterable<number>;
  /**
   * told of the user namespace as soon as it is known, long before the network is open: a container may be made in
   * it
   */
  inUsers?: (users: UsersNamespace) => void;
  /**
   * mends what is not as it should be, of one that is found too; nobody else is let to it meanwhile. When it throws, a
   * keeper that was started is ended
   */
  furnish?: (network: OpenNetwork) => void;
  /**
   * starts a keeper, which has a descriptor of the namespace as KEEPER_FD.network and of the users' as KEEPER_FD.users;
   * called before `furnish`, so that the way out comes meanwhile: what is sent by it finds no bridge yet
   */
  keep(network: OpenNetwork, pin: Pin & { readonly route: Fd }): Promise<ProcessIdentity>;
}

export interface OpenNetwork extends Disposable {
  /** an rtnetlink(7) socket of the namespace */
  readonly route: Fd;
  /** an nfnetlink socket of it */
  readonly nftables: Fd;
  readonly namespace: Fd;
  /** that the containers of this network must be in */
  readonly users: UsersNamespace;
  /** nothing is in it yet */
  readonly isNew: boolean;
}

/** ms: as long as it takes to make a namespace and start a keeper */
const LOCK_TIMEOUT = 30_000;
/** what a container's end of a network is set up with: its own links, its rules, and its name server's sockets */
export const ENDPOINT_SOCKETS = {
  op: 'sockets',
  make: ['rtnetlink', 'netfilter', 'udp', 'tcp', 'network-namespace'],
  address: NAME_SERVER,
} as const satisfies Step;

/**
 * @throws HuskError `unsupported` where this host or user can have no namespaces, `unavailable` when another process
 * holds the lock for too long
 */
export async function openNetwork(place: NetworkPlace): Promise<OpenNetwork> {
  makeRuntimeFolder(place.runtimeDir);
  using _lock = await lockNetworks(join(place.runtimeDir, 'networks.lock'));
  const runtime = place.load();
  const here = runtime?.bootId === identifySelf().bootId ? runtime : undefined;
  const isKept = here !== undefined && isAlive(here.keeper);
  using making = new DisposableStack();
  const found = here && (await find(here, isKept, place));
  if (found) making.use(found);
  const users = found ? usersNamespaceOf(owningNamespace(found.number)) : (await holdUsersNamespace(place.dataRoot))!;
  place.inUsers?.(users);
  const { network, pin } = await openSockets(users, { found, isKept, ipv6: place.ipv6 });
  making.use(network);
  using _pin = pin;
  const keeping = pin && place.keep(network, pin);
  try {
    place.furnish?.(network);
  } catch (error) {
    pin?.end();
    await keeping?.catch(() => {});
    throw error;
  }
  const keeper = await keeping;
  if (keeper) {
    await noteHolder(place.dataRoot, users, { pid: keeper.pid, fd: KEEPER_FD.users });
    const cookie = networkCookie(network.route.number);
    place.save({
      bootId: keeper.bootId,
      inode: inodeOf(network.namespace),
      ...(cookie !== undefined && { cookie }),
      keeper,
    });
  }
  making.move();
  found?.close();
  return network;
}

async function lockNetworks(file: string): Promise<Fd> {
  const lock = await waitForLock(file, LOCK_TIMEOUT);
  if (lock) return lock;
  throw new HuskError(`cannot lock ${file}: another husk process has held it for ${LOCK_TIMEOUT / 1000} s`, {
    kind: 'unavailable',
  });
}

/** A descriptor of the namespace, if anybody has one. */
async function find(runtime: NetworkRuntime, isKept: boolean, place: NetworkPlace): Promise<Fd | undefined> {
  const name = `net:[${runtime.inode}]`;
  const kept = isKept ? openNamespace(`/proc/${runtime.keeper.pid}/fd/${KEEPER_FD.network}`, name) : undefined;
  if (kept) return kept;
  for (const pid of place.members()) {
    const held = descriptorsOf(pid).find((path) => linkOf(path) === name);
    const fd = held === undefined ? undefined : openNamespace(held, name);
    if (fd && (await isSame(fd, runtime))) return fd;
    fd?.close();
  }
  return undefined;
}

/**
 * A member is on other networks too, and one of those may have the inode by now: two networks would be one. A keeper
 * that lives holds its own, whose inode is nobody else's.
 */
async function isSame(namespace: Fd, { cookie }: NetworkRuntime): Promise<boolean> {
  if (cookie === undefined) return true;
  using users = owner(namespace);
  if (!users) return false;
  const enter: Step[] = [
    { op: 'closeFrom', fd: FIRST_INHERITED + 1 },
    { op: 'setns', path: `/proc/self/fd/${FIRST_INHERITED}`, type: CLONE_NEWNET },
    { op: 'sockets', make: ['rtnetlink'] },
  ];
  const sockets = await socketsOf([enterUsersNamespace(usersNamespaceOf(users)), ...enter], namespace);
  using route = take(sockets, ['rtnetlink'])[0]!;
  return networkCookie(route.number) === cookie;
}

/** @returns undefined when it is not the user's */
function owner(namespace: Fd): Fd | undefined {
  try {
    return owningNamespace(namespace.number);
  } catch {
    return undefined;
  }
}

function descriptorsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
  } catch {
    return []; // it has ended
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** By the name before it is opened, since opening anything else may have effects, and after: that counts. */
function openNamespace(path: string, name: string): Fd | undefined {
  if (linkOf(path) !== name) return undefined;
  try {
    const fd = open(path, 0);
    if (namespaceName(fd.number) === name) return fd;
    fd.close();
  } catch {
    // it has ended meanwhile
  }
  return undefined;
}

const inodeOf = (namespace: Fd): number => Number(/\d+/.exec(namespaceName(namespace.number))![0]);

/** Who has entered the users' namespace cannot open what this process has: it brings the descriptor along. */
const enterInherited: Step[] = [
  { op: 'closeFrom', fd: FIRST_INHERITED + 1 },
  { op: 'setns', path: `/proc/self/fd/${FIRST_INHERITED}`, type: CLONE_NEWNET },
];

/**
 * @param options.found absent: a new namespace
 * @returns with what was made the process that has made it, which stays as the pin of a network that nobody keeps
 */
async function openSockets(
  users: UsersNamespace,
  { found, isKept, ipv6 }: { found: Fd | undefined; isKept: boolean; ipv6: boolean },
): Promise<{ network: OpenNetwork; pin: StartedPin | undefined }> {
  const enter: Step[] = found ? enterInherited : [{ op: 'unshare', flags: CLONE_NEWNET }, { op: 'loopbackUp' }];
  const steps: Step[] = [
    enterUsersNamespace(users),
    ...enter,
    ...sysctls(ipv6),
    { op: 'sockets', make: ['rtnetlink', 'netfilter', 'network-namespace'] },
  ];
  using unwound = new DisposableStack();
  const { sockets, pin } = found && isKept ? { sockets: await socketsOf(steps, found) } : await pinned(steps, found);
  if (pin) unwound.use(pin);
  const [route, nftables, namespace] = take(sockets, ['rtnetlink', 'netfilter', 'network-namespace']);
  unwound.move();
  const network = {
    route: route!,
    nftables: nftables!,
    namespace: namespace!,
    users,
    isNew: found === undefined,
    [Symbol.dispose]: () => [route, nftables, namespace].forEach((fd) => fd!.close()),
  };
  return { network, pin };
}

/** As `socketsOf`, and the process that has carried out the steps stays. */
async function pinned(steps: readonly Step[], inherited?: Fd): Promise<{ sockets: Sockets; pin?: StartedPin }> {
  let sockets: Sockets = {};
  try {
    const pin = await startPin(steps, {
      inherit: inherited ? [inherited] : [],
      onSockets: (made) => (sockets = made),
    });
    return { sockets, pin };
  } catch (error) {
    for (const fd of Object.values(sockets)) fd.close();
    throw explainLaunchError(error, 'create');
  }
}

/**
 * Also of one that is found: br_netfilter, loaded meanwhile, begins with 1 in every namespace. What this kernel has not
 * is passed over.
 */
function sysctls(ipv6: boolean): Step[] {
  const values: Record<string, number> = {
    'ipv4/ip_forward': 1,
    // a client's own address is the source of what the forwarder sends (asymmetric by nature)
    'ipv4/conf/all/rp_filter': 0,
    'ipv4/conf/default/rp_filter': 0,
    'ipv6/conf/all/accept_ra': 0,
    'ipv6/conf/default/accept_ra': 0,
    'ipv6/conf/all/disable_ipv6': ipv6 ? 0 : 1,
    'ipv6/conf/default/disable_ipv6': ipv6 ? 0 : 1,
    'ipv6/conf/all/forwarding': ipv6 ? 1 : 0,
    'bridge/bridge-nf-call-iptables': 0,
    'bridge/bridge-nf-call-ip6tables': 0,
    'bridge/bridge-nf-call-arptables': 0,
  };
  return Object.entries(values)
    .map(([name, value]) => ({ path: `/proc/sys/net/${name}`, value }))
    .filter(({ path }) => existsSync(path))
    .map(({ path, value }): Step => ({ op: 'writeFile', path, content: String(value) }));
}

/**
 * Sockets of the network namespace of a container that runs, for a network that it is connected to now.
 * @param pid of the process that stands for its namespaces
 */
export async function openEndpointSockets(pid: number): Promise<Sockets> {
  return socketsOf([{ op: 'setnsPid', pid, types: CLONE_NEWUSER | CLONE_NEWNET }, ENDPOINT_SOCKETS]);
}

/** One more nfnetlink socket of a network's namespace: for what the kernel sends by itself, or for another process. */
export async function openNetfilterSocket({ users, namespace }: Pick<OpenNetwork, 'users' | 'namespace'>): Promise<Fd> {
  const sockets = await socketsOf(
    [enterUsersNamespace(users), ...enterInherited, { op: 'sockets', make: ['netfilter'] }],
    namespace,
  );
  return take(sockets, ['netfilter'])[0]!;
}

/** What a plan that ends with these steps has made. @param inherited is FIRST_INHERITED there */
async function socketsOf(steps: readonly Step[], inherited?: Fd): Promise<Sockets> {
  let made: Sockets = {};
  const launched = launch([...steps, { op: 'exit' }], {
    init: INIT_PROGRAM,
    stdin: 'null',
    stdout: 'null',
    stderr: 'null',
    ...(inherited && { inherit: [inherited.number] }),
    onSockets: (sockets) => (made = sockets),
  });
  try {
    await launched.started;
    return made;
  } catch (error) {
    for (const fd of Object.values(made)) fd.close();
    throw explainLaunchError(error, 'create');
  }
}

function take(sockets: Sockets, kinds: readonly SocketKind[]): Fd[] {
  return kinds.map((kind) => {
    const fd = sockets[kind];
    if (!fd) throw new HuskError(`husk-init handed no ${kind} over`, { kind: 'internal' });
    return fd;
  });
}

/**
 * A network with containers that run: its namespace found or made, furnished with bridge and rules, and kept. Whoever
 * opens it mends what is not as it should be; nobody is its owner, and closing it changes nothing. Which containers are
 * on it is for leases to say.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Fd } from '../../host/fd.ts';
import { identify, type ProcessIdentity } from '../../state/process-identity.ts';
import type { UsersNamespace } from '../../rootless/users-namespace.ts';
import { mapTargets } from '../../host/streams/nftables.ts';
import { HuskError } from '../../errors.ts';
import type { NetworkSockets } from '../bridge.ts';
import { pastaCommand, startKeeper, type Keeper, type Pin } from '../keeper.ts';
import { openNetwork, type OpenNetwork } from '../namespace.ts';
import type { Network } from '../records/contract.ts';
import { leased } from '../records/leased.ts';
import { loadRuntime, saveRuntime } from '../records/runtime.ts';
import { PORTS } from '../rules.ts';
import { hostInterface } from '../host-interface.ts';
import { hostResolvConf, wayOutProblem } from '../way-out.ts';
import { furnish, mtuOf, type Furnished } from './furnish.ts';

/** pasta's on `out`: it has no neighbour but pasta */
const OUT_MAC = '02:42:a9:fe:02:02';

/** Where networks are written down. */
export interface NetworkHost {
  database: DatabaseSync;
  dataRoot: string;
  runtimeDir: string;
}

export interface ActiveNetwork extends Disposable {
  readonly network: Network;
  readonly sockets: NetworkSockets & { readonly bridge: number };
  readonly namespace: Fd;
  /** that its containers must be in */
  readonly users: UsersNamespace;
  readonly keeper: ProcessIdentity;
  /** bytes */
  readonly mtu: number;
  /** clients of published ports are shown as themselves; without nft_socket in the kernel, as the gateway */
  readonly transparent: boolean;
}

/** @param inUsers told of the user namespace, before the rest of it is done @throws HuskError */
export async function openActiveNetwork(
  network: Network,
  host: NetworkHost,
  inUsers?: (users: UsersNamespace) => void,
): Promise<ActiveNetwork> {
  const { database } = host;
  using unwound = new DisposableStack();
  let furnished: Furnished | undefined;
  const opened = await openNetwork({
    dataRoot: host.dataRoot,
    runtimeDir: host.runtimeDir,
    ipv6: network.ipv6,
    load: () => loadRuntime(database, network.id),
    save: (runtime) => saveRuntime(database, network.id, { ...runtime, version: furnished!.version }),
    ...(inUsers && { inUsers }),
    members: () => [process.pid, ...leased(database, network.id).map(({ claim }) => claim.pid)],
    furnish: (made) => {
      const before = made.isNew ? undefined : loadRuntime(database, network.id);
      furnished = furnish(network, made, { database, version: before?.version });
      if (before && before.version !== furnished.version)
        saveRuntime(database, network.id, { ...before, version: furnished.version });
    },
    keep: async (made, pin) => {
      const started = unwound.use(await startNetworkKeeper(network, made, pin));
      return identified(started.pid);
    },
  });
  unwound.use(opened);
  const runtime = loadRuntime(database, network.id);
  if (!runtime) throw new HuskError(`network ${network.name} was removed meanwhile`, { kind: 'not-found' });
  // whoever has the address of a container that was killed must not have its rules
  if (mapTargets(furnished!.sockets.nftables, PORTS, 'egress').length > 0)
    (await import('./stale-egress.ts')).removeStaleEgress(furnished!.sockets.nftables, network.id, database);
  const { namespace, users } = opened;
  const held = unwound.move();
  return {
    network,
    sockets: furnished!.sockets,
    namespace,
    users,
    keeper: runtime.keeper,
    mtu: mtuOf(network),
    transparent: furnished!.transparent,
    [Symbol.dispose]: () => held.dispose(),
  };
}

function identified(pid: number): ProcessIdentity {
  const identity = identify(pid);
  if (!identity) throw new HuskError('cannot keep the network: husk-net ended', { kind: 'start-failed' });
  return identity;
}

function startNetworkKeeper(
  network: Network,
  { namespace, users }: OpenNetwork,
  pin: Pin & { readonly route: Fd },
): Promise<Keeper> {
  const hasWayOut = !network.internal && wayOutProblem() === undefined;
  const ipv6From = network.ipv6 ? hostInterface() : undefined;
  return startKeeper({
    route: pin.route,
    namespace,
    users: users.fd,
    pin,
    ...(hasWayOut && {
      pasta: pastaCommand({
        pin,
        mac: OUT_MAC,
        ...(ipv6From?.ipv6 && { ipv6From: ipv6From.name }),
        resolvConf: hostResolvConf(),
      }),
    }),
  });
}

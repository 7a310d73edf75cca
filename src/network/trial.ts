/**
 * What networks need of this host's kernel, tried part by part in namespaces of the trial's own: for `husk doctor`.
 * Trying also loads what the kernel may load by itself. The namespaces go with the sockets by which they are looked at;
 * nothing else is made, and nothing of the user's is touched.
 */
import { CLONE_NEWNET } from '../container/namespaces.ts';
import { causeOf, HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { NetlinkError } from '../host/streams/netlink-socket.ts';
import { NetfilterSocket, NftablesBatch, type Hook, type Table } from '../host/streams/nftables.ts';
import {
  atMost,
  connectionsOver,
  connectionState,
  logTo,
  masquerade,
  rejectWithReset,
  transparentSocket,
  type Expression,
} from '../host/streams/nftables-expressions.ts';
import { address, transport, version } from '../host/streams/packet-fields.ts';
import { Rtnetlink } from '../host/streams/rtnetlink.ts';
import { launch, type Sockets } from '../launch/executor.ts';
import { explainLaunchError } from '../launch/failure.ts';
import { INIT_PROGRAM } from '../program.ts';
import { idMaps, writeIdMaps } from '../rootless/idmap.ts';
import { newUserNamespace } from '../rootless/users-namespace.ts';

export interface MissingPart {
  /** of Linux: what `modprobe` takes, one or several */
  modules: string;
  /** what the kernel said */
  reason: string;
}

export interface TrialSockets {
  route: Rtnetlink;
  nftables: NetfilterSocket;
  namespace: Fd;
}

const MAC = '02:42:00:00:00:01';
const MTU = 1500;
const BRIDGE = 'br0';
/** of connections, of packets, of bytes, and of a group that nobody listens to: any number will do */
const COUNT = 1;
const FILTER: Hook = { type: 'filter', hook: 'prerouting', priority: 0, policy: 'accept' };

/**
 * @returns what this kernel has not, or does not let this user have
 * @throws HuskError where there can be no namespaces to try it in
 */
export async function tryNetwork(): Promise<MissingPart[]> {
  const sockets = await makeNamespace();
  using unwound = new DisposableStack();
  const namespace = unwound.use(sockets['network-namespace']!);
  const route = unwound.use(new Rtnetlink(sockets.rtnetlink!));
  const nftables = unwound.use(new NetfilterSocket(sockets.netfilter!));
  return missingParts({ route, nftables, namespace });
}

/** @param sockets of a namespace that is empty @throws what is no answer of the kernel's */
export function missingParts({ route, nftables, namespace }: TrialSockets): MissingPart[] {
  const missing: MissingPart[] = [];
  const tried = (modules: string, trial: () => void): void => {
    try {
      trial();
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      missing.push({ modules, reason: causeOf(error) });
    }
  };
  tried('bridge', () => void route.addBridge(BRIDGE, { mtu: MTU, mac: MAC }));
  const peer = { name: 'eth0', mac: MAC, mtu: MTU, namespace: namespace.number };
  // 0: a port of nothing
  tried('veth', () => void route.addVeth('v0', { mtu: MTU, master: route.linkIndex(BRIDGE) ?? 0, peer }));
  tried('nf_tables', () => {
    for (const family of ['inet', 'bridge'] as const) {
      const table: Table = { family, name: 'trial' };
      new NftablesBatch().table(table).chain(table, 'trial', FILTER).commit(nftables);
    }
  });
  // without it none of its expressions can be asked for
  if (missing.some(({ modules }) => modules === 'nf_tables')) return missing;
  const expression = (modules: string, hook: Hook, ...expressions: (Expression | Expression[])[]) =>
    tried(modules, () => {
      const table: Table = { family: 'inet', name: modules };
      const batch = new NftablesBatch()
        .table(table)
        .set(table, 'flows', { key: ['ipv4_addr'], dynamic: true, size: 1 });
      batch.chain(table, 'trial', hook).rule(table, 'trial', ...expressions);
      batch.commit(nftables);
    });
  expression('nft_ct', FILTER, connectionState('established'));
  expression('nft_socket', FILTER, transparentSocket());
  expression('nft_connlimit', FILTER, version('ip'), address('ip', 'source'), connectionsOver('flows', COUNT));
  expression('nft_reject_inet', { ...FILTER, hook: 'forward' }, transport('tcp'), rejectWithReset());
  expression('nft_chain_nat nft_masq', { ...FILTER, type: 'nat', hook: 'postrouting', priority: 100 }, masquerade());
  expression('nft_limit', FILTER, atMost(COUNT, COUNT));
  // the first hands packets to a group, which is the second's
  expression('nft_log nfnetlink_log', FILTER, logTo(COUNT, 'trial', COUNT));
  return missing;
}

async function makeNamespace(): Promise<Sockets> {
  const maps = idMaps();
  let made: Sockets = {};
  const launched = launch(
    [
      ...newUserNamespace(maps, null),
      { op: 'unshare', flags: CLONE_NEWNET },
      { op: 'sockets', make: ['rtnetlink', 'netfilter', 'network-namespace'] },
      { op: 'exit' },
    ],
    {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 'null',
      stderr: 'null',
      onAwait: (_tag, pid) => writeIdMaps(pid, maps),
      onSockets: (sockets) => (made = sockets),
    },
  );
  try {
    await launched.started;
  } catch (error) {
    for (const fd of Object.values(made)) fd.close();
    throw explainLaunchError(error, 'create');
  }
  if (!made.rtnetlink || !made.netfilter || !made['network-namespace'])
    throw new HuskError('husk-init handed no sockets over', { kind: 'internal' });
  return made;
}

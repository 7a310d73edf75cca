/**
 * The host's sockets that are mounted into a container in a virtual machine: a relay outside of the machine's jail,
 * which alone has their paths, and what the machine's monitor is told of them.
 */
import type { IdMapping } from '../../spec.ts';
import type { IdMaps } from '../../rootless/idmap.ts';
import type { BoundSocket } from '../../vmm/binds.ts';
import type { SocketOwner } from '../../vmm/sockets/messages.ts';
import { startRelay } from '../../vmm/sockets/start.ts';

/** what the kernel shows of an id that has none in a user namespace, /proc/sys/kernel/overflowuid */
const NOBODY = 65534;

export interface TakenSockets extends Disposable {
  /** that the monitor is to have: src/supervisor/protocol/descriptors.ts */
  readonly descriptors: { relay: number[] };
  /** in the order of their numbers */
  readonly owners: SocketOwner[];
}

/**
 * Disposed of before the monitor has its descriptors, all of it is undone.
 * @param host.maps of the user namespace that the monitor has, unless it is the host's root
 * @throws HuskError
 */
export async function takeSockets(
  sockets: readonly BoundSocket[],
  { maps, isRoot }: { maps: Pick<IdMaps, 'uid' | 'gid'>; isRoot: boolean },
): Promise<TakenSockets> {
  // to a server a container of the host's root is never that root, whichever isolation it has
  const root = { uid: hostId(maps.uid, 0), gid: hostId(maps.gid, 0) };
  const relay = await startRelay(
    sockets.map(({ path }) => path),
    isRoot ? root : undefined,
  );
  return {
    descriptors: { relay: [relay.control.number] },
    owners: sockets.map(({ uid, gid, mode }) =>
      isRoot ? { uid, gid, mode } : { uid: idWithin(maps.uid, uid), gid: idWithin(maps.gid, gid), mode },
    ),
    [Symbol.dispose]: () => relay[Symbol.dispose](),
  };
}

function idWithin(map: readonly IdMapping[], id: number): number {
  const range = map.find(({ hostID, size }) => id >= hostID && id < hostID + size);
  return range === undefined ? NOBODY : id - range.hostID + range.containerID;
}

function hostId(map: readonly IdMapping[], id: number): number {
  const range = map.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range === undefined ? NOBODY : id - range.containerID + range.hostID;
}

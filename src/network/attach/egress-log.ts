/** Where a container with `--egress` has its refused packets told: a group of its network's packet log. */
import { openPacketLog, type LoggedPacket, type PacketLog } from '../../host/streams/packet-log.ts';
import { openNetfilterSocket } from '../namespace.ts';
import type { ActiveNetwork } from './active-network.ts';

/** @param first the group that is tried first @throws NetlinkError, HuskError */
export async function openNetworkLog(
  active: ActiveNetwork,
  first: number,
  told: (packet: LoggedPacket) => void,
): Promise<PacketLog> {
  return openPacketLog(await openNetfilterSocket(active), first, told);
}

/**
 * What scenarios about --egress have in hand besides (../namespaces.ts): rules on members, and frames of a hostile one.
 */
import type { Fd } from '../../../src/host/fd.ts';
import { addressBytes } from '../../../src/host/streams/address-bytes.ts';
import { NetlinkSocket } from '../../../src/host/streams/netlink-socket.ts';
import { openPacketLog } from '../../../src/host/streams/packet-log.ts';
import type { NetworkSockets } from '../../../src/network/bridge.ts';
import { admitEgress, changeNeighbours, pinAddresses } from '../../../src/network/egress/filter.ts';
import { groupRules, type Egress } from '../../../src/network/egress/grouping.ts';
import { readPacketHead } from '../../../src/network/egress/packet.ts';
import { addressOf } from '../../../src/network/egress/ranges.ts';
import { egressPorts, removeEgress } from '../../../src/network/egress/removal.ts';
import type { EndpointRules } from '../../../src/network/rules.ts';
import { parseEgress } from '../../../src/notation/egress.ts';
import { checksum } from '../checksum.ts';

type Sockets = NetworkSockets & { bridge: number };
interface Member {
  rules: EndpointRules;
}

export { openPacketLog as openLog, readPacketHead as readHead };

export const group = (rules: readonly string[], host: readonly string[]): Egress =>
  groupRules(parseEgress(rules), host);

export function admit(
  { route, bridge, nftables }: Sockets,
  egress: Egress,
  { rules }: Member,
  logGroup?: number,
): void {
  const member = { ...rules, gatewayMac: route.link(bridge)!.mac!, ...(logGroup !== undefined && { logGroup }) };
  for (const batch of admitEgress(egress, member)) batch.commit(nftables);
}

export function pin(
  { nftables }: Sockets,
  { rules: { port } }: Member,
  pins: readonly { group: number; address: string; timeout: number }[],
): void {
  pinAddresses(
    port,
    pins.map((each) => ({ ...each, address: addressOf(addressBytes(each.address)) })),
  ).commit(nftables);
}

export function near(
  { nftables }: Sockets,
  { rules: { port } }: Member,
  changes: readonly { group: number; address: string; what: 'add' | 'remove' }[],
): void {
  changeNeighbours(
    port,
    changes.map((each) => ({ ...each, address: addressOf(addressBytes(each.address)) })),
  ).commit(nftables);
}

export const ports = ({ nftables }: Sockets): string[] => egressPorts(nftables);

export function remove({ nftables }: Sockets, isGone: (port: string) => boolean): void {
  removeEgress(nftables, isGone);
}

/** Of this namespace, for a packet log. */
export const logSocket = (): Fd => NetlinkSocket.make('nf_tables');

/** A packet with its IPv4 header's checksum put right. */
export function withChecksum(packet: Uint8Array): Uint8Array {
  const bytes = Buffer.from(packet);
  bytes.writeUInt16BE(0, 10);
  bytes.writeUInt16BE(checksum(bytes.subarray(0, 20)), 10);
  return bytes;
}

/** IPv4 and TCP with these flags, and a text behind them; its own checksum is nobody's concern. */
export function tcp(from: string, to: string, port: number, flags: number, text: string): Uint8Array {
  const segment = Buffer.alloc(20 + text.length);
  segment.writeUInt16BE(4000, 0);
  segment.writeUInt16BE(port, 2);
  segment[12] = 5 << 4;
  segment[13] = flags;
  segment.write(text, 20, 'latin1');
  const head = Buffer.from([0x45, 0, 0, 20 + segment.length, 0, 1, 0, 0, 64, 6, 0, 0]);
  return withChecksum(Buffer.concat([head, addressBytes(from), addressBytes(to), segment]));
}

/** The MAC address of a network's gateway, by the rule of all others: so it is written down nowhere. */
import { parseIp } from '../../notation/ip.ts';
import { macOf } from '../ipam/addresses.ts';
import type { Network } from '../records/contract.ts';

export function bridgeMac(network: Pick<Network, 'ipam'>): string {
  return macOf(parseIp(network.ipam[0]!.gateway)!);
}

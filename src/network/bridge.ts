/**
 * What a network's namespace is furnished with: the bridge with the gateway's addresses, the way back to transparent
 * sockets, the rules. Every step may be done again, so that setting up is also the repair. The namespace itself and its
 * sysctls are there already.
 */
import { constants } from 'node:os';
import { addressBytes } from '../host/streams/address-bytes.ts';
import type { NetfilterSocket } from '../host/streams/nftables.ts';
import { NetlinkError } from '../host/streams/netlink-socket.ts';
import { listRules, type Listing } from '../host/streams/nftables-listing.ts';
import type { Rtnetlink } from '../host/streams/rtnetlink.ts';
import type { AddressFamily } from '../host/streams/rtnetlink-messages.ts';
import {
  BRIDGE,
  NETWORK_CHAINS,
  networkElements,
  networkRules,
  TRANSPARENT_MARK,
  type EndpointRules,
  type NetworkRules,
} from './rules.ts';

const { ENOENT } = constants.errno;

/** the table in which every address is the namespace's own, and its rule, which must come before all others */
const TRANSPARENT_TABLE = 100;
const TRANSPARENT_PRIORITY = 100;

/** Sockets of a network's namespace. */
export interface NetworkSockets {
  route: Rtnetlink;
  nftables: NetfilterSocket;
}

export interface BridgeSetup {
  mac: string;
  /** bytes */
  mtu: number;
  /** of the gateway; those of a version that is isolated are left out */
  addresses: readonly { address: string; prefix: number }[];
  rules: NetworkRules;
}

/**
 * @param options.endpoints the members there are, when it is a repair
 * @param options.standing what was `standing` after the last time: rules that are as they were then stay untouched,
 *   which makes a repair of nothing ten times as cheap
 * @returns the bridge's index, a number for the rules as the kernel has them now, and whether it brings answers back to
 *   transparent sockets: a kernel without nft_socket has the other rules
 * @throws NetlinkError
 */
export function setUpBridge(
  { route, nftables }: NetworkSockets,
  { mac, mtu, addresses, rules }: BridgeSetup,
  { endpoints = [], standing }: { endpoints?: readonly EndpointRules[]; standing?: number | undefined } = {},
): { bridge: number; standing: number; transparent: boolean } {
  // before there is anything that they could let through
  let listing = standing === undefined ? undefined : listOwn(nftables);
  if (listing && listing.checksum === standing) networkElements(endpoints).commit(nftables);
  else {
    setRules(nftables, rules, endpoints);
    listing = listOwn(nftables);
  }
  const loopback = route.linkIndex('lo')!;
  route.setUp(loopback);
  for (const family of families(rules)) {
    route.addRule({ family, mark: TRANSPARENT_MARK, table: TRANSPARENT_TABLE, priority: TRANSPARENT_PRIORITY });
    route.addLocalRoute({ family, index: loopback, table: TRANSPARENT_TABLE });
  }
  const bridge = route.linkIndex(BRIDGE) ?? route.addBridge(BRIDGE, { mtu, mac });
  for (const { address, prefix } of addresses) route.addAddress(bridge, addressBytes(address), prefix);
  route.setUp(bridge);
  return { bridge, standing: listing.checksum, transparent: listing.chains.has('transparent') };
}

const listOwn = (nftables: NetfilterSocket): Listing => listRules(nftables, ({ chain }) => NETWORK_CHAINS.has(chain));

/** Without the rule for transparent sockets where the kernel has no such expression. */
function setRules(nftables: NetfilterSocket, rules: NetworkRules, endpoints: readonly EndpointRules[]): void {
  try {
    networkRules(rules, endpoints).commit(nftables);
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
    try {
      networkRules({ ...rules, transparent: false }, endpoints).commit(nftables);
    } catch {
      // it was another expression
      throw error;
    }
  }
}

function families({ versions }: NetworkRules): AddressFamily[] {
  return [...(versions.ip ? [4 as const] : []), ...(versions.ip6 ? [6 as const] : [])];
}

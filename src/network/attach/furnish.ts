/**
 * A network's namespace furnished as its row says, or mended: rules, bridge, gateways, and the elements of those who
 * have a lease on it. Done at each opening, by whoever has the lock; what is as it should be is left alone.
 */
import type { DatabaseSync } from 'node:sqlite';
import { causeOf, EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { NetlinkError } from '../../host/streams/netlink-socket.ts';
import { NetfilterSocket } from '../../host/streams/nftables.ts';
import { Rtnetlink } from '../../host/streams/rtnetlink.ts';
import { parseCidr } from '../../notation/ip.ts';
import { setUpBridge, type NetworkSockets } from '../bridge.ts';
import type { OpenNetwork } from '../namespace.ts';
import type { Network } from '../records/contract.ts';
import { leased } from '../records/leased.ts';
import { networkSettings } from '../records/options.ts';
import type { EndpointRules, NetworkRules } from '../rules.ts';
import { bridgeMac } from './bridge-mac.ts';
import { portOf } from './port-name.ts';

/** of what is set up in a network's namespace: a husk that does it otherwise has another number */
const VERSION = 3;
/** what the rules' checksum is below, in the number that is written down of both */
const CHECKSUMS = 2 ** 32;
/** bytes: what pasta's tap takes */
const DEFAULT_MTU = 65_520;
/** of Linux, which loads them by itself where it may */
const MODULES = 'bridge veth nf_tables nft_meta_bridge nft_ct nft_socket nft_connlimit nft_reject_inet nft_masq';

export interface Furnished {
  sockets: NetworkSockets & { readonly bridge: number };
  /** clients of published ports can be shown to containers as themselves */
  transparent: boolean;
  /** to be written down: by whom it was set up, and how its rules were then */
  version: number;
}

/**
 * Over what is there, or in a namespace that is empty.
 * @param version as it was written down last; undefined: of another namespace
 * @throws HuskError what this kernel has not
 */
export function furnish(
  network: Network,
  opened: OpenNetwork,
  { database, version }: { database: DatabaseSync; version: number | undefined },
): Furnished {
  const sockets = { route: new Rtnetlink(opened.route), nftables: new NetfilterSocket(opened.nftables) };
  const isOurs = version !== undefined && Math.floor(version / CHECKSUMS) === VERSION;
  try {
    const { bridge, standing, transparent } = setUpBridge(
      sockets,
      { mac: bridgeMac(network), mtu: mtuOf(network), addresses: gateways(network), rules: rulesFor(network) },
      { endpoints: endpointsOf(network, database), standing: isOurs ? version % CHECKSUMS : undefined },
    );
    return { sockets: { ...sockets, bridge }, transparent, version: VERSION * CHECKSUMS + standing };
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw new HuskError(`cannot set up network ${network.name}: ${error.path}: ${causeOf(error)}`, {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: `sudo modprobe -a ${MODULES} (or use --network none or host)`,
      cause: error,
    });
  }
}

function endpointsOf(network: Network, database: DatabaseSync): EndpointRules[] {
  return leased(database, network.id).map(({ endpointId, mac, ipv4, ipv6 }) => ({
    port: portOf(endpointId),
    mac,
    ...(ipv4 && { ipv4 }),
    ...(ipv6 && { ipv6 }),
  }));
}

export function mtuOf(network: Network): number {
  return networkSettings(network.options).mtu ?? DEFAULT_MTU;
}

const isolatedOf = (network: Network) => networkSettings(network.options).isolated;

function rulesFor(network: Network): NetworkRules {
  const { metadata } = networkSettings(network.options);
  const isolated = isolatedOf(network);
  return {
    versions: {
      ...(network.ipv4 && { ip: isolated.ipv4 ? ('isolated' as const) : ('nat' as const) }),
      ...(network.ipv6 && { ip6: isolated.ipv6 ? ('isolated' as const) : ('nat' as const) }),
    },
    internal: network.internal,
    metadata,
  };
}

/** The bridge's own addresses, by which its containers reach it. */
function gateways(network: Network): { address: string; prefix: number }[] {
  const isolated = isolatedOf(network);
  return network.ipam.flatMap(({ subnet, gateway }) => {
    const { family, prefix } = parseCidr(subnet)!.subnet;
    return (family === 4 ? isolated.ipv4 : isolated.ipv6) ? [] : [{ address: gateway, prefix }];
  });
}

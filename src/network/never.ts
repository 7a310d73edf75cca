/**
 * Where no container's packet is ever routed to, whatever the network's options: addresses that mean this machine, this
 * link or nobody, and those at which clouds hand out their machines' credentials. Only ranges as elements of sets.
 */
import { addressBytes } from '../host/streams/address-bytes.ts';
import type { Element } from '../host/streams/nftables.ts';

/** RFC 6890's registry of special addresses, ranges that touch made one: so the kernel's sets want them. */
const NEVER: Record<'ip' | 'ip6', [network: string, bits: number][]> = {
  ip: [
    ['0.0.0.0', 8], // this network
    ['127.0.0.0', 8], // loopback
    ['169.254.0.0', 16], // link-local, and clouds' metadata
    ['224.0.0.0', 3], // multicast, reserved, broadcast
  ],
  ip6: [
    ['::', 96], // unspecified, loopback, and IPv4 addresses in an old form
    ['::ffff:0.0.0.0', 96], // IPv4 addresses in IPv6 ones
    ['64:ff9b::169.254.0.0', 112], // IPv4's link-local range behind a NAT64
    ['2002:a9fe::', 32], // the same by 6to4
    ['fd00:ec2::254', 128], // metadata of a cloud
    ['fe80::', 10], // link-local
    ['ff00::', 8], // multicast
  ],
};

/** The ranges as the kernel's sets take them: a first address, then the first one behind, unless there is none. */
export function neverElements(version: 'ip' | 'ip6'): Element[] {
  return NEVER[version].flatMap(([network, bits]): Element[] => {
    const key = addressBytes(network);
    const end = addressBehind(key, bits);
    return end ? [{ key }, { key: end, end: true }] : [{ key, open: true }];
  });
}

function addressBehind(network: Uint8Array, bits: number): Uint8Array | undefined {
  const size = 8 * network.length;
  const behind = BigInt(`0x${Buffer.from(network).toString('hex')}`) + (1n << BigInt(size - bits));
  if (behind >> BigInt(size)) return undefined;
  return Buffer.from(behind.toString(16).padStart(size / 4, '0'), 'hex');
}

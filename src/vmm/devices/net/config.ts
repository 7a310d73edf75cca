/**
 * virtio network device (virtio 1.2 §5.1): one receive and one transmit queue, received frames over several buffers;
 * checksums on the way out, no other offload.
 */
export const NET_ID = 1;
export const RECEIVE_QUEUE = 0;
export const TRANSMIT_QUEUE = 1;
export const NET_QUEUE_SIZES = [256, 256] as const;

/** §5.1.3 */
const F_CSUM = 1n << 0n;
const F_MTU = 1n << 3n;
const F_MAC = 1n << 5n;
/** a frame may lie in several buffers: with long frames a driver would otherwise keep 17 pages ready for each */
export const F_MRG_RXBUF = 1n << 15n;
const F_STATUS = 1n << 16n;
export const NET_FEATURES = F_CSUM | F_MTU | F_MAC | F_MRG_RXBUF | F_STATUS;

/** struct virtio_net_config, §5.1.4 */
const STATUS = 6;
const MTU = 10;
const NET_CONFIG_SIZE = 12;
const LINK_UP = 1;
/** what is this host's: see VirtioDevice.ownConfig */
export const OWN_CONFIG = [[STATUS, STATUS + 2]] as const;

/** struct virtio_net_hdr of a version 1 device: 12 bytes, the last two num_buffers (§5.1.6) */
export const HEADER_SIZE = 12;
export const NUM_BUFFERS = 10;
/** Ethernet header and a VLAN tag, beyond the MTU */
export const FRAME_OVERHEAD = 18;
/** bytes: the largest MTU an IPv4 network can use */
export const MAX_MTU = 65_535;
export const MIN_MTU = 68;
/** frames, and bytes of them, handled in one turn of the event loop */
export const MAX_BURST = 64;
export const MAX_BURST_BYTES = 2 << 20;

/** @param mac six bytes @param options.mtu bytes of payload in a frame @param options.linked the carrier is there */
export function netConfig(mac: Uint8Array, { mtu, linked }: { mtu: number; linked: boolean }): Uint8Array {
  const bytes = new Uint8Array(NET_CONFIG_SIZE);
  bytes.set(mac.subarray(0, 6));
  const view = new DataView(bytes.buffer);
  view.setUint16(STATUS, linked ? LINK_UP : 0, true);
  view.setUint16(MTU, mtu, true);
  return bytes;
}

/** The carrier is lost: tell the driver with `configChanged`. */
export function linkDown(config: Uint8Array): void {
  config[STATUS] = 0;
}

/** Parses and builds struct virtio_vsock_hdr (virtio 1.2 §5.10.6), and nothing else. All fields are little-endian. */

export const HEADER_SIZE = 44;

/** §5.10.6: operations */
export const OP = { REQUEST: 1, RESPONSE: 2, RST: 3, SHUTDOWN: 4, RW: 5, CREDIT_UPDATE: 6, CREDIT_REQUEST: 7 } as const;
/** §5.10.6.6: flags of SHUTDOWN */
export const SHUTDOWN_RECEIVE = 1;
export const SHUTDOWN_SEND = 2;
/** VIRTIO_VSOCK_TYPE_STREAM */
export const TYPE_STREAM = 1;

export interface Packet {
  /** 64 bits; the reserved high half is zero, so a guest that sets it does not match the known guest */
  sourceCid: number;
  destinationCid: number;
  sourcePort: number;
  destinationPort: number;
  /** bytes of data behind the header */
  length: number;
  type: number;
  operation: number;
  flags: number;
  /** the sender's whole receive buffer, bytes */
  bufferBytes: number;
  /** bytes that the sender has ever taken out of its buffer, modulo 2^32 */
  forwarded: number;
}

/** @param bytes HEADER_SIZE bytes @returns undefined when there are fewer */
export function parsePacket(bytes: Uint8Array): Packet | undefined {
  if (bytes.length < HEADER_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  const u64 = (at: number) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  return {
    sourceCid: u64(0),
    destinationCid: u64(8),
    sourcePort: view.getUint32(16, true),
    destinationPort: view.getUint32(20, true),
    length: view.getUint32(24, true),
    type: view.getUint16(28, true),
    operation: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    bufferBytes: view.getUint32(36, true),
    forwarded: view.getUint32(40, true),
  };
}

export function buildPacket(packet: Packet): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, packet.sourceCid, true);
  view.setUint32(8, packet.destinationCid, true);
  view.setUint32(16, packet.sourcePort, true);
  view.setUint32(20, packet.destinationPort, true);
  view.setUint32(24, packet.length, true);
  view.setUint16(28, packet.type, true);
  view.setUint16(30, packet.operation, true);
  view.setUint32(32, packet.flags, true);
  view.setUint32(36, packet.bufferBytes, true);
  view.setUint32(40, packet.forwarded, true);
  return bytes;
}

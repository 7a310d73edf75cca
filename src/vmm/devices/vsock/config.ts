/** virtio socket device (virtio 1.2 §5.10): stream sockets between guest and VMM. */
export const VSOCK_ID = 19;
export const RECEIVE_QUEUE = 0;
export const TRANSMIT_QUEUE = 1;
export const VSOCK_QUEUE_SIZES = [128, 128, 8] as const;
/** §5.10.3: no bit set means streams only */
export const VSOCK_FEATURES = 0n;

/** VMADDR_CID_HOST, include/uapi/linux/vm_sockets.h */
export const HOST_CID = 2;
/** the guest's CID: the first that is not reserved, because each guest is alone behind its own device */
export const GUEST_CID = 3;

/** struct virtio_vsock_config: guest_cid, 64 bits */
export function vsockConfig(): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(GUEST_CID), true);
  return bytes;
}

/** bytes that the host keeps of one connection until its reader takes them; the guest sees them as `buf_alloc` */
export const BUFFER_BYTES = 256 * 1024;
/** most pieces of memory that hold one connection's unread data */
export const MAX_PIECES = 256;
/**
 * Attack: a guest that opens connections without end. 1024 connections hold 256 MiB at the very worst, and only with
 * bytes that no reader takes.
 */
export const MAX_CONNECTIONS = 1024;
/**
 * Attack: a guest that sends packets which need an answer, and offers no buffers for the answers. When so many answers
 * wait, the guest's packets wait too.
 */
export const MAX_CONTROL = 256;
/** Linux's VIRTIO_VSOCK_MAX_PKT_BUF_SIZE: data bytes of one packet */
export const MAX_PACKET_DATA = 64 * 1024;
/** milliseconds to wait for the guest's RST after both sides are done; Linux waits as long */
export const CLOSE_TIMEOUT = 8000;
/** first host port of connections that the host opens: they use the upper half, and services the lower */
export const FIRST_EPHEMERAL_PORT = 0x8000_0000;

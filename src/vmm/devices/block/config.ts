/** The virtio block device (virtio 1.2 §5.2): its feature bits, configuration space and request format. */
export const BLOCK_ID = 2;
export const REQUEST_QUEUE = 0;
export const BLOCK_QUEUE_SIZES = [128] as const;

/** §5.2.3 */
const F_SIZE_MAX = 1n << 1n;
const F_SEG_MAX = 1n << 2n;
const F_RO = 1n << 5n;
const F_BLK_SIZE = 1n << 6n;
const F_FLUSH = 1n << 9n;
const F_DISCARD = 1n << 13n;
const F_WRITE_ZEROES = 1n << 14n;

/** bytes of a sector, the unit of every sector number on this device (§5.2.4) */
export const SECTOR = 512;

/** struct virtio_blk_config, §5.2.4 */
const CAPACITY = 0;
/** what is this host's: see VirtioDevice.ownConfig */
export const OWN_CONFIG = [[CAPACITY, CAPACITY + 8]] as const;
const SIZE_MAX = 8;
const SEG_MAX = 12;
const BLK_SIZE = 20;
const MAX_DISCARD_SECTORS = 36;
const MAX_DISCARD_SEG = 40;
const DISCARD_SECTOR_ALIGNMENT = 44;
const MAX_WRITE_ZEROES_SECTORS = 48;
const MAX_WRITE_ZEROES_SEG = 52;
const WRITE_ZEROES_MAY_UNMAP = 56;
const BLOCK_CONFIG_SIZE = 60;

/** bytes of one segment, which bound one request, so that a single request does not hold the VMM for long */
const MAX_SEGMENT_BYTES = 256 * 1024;
export const MAX_REQUEST_BYTES = (BLOCK_QUEUE_SIZES[0] - 2) * MAX_SEGMENT_BYTES;
/** bytes that are moved in one turn of the event loop before other work gets its turn */
export const TURN_BYTES = 32 * 1024 * 1024;

/** 1 GiB in each segment, because one fallocate changes only metadata */
export const MAX_RANGE_SECTORS = 2 ** 21;
export const MAX_RANGE_SEGMENTS = 16;

/** request types, §5.2.6 */
export const T_IN = 0;
export const T_OUT = 1;
export const T_FLUSH = 4;
export const T_GET_ID = 8;
export const T_DISCARD = 11;
export const T_WRITE_ZEROES = 13;
/** status byte, §5.2.6 */
export const S_OK = 0;
export const S_IOERR = 1;
export const S_UNSUPP = 2;

/** struct virtio_blk_req: type, reserved, sector */
export const REQUEST_HEADER_SIZE = 16;
/** struct virtio_blk_discard_write_zeroes: sector, num_sectors, flags */
export const RANGE_SIZE = 16;
export const RANGE_UNMAP = 1;
/** VIRTIO_BLK_ID_BYTES */
export const ID_SIZE = 20;

export function blockFeatures(readOnly: boolean): bigint {
  return F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | (readOnly ? F_RO : F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
}

/** @param capacity sectors @param blockSize bytes of the logical block that the guest should see */
export function blockConfig(options: {
  capacity: number;
  queueSize: number;
  blockSize: number;
  readOnly: boolean;
}): Uint8Array {
  const bytes = new Uint8Array(BLOCK_CONFIG_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(CAPACITY, BigInt(options.capacity), true);
  view.setUint32(SIZE_MAX, MAX_SEGMENT_BYTES, true);
  // The header and the status take a descriptor each.
  view.setUint32(SEG_MAX, options.queueSize - 2, true);
  view.setUint32(BLK_SIZE, options.blockSize, true);
  if (!options.readOnly) {
    view.setUint32(MAX_DISCARD_SECTORS, MAX_RANGE_SECTORS, true);
    view.setUint32(MAX_DISCARD_SEG, MAX_RANGE_SEGMENTS, true);
    view.setUint32(DISCARD_SECTOR_ALIGNMENT, 8, true);
    view.setUint32(MAX_WRITE_ZEROES_SECTORS, MAX_RANGE_SECTORS, true);
    view.setUint32(MAX_WRITE_ZEROES_SEG, MAX_RANGE_SEGMENTS, true);
    view.setUint8(WRITE_ZEROES_MAY_UNMAP, 1);
  }
  return bytes;
}

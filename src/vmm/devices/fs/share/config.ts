/** virtio file system device (virtio 1.2 §5.11): FUSE requests over a high-priority and a request queue. */
export const FS_ID = 26;
/** entries of the high-priority and the request queue: a request of MAX_PAGES pages and its headers must fit a chain */
export const FS_QUEUE_SIZES = [64, 512] as const;
/**
 * The driver has a table for counts of changes (lifetimes.ts). The bit and the table's place in the configuration space
 * are not virtio's but this device's and its guest kernel's own. There is no notification queue (§5.11.3): Linux has
 * none, and a notice in a queue comes later than the change.
 */
export const F_CHANGES = 1n << 50n;
export const FS_FEATURES = F_CHANGES;

/** struct virtio_fs_config: tag, number of request queues, notify_buf_size; and the address of the table, 64 bits */
const TAG_SIZE = 36;
export const CHANGES_ADDRESS = 48;
const FS_CONFIG_SIZE = CHANGES_ADDRESS + 8;

/** pages of one read or write */
export const MAX_PAGES = 256;
export const MAX_IO = MAX_PAGES * 4096;
/**
 * most bytes of a request that is not a write: two names of 255 bytes, a symlink's target, or an xattr with its value
 */
export const MAX_REQUEST = 80 * 1024;
/** most bytes of a reply that is not a read */
export const MAX_REPLY = 128 * 1024;
/** XATTR_SIZE_MAX, XATTR_LIST_MAX */
export const MAX_XATTR = 64 * 1024;
/** NAME_MAX */
export const MAX_NAME = 255;
/**
 * Attack: a guest that looks up names, or opens files, without ever releasing them. Each holds a descriptor, so there
 * are no more than these, and no more than the process can spare.
 */
const MAX_INODES = 65_536;
const MAX_HANDLES = 16_384;
/**
 * descriptors that no guest gets: database, log, disks and layers, KVM's, 256 clients of the supervisor, and a copy for
 * each of 512 running syncs
 */
const RESERVE = 1024;
/** the handles' share of the remaining descriptors, where these are fewer than both bounds */
const HANDLE_SHARE = 1 / 5;
/**
 * An honest guest remembers every name it has seen until its memory is short. From three quarters of the bound on the
 * guest is asked to forget, once for each sixteenth of the bound in new inodes.
 */
const CROWDED = 3 / 4;
const CROWDED_STEP = 1 / 16;

export interface Bounds {
  inodes: number;
  handles: number;
  /** number of inodes from which on the guest is asked to forget */
  crowded: number;
  /** number of new inodes between two such requests */
  step: number;
}

/** @param descriptors the number that this process may have open: `ulimit -n` */
export function boundsFor(descriptors: number): Bounds {
  const spare = Math.max(0, descriptors - Math.min(RESERVE, Math.floor(descriptors / 2)));
  const handles = Math.min(MAX_HANDLES, Math.floor(spare * HANDLE_SHARE));
  const inodes = Math.min(MAX_INODES, spare - handles);
  return {
    inodes,
    handles,
    crowded: Math.floor(inodes * CROWDED),
    step: Math.max(1, Math.floor(inodes * CROWDED_STEP)),
  };
}

/** bytes that are read and written in one turn of the event loop */
export const TURN_BYTES = 16 * 1024 * 1024;

/** @param tag the name by which the guest mounts the folder: `mount -t virtiofs TAG DIR`; at most 36 bytes */
export function fsConfig(tag: string): Uint8Array {
  const bytes = new Uint8Array(FS_CONFIG_SIZE);
  const name = Buffer.from(tag, 'utf8');
  if (name.length === 0 || name.length > TAG_SIZE) throw new RangeError(`virtio-fs tag of ${name.length} bytes`);
  bytes.set(name);
  new DataView(bytes.buffer).setUint32(TAG_SIZE, 1, true);
  return bytes;
}

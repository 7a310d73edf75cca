/** struct statx → struct fuse_attr, fuse_entry_out, fuse_attr_out; and who owns what as the guest sees it. */
import { STATX } from '../../../../host/files/file-at.ts';
import { ATTR_ATTR, ATTR_OUT, ENTRY_ATTR, ENTRY_OUT } from './fuse.ts';

/** Owners on both sides. Host ids are those of the VMM's own user namespace. */
export interface Ownership {
  toGuest(uid: number, gid: number): [uid: number, gid: number];
  /** @returns undefined when the host cannot express it */
  toHost(uid: number, gid: number): [uid: number, gid: number] | undefined;
  /**
   * Of a VMM that may do to everything what it likes: which host users and groups are the container's (access.ts).
   * Absent: the host kernel says so.
   */
  holds?: { user(uid: number): boolean; group(gid: number): boolean };
}

/** Ids are the same on both sides: for a VMM inside a user namespace that has the container's ids. */
export const sameOwners: Ownership = { toGuest: (uid, gid) => [uid, gid], toHost: (uid, gid) => [uid, gid] };

const NOBODY = 65534;
/** the chown(2) value that leaves an id alone */
export const UNCHANGED = 0xffff_ffff;

/** The VMM's own user is the guest's root, everybody else is nobody: for a VMM that has no ids but its own. */
export function rootIsOwner(uid: number, gid: number): Ownership {
  return {
    toGuest: (hostUid, hostGid) => [hostUid === uid ? 0 : NOBODY, hostGid === gid ? 0 : NOBODY],
    toHost: (guestUid, guestGid) => {
      const map = (id: number, own: number) => (id === 0 ? own : id === UNCHANGED ? UNCHANGED : undefined);
      const [mappedUid, mappedGid] = [map(guestUid, uid), map(guestGid, gid)];
      return mappedUid === undefined || mappedGid === undefined ? undefined : [mappedUid, mappedGid];
    },
  };
}

interface IdRange {
  containerID: number;
  hostID: number;
  size: number;
}

/**
 * Owners by the container's id maps, as a user namespace would show them: for a VMM that is host root, whose volumes
 * belong to the ranges that root gives to containers. Who is in no range, host root first of all, is nobody.
 */
export function mappedOwners(maps: { uid: readonly IdRange[]; gid: readonly IdRange[] }): Ownership {
  const toGuest = (ranges: readonly IdRange[], id: number) => {
    const range = ranges.find(({ hostID, size }) => id >= hostID && id < hostID + size);
    return range === undefined ? NOBODY : id - range.hostID + range.containerID;
  };
  const toHost = (ranges: readonly IdRange[], id: number) => {
    if (id === UNCHANGED) return UNCHANGED;
    const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
    return range === undefined ? undefined : id - range.containerID + range.hostID;
  };
  const has = (ranges: readonly IdRange[], id: number) =>
    ranges.some(({ hostID, size }) => id >= hostID && id < hostID + size);
  return {
    holds: { user: (uid) => has(maps.uid, uid), group: (gid) => has(maps.gid, gid) },
    toGuest: (uid, gid) => [toGuest(maps.uid, uid), toGuest(maps.gid, gid)],
    toHost: (uid, gid) => {
      const [hostUid, hostGid] = [toHost(maps.uid, uid), toHost(maps.gid, gid)];
      return hostUid === undefined || hostGid === undefined ? undefined : [hostUid, hostGid];
    },
  };
}

export interface Freshness {
  /**
   * milliseconds that the guest may believe names and attributes; 0: it asks each time, and sees the host's changes at
   * once
   */
  milliseconds: number;
}

/** What the guest knows an inode by. */
export interface GuestNode {
  node: number;
  /** of the host, see Inode */
  device: number;
}

/**
 * The upper half of an inode number: two files of two of the host's file systems must not look like one with two names.
 */
export const inodeHigh = (high: number, device: number): number => (high ^ (device << 16)) >>> 0;

/**
 * struct fuse_attr: ino, size, blocks, atime, mtime, ctime (64 bits each), their nanoseconds, mode, nlink, uid, gid,
 * rdev, blksize, flags
 */
function writeAttributes(out: DataView, at: number, stat: DataView, ownership: Ownership): void {
  const copy64 = (to: number, from: number) => {
    out.setUint32(at + to, stat.getUint32(from, true), true);
    out.setUint32(at + to + 4, stat.getUint32(from + 4, true), true);
  };
  const copy32 = (to: number, from: number) => out.setUint32(at + to, stat.getUint32(from, true), true);
  copy64(0, STATX.ino);
  copy64(8, STATX.size);
  copy64(16, STATX.blocks);
  copy64(24, STATX.atime);
  copy64(32, STATX.mtime);
  copy64(40, STATX.ctime);
  copy32(48, STATX.atime + 8);
  copy32(52, STATX.mtime + 8);
  copy32(56, STATX.ctime + 8);
  out.setUint32(at + 60, stat.getUint16(STATX.mode, true), true);
  copy32(64, STATX.nlink);
  const [uid, gid] = ownership.toGuest(stat.getUint32(STATX.uid, true), stat.getUint32(STATX.gid, true));
  out.setUint32(at + 68, uid, true);
  out.setUint32(at + 72, gid, true);
  const major = stat.getUint32(STATX.rdevMajor, true);
  const minor = stat.getUint32(STATX.rdevMinor, true);
  // new_encode_dev() of include/linux/kdev_t.h
  out.setUint32(at + 76, ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, true);
  copy32(80, STATX.blksize);
}

/** struct fuse_attr_out */
export function attributesReply(
  { device }: Pick<GuestNode, 'device'>,
  stat: DataView,
  ownership: Ownership,
  freshness: Freshness,
): Uint8Array {
  const bytes = new Uint8Array(ATTR_OUT);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(freshness.milliseconds / 1000), true);
  view.setUint32(8, (freshness.milliseconds % 1000) * 1_000_000, true);
  writeAttributes(view, ATTR_ATTR, stat, ownership);
  view.setUint32(ATTR_ATTR + 4, inodeHigh(stat.getUint32(STATX.ino + 4, true), device), true);
  return bytes;
}

/** struct fuse_entry_out */
export function entryReply(
  { node, device }: GuestNode,
  stat: DataView,
  ownership: Ownership,
  freshness: Freshness,
): Uint8Array {
  const bytes = new Uint8Array(ENTRY_OUT);
  const view = new DataView(bytes.buffer);
  const seconds = Math.floor(freshness.milliseconds / 1000);
  const nanoseconds = (freshness.milliseconds % 1000) * 1_000_000;
  view.setBigUint64(0, BigInt(node), true);
  view.setUint32(16, seconds, true);
  view.setUint32(24, seconds, true);
  view.setUint32(32, nanoseconds, true);
  view.setUint32(36, nanoseconds, true);
  writeAttributes(view, ENTRY_ATTR, stat, ownership);
  view.setUint32(ENTRY_ATTR + 4, inodeHigh(stat.getUint32(STATX.ino + 4, true), device), true);
  return bytes;
}

/**
 * Turns struct statx into struct fuse_attr, fuse_entry_out and fuse_attr_out; and owners on the host into the guest's.
 */
import { STATX } from '../../../../host/files/file-at.ts';
import { ATTR_ATTR, ATTR_OUT, ENTRY_ATTR, ENTRY_OUT } from './fuse.ts';
import type { Lifetime } from './lifetimes.ts';

/** Owners on both sides. Host ids are those of the VMM's own user namespace. */
export interface Ownership {
  toGuest(uid: number, gid: number): [uid: number, gid: number];
  /** @returns undefined when the host cannot express the owner */
  toHost(uid: number, gid: number): [uid: number, gid: number] | undefined;
  /**
   * Which host users and groups are the container's, for a VMM that the host kernel allows everything (access.ts).
   * Where `holds` is absent the host kernel decides.
   */
  holds?: { user(uid: number): boolean; group(gid: number): boolean };
}

/** Owners that are the same on both sides, for a VMM inside a user namespace that has the container's ids. */
export const sameOwners: Ownership = { toGuest: (uid, gid) => [uid, gid], toHost: (uid, gid) => [uid, gid] };

const NOBODY = 65534;
/** the chown(2) value that leaves an id alone */
export const UNCHANGED = 0xffff_ffff;

/** Owners for a VMM that has no ids but its own: its user is the guest's root, every other user is nobody. */
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
 * Owners by the container's id maps, as a user namespace would show them, for a VMM that is host root and whose volumes
 * belong to the ranges that root gives to containers. An id in no range, host root above all, is nobody.
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

/** How the guest identifies an inode. */
export interface GuestNode {
  node: number;
  /** number of the host's file system, see Inode */
  device: number;
}

/**
 * Mixes the file system's number into the upper half of an inode number, so that files of two of the host's file
 * systems do not look like one file with two names.
 */
export const inodeHigh = (high: number, device: number): number => (high ^ (device << 16)) >>> 0;

/**
 * Writes struct fuse_attr: ino, size, blocks, atime, mtime, ctime (64 bits each), their nanoseconds, mode, nlink, uid,
 * gid, rdev, blksize, flags.
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
  // The device number is encoded as by new_encode_dev() of include/linux/kdev_t.h.
  out.setUint32(at + 76, ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, true);
  copy32(80, STATX.blksize);
}

/** Writes a lifetime's seconds (64 bits) and its nanoseconds (32 bits). */
function writeLifetime(out: DataView, seconds: number, nanoseconds: number, lifetime: Lifetime): void {
  out.setUint32(seconds, lifetime.low, true);
  out.setUint32(seconds + 4, lifetime.high, true);
  out.setUint32(nanoseconds, lifetime.nanoseconds, true);
}

/** @returns struct fuse_attr_out */
export function attributesReply(
  { device }: Pick<GuestNode, 'device'>,
  stat: DataView,
  ownership: Ownership,
  lifetime: Lifetime,
): Uint8Array {
  const bytes = new Uint8Array(ATTR_OUT);
  const view = new DataView(bytes.buffer);
  writeLifetime(view, 0, 8, lifetime);
  writeAttributes(view, ATTR_ATTR, stat, ownership);
  view.setUint32(ATTR_ATTR + 4, inodeHigh(stat.getUint32(STATX.ino + 4, true), device), true);
  return bytes;
}

/** struct fuse_attr: offsets in bytes */
const ATTR = { ino: 0, mode: 60, nlink: 64 } as const;

/** Writes an inode of which there is only its node. No file system of the host's gives such a number. */
function writeGone(view: DataView, at: number, { node, kind, links }: { node: number; kind: number; links: number }) {
  view.setUint32(at + ATTR.ino, node >>> 0, true);
  view.setUint32(at + ATTR.ino + 4, 0xffff_ffff, true);
  view.setUint32(at + ATTR.mode, kind, true);
  view.setUint32(at + ATTR.nlink, links, true);
}

/** @returns struct fuse_attr_out of what the host does not have any more */
export function goneAttributesReply({ node, kind }: { node: number; kind: number }): Uint8Array {
  const bytes = new Uint8Array(ATTR_OUT);
  writeGone(new DataView(bytes.buffer), ATTR_ATTR, { node, kind, links: 0 });
  return bytes;
}

/** @returns struct fuse_entry_out of a name that the host does not have any more, and that is to be removed */
export function goneEntryReply({ node, kind }: { node: number; kind: number }): Uint8Array {
  const bytes = new Uint8Array(ENTRY_OUT);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(node), true);
  writeGone(view, ENTRY_ATTR, { node, kind, links: 1 });
  return bytes;
}

/** @returns struct fuse_entry_out */
export function entryReply(
  { node, device }: GuestNode,
  stat: DataView,
  ownership: Ownership,
  lifetimes: { name: Lifetime; attributes: Lifetime },
): Uint8Array {
  const bytes = new Uint8Array(ENTRY_OUT);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(node), true);
  writeLifetime(view, 16, 32, lifetimes.name);
  writeLifetime(view, 24, 36, lifetimes.attributes);
  writeAttributes(view, ENTRY_ATTR, stat, ownership);
  view.setUint32(ENTRY_ATTR + 4, inodeHigh(stat.getUint32(STATX.ino + 4, true), device), true);
  return bytes;
}

/**
 * In struct fuse_attr's flags, husk's own (guest/kernel-config/patches): the file has no security.capability, which the
 * guest's kernel would otherwise ask for before the first write to it.
 */
const ATTR_NO_CAPS = 0x8000_0000;

/** @param entry struct fuse_entry_out of a file that has just been made */
export function markWithoutCapabilities(entry: Uint8Array): void {
  new DataView(entry.buffer, entry.byteOffset).setUint32(ENTRY_ATTR + 84, ATTR_NO_CAPS, true);
}

/** @returns struct fuse_entry_out of a name that is not there, which the guest may remember for this long */
export function absentReply(lifetime: Lifetime): Uint8Array {
  const bytes = new Uint8Array(ENTRY_OUT);
  writeLifetime(new DataView(bytes.buffer), 16, 32, lifetime);
  return bytes;
}

/** Requests on a file's attributes (mode, owner, size and times) and on the figures of its file system. */
import { chmodFd, chownFd, statfsFd, utimesFd } from '../../../../host/files/file-at.ts';
import { ftruncate } from '../../../../host/files/lookup.ts';
import { WRITE } from '../share/access.ts';
import { UNCHANGED } from '../share/attributes.ts';
import { ERRNO, FATTR, fixed, ProtocolError, SETATTR, u64, type Request } from '../share/fuse.ts';
import { S_IFDIR } from '../share/inodes.ts';
import { PERMISSIONS, type Share } from '../share/share.ts';

/** utimensat(2) */
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

export function setAttributes(share: Share, request: Request): Uint8Array {
  const inode = share.inodes.get(request.node);
  const view = fixed(request.body, SETATTR.bytes);
  const valid = view.getUint32(SETATTR.valid, true);
  const has = (bit: number) => (valid & bit) !== 0;
  const isTouch = (set: number, now: number) => !has(set) || has(now);
  if (
    has(FATTR.UID | FATTR.GID | FATTR.MODE) ||
    !isTouch(FATTR.ATIME, FATTR.ATIME_NOW) ||
    !isTouch(FATTR.MTIME, FATTR.MTIME_NOW)
  )
    share.access.checkOwn(inode.fd);
  else if (!has(FATTR.FH)) share.access.check(inode.fd, WRITE);
  if (has(FATTR.UID | FATTR.GID)) {
    const owner = share.ownership.toHost(
      has(FATTR.UID) ? view.getUint32(SETATTR.uid, true) : UNCHANGED,
      has(FATTR.GID) ? view.getUint32(SETATTR.gid, true) : UNCHANGED,
    );
    if (owner === undefined) throw new ProtocolError(ERRNO.EPERM);
    chownFd(inode.fd, ...owner);
  }
  if (has(FATTR.MODE))
    chmodFd(
      inode.fd,
      share.access.modeFor(inode.fd, view.getUint32(SETATTR.mode, true) & PERMISSIONS, inode.kind === S_IFDIR),
    );
  if (has(FATTR.SIZE)) {
    const size = u64(view, SETATTR.size);
    if (has(FATTR.FH)) ftruncate(share.handles.get(u64(view, SETATTR.fh)), size);
    else share.withFile(inode, 1, (fd) => ftruncate(fd, size));
    if (has(FATTR.KILL_SUIDGID)) share.killSetIds(inode.fd);
  }
  if (has(FATTR.ATIME | FATTR.MTIME)) {
    const times = new Uint8Array(32);
    const out = new DataView(times.buffer);
    const put = (at: number, set: number, now: number, seconds: number, nanoseconds: number) => {
      if (!has(set)) out.setUint32(at + 8, UTIME_OMIT, true);
      else if (has(now)) out.setUint32(at + 8, UTIME_NOW, true);
      else {
        out.setBigUint64(at, view.getBigUint64(seconds, true), true);
        out.setUint32(at + 8, Math.min(view.getUint32(nanoseconds, true), 999_999_999), true);
      }
    };
    put(0, FATTR.ATIME, FATTR.ATIME_NOW, SETATTR.atime, SETATTR.atimeNsec);
    put(16, FATTR.MTIME, FATTR.MTIME_NOW, SETATTR.mtime, SETATTR.mtimeNsec);
    utimesFd(inode.fd, times);
  }
  share.ownAttributes(inode);
  return share.attributes(inode);
}

/** Answers STATFS with struct fuse_kstatfs. */
export function statfs(share: Share, request: Request): Uint8Array {
  const stat = statfsFd(share.inodes.get(request.node).fd);
  const bytes = new Uint8Array(80);
  const out = new DataView(bytes.buffer);
  for (let i = 0; i < 5; i++) out.setBigUint64(i * 8, stat[2 + i]!, true);
  out.setUint32(40, Number(stat[1]! & 0xffff_ffffn), true);
  out.setUint32(44, Number(stat[8]! & 0xffff_ffffn), true);
  out.setUint32(48, Number(stat[9]! & 0xffff_ffffn), true);
  return bytes;
}

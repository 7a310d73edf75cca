/** READDIR and READDIRPLUS list a folder's entries; READDIRPLUS adds a lookup of each. */
import { getdents, lseek } from '../../../../host/files/file-at.ts';
import { inodeHigh } from '../share/attributes.ts';
import { entrySize, parseEntries, writeEntry } from '../share/directory.ts';
import { ENTRY_OUT, fixed, OP, u64, type Request } from '../share/fuse.ts';
import type { Inode } from '../share/inodes.ts';
import type { Share } from '../share/share.ts';
import { NOTHING } from './reply.ts';

/** bytes of entries that are read at once */
const DIRECTORY_BUFFER = 32 * 1024;
const SEEK_SET = 0;

/** One buffer for all shares: what getdents has written is copied out of it before the next request. */
const buffer = new Uint8Array(DIRECTORY_BUFFER);

/**
 * Answers struct fuse_read_in. Entries that do not fit are read again next time, from the offset of the last that did.
 */
export function list(share: Share, request: Request, replyRoom: number): Uint8Array {
  const view = fixed(request.body, 20);
  const fd = share.handles.get(u64(view, 0));
  const room = Math.min(view.getUint32(16, true), replyRoom, DIRECTORY_BUFFER);
  const withLookup = request.opcode === OP.READDIRPLUS;
  lseek(fd, view.getBigInt64(8, true), SEEK_SET);
  const folder = share.inodes.get(request.node);
  const { device } = folder;
  const out = new Uint8Array(room);
  let used = 0;
  const count = getdents(fd, buffer);
  for (const entry of parseEntries(buffer.subarray(0, count))) {
    if (used + entrySize(entry, withLookup ? ENTRY_OUT : 0) > room) break;
    if (device > 0) entry.ino = ofDevice(entry.ino, device);
    used = writeEntry(out, used, entry, withLookup ? lookUp(share, folder, entry.name) : NOTHING);
  }
  return out.subarray(0, used);
}

/** @returns the lookup that comes with an entry of the listing; an all-zero one says nothing of the entry */
function lookUp(share: Share, folder: Inode, name: string): Uint8Array {
  if (name === '.' || name === '..') return new Uint8Array(ENTRY_OUT);
  try {
    return share.entry(share.lookup(folder, name), folder);
  } catch {
    // The entry has gone in the meantime, or there are too many inodes: a guest that needs the entry asks again.
    return new Uint8Array(ENTRY_OUT);
  }
}

/** Turns an inode's number as getdents gives it into the number that the file's attributes have. */
function ofDevice(ino: Uint8Array, device: number): Uint8Array {
  const bytes = ino.slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(4, inodeHigh(view.getUint32(4, true), device), true);
  return bytes;
}

/** READDIR and READDIRPLUS list a folder's entries; READDIRPLUS adds a lookup of each. */
import { getdents, lseek } from '../../../../host/files/file-at.ts';
import { inodeHigh } from '../share/attributes.ts';
import { entrySize, parseEntries, writeEntry, type Entry } from '../share/directory.ts';
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
    const before = withLookup ? lookUp(share, folder, entry) : NOTHING;
    if (device > 0) entry.ino = ofDevice(entry.ino, device);
    used = writeEntry(out, used, entry, before);
  }
  return out.subarray(0, used);
}

/** struct fuse_entry_out that says nothing of the entry: a guest that needs it asks */
const SILENCE = new Uint8Array(ENTRY_OUT);

/** @returns the lookup that comes with an entry of the listing */
function lookUp(share: Share, folder: Inode, { name, ino }: Entry): Uint8Array {
  if (name === '.' || name === '..') return SILENCE;
  // What the guest knows need not be looked up again. The number of a mount point is that of what is beneath it, which
  // the guest does not know by this name: then it asks.
  const known = share.inodes.beside(folder, new DataView(ino.buffer, ino.byteOffset).getBigUint64(0, true));
  if (known !== undefined && share.isKnownIn(folder, known)) return SILENCE;
  try {
    return share.entry(share.lookup(folder, name), folder);
  } catch {
    // The entry has gone in the meantime, or there are too many inodes.
    return SILENCE;
  }
}

/** Turns an inode's number as getdents gives it into the number that the file's attributes have. */
function ofDevice(ino: Uint8Array, device: number): Uint8Array {
  const bytes = ino.slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(4, inodeHigh(view.getUint32(4, true), device), true);
  return bytes;
}

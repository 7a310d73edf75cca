/** READDIR and READDIRPLUS: a folder's entries, with a lookup of each or without. */
import { getdents, lseek } from '../../../../host/files/file-at.ts';
import { inodeHigh } from '../share/attributes.ts';
import { entrySize, parseEntries, writeEntry } from '../share/directory.ts';
import { ENTRY_OUT, fixed, OP, u64, type Request } from '../share/fuse.ts';
import type { Share } from '../share/share.ts';
import { NOTHING } from './reply.ts';

/** bytes of entries that are read at once */
const DIRECTORY_BUFFER = 32 * 1024;
const SEEK_SET = 0;

/** what getdents has written is copied out of it before the next request; one for all shares */
const buffer = new Uint8Array(DIRECTORY_BUFFER);

/** struct fuse_read_in. Entries that do not fit are read again next time, from the offset of the last that did. */
export function list(share: Share, request: Request, replyRoom: number): Uint8Array {
  const view = fixed(request.body, 20);
  const fd = share.handles.get(u64(view, 0));
  const room = Math.min(view.getUint32(16, true), replyRoom, DIRECTORY_BUFFER);
  const withLookup = request.opcode === OP.READDIRPLUS;
  lseek(fd, view.getBigInt64(8, true), SEEK_SET);
  const { device } = share.inodes.get(request.node);
  const out = new Uint8Array(room);
  let used = 0;
  const count = getdents(fd, buffer);
  for (const entry of parseEntries(buffer.subarray(0, count))) {
    if (used + entrySize(entry, withLookup ? ENTRY_OUT : 0) > room) break;
    if (device > 0) entry.ino = ofDevice(entry.ino, device);
    used = writeEntry(out, used, entry, withLookup ? lookUp(share, request.node, entry.name) : NOTHING);
  }
  return out.subarray(0, used);
}

/** A lookup that comes with the listing; an all-zero one says nothing of the entry. */
function lookUp(share: Share, folder: number, name: string): Uint8Array {
  if (name === '.' || name === '..') return new Uint8Array(ENTRY_OUT);
  try {
    return share.entry(share.lookup(folder, name));
  } catch {
    // gone in the meantime, or too many: the guest asks again if it cares
    return new Uint8Array(ENTRY_OUT);
  }
}

/** The number of an inode as getdents has it → as attributes have it. */
function ofDevice(ino: Uint8Array, device: number): Uint8Array {
  const bytes = ino.slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(4, inodeHigh(view.getUint32(4, true), device), true);
  return bytes;
}

/** Turns struct linux_dirent64 into struct fuse_dirent and fuse_direntplus, as many entries as fit. */

/** linux_dirent64: ino 64 bits, off 64 bits, reclen 16 bits, type 8 bits, name */
const DIRENT_NAME = 19;
/** fuse_dirent: ino, off, namelen, type, name padded to 8 bytes */
const FUSE_DIRENT_NAME = 24;

export interface Entry {
  /** 8 bytes each, as the kernel gave them */
  ino: Uint8Array;
  /** the place where the next call goes on */
  offset: Uint8Array;
  type: number;
  /** one character for each byte */
  name: string;
}

export function parseEntries(bytes: Uint8Array): Entry[] {
  const entries: Entry[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + DIRENT_NAME < bytes.length;) {
    const length = view.getUint16(at + 16, true);
    if (length <= DIRENT_NAME) break;
    const end = bytes.indexOf(0, at + DIRENT_NAME);
    entries.push({
      ino: bytes.slice(at, at + 8),
      offset: bytes.slice(at + 8, at + 16),
      type: bytes[at + 18]!,
      name: Buffer.from(bytes.buffer, bytes.byteOffset + at + DIRENT_NAME, end - at - DIRENT_NAME).toString('latin1'),
    });
    at += length;
  }
  return entries;
}

/** @returns bytes that an entry takes in a reply */
export const entrySize = (entry: Entry, prefix: number) =>
  prefix + Math.ceil((FUSE_DIRENT_NAME + entry.name.length) / 8) * 8;

/** @param before what READDIRPLUS puts in front of the entry: struct fuse_entry_out */
export function writeEntry(out: Uint8Array, at: number, entry: Entry, before: Uint8Array): number {
  out.set(before, at);
  const start = at + before.length;
  const view = new DataView(out.buffer, out.byteOffset);
  out.set(entry.ino, start);
  out.set(entry.offset, start + 8);
  view.setUint32(start + 16, entry.name.length, true);
  view.setUint32(start + 20, entry.type, true);
  out.set(Buffer.from(entry.name, 'latin1'), start + FUSE_DIRENT_NAME);
  return at + entrySize(entry, before.length);
}

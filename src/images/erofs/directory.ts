/**
 * A folder's contents in EROFS: blocks, each with a table of entries and then their names. The names are sorted by
 * bytes over the whole folder, because the kernel uses binary search for blocks and entries. Source: Linux
 * fs/erofs/erofs_fs.h (struct erofs_dirent), fs/erofs/namei.c.
 */
import type { ByteString } from '../../tar/byte-string.ts';
import { BLOCK, DIRENT_SIZE, writeDirent } from './format.ts';

export interface NamedInode {
  name: ByteString;
  /** EROFS_FT_* */
  type: number;
  nid: number;
}

/** Which names share a block, and how many bytes the folder has; the inodes need no numbers for that yet. */
export interface DirectoryShape {
  /** for each block, the index of its first name */
  starts: number[];
  names: ByteString[];
  /** bytes of the folder; every block but the last counts as full */
  size: number;
}

/**
 * Distributes a folder's names over its blocks.
 * @param names with `.` and `..`, in any order; each at most 255 bytes
 */
export function shapeDirectory(names: ByteString[]): DirectoryShape {
  // JavaScript compares UTF-16 units, which in a byte string are the bytes.
  names.sort();
  const starts = [0];
  let used = 0;
  for (const [index, name] of names.entries()) {
    const cost = DIRENT_SIZE + name.length;
    if (used + cost > BLOCK) {
      starts.push(index);
      used = 0;
    }
    used += cost;
  }
  return { starts, names, size: (starts.length - 1) * BLOCK + used };
}

/** Writes a folder's blocks. @returns `shape.size` bytes */
export function writeDirectory(shape: DirectoryShape, lookup: (name: ByteString) => NamedInode): Buffer {
  const bytes = Buffer.alloc(shape.size);
  for (const [block, first] of shape.starts.entries()) {
    const end = shape.starts[block + 1] ?? shape.names.length;
    const at = block * BLOCK;
    let nameOffset = (end - first) * DIRENT_SIZE;
    for (let index = first; index < end; index++) {
      const { name, nid, type } = lookup(shape.names[index]!);
      writeDirent(bytes, at + (index - first) * DIRENT_SIZE, nid, nameOffset, type);
      bytes.write(name, at + nameOffset, 'latin1');
      nameOffset += name.length;
    }
  }
  return bytes;
}

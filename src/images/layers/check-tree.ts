/**
 * Checks whether an unpacked tree still is what its layer's tar says: every name with its kind, mode, size and bytes.
 * The check runs as root of the user's namespace, where the whole tree can be read. It only reads, and follows no link.
 */
import { lstatSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { constants } from 'node:fs';
import { OpenFile } from '../../open-file.ts';
import { display, fromBytes, toBytes, type ByteString } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';
import type { Directory, TreeNode } from './tree.ts';

/** bytes compared at a time */
const CHUNK = 1 << 20;

export interface CheckedTree {
  /** the unpacked tree */
  folder: string;
  /** file descriptor of the layer's tar */
  tar: number;
}

/** @returns what is wrong with the first damaged name; undefined when nothing is */
export function checkTree(root: Directory, { folder, tar }: CheckedTree): string | undefined {
  const check = (node: TreeNode, path: ByteString): string | undefined => {
    const full = toBytes(`${fromBytes(Buffer.from(folder))}/${path}`);
    const wrong = (what: string): string => `"/${display(path)}" ${what}`;
    const stat = lstatSync(full, { throwIfNoEntry: false });
    if (node.kind === 'whiteout')
      return stat ||
        lstatSync(toBytes(`${fromBytes(Buffer.from(folder))}/${whiteoutFile(path)}`), { throwIfNoEntry: false })
        ? undefined
        : wrong('is missing');
    // Devices are never made in a user namespace.
    if (node.kind === 'leaf' && (node.entry.type === 'char' || node.entry.type === 'block')) return undefined;
    if (!stat) return wrong('is missing');
    if (node.kind === 'leaf') {
      const { entry } = node;
      if (entry.type === 'symlink')
        return stat.isSymbolicLink() && fromBytes(readlinkSync(full, 'buffer')) === entry.linkname
          ? undefined
          : wrong('leads elsewhere');
      if (entry.type === 'fifo') return stat.isFIFO() ? undefined : wrong('is no fifo');
      if (!stat.isFile()) return wrong('is no file');
      if ((stat.mode & 0o7777) !== entry.mode)
        return wrong(`has mode ${(stat.mode & 0o7777).toString(8)}, not ${entry.mode.toString(8)}`);
      if (stat.uid !== entry.uid || stat.gid !== entry.gid)
        return wrong(`belongs to ${stat.uid}:${stat.gid}, not to ${entry.uid}:${entry.gid}`);
      if (stat.size !== entry.size) return wrong(`has ${stat.size} bytes, not ${entry.size}`);
      return sameBytes(entry, full, tar) ? undefined : wrong('has other bytes');
    }
    if (!stat.isDirectory()) return wrong('is no folder');
    if (path !== '' && (stat.mode & 0o7777) !== (node.entry?.mode ?? 0o755))
      return wrong(`has mode ${(stat.mode & 0o7777).toString(8)}, not ${(node.entry?.mode ?? 0o755).toString(8)}`);
    for (const name of readdirSync(full, 'buffer').map(fromBytes))
      if (!node.children.has(name) && !node.children.has(name.replace(/^\.wh\./, '')))
        return wrong(`has "${display(name)}", which the layer has not`);
    for (const [name, child] of node.children) {
      const found = check(child, path === '' ? name : `${path}/${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return check(root, '');
}

/** @returns the file that stands for a whiteout where whiteouts cannot be devices (write-tree.ts) */
function whiteoutFile(path: ByteString): ByteString {
  const slash = path.lastIndexOf('/') + 1;
  return `${path.slice(0, slash)}.wh.${path.slice(slash)}`;
}

function sameBytes(entry: TarEntry, path: Buffer, tar: number): boolean {
  using file = new OpenFile(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const segments = entry.sparse ?? [{ offset: 0, length: entry.size }];
  let from = entry.dataOffset;
  const [ours, theirs] = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)];
  for (const { offset, length } of segments) {
    for (let done = 0; done < length;) {
      const wanted = Math.min(CHUNK, length - done);
      const one = readSync(file.fd, ours, 0, wanted, offset + done);
      const other = readSync(tar, theirs, 0, one, from + done);
      if (one === 0 || one !== other || ours.compare(theirs, 0, one, 0, one) !== 0) return false;
      done += one;
    }
    from += length;
  }
  return true;
}

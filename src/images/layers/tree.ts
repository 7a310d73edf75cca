/**
 * The meaning of a layer's tar: its members, in order, become one tree in memory, with replacements, hard links,
 * symbolic links within paths and whiteouts already resolved. Nothing here touches a file system, so no archive can
 * race or escape it; the unpacker and the EROFS writer only write out what this tree says, each name once.
 *
 * The rules are Docker's and containerd's (OCI image-spec layer.md § Applying Changesets): a later member replaces an
 * earlier one, except that a folder over a folder only changes its attributes; a missing parent is made as 0755 root;
 * whiteouts hide what lower layers have and never what this layer has.
 */
import { HuskError } from '../../errors.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';

/** prefix of a whiteout's name, OCI image-spec layer.md § Whiteouts */
const WHITEOUT = '.wh.';
/** prefix of AUFS's own bookkeeping, as old Docker wrote it; `.wh..wh..opq` is the opaque mark */
const WHITEOUT_META = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';
const AUFS_LINKS = '.wh..wh.plnk';
/** the kernel's own limit, MAXSYMLINKS of include/linux/namei.h */
const MAX_SYMLINKS = 40;

export interface Directory {
  kind: 'directory';
  /** undefined for a parent that no member describes */
  entry: TarEntry | undefined;
  children: Map<ByteString, TreeNode>;
  /** whether nothing of lower layers shows through */
  opaque: boolean;
}

/** Any inode but a folder; names that are hard links of each other share one. */
export interface Leaf {
  kind: 'leaf';
  entry: TarEntry;
  /** number of names that it has in this tree */
  links: number;
}

interface Whiteout {
  kind: 'whiteout';
}

export type TreeNode = Directory | Leaf | Whiteout;

const WHITEOUT_NODE: Whiteout = { kind: 'whiteout' };

const newDirectory = (entry?: TarEntry): Directory => ({
  kind: 'directory',
  entry,
  children: new Map(),
  opaque: false,
});

export class LayerTree {
  readonly root: Directory = newDirectory();
  /** `.wh..wh.plnk/…`: targets of hard links that are in no visible folder */
  readonly #aufsLinks = new Map<ByteString, Leaf>();
  #lastParent: ByteString | undefined;
  #lastDirectory: Directory = this.root;

  /** @throws HuskError `corrupt` naming the member, when it cannot be part of any file system */
  add(entry: TarEntry): void {
    const { path } = entry;
    if (path === '') {
      if (entry.type !== 'directory') throw corrupt(entry, 'the root is not a folder');
      this.root.entry = entry;
      return;
    }
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (
      slash !== -1 &&
      path.includes(WHITEOUT) &&
      path
        .slice(0, slash)
        .split('/')
        .some((component) => component.startsWith(WHITEOUT))
    ) {
      if (path.startsWith(`${AUFS_LINKS}/`)) {
        if (entry.type !== 'directory' && entry.type !== 'hardlink')
          this.#aufsLinks.set(path, { kind: 'leaf', entry, links: 0 });
        return;
      }
      if (path.startsWith(WHITEOUT_META)) return;
      throw corrupt(entry, 'a whiteout is used as a folder');
    }
    const parent = this.#parent(slash === -1 ? '' : path.slice(0, slash), entry);
    if (name.startsWith(WHITEOUT)) this.#whiteout(parent, name, entry);
    else this.#place(parent, name, entry);
  }

  #whiteout(parent: Directory, name: ByteString, entry: TarEntry): void {
    if (name === OPAQUE) {
      parent.opaque = true;
      return;
    }
    if (name.startsWith(WHITEOUT_META)) return;
    const hidden = name.slice(WHITEOUT.length);
    // `.wh...` would be the whiteout of `..`.
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw corrupt(entry, 'a whiteout of nothing, of its own folder or of the one above');
    const existing = parent.children.get(hidden);
    if (existing?.kind === 'directory') existing.opaque = true;
    else if (!existing) parent.children.set(hidden, WHITEOUT_NODE);
  }

  #place(parent: Directory, name: ByteString, entry: TarEntry): void {
    const existing = parent.children.get(name);
    if (entry.type === 'directory') {
      if (existing?.kind === 'directory') {
        existing.entry = entry;
        return;
      }
      if (existing) this.#drop(existing);
      const directory = newDirectory(entry);
      directory.opaque = existing?.kind === 'whiteout';
      parent.children.set(name, directory);
      return;
    }
    let leaf: Leaf;
    if (entry.type === 'hardlink') {
      leaf = this.#linkTarget(entry);
      if (leaf === existing) return;
    } else {
      // A character device 0:0 is overlayfs' own whiteout; Docker writes none into a tar.
      if (entry.type === 'char' && entry.deviceMajor === 0 && entry.deviceMinor === 0)
        throw corrupt(entry, 'it is a character device 0:0, which overlay file systems take for a whiteout');
      leaf = { kind: 'leaf', entry, links: 0 };
    }
    if (existing) this.#drop(existing);
    leaf.links++;
    parent.children.set(name, leaf);
  }

  #drop(node: TreeNode): void {
    this.#lastParent = undefined;
    const pending = [node];
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (next.kind === 'leaf') next.links--;
      else if (next.kind === 'directory') pending.push(...next.children.values());
    }
  }

  #linkTarget(entry: TarEntry): Leaf {
    const { linkname } = entry;
    const hidden = this.#aufsLinks.get(linkname);
    if (hidden) return hidden;
    const slash = linkname.lastIndexOf('/');
    const parent = linkname === '' ? undefined : this.#find(slash === -1 ? '' : linkname.slice(0, slash));
    const target = parent?.children.get(linkname.slice(slash + 1));
    if (target?.kind !== 'leaf')
      throw corrupt(
        entry,
        `it is a hard link to "${display(linkname)}", which ${target?.kind === 'directory' ? 'is a folder' : 'this layer does not have'}`,
      );
    return target;
  }

  #parent(path: ByteString, entry: TarEntry): Directory {
    if (path === this.#lastParent) return this.#lastDirectory;
    const directory = this.#walk(path, true, (what) => corrupt(entry, what))!;
    this.#lastParent = path;
    this.#lastDirectory = directory;
    return directory;
  }

  /**
   * @returns the folder of this path, with symbolic links followed as if the layer were the root (chroot); undefined
   * when there is no such folder
   */
  #find(path: ByteString): Directory | undefined {
    return this.#walk(path, false, () => undefined);
  }

  #walk(path: ByteString, create: boolean, fail: (what: string) => Error | undefined): Directory | undefined {
    const stop = (what: string): undefined => {
      const error = fail(what);
      if (error) throw error;
    };
    let symlinks = 0;
    /** folders from the root down to the current one, for `..` in link targets */
    const stack: Directory[] = [this.root];
    const pending = path === '' ? [] : path.split('/').reverse();
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (stack.length > 1) stack.pop();
        continue;
      }
      const current = stack.at(-1)!;
      const child = current.children.get(name);
      if (child?.kind === 'directory') {
        stack.push(child);
      } else if (child?.kind === 'leaf') {
        const { entry } = child;
        if (entry.type !== 'symlink') return stop(`"${display(name)}" in its path is not a folder`);
        if (++symlinks > MAX_SYMLINKS) return stop('its path has too many symbolic links');
        if (entry.linkname.startsWith('/')) stack.length = 1;
        pending.push(...entry.linkname.split('/').reverse());
        // Forty links of 4095 bytes each, doubled by one another, would still be too many.
        if (pending.length > 8192) return stop('its path has too many symbolic links');
      } else {
        if (!create) return undefined;
        if (name.startsWith(WHITEOUT) || name.length > 255)
          return stop('a symbolic link in its path leads to an impossible name');
        const made = newDirectory();
        made.opaque = child?.kind === 'whiteout';
        current.children.set(name, made);
        stack.push(made);
      }
    }
    return stack.at(-1);
  }
}

function corrupt(entry: TarEntry, what: string): HuskError {
  return new HuskError(`invalid layer: "${display(entry.path)}": ${what}`, { kind: 'corrupt' });
}

/**
 * Writes a layer's tree out as files, for overlayfs in a user namespace: the effects of unpacking. The target is a new,
 * empty folder in which no other process writes; every name is made exactly once and exclusively, through the fd of its
 * folder, so that neither an archive nor a race can lead out of it. The writer runs as root of the namespace: owners
 * are the namespace's ids.
 *
 * The writer leaves out what Docker and Podman leave out in a namespace too: devices (the container's /dev is made at
 * start), and attributes of trusted.* and of security modules. Attributes that overlay file systems read as their own
 * are never copied from a layer: they could redirect one path to another.
 */
import { constants } from 'node:os';
import { causeOf, HuskError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { SyscallError } from '../../host/libc.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';
import type { Directory, Leaf, TreeNode } from './tree.ts';

/**
 * attributes of the kernel's overlayfs, fuse-overlayfs and containers/storage: Documentation/filesystems/overlayfs.rst,
 * fuse-overlayfs(1)
 */
const OVERLAY_XATTR = /^(?:trusted|user)\.(?:overlay|fuseoverlayfs|containers)\.|^security\.fuseoverlayfs\./;
/**
 * overlayfs.rst § "User xattr": what `userxattr` mounts read instead of trusted.overlay.opaque; fuse-overlayfs reads it
 * too
 */
const OPAQUE_XATTR = 'user.overlay.opaque';
const { EINVAL, EOPNOTSUPP, EPERM } = constants.errno;

export interface WriteTreeOptions {
  /** file descriptor of the empty folder */
  target: number;
  /** the tar that has the files' contents; a tree of folders needs none */
  tar: host.FileMapping | undefined;
  /** Whether both ids are mapped in this user namespace. */
  mapped: (uid: number, gid: number) => boolean;
  /** Called now and then with the number of names made since the last call; it may throw to stop the work. */
  onProgress?: (names: number) => void;
}

/** names between two calls of `onProgress`: some milliseconds */
const PROGRESS_NAMES = 500;

/**
 * bytes; contents from this size on are copied in another thread while the next names are made, below it the hand-over
 * costs more
 */
const THREAD_SIZE = 64 << 10;
/** files of one layer that other threads copy at once: the walk does not pause, so all of them are open together */
const MAX_IN_THREADS = 256;

/** @throws HuskError; the folder is then half-made and of no use */
export async function writeTree(root: Directory, options: WriteTreeOptions): Promise<void> {
  await new TreeWriter(options).write(root);
}

class TreeWriter {
  readonly #options: WriteTreeOptions;
  /** the path, from the target down, at which a leaf with several names was made first */
  readonly #made = new Map<Leaf, ByteString>();
  /**
   * Set once a whiteout was refused: kernels before 5.8 forbid them to namespaces, and fuse-overlayfs then reads `.wh.`
   * files.
   */
  #whiteoutsAreFiles = false;
  #names = 0;
  readonly #inThreads: Promise<void>[] = [];

  constructor(options: WriteTreeOptions) {
    this.#options = options;
  }

  async write(root: Directory): Promise<void> {
    let inThreads: PromiseSettledResult<void>[] = [];
    try {
      this.#children(root, this.#options.target, '');
      this.#finishDirectory(root, this.#options.target, '');
    } finally {
      // The threads are awaited after a failure as well: they read the mapping, which the caller unmaps.
      inThreads = await Promise.allSettled(this.#inThreads);
    }
    // Failures of threads are thrown outside the `finally`, where one would hide the failure that came first.
    const failed = inThreads.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  #children(directory: Directory, fd: number, path: ByteString): void {
    for (const [name, node] of directory.children) {
      const at = path === '' ? name : `${path}/${name}`;
      if (++this.#names % PROGRESS_NAMES === 0) this.#options.onProgress?.(PROGRESS_NAMES);
      try {
        this.#node(node, fd, name, at);
      } catch (error) {
        throw error instanceof SyscallError ? explain(error, at) : error;
      }
    }
  }

  #node(node: TreeNode, folder: number, name: ByteString, path: ByteString): void {
    if (node.kind === 'whiteout') return this.#whiteout(folder, name);
    if (node.kind === 'leaf') return this.#leaf(node, folder, name, path);
    // The folder is closed to others until its contents are there; the real mode, which may be setgid or closed, is set
    // after them.
    host.makeDirectoryAt(folder, name, 0o700);
    using made = new Fd(host.openAt(folder, name, host.O_RDONLY | host.O_DIRECTORY));
    this.#children(node, made.number, path);
    this.#finishDirectory(node, made.number, path);
  }

  #finishDirectory(directory: Directory, fd: number, path: ByteString): void {
    const { entry } = directory;
    if (entry) this.#own(entry, fd, path);
    host.fchmod(fd, entry?.mode ?? 0o755);
    if (entry?.xattrs) this.#xattrs(entry, fd, path);
    if (directory.opaque) {
      const errno = host.trySetXattr(fd, OPAQUE_XATTR, Buffer.from('y'));
      if (errno !== 0) throw explain(new SyscallError('fsetxattr', errno), path);
    }
    host.setTimesOf(fd, entry?.mtime ?? 0, entry?.mtimeNanoseconds ?? 0);
  }

  #leaf(leaf: Leaf, folder: number, name: ByteString, path: ByteString): void {
    const { entry } = leaf;
    if (leaf.links > 1) {
      const first = this.#made.get(leaf);
      if (first !== undefined) return this.#link(first, folder, name);
      this.#made.set(leaf, path);
    }
    switch (entry.type) {
      case 'file':
        return this.#file(entry, folder, name, path);
      case 'symlink':
        host.symlinkAt(entry.linkname, folder, name);
        this.#ownAt(entry, folder, name, path);
        return host.setTimesAt(folder, name, entry.mtime, entry.mtimeNanoseconds);
      case 'fifo':
        host.makeNodeAt(folder, name, host.S_IFIFO | 0o600, 0);
        this.#ownAt(entry, folder, name, path);
        host.chmodAt(folder, name, entry.mode);
        return host.setTimesAt(folder, name, entry.mtime, entry.mtimeNanoseconds);
      default:
        // Devices are left out: a user namespace may not make them.
        this.#made.delete(leaf);
    }
  }

  #link(first: ByteString, folder: number, name: ByteString): void {
    const slash = first.lastIndexOf('/');
    if (slash === -1) return host.linkAt(this.#options.target, first, folder, name);
    const inside = first.slice(0, slash);
    using parent = new Fd(host.openBeneath(this.#options.target, inside, host.O_RDONLY | host.O_DIRECTORY));
    host.linkAt(parent.number, first.slice(slash + 1), folder, name);
  }

  #file(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    const plain = entry.uid === 0 && entry.gid === 0 && (entry.mode & 0o7000) === 0;
    const fd = host.openAt(folder, name, host.O_WRONLY | host.O_CREAT | host.O_EXCL, plain ? entry.mode : 0o600);
    if (entry.size >= THREAD_SIZE && !entry.sparse && this.#inThreads.length < MAX_IN_THREADS) {
      this.#inThreads.push(this.#fileInThread(entry, fd, path, plain));
      return;
    }
    try {
      this.#contents(entry, fd);
      this.#finishFile(entry, fd, path, plain);
    } finally {
      host.closeFd(fd);
    }
  }

  async #fileInThread(entry: TarEntry, fd: number, path: ByteString, plain: boolean): Promise<void> {
    try {
      await this.#options.tar!.writeInThread(fd, entry.dataOffset, entry.size, 0);
      this.#finishFile(entry, fd, path, plain);
    } catch (error) {
      throw error instanceof SyscallError ? explain(error, path) : error;
    } finally {
      host.closeFd(fd);
    }
  }

  /**
   * Sets a file's attributes after its contents: writing would remove setuid bits and file capabilities, and set the
   * time.
   */
  #finishFile(entry: TarEntry, fd: number, path: ByteString, plain: boolean): void {
    if (!plain) {
      this.#own(entry, fd, path);
      host.fchmod(fd, entry.mode);
    }
    if (entry.xattrs) this.#xattrs(entry, fd, path);
    host.setTimesOf(fd, entry.mtime, entry.mtimeNanoseconds);
  }

  #contents(entry: TarEntry, fd: number): void {
    if (!entry.sparse) {
      if (entry.size > 0) this.#options.tar!.writeTo(fd, entry.dataOffset, entry.size, 0);
      return;
    }
    host.ftruncate(fd, entry.size);
    let from = entry.dataOffset;
    for (const { offset, length } of entry.sparse) {
      this.#options.tar!.writeTo(fd, from, length, offset);
      from += length;
    }
  }

  /** Makes a whiteout: a character device 0:0, which needs no privilege since Linux 5.8. */
  #whiteout(folder: number, name: ByteString): void {
    if (!this.#whiteoutsAreFiles) {
      try {
        return host.makeNodeAt(folder, name, host.S_IFCHR, 0);
      } catch (error) {
        if (!(error instanceof SyscallError) || error.errno !== EPERM) throw error;
        this.#whiteoutsAreFiles = true;
      }
    }
    host.closeFd(host.openAt(folder, `.wh.${name}`, host.O_WRONLY | host.O_CREAT | host.O_EXCL, 0o600));
  }

  #own(entry: TarEntry, fd: number, path: ByteString): void {
    if (entry.uid === 0 && entry.gid === 0) return;
    this.#checkMapped(entry, path);
    host.fchown(fd, entry.uid, entry.gid);
  }

  #ownAt(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    if (entry.uid === 0 && entry.gid === 0) return;
    this.#checkMapped(entry, path);
    host.chownAt(folder, name, entry.uid, entry.gid);
  }

  #checkMapped({ uid, gid }: TarEntry, path: ByteString): void {
    if (this.#options.mapped(uid, gid)) return;
    throw new HuskError(
      `cannot unpack "/${display(path)}": its owner ${uid}:${gid} has no subordinate id on this host`,
      {
        kind: 'unsupported',
        fix: 'give this user larger ranges in /etc/subuid and /etc/subgid (usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST USER)',
      },
    );
  }

  #xattrs(entry: TarEntry, fd: number, path: ByteString): void {
    for (const [name, value] of entry.xattrs!) {
      if (OVERLAY_XATTR.test(name)) continue;
      const errno = host.trySetXattr(fd, name, value);
      // An attribute that this namespace or file system cannot have is left out, as in Docker and Podman. EINVAL:
      // capabilities or ACLs that name ids outside of the map.
      if (errno !== 0 && errno !== EPERM && errno !== EOPNOTSUPP && errno !== EINVAL)
        throw explain(new SyscallError(`fsetxattr ${display(name)}`, errno), path);
    }
  }
}

function explain(error: SyscallError, path: ByteString): HuskError {
  const fixes: Record<string, string> = {
    ENOSPC: 'free some space, or move the data root',
    EDQUOT: 'free some space, or move the data root',
    EMFILE: 'raise the limit of open files (ulimit -n)',
  };
  return new HuskError(`cannot unpack "/${display(path)}": ${error.syscall}: ${causeOf(error)}`, {
    kind: 'limit',
    cause: error,
    fix: fixes[error.code],
  });
}

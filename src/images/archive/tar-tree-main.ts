/**
 * The internal program `tar-tree FOLDER`: runs as root of the user's namespace and writes a folder's tree as a tar to stdout: names in
 * byte order, owners as the namespace sees them, hard links, xattrs, device nodes; sockets are left out. Blocking writes are the
 * back-pressure.
 *
 * The tree may be a running container's and change meanwhile: the process makes the folder its root first, so no symbolic link and no
 * swapped folder leads anywhere else; a file is never waited for, and has as many bytes in the archive as its header said.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, writeSync, type BigIntStats } from 'node:fs';
import { changeRoot, listXattrs, readXattr } from '../../host/files.ts';
import { type ByteString, fromBytes, toBytes } from '../../tar/byte-string.ts';
import type { TarType } from '../../tar/entry.ts';
import { paddingOf, TAR_END, tarHeader } from '../../tar/write.ts';

const NANOSECONDS = 1_000_000_000n;
/** bytes read at once, and gathered before they are written */
const CHUNK = 1 << 20;
/** O_NONBLOCK: a FIFO at the place of a file must not be waited for */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** of an inode's xattrs these belong to the file; the rest to the host, to overlay file systems or to no other machine */
const KEPT = /^(?:user\.(?!overlay\.|fuseoverlayfs\.|containers\.)|security\.capability$)/;

export async function main([folder = '']: string[]): Promise<number> {
  try {
    // what is loaded on demand must be loaded before the root changes
    listXattrs('.');
    changeRoot(folder);
    const writer = new TreeWriter();
    writer.folder('');
    writer.end();
    return 0;
  } catch (error) {
    // whoever read has had enough
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
}

class TreeWriter {
  #buffer = Buffer.allocUnsafe(CHUNK);
  #length = 0;
  /** first names of inodes that have several */
  readonly #links = new Map<string, ByteString>();

  /** @param path '' is the root, else without slashes at its ends */
  folder(path: ByteString): void {
    const names = absentAs(undefined, () => readdirSync(toBytes(`/${path}`), { encoding: 'buffer' }));
    // byte strings sort as their bytes do
    for (const name of (names ?? []).map(fromBytes).sort()) this.#member(path === '' ? name : `${path}/${name}`);
  }

  end(): void {
    this.#write(TAR_END);
    this.#flush();
  }

  #member(path: ByteString): void {
    const stat = absentAs(undefined, () => lstatSync(toBytes(`/${path}`), { bigint: true }));
    const type = stat && typeOf(stat);
    if (!stat || !type) return;
    const inode = `${stat.dev}:${stat.ino}`;
    const first = stat.nlink > 1n && type !== 'directory' ? this.#links.get(inode) : undefined;
    if (first !== undefined) return this.#header(path, stat, 'hardlink', { linkname: first });
    if (type === 'file') this.#file(path);
    else if (type === 'symlink') {
      const target = absentAs(undefined, () => readlinkSync(toBytes(`/${path}`), { encoding: 'buffer' }));
      if (target === undefined) return;
      this.#header(path, stat, type, { linkname: fromBytes(target) });
    } else this.#header(path, stat, type, { xattrs: xattrsOf(path) });
    if (stat.nlink > 1n && type !== 'directory') this.#links.set(inode, path);
    if (type === 'directory') this.folder(path);
  }

  #file(path: ByteString): void {
    const fd = absentAs(undefined, () => openSync(toBytes(`/${path}`), OPEN_FLAGS));
    if (fd === undefined) return;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile()) return;
      const size = Number(stat.size);
      this.#header(path, stat, 'file', { size, xattrs: xattrsOf(path) });
      let done = 0;
      while (done < size) {
        if (this.#length === CHUNK) this.#flush();
        const read = readSync(fd, this.#buffer, this.#length, Math.min(CHUNK - this.#length, size - done), null);
        if (read === 0) break;
        this.#length += read;
        done += read;
      }
      // it has become shorter: the archive must keep its promise
      for (; done < size; done += Math.min(CHUNK, size - done)) this.#write(Buffer.alloc(Math.min(CHUNK, size - done)));
      this.#write(paddingOf(size));
    } finally {
      closeSync(fd);
    }
  }

  #header(path: ByteString, stat: BigIntStats, type: TarType, extra: { size?: number; linkname?: ByteString; xattrs?: Map<ByteString, Buffer> }): void {
    const isDevice = type === 'char' || type === 'block';
    this.#write(
      tarHeader({
        type,
        path: type === 'directory' ? `${path}/` : path,
        mode: Number(stat.mode & 0o7777n),
        uid: Number(stat.uid),
        gid: Number(stat.gid),
        mtime: Number((stat.mtimeNs - modulo(stat.mtimeNs, NANOSECONDS)) / NANOSECONDS),
        mtimeNanoseconds: Number(modulo(stat.mtimeNs, NANOSECONDS)),
        ...(isDevice ? { deviceMajor: majorOf(stat.rdev), deviceMinor: minorOf(stat.rdev) } : {}),
        ...extra,
      }),
    );
  }

  #write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#length === CHUNK) this.#flush();
      const copied = bytes.copy(this.#buffer, this.#length, at);
      this.#length += copied;
      at += copied;
    }
  }

  #flush(): void {
    for (let at = 0; at < this.#length; ) at += writeSync(1, this.#buffer, at, this.#length - at);
    this.#length = 0;
  }
}

/** what a running container has deleted or replaced since its name was read is not there */
function absentAs<T>(absent: undefined, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ELOOP, ENXIO: a link or a socket stands where a file was
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENXIO' || code === 'EINVAL') return absent;
    throw error;
  }
}

function typeOf(stat: BigIntStats): TarType | undefined {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isCharacterDevice()) return 'char';
  if (stat.isBlockDevice()) return 'block';
  return stat.isFIFO() ? 'fifo' : undefined;
}

/** never below zero */
const modulo = (value: bigint, by: bigint) => ((value % by) + by) % by;

/** dev_t as stat(2) gives it: gnu_dev_major and gnu_dev_minor of sys/sysmacros.h */
const majorOf = (device: bigint) => Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n));
const minorOf = (device: bigint) => Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));

function xattrsOf(path: ByteString): Map<ByteString, Buffer> | undefined {
  const names = listXattrs(`/${path}`).filter((name) => KEPT.test(name));
  if (names.length === 0) return undefined;
  const found = new Map<ByteString, Buffer>();
  for (const name of names) {
    const value = readXattr(`/${path}`, name);
    if (value) found.set(name, value);
  }
  return found;
}

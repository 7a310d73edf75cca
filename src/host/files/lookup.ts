/**
 * Files by the descriptor of their folder: the *at family, attributes and copies that Node's fs lacks. Names are passed
 * as bytes: a string counts as one character for each byte (latin1), which for ASCII is the text itself. No call here
 * follows a symbolic link in the last component.
 *
 * Numbers are those of x86-64 Linux: asm-generic/fcntl.h, linux/fcntl.h, linux/stat.h, linux/openat2.h.
 */
import { constants } from 'node:os';
import { checked } from '../libc.ts';
import { systemCall, threadedSystemCall } from '../system-call.ts';

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const O_CLOEXEC = 0o2000000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
const { EAGAIN, EINTR } = constants.errno;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const PROT_READ = 1;
const MAP_PRIVATE = 2;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const RESOLVE_IN_ROOT = 0x10;

/** a NUL-terminated buffer, or an ASCII string */
export type Name = string | Buffer;

const openat = systemCall<(fd: number, path: Name, flags: number, mode: number) => number>(
  'int openat(int fd, const char *path, int flags, int mode)',
);
const close = systemCall<(fd: number) => number>('int close(int fd)');
const mkdirat = systemCall<(fd: number, path: Name, mode: number) => number>(
  'int mkdirat(int fd, const char *path, int mode)',
);
const mknodat = systemCall<(fd: number, path: Name, mode: number, device: number) => number>(
  'int mknodat(int fd, const char *path, int mode, uint64_t device)',
);
const symlinkat = systemCall<(target: Name, fd: number, path: Name) => number>(
  'int symlinkat(const char *target, int fd, const char *path)',
);
const linkat = systemCall<(from: number, path: Name, to: number, name: Name, flags: number) => number>(
  'int linkat(int from, const char *path, int to, const char *name, int flags)',
);
const fchown_ = systemCall<(fd: number, uid: number, gid: number) => number>(
  'int fchown(int fd, uint32_t uid, uint32_t gid)',
);
const fchownat = systemCall<(fd: number, path: Name, uid: number, gid: number, flags: number) => number>(
  'int fchownat(int fd, const char *path, uint32_t uid, uint32_t gid, int flags)',
);
const fchmod_ = systemCall<(fd: number, mode: number) => number>('int fchmod(int fd, uint32_t mode)');
const fchmodat = systemCall<(fd: number, path: Name, mode: number) => number>(
  'int fchmodat(int fd, const char *path, uint32_t mode)',
);
const utimensat = systemCall<(fd: number, path: Name | null, times: Int32Array, flags: number) => number>(
  'int utimensat(int fd, const char *path, const void *times, int flags)',
);
const fsetxattr = systemCall<(fd: number, name: Name, value: Uint8Array, size: number, flags: number) => number>(
  'int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)',
);
const ftruncate_ = systemCall<(fd: number, length: number) => number>('int ftruncate(int fd, int64_t length)');
const pwriteNative = threadedSystemCall<[fd: number, address: number, length: number, offset: number]>(
  'int64_t pwrite64(int fd, int64_t address, size_t length, int64_t offset)',
);
const syncfs_ = systemCall<(fd: number) => number>('int syncfs(int fd)');
const mmap = systemCall<
  (address: number, length: number, protection: number, flags: number, fd: number, offset: number) => number
>('int64_t mmap(int64_t address, size_t length, int protection, int flags, int fd, int64_t offset)');
const munmap = systemCall<(address: number, length: number) => number>('int munmap(int64_t address, size_t length)');
const openat2 = systemCall<(fd: number, path: Name, how: BigUint64Array, size: number) => number>(
  'int openat2(int fd, const char *path, const void *how, size_t size)',
);

const NOT_ASCII = /[^\x01-\x7f]/;

/** Turns a byte string into what koffi must get: koffi passes strings as UTF-8, which is right only for ASCII. */
export function nameBytes(name: string): Name {
  if (!NOT_ASCII.test(name)) return name;
  if (name.includes('\0')) throw new Error('a name with a NUL byte reached a system call');
  return Buffer.from(`${name}\0`, 'latin1');
}

/** openat(2) that does not follow a symbolic link at the end. @throws SyscallError */
export const openAt = (folder: number, name: string, flags: number, mode = 0): number =>
  checked(openat(folder, nameBytes(name), flags | O_NOFOLLOW | O_CLOEXEC, mode), 'openat', name);

/**
 * How often a lookup is repeated. openat2(2) gives EAGAIN for a `..` while anything on this host is renamed or mounted,
 * by any process. A busy host makes one lookup in some thousands fail, and a process that does nothing but rename makes
 * two of three fail; so many failures in a row do not happen.
 */
const LOOKUPS = 1000;

function open2(folder: number, path: string, flags: number, resolve: number): number {
  const how = BigUint64Array.of(BigInt(flags | O_CLOEXEC), 0n, BigInt(resolve));
  const name = nameBytes(path);
  let fd: number;
  let lookups = 0;
  do fd = openat2(folder, name, how, how.byteLength);
  while ((fd === -EAGAIN || fd === -EINTR) && ++lookups < LOOKUPS);
  return checked(fd, 'openat2', path);
}

/**
 * Opens a folder below `folder`: the path may have no symbolic link, no `..` out of the folder, and no magic link.
 * openat2(2) @throws SyscallError
 */
export const openBeneath = (folder: number, path: string, flags = O_RDONLY): number =>
  open2(folder, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

/**
 * Opens what a path leads to below `folder`: symbolic links may be followed there, but none that leads out of the
 * folder, is absolute, or is magic. openat2(2) @throws SyscallError
 */
export const openWithin = (folder: number, path: string, flags: number): number =>
  open2(folder, path, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);

/**
 * Opens what a path names when `root` is its /: symbolic links and `..` lead nowhere else, magic links are refused.
 * openat2(2) @throws SyscallError
 */
export const openInRoot = (root: number, path: string, flags: number): number =>
  open2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

/**
 * Opens a path, absolute or relative to the working folder, and follows links in it: only for husk's own folders.
 * @throws SyscallError
 */
export const openFolder = (path: string): number =>
  checked(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), 'open', path);

export const closeFd = (fd: number): void => void checked(close(fd), 'close');
export const makeDirectoryAt = (folder: number, name: string, mode: number): void =>
  void checked(mkdirat(folder, nameBytes(name), mode), 'mkdirat', name);
export const makeNodeAt = (folder: number, name: string, mode: number, device: number): void =>
  void checked(mknodat(folder, nameBytes(name), mode, device), 'mknodat', name);
export const symlinkAt = (target: string, folder: number, name: string): void =>
  void checked(symlinkat(nameBytes(target), folder, nameBytes(name)), 'symlinkat', name);
export const linkAt = (from: number, path: string, to: number, name: string): void =>
  void checked(linkat(from, nameBytes(path), to, nameBytes(name), 0), 'linkat', name);
export const fchown = (fd: number, uid: number, gid: number): void => void checked(fchown_(fd, uid, gid), 'fchown');
export const chownAt = (folder: number, name: string, uid: number, gid: number): void =>
  void checked(fchownat(folder, nameBytes(name), uid, gid, AT_SYMLINK_NOFOLLOW), 'fchownat', name);
export const fchmod = (fd: number, mode: number): void => void checked(fchmod_(fd, mode), 'fchmod');
/** Changes a mode. The name must never be a symbolic link, because Linux would follow it. */
export const chmodAt = (folder: number, name: string, mode: number): void =>
  void checked(fchmodat(folder, nameBytes(name), mode), 'fchmodat', name);
export const ftruncate = (fd: number, length: number): void => void checked(ftruncate_(fd, length), 'ftruncate');
export const syncfs = (fd: number): void => void checked(syncfs_(fd), 'syncfs');
const syncfsNative = threadedSystemCall<[number]>('int syncfs(int fd)');
/** Syncs a file system on a thread of libuv's pool. @returns 0, or the negated errno */
export const syncfsInThread = (fd: number): Promise<number> =>
  new Promise((resolve) => syncfsNative().async(fd, (_, result) => resolve(result)));

/** struct timespec[2]: access and modification time, which are the same */
const times = new Int32Array(8);

function setTimes(seconds: number, nanoseconds: number): Int32Array {
  times[0] = times[4] = seconds | 0;
  times[1] = times[5] = Math.floor(seconds / 2 ** 32);
  times[2] = times[6] = nanoseconds;
  return times;
}

/** Sets both times. Seconds may be negative; their two halves make a 64-bit number. @throws SyscallError */
export const setTimesOf = (fd: number, seconds: number, nanoseconds: number): void =>
  void checked(utimensat(fd, null, setTimes(seconds, nanoseconds), 0), 'utimensat');
export const setTimesAt = (folder: number, name: string, seconds: number, nanoseconds: number): void =>
  void checked(
    utimensat(folder, nameBytes(name), setTimes(seconds, nanoseconds), AT_SYMLINK_NOFOLLOW),
    'utimensat',
    name,
  );

/** @returns 0 or errno, because which failures matter depends on the attribute */
export const trySetXattr = (fd: number, name: string, value: Uint8Array): number =>
  -fsetxattr(fd, nameBytes(name), value, value.byteLength, 0);

/** A file's bytes in memory, read-only and never through JavaScript, for write(2) to copy from. */
export class FileMapping implements Disposable {
  readonly length: number;
  #address: number;

  /** @param length bytes, as fstat reports them; 0 maps nothing */
  constructor(fd: number, length: number) {
    this.length = length;
    this.#address = length === 0 ? 0 : checked(mmap(0, length, PROT_READ, MAP_PRIVATE, fd, 0), 'mmap');
  }

  /**
   * Writes a piece of the mapping to a file. The call is safe for memory: the piece is checked against the mapping, and
   * where the mapped file was truncated the kernel answers EFAULT instead of a signal.
   * @throws SyscallError, RangeError
   */
  writeTo(fd: number, from: number, length: number, offset: number): void {
    this.#check(from, length);
    for (let done = 0; done < length;)
      done += checked(pwriteNative()(fd, this.#address + from + done, length - done, offset + done), 'pwrite');
  }

  /**
   * Writes a piece on a thread of libuv's pool. The mapping and the fd must stay open until the promise has resolved.
   */
  async writeInThread(fd: number, from: number, length: number, offset: number): Promise<void> {
    this.#check(from, length);
    const written = await new Promise<number>((resolve) =>
      pwriteNative().async(fd, this.#address + from, length, offset, (_, result) => resolve(result)),
    );
    // A short write is rare: its rest is written here.
    const done = checked(written, 'pwrite');
    this.writeTo(fd, from + done, length - done, offset + done);
  }

  #check(from: number, length: number): void {
    if (this.#address === 0 || from < 0 || length < 0 || from + length > this.length)
      throw new RangeError(`bytes ${from}+${length} are outside of a mapping of ${this.length}`);
  }

  [Symbol.dispose](): void {
    if (this.#address > 0) munmap(this.#address, this.length);
    this.#address = 0;
  }
}

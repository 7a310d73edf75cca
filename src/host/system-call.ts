/**
 * Linux system calls that answer as the kernel does: with a result, or the negated errno. The C library splits that
 * answer into −1 and a thread-wide `errno`, and V8 may make system calls of its own between a call's return and the
 * reading of `errno`, so that the wrong failure is reported. Here both come back in one register and cannot be
 * separated, on whatever thread the call ran.
 *
 * Each call is eleven bytes of machine code, written once into a page that is then executable and read-only: the code
 * moves the fourth argument to where the kernel expects it, loads the call's number, and runs `syscall` and `ret`.
 * Nothing here checks what is done with a pointer: each caller says why its own is safe. The code is for x86-64, the
 * only architecture that husk runs on.
 */
import { koffi, libraryFunction } from './libc.ts';

/** the calls that husk makes, with their numbers in arch/x86/entry/syscalls/syscall_64.tbl */
const NUMBERS = {
  read: 0,
  write: 1,
  close: 3,
  lseek: 8,
  poll: 7,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  ioctl: 16,
  pwrite64: 18,
  madvise: 28,
  socket: 41,
  connect: 42,
  sendto: 44,
  recvfrom: 45,
  sendmsg: 46,
  recvmsg: 47,
  shutdown: 48,
  bind: 49,
  listen: 50,
  getsockname: 51,
  socketpair: 53,
  setsockopt: 54,
  getsockopt: 55,
  fcntl: 72,
  flock: 73,
  ftruncate: 77,
  chmod: 90,
  fchmod: 91,
  fchown: 93,
  setfsgid: 123,
  fstatfs: 138,
  prctl: 157,
  adjtimex: 159,
  mount: 165,
  umount2: 166,
  setxattr: 188,
  fsetxattr: 190,
  fgetxattr: 193,
  flistxattr: 196,
  fremovexattr: 199,
  getxattr: 191,
  listxattr: 194,
  removexattr: 197,
  sched_setaffinity: 203,
  getdents64: 217,
  clock_settime: 227,
  tgkill: 234,
  waitid: 247,
  inotify_add_watch: 254,
  inotify_rm_watch: 255,
  openat: 257,
  mkdirat: 258,
  mknodat: 259,
  fchownat: 260,
  unlinkat: 263,
  linkat: 265,
  symlinkat: 266,
  readlinkat: 267,
  fchmodat: 268,
  utimensat: 280,
  timerfd_create: 283,
  fallocate: 285,
  timerfd_settime: 286,
  accept4: 288,
  eventfd2: 290,
  pipe2: 293,
  inotify_init1: 294,
  preadv: 295,
  open_by_handle_at: 304,
  syncfs: 306,
  setns: 308,
  renameat2: 316,
  seccomp: 317,
  getrandom: 318,
  memfd_create: 319,
  bpf: 321,
  copy_file_range: 326,
  pwritev2: 328,
  statx: 332,
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  pidfd_open: 434,
  openat2: 437,
  pidfd_getfd: 438,
  mount_setattr: 442,
} as const;

type SystemCallName = keyof typeof NUMBERS;

/** bytes of a stub and its padding; every stub begins at a multiple of this size */
const STUB_SIZE = 16;
const PAGE_SIZE = 4096;
/** sys/mman.h, asm-generic/mman-common.h */
const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;

/** @returns the machine code of one call (Intel SDM vol. 2): mov r10, rcx; mov eax, number; syscall; ret */
const stub = (number: number): number[] => [0x49, 0x89, 0xca, 0xb8, number & 0xff, number >> 8, 0, 0, 0x0f, 0x05, 0xc3];

const ORDER = Object.keys(NUMBERS) as SystemCallName[];
let page: number | undefined;

function stubAddress(name: SystemCallName): number {
  page ??= writeStubs();
  return page + ORDER.indexOf(name) * STUB_SIZE;
}

/** Writes every stub. The page is never unmapped: functions made from it live as long as the process. */
function writeStubs(): number {
  const mmap = libraryFunction<
    (address: number, length: number, protection: number, flags: number, fd: number, offset: number) => number
  >('int64_t mmap(int64_t address, size_t length, int protection, int flags, int fd, int64_t offset)');
  const mprotect = libraryFunction<(address: number, length: number, protection: number) => number>(
    'int mprotect(int64_t address, size_t length, int protection)',
  );
  const address = mmap(0, PAGE_SIZE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (address === -1) throw new Error('cannot map a page for system calls: out of memory');
  // safe: the page was just mapped, is PAGE_SIZE long, and no other code has its address
  const code = new Uint8Array(koffi().view(address, PAGE_SIZE));
  for (const [index, name] of ORDER.entries()) code.set(stub(NUMBERS[name]), index * STUB_SIZE);
  if (mprotect(address, PAGE_SIZE, PROT_READ_EXEC) !== 0) {
    throw new Error('cannot make a page of system calls executable: refused by the kernel (a security module?)');
  }
  return address;
}

/** A bound call that can also run on a thread of libuv's pool. */
export interface ThreadedCall<A extends unknown[]> {
  (...args: A): number;
  async(...args: [...A, (error: Error | null, result: number) => void]): void;
}

function bind(prototype: string): unknown {
  const name = /(\w+)\s*\(/.exec(prototype)?.[1] ?? '';
  if (!Object.hasOwn(NUMBERS, name)) throw new Error(`system call ${name} is not in the table of system-call.ts`);
  const { decode, proto } = koffi();
  // koffi would register a prototype's name once for the whole process, but several files declare `read`.
  const anonymous = prototype.replace(name, '');
  return decode(BigInt(stubAddress(name as SystemCallName)), proto(anonymous));
}

/**
 * Binds a system call by its prototype at its first use. It takes up to six integers or pointers, in the kernel's form,
 * not the C library's (no `open` but `openat`, the two halves of a position where the kernel takes two).
 * @returns a function that returns 0 or more, or the negated errno
 * @example const close = systemCall<(fd: number) => number>('int close(int fd)');
 */
export function systemCall<F extends (...args: never[]) => number>(prototype: string): F {
  let bound: F | undefined;
  return ((...args: never[]) => (bound ??= bind(prototype) as F)(...args)) as F;
}

/** Like `systemCall`, for calls that block: the result returns the function, whose `async` runs on libuv's pool. */
export function threadedSystemCall<A extends unknown[]>(prototype: string): () => ThreadedCall<A> {
  let bound: ThreadedCall<A> | undefined;
  return () => (bound ??= bind(prototype) as ThreadedCall<A>);
}

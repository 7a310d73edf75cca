/**
 * Unix socket pairs that carry messages with descriptors (SCM_RIGHTS) and the sender's pid (SCM_CREDENTIALS). unix(7),
 * cmsg(3)
 */
import { constants } from 'node:os';
import { Fd } from '../fd.ts';
import { checked, koffi, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** bits/socket.h, asm-generic/socket.h (x86-64) */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PASSCRED = 16;
const SO_PEERCRED = 17;
const SO_NETNS_COOKIE = 71;
const SO_PEERPIDFD = 77;
const SCM_RIGHTS = 1;
const SHUT_WR = 1;
const SCM_CREDENTIALS = 2;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_TRUNC = 0x20;
const MSG_CTRUNC = 0x8;
const { EAGAIN, ECONNRESET, EINTR, EMSGSIZE } = constants.errno;

/** bytes of struct msghdr, struct iovec and struct cmsghdr on x86-64 */
const MSGHDR = 56;
const IOVEC = 16;
const CMSGHDR = 16;
/** room for a few control messages: one SCM_CREDENTIALS (32) and SCM_RIGHTS of at most 16 fds (80) */
const CONTROL_BYTES = 256;
/** the longest message received; longer ones are cut off and refused */
const MAX_MESSAGE = 16384;

/** linux/un.h: bytes of sun_path, its NUL included */
const SUN_PATH = 108;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const c_connect = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int fd, const void *address, unsigned int length)',
);
const socketpair = systemCall<(domain: number, type: number, protocol: number, fds: Int32Array) => number>(
  'int socketpair(int domain, int type, int protocol, int *fds)',
);
const setsockopt = systemCall<(fd: number, level: number, name: number, value: Int32Array, length: number) => number>(
  'int setsockopt(int fd, int level, int name, const int *value, unsigned int length)',
);
const c_getsockopt = systemCall<
  (fd: number, level: number, name: number, value: Int32Array, length: Int32Array) => number
>('int getsockopt(int fd, int level, int name, void *value, void *length)');
const c_shutdown = systemCall<(fd: number, how: number) => number>('int shutdown(int fd, int how)');
const c_recvmsg = systemCall<(fd: number, header: Uint8Array, flags: number) => number>(
  'long recvmsg(int fd, void *header, int flags)',
);
const c_sendto = systemCall<
  (fd: number, data: Uint8Array, length: number, flags: number, to: null, toLength: number) => number
>('long sendto(int fd, const void *data, unsigned long length, int flags, const void *to, unsigned int toLength)');
const c_sendmsg = systemCall<(fd: number, header: Uint8Array, flags: number) => number>(
  'long sendmsg(int fd, const void *header, int flags)',
);

/** shutdown(2) of what is sent: the other end reads to its end. One that is gone has no need of it. */
export function shutdownWrite(fd: number): void {
  c_shutdown(fd, SHUT_WR);
}

/**
 * SO_PEERCRED: who connected, or listens, at the other end, as it was at that moment; ids as this process's namespaces
 * show them.
 * @throws SyscallError
 */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  const credentials = new Int32Array(3); // safe: struct ucred is three 32-bit numbers, and the length says so
  checked(c_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, Int32Array.of(credentials.byteLength)), 'getsockopt');
  return { pid: credentials[0]!, uid: credentials[1]! >>> 0, gid: credentials[2]! >>> 0 };
}

/**
 * SO_PEERPIDFD (Linux 6.5): that very process, also when its pid has been given to another since. @returns undefined
 * before that, or when it is gone
 */
export function peerPidfd(fd: number): Fd | undefined {
  const pidfd = new Int32Array(1); // safe: the kernel writes one int
  const result = c_getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, pidfd, Int32Array.of(pidfd.byteLength));
  return result < 0 ? undefined : new Fd(pidfd[0]!);
}

/**
 * SO_NETNS_COOKIE (Linux 5.14): the network namespace that a socket is in, by a number that no other has while this
 * boot lasts. A namespace's inode is given to the next one as soon as it is gone. @returns undefined before that Linux
 */
export function networkCookie(fd: number): string | undefined {
  const cookie = new Int32Array(2); // safe: the kernel writes one u64, and the length says so
  const result = c_getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, Int32Array.of(cookie.byteLength));
  return result < 0 ? undefined : new BigUint64Array(cookie.buffer)[0]!.toString();
}

/** Two connected SOCK_STREAM ends, close-on-exec. @throws SyscallError */
export function streamPair(): { near: Fd; far: Fd } {
  const fds = new Int32Array(2); // safe: the kernel writes exactly two ints
  checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 'socketpair');
  return { near: new Fd(fds[0]!), far: new Fd(fds[1]!) };
}

/**
 * Two connected SOCK_SEQPACKET ends, close-on-exec. `credentials`: messages received on `near` carry the sender's pid.
 * `nonBlocking`: what the other end has no room for is EAGAIN.
 */
export function seqpacketPair(options: { credentials?: boolean; nonBlocking?: boolean } = {}): { near: Fd; far: Fd } {
  const fds = new Int32Array(2); // safe: the kernel writes exactly two ints
  const type = SOCK_SEQPACKET | SOCK_CLOEXEC | (options.nonBlocking ? SOCK_NONBLOCK : 0);
  checked(socketpair(AF_UNIX, type, 0, fds), 'socketpair');
  const near = new Fd(fds[0]!);
  const far = new Fd(fds[1]!);
  try {
    if (options.credentials)
      checked(setsockopt(near.number, SOL_SOCKET, SO_PASSCRED, Int32Array.of(1), 4), 'setsockopt');
    return { near, far };
  } catch (error) {
    near.close();
    far.close();
    throw error;
  }
}

/** A whole struct sockaddr_un. @throws RangeError when the path does not fit into it */
export function unixAddress(path: string): Buffer {
  const address = Buffer.alloc(2 + SUN_PATH);
  if (Buffer.byteLength(path) >= SUN_PATH) throw new RangeError(`${path} is too long for a socket`);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  return address;
}

/** A datagram socket connected to the one at a path; non-blocking, close-on-exec. @throws SyscallError, RangeError */
export function connectDatagram(path: string): Fd {
  const address = unixAddress(path);
  const fd = new Fd(checked(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket'));
  try {
    checked(c_connect(fd.number, address, address.length), 'connect', path); // safe: address is a whole struct sockaddr_un
  } catch (error) {
    fd.close();
    throw error;
  }
  return fd;
}

export interface Message {
  data: Buffer;
  fds: Fd[];
  /** of the sender, in this process's pid namespace; 0 when it cannot be seen from here */
  pid: number;
}

interface MessageBuffers {
  header: Buffer;
  iovec: Buffer;
  control: Buffer;
}

/**
 * A struct msghdr over one data buffer. The caller keeps the buffers alive until the call is over: the header has bare
 * addresses.
 */
function messageBuffers(data: Buffer, controlLength: number): MessageBuffers {
  const address = koffi().address;
  const control = Buffer.alloc(CONTROL_BYTES);
  const iovec = Buffer.alloc(IOVEC);
  iovec.writeBigUInt64LE(address(data), 0);
  iovec.writeBigUInt64LE(BigInt(data.length), 8);
  const header = Buffer.alloc(MSGHDR);
  header.writeBigUInt64LE(address(iovec), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(controlLength > 0 ? address(control) : 0n, 32);
  header.writeBigUInt64LE(BigInt(controlLength), 40);
  return { header, iovec, control };
}

function readControl(control: Buffer, length: number): { fds: Fd[]; pid: number } {
  const fds: Fd[] = [];
  let pid = 0;
  for (let at = 0; at + CMSGHDR <= length;) {
    const size = Number(control.readBigUInt64LE(at));
    const level = control.readInt32LE(at + 8);
    const type = control.readInt32LE(at + 12);
    if (size < CMSGHDR || at + size > length) break;
    if (level === SOL_SOCKET && type === SCM_RIGHTS)
      for (let fd = at + CMSGHDR; fd + 4 <= at + size; fd += 4) fds.push(new Fd(control.readInt32LE(fd)));
    if (level === SOL_SOCKET && type === SCM_CREDENTIALS) pid = control.readInt32LE(at + CMSGHDR);
    at += (size + 7) & ~7;
  }
  return { fds, pid };
}

let received: { data: Buffer; buffers: MessageBuffers } | undefined;

/**
 * recvmsg(2) without waiting: a message, `undefined` when there is none yet, `null` at end-of-file, also that of a peer
 * which died with messages of ours unread. Received fds are close-on-exec.
 * @throws SyscallError; EMSGSIZE for a message over 16 KiB or with too many descriptors
 */
export function receive(fd: number): Message | null | undefined {
  if (!received) {
    const data = Buffer.alloc(MAX_MESSAGE);
    received = { data, buffers: messageBuffers(data, CONTROL_BYTES) };
  }
  const { data, buffers } = received;
  const { header, control } = buffers;
  let length: number;
  for (;;) {
    header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
    // safe: iovec and control name buffers of the lengths given, held by `received`
    length = c_recvmsg(fd, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length >= 0) break;
    if (length === -EAGAIN) return undefined;
    // A peer that died with something unread in its own queue: the kernel says so once, ahead of the messages that the
    // peer had sent.
    if (length === -ECONNRESET) continue;
    if (length !== -EINTR) throw new SyscallError('recvmsg', -length);
  }
  const { fds, pid } = readControl(control, Number(header.readBigUInt64LE(40)));
  if (header.readInt32LE(48) & (MSG_TRUNC | MSG_CTRUNC)) {
    for (const stray of fds) stray.close();
    throw new SyscallError('recvmsg', EMSGSIZE);
  }
  if (length === 0 && fds.length === 0) return null;
  return { data: Buffer.from(data.subarray(0, length)), fds, pid };
}

/**
 * Sends one message, with descriptors. Never SIGPIPE. Without any it is sendto(2) to nobody else than the other end:
 * a running VMM has no sendmsg(2).
 * @throws SyscallError (EPIPE when nobody is there)
 */
export function send(fd: number, data: Uint8Array, fds: readonly number[] = []): void {
  if (fds.length === 0) {
    let sent: number;
    do
      sent = c_sendto(fd, data, data.length, MSG_NOSIGNAL, null, 0); // safe: reads as many bytes as data has
    while (sent === -EINTR);
    checked(sent, 'sendto');
    return;
  }
  if (CMSGHDR + 4 * fds.length > CONTROL_BYTES) throw new RangeError('too many descriptors for one message');
  const bytes = Buffer.from(data);
  const size = CMSGHDR + 4 * fds.length;
  const buffers = messageBuffers(bytes, (size + 7) & ~7);
  buffers.control.writeBigUInt64LE(BigInt(size), 0);
  buffers.control.writeInt32LE(SOL_SOCKET, 8);
  buffers.control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [index, number] of fds.entries()) buffers.control.writeInt32LE(number, CMSGHDR + 4 * index);
  let sent: number;
  // safe: bytes, iovec and control are alive here and the header has their true lengths
  do sent = c_sendmsg(fd, buffers.header, MSG_NOSIGNAL);
  while (sent === -EINTR);
  checked(sent, 'sendmsg');
  keepAlive(bytes, buffers);
}

/** The optimiser must not collect buffers whose addresses the kernel has. */
function keepAlive(...values: unknown[]): number {
  return values.length;
}

/**
 * A descriptor that carries one packet with each read(2) and write(2): a tap device (IFF_NO_PI), or a datagram or
 * seqpacket socket. Non-blocking.
 */
import { constants } from 'node:os';
import { Fd } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const read = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t read(int fd, void *bytes, size_t length)',
);
const write = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t write(int fd, const void *bytes, size_t length)',
);
const fcntl = systemCall<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);

const socketpair = systemCall<(domain: number, type: number, protocol: number, pair: Int32Array) => number>(
  'int socketpair(int domain, int type, int protocol, void *pair)',
);

/** bits/socket.h */
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
/** include/uapi/asm-generic/fcntl.h */
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const { EAGAIN, EINTR } = constants.errno;

export function setNonBlocking(fd: number): void {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
}

/**
 * @returns bytes of the packet, cut off at the buffer's end; 0 when the other end is gone; undefined when there is none
 * now
 */
export function readPacket(fd: number, into: Uint8Array): number | undefined {
  const count = read(fd, into, into.length);
  if (count >= 0) return count;
  return count === -EAGAIN || count === -EINTR ? undefined : 0;
}

/**
 * Of a datagram socket.
 * @returns as `readPacket`; of a datagram 0 is a length
 * @throws SyscallError ECONNREFUSED and others that a connected socket is told of: they end nothing
 */
export function readDatagram(fd: number, into: Uint8Array): number | undefined {
  const count = read(fd, into, into.length); // safe: at most as many bytes as the view has
  return count === -EAGAIN || count === -EINTR ? undefined : checked(count, 'read');
}

/** @returns false when the packet was dropped: no room, or nobody there; networks may lose packets */
export function writePacket(fd: number, packet: Uint8Array): boolean {
  return write(fd, packet, packet.length) === packet.length;
}

/** Two ends of a link: packets keep their bounds, and each end sees the other go. @throws SyscallError */
export function packetPair(): [Fd, Fd] {
  const pair = new Int32Array(2);
  checked(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 'socketpair');
  return [new Fd(pair[0]!), new Fd(pair[1]!)];
}

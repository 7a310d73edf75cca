/**
 * Sockets of IP that are made here and used elsewhere, in another process or from another network namespace: listening
 * ones of TCP, ones of UDP that tell which address was asked, and ones that ask. Non-blocking, close-on-exec. ip(7),
 * ipv6(7), tcp(7), udp(7)
 */
import { readFileSync } from 'node:fs';
import { Fd, prepared } from '../fd.ts';
import { checked, libraryFunction } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { addressBytes } from './address-bytes.ts';

/** bits/socket.h, asm-generic/socket.h, linux/in.h, linux/in6.h (x86-64) */
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SOL_IP = 0;
const IP_PKTINFO = 8;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
/** bytes of struct sockaddr_in and struct sockaddr_in6 */
const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;
/** bytes into struct sockaddr_in6: sin6_scope_id */
const SCOPE = 24;
/** net.core.somaxconn of Linux since 5.4 */
const SOMAXCONN = 4096;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const setsockopt = systemCall<(fd: number, level: number, name: number, value: Int32Array, length: number) => number>(
  'int setsockopt(int fd, int level, int name, const int *value, unsigned int length)',
);
const c_bind = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, const void *address, unsigned int length)',
);
const getsockname = systemCall<(fd: number, address: Uint8Array, length: Int32Array) => number>(
  'int getsockname(int fd, void *address, void *length)',
);
const c_connect = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int fd, const void *address, unsigned int length)',
);
const if_nametoindex = libraryFunction<(name: string) => number>('unsigned int if_nametoindex(const char *name)');
const c_listen = systemCall<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');

/** struct sockaddr_in, struct sockaddr_in6: the port and the address in network byte order */
function socketAddress(address: Uint8Array, port: number): Buffer {
  const name = Buffer.alloc(address.length === 4 ? SOCKADDR_IN : SOCKADDR_IN6);
  name.writeUInt16LE(address.length === 4 ? AF_INET : AF_INET6, 0);
  name.writeUInt16BE(port, 2);
  name.set(address, address.length === 4 ? 4 : 8);
  return name;
}

/**
 * A socket of UDP that sends to one address and hears from it alone.
 * @param address of text, with its zone where it has one (`fe80::1%wlan0`)
 * @throws SyscallError ENETUNREACH where there is no way to it; EAFNOSUPPORT on a host without IPv6
 */
export function connectedSocket(address: string, port: number): Fd {
  const [plain = '', zone] = address.split('%');
  const name = socketAddress(addressBytes(plain), port);
  // sin6_scope_id: the number of an interface, or its name; 0 where there is none of that name
  if (zone !== undefined) name.writeUInt32LE(Number(zone) || if_nametoindex(zone), SCOPE);
  const family = name.readUInt16LE(0);
  const fd = new Fd(checked(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket'));
  return prepared(fd, (number) => {
    checked(c_connect(number, name, name.length), 'connect', address); // safe: name is a whole struct sockaddr
  });
}

/**
 * Ends the connection of a socket, whoever has it open: reading and writing fail with ECONNRESET from then on. The
 * other end is sent a reset where there is a way to it. connect(2) § AF_UNSPEC @throws SyscallError
 */
export function disconnect(fd: number): void {
  // all zeroes: AF_UNSPEC; safe: name is a whole struct sockaddr
  checked(c_connect(fd, Buffer.alloc(SOCKADDR_IN), SOCKADDR_IN), 'connect', 'nowhere');
}

/** A socket for who will connect it: of UDP bound to any port, of TCP not bound yet. @throws SyscallError */
export function askingSocket(protocol: 'tcp' | 'udp', family: 4 | 6): Fd {
  const type = (protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = new Fd(checked(socket(family === 6 ? AF_INET6 : AF_INET, type, 0), 'socket'));
  return prepared(fd, (number) => {
    const name = socketAddress(new Uint8Array(family === 6 ? 16 : 4), 0);
    if (protocol === 'udp') checked(c_bind(number, name, name.length), 'bind'); // safe: as above
  });
}

/**
 * A socket bound to an address and port: listening where it is TCP's, with IP_PKTINFO on each message where it is
 * UDP's. One of IPv6 never takes IPv4 too.
 * @param address of text @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, EACCES; EAFNOSUPPORT on a host without IPv6
 */
export function boundSocket(protocol: 'tcp' | 'udp', address: string, port: number): Fd {
  const name = socketAddress(addressBytes(address), port);
  const ipv6 = name.length === SOCKADDR_IN6;
  const type = (protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = new Fd(checked(socket(ipv6 ? AF_INET6 : AF_INET, type, 0), 'socket'));
  return prepared(fd, (number) => {
    const set = (level: number, option: number) =>
      checked(setsockopt(number, level, option, Int32Array.of(1), 4), 'setsockopt'); // safe: one int, as the length says
    if (ipv6) set(SOL_IPV6, IPV6_V6ONLY);
    // connections of before that linger in TIME_WAIT are no reason to refuse; two listeners of one port still are
    if (protocol === 'tcp') set(SOL_SOCKET, SO_REUSEADDR);
    else if (ipv6) set(SOL_IPV6, IPV6_RECVPKTINFO);
    else set(SOL_IP, IP_PKTINFO);
    checked(c_bind(number, name, name.length), 'bind'); // safe: name is a whole struct sockaddr of its family
    if (protocol === 'tcp') checked(c_listen(number, backlog()), 'listen');
  });
}

/** The port of a bound socket, IPv4's or IPv6's: where the kernel has chosen it. @throws SyscallError */
export function localPort(fd: Fd): number {
  const name = Buffer.alloc(SOCKADDR_IN6);
  // safe: the kernel writes at most as many bytes as are there
  checked(getsockname(fd.number, name, Int32Array.of(name.length)), 'getsockname');
  return name.readUInt16BE(2);
}

/** As long as this host lets a queue of connections be. */
function backlog(): number {
  try {
    return Number(readFileSync('/proc/sys/net/core/somaxconn', 'latin1')) || SOMAXCONN;
  } catch {
    return SOMAXCONN;
  }
}

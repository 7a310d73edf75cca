/**
 * Sockets as a container's name server gets them: bound, by their descriptors; made in the namespace of whoever
 * calls.
 */
import { constants } from 'node:os';
import { Fd } from '../../../src/host/fd.ts';
import { checked, libraryFunction } from '../../../src/host/libc.ts';
import { systemCall } from '../../../src/host/system-call.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const { EADDRINUSE } = constants.errno;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bind = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, const void *address, unsigned int length)',
);
const listen = libraryFunction<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');
const getsockname = libraryFunction<(fd: number, address: Uint8Array, length: Int32Array) => number>(
  'int getsockname(int fd, void *address, void *length)',
);

/** 127.0.0.11 is everybody's: all of 127/8 is on the loopback device */
export const ADDRESS = '127.0.0.11';

/** UDP and TCP with the same port, as `dig` wants it. */
export function serverSockets(): { udp: Fd; tcp: Fd; port: number } {
  for (;;) {
    const udp = new Fd(checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket'));
    const tcp = new Fd(checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket'));
    const address = Buffer.alloc(16); // struct sockaddr_in: family, port, address
    address.writeUInt16LE(AF_INET, 0);
    address.set(ADDRESS.split('.').map(Number), 4);
    checked(bind(udp.number, address, address.length), 'bind');
    checked(getsockname(udp.number, address, Int32Array.of(address.length)), 'getsockname');
    const bound = bind(tcp.number, address, address.length);
    if (bound === 0) {
      checked(listen(tcp.number, 64), 'listen');
      return { udp, tcp, port: address.readUInt16BE(2) };
    }
    udp.close();
    tcp.close();
    if (bound !== -EADDRINUSE) checked(bound, 'bind');
  }
}

/** Bound to any address, as the sockets by which a container's own resolvers are asked. */
export function clientSocket(kind: 'udp' | 'tcp', family: 4 | 6): Fd {
  const domain = family === 4 ? AF_INET : AF_INET6;
  const fd = new Fd(checked(socket(domain, (kind === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), 'socket'));
  const address = Buffer.alloc(family === 4 ? 16 : 28);
  address.writeUInt16LE(domain, 0);
  checked(bind(fd.number, address, address.length), 'bind');
  return fd;
}

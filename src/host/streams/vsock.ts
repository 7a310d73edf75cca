/** Connections of AF_VSOCK, between a virtual machine and its host. vsock(7), linux/vm_sockets.h */
import { Fd } from '../fd.ts';
import { checked, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const AF_VSOCK = 40;
/** bits/socket.h (x86-64) */
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
/** fcntl(2) */
const F_SETFL = 4;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
/**
 * linux/vm_sockets.h: struct timeval, for connect(2); the kernel's own is two seconds (net/vmw_vsock/af_vsock.c
 * VSOCK_DEFAULT_CONNECT_TIMEOUT)
 */
const SO_VM_SOCKETS_CONNECT_TIMEOUT = 6;
/** s that the host has to answer, each time; on a host whose CPUs are all taken its VMM may not run for many seconds */
const CONNECT_SECONDS = 30n;
/** times it is tried: after five minutes nobody waits for an answer any more */
const ATTEMPTS = 10;
/** bytes of struct sockaddr_vm */
const SOCKADDR_VM = 16;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const c_connect = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int fd, const void *address, unsigned int length)',
);
const setsockopt = systemCall<
  (fd: number, level: number, option: number, value: BigInt64Array, length: number) => number
>('int setsockopt(int fd, int level, int option, const void *value, unsigned int length)');
const fcntl = systemCall<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);

/**
 * Connects, blocking until the other side accepts or refuses; the descriptor is non-blocking afterwards. Who is slow is
 * asked again. A signal ends the kernel's wait and the attempt with it (net/vmw_vsock/af_vsock.c vsock_connect): it
 * begins anew, the other side hears of the first one's end.
 * @throws SyscallError
 */
export function connectVsock(cid: number, port: number): Fd {
  for (let timeouts = 1; ;) {
    try {
      return tryConnect(cid, port);
    } catch (error) {
      const isLate = error instanceof SyscallError && error.code === 'ETIMEDOUT';
      if (!isLate && !(error instanceof SyscallError && error.code === 'EINTR')) throw error;
      if (isLate && timeouts++ === ATTEMPTS) throw error;
    }
  }
}

function tryConnect(cid: number, port: number): Fd {
  const fd = new Fd(checked(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket'));
  try {
    const timeout = BigInt64Array.of(CONNECT_SECONDS, 0n);
    // safe: the kernel reads struct timeval, two int64
    checked(setsockopt(fd.number, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, timeout, timeout.byteLength), 'setsockopt');
    const address = Buffer.alloc(SOCKADDR_VM); // svm_family, svm_reserved1, svm_port, svm_cid, svm_flags, svm_zero
    address.writeUInt16LE(AF_VSOCK, 0);
    address.writeUInt32LE(port, 4);
    address.writeUInt32LE(cid, 8);
    // safe: the kernel reads SOCKADDR_VM bytes of a buffer that long
    checked(c_connect(fd.number, address, SOCKADDR_VM), 'connect', `vsock ${cid}:${port}`);
    checked(fcntl(fd.number, F_SETFL, O_RDWR | O_NONBLOCK), 'fcntl');
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

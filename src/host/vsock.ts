/** Connections of AF_VSOCK, between a virtual machine and its host. vsock(7), linux/vm_sockets.h */
import { Fd } from './fd.ts';
import { checked, SyscallError } from './libc.ts';
import { systemCall } from './system-call.ts';

const AF_VSOCK = 40;
/** bits/socket.h (x86-64) */
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
/** fcntl(2) */
const F_SETFL = 4;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
/** bytes of struct sockaddr_vm */
const SOCKADDR_VM = 16;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>('int socket(int domain, int type, int protocol)');
const c_connect = systemCall<(fd: number, address: Uint8Array, length: number) => number>('int connect(int fd, const void *address, unsigned int length)');
const fcntl = systemCall<(fd: number, command: number, argument: number) => number>('int fcntl(int fd, int command, int argument)');

/**
 * Connects, blocking until the other side accepts or refuses; the descriptor is non-blocking afterwards. A signal ends the kernel's wait and the attempt
 * with it (net/vmw_vsock/af_vsock.c vsock_connect): it begins anew, the other side hears of the first one's end.
 * @throws SyscallError
 */
export function connectVsock(cid: number, port: number): Fd {
  for (;;) {
    try {
      return tryConnect(cid, port);
    } catch (error) {
      if (!(error instanceof SyscallError) || error.code !== 'EINTR') throw error;
    }
  }
}

function tryConnect(cid: number, port: number): Fd {
  const fd = new Fd(checked(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket'));
  try {
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
